"""What a GAN's step changes and what it leaves alone, and what its parts compute."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.noise import fold_in
from keras_genmod.layers import SpectralNormalization
from keras_genmod.networks import conv_discriminator, dense_discriminator, dense_generator

X = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
IMAGES = np.random.default_rng(1).uniform(-1, 1, (16, 8, 8, 1)).astype("float32")


def small(**kwargs):
    """A GAN of vectors with small networks."""
    networks = {
        "generator": dense_generator((2,), (6,), hidden_dims=(8,), seed=1),
        "discriminator": dense_discriminator((6,), hidden_dims=(8,), seed=2),
    }
    return kg.GAN((6,), **{"latent_dim": 2, "seed": 0, **networks, **kwargs})


def images(**kwargs):
    """A DCGAN of small images: batch normalisation in both networks."""
    networks = {
        "generator": kg.networks.conv_generator((2,), (8, 8, 1), filters=(4,), seed=1),
        "discriminator": conv_discriminator((8, 8, 1), filters=(3, 4), batch_norm=True, seed=2),
    }
    return kg.DCGAN((8, 8, 1), **{"latent_dim": 2, "seed": 0, **networks, **kwargs})


def one_step(model, x, rates=(0.1, 0.1), **options):
    """One training step with gradient descent, the generator's rate first."""
    model.compile(*(keras.optimizers.SGD(rate) for rate in rates), **options)
    model.fit(x, batch_size=len(x), shuffle=False, verbose=0)
    return model


def values(weights):
    return [weight.numpy() for weight in weights]


def changed(before, after):
    return [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]


# ---- who changes what -------------------------------------------------------------------------


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("build,x", [(small, X), (images, IMAGES)])
@pytest.mark.parametrize("still", ["generator", "discriminator"])
def test_a_players_update_leaves_the_others_weights_alone(build, x, still):
    model = build()
    moving = "discriminator" if still == "generator" else "generator"
    before = {name: values(getattr(model, name).trainable_weights) for name in (still, moving)}
    one_step(model, x, rates=(0.0, 0.1) if still == "generator" else (0.1, 0.0))
    assert not any(changed(before[still], values(getattr(model, still).trainable_weights)))
    assert all(changed(before[moving], values(getattr(model, moving).trainable_weights)))


@pytest.mark.usefixtures("untraced")
def test_statistics_of_the_discriminator_are_those_of_the_real_examples_once_a_step():
    model = images()
    layer = model.discriminator.get_layer("batch_norm_1")
    inside = keras.Model(model.discriminator.input, layer.input)(IMAGES).numpy()
    one_step(model, IMAGES, discriminator_steps=1)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * inside.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * inside.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("rounds", [1, 3])
def test_statistics_of_the_generator_are_those_of_its_own_pass_once_a_step(rounds):
    model = images()
    seed = model._training_seed()
    z = model.prior().sample(len(IMAGES), seed=seed if rounds == 1 else fold_in(seed, rounds - 1))
    layer = model.generator.get_layer("batch_norm_0")
    inside = keras.Model(model.generator.input, layer.input)(z).numpy()
    one_step(model, IMAGES, discriminator_steps=rounds)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * inside.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * inside.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.usefixtures("untraced")
def test_evaluation_changes_nothing():
    model = one_step(images(), IMAGES)
    before = values(model.weights)
    model.evaluate(IMAGES, verbose=0)
    assert not any(changed(before, values(model.weights)))


def normalised(hidden_dims=(8, 8), **options):
    return dense_discriminator((6,), hidden_dims=hidden_dims, spectral_norm=True, seed=2, **options)


def norms_of(discriminator):
    """The spectral norms of the kernels as they are applied."""
    layers = [layer for layer in discriminator.layers if isinstance(layer, SpectralNormalization)]
    kernels = [layer.layer.kernel.numpy() for layer in layers]
    directions = [layer.direction.numpy() for layer in layers]
    return [
        np.linalg.norm(kernel, 2) / np.linalg.norm(kernel @ u)
        for kernel, u in zip(kernels, directions, strict=True)
    ]


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("steps", [0, 3])
def test_real_and_generated_examples_meet_one_normalised_critic(steps):
    """The same rows as both: the Wasserstein terms are their logits and cancel, in training as outside."""
    model = small(discriminator=normalised(), r1=0.0, loss="wasserstein")
    if steps:
        model.compile()
        model.fit(X, batch_size=8, steps_per_epoch=steps, verbose=0)
    before = values(model.discriminator.weights)
    logits = model.discriminator(X)[:, 0]
    arguments = {"condition": None, "seed": tf.constant([1, 2]), "shared": tf.constant(X)}
    for training in (True, False):
        terms = model._discriminator_terms(tf.constant(X), training=training, **arguments)
        np.testing.assert_array_equal(terms["real"], -terms["fake"])
        np.testing.assert_array_equal(terms["real"], -logits)
        adversarial = model._generator_terms(tf.constant(X), training=training, **arguments)["adversarial"]
        np.testing.assert_array_equal(adversarial, -logits)
    assert not any(changed(before, values(model.discriminator.weights)))


def test_spectral_norms_are_one_at_the_start_and_stay_near_it():
    model = small(discriminator=normalised(), r1=0.0, loss="hinge")
    assert len(norms_of(model.discriminator)) == 3
    np.testing.assert_allclose(norms_of(model.discriminator), 1.0, rtol=1e-5)
    model.compile(keras.optimizers.SGD(1e-2))
    model.fit(X, batch_size=4, epochs=30, verbose=0)
    # The kernels have moved for 120 steps, and the estimate with them.
    np.testing.assert_allclose(norms_of(model.discriminator), 1.0, rtol=0.02)


@pytest.mark.usefixtures("untraced")
def test_the_estimate_moves_once_an_update():
    """One power step of the kernel as it is after the update; without a rate it is the same kernel."""
    model = small(discriminator=normalised((8,)), r1=0.5, gradient_penalty=0.5)
    layer = model.discriminator.get_layer("hidden_0_norm")
    kernel = layer.layer.kernel.numpy()
    u = np.random.default_rng(0).normal(size=8)
    layer.direction.assign(u)
    one_step(model, X, rates=(0.1, 0.0), discriminator_steps=2, micro_batches=2)
    for _ in range(2):
        u = kernel.T @ kernel @ u
        u /= np.linalg.norm(u)
    np.testing.assert_allclose(layer.direction, u, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer.layer.kernel, kernel)


def test_replicas_and_files_have_one_estimate(strategy, tmp_path):
    with strategy.scope():
        model = small(discriminator=normalised((8,)), r1=0.5)
        model.compile(keras.optimizers.SGD(0.1))
    model.fit(X, batch_size=4, verbose=0)
    direction = model.discriminator.get_layer("hidden_0_norm").direction
    first, second = (copy.numpy() for copy in strategy.experimental_local_results(direction.value))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(norms_of(model.discriminator), 1.0, rtol=0.1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.discriminator(X), model.discriminator(X))


def test_a_critic_that_divides_its_weights_in_each_pass_is_warned_of():
    x = keras.Input((6,))
    other = keras.Model(x, keras.layers.SpectralNormalization(keras.layers.Dense(1))(x))
    with pytest.warns(UserWarning, match=r"keras_genmod\.layers\.SpectralNormalization"):
        small(discriminator=other)


@pytest.mark.usefixtures("untraced")
def test_example_weights_are_not_in_the_accuracy():
    model = small()
    model.compile()
    plain = model.evaluate(X, return_dict=True, verbose=0)
    weighted = model.evaluate(X, sample_weight=np.full(16, 10.0), return_dict=True, verbose=0)
    assert weighted["discriminator_accuracy"] == plain["discriminator_accuracy"]
    assert weighted["discriminator_real"] == pytest.approx(10.0 * plain["discriminator_real"], rel=1e-6)


@pytest.mark.usefixtures("untraced")
def test_clipped_weights_stay_within_the_bound():
    model = small(loss="wasserstein", r1=0.0, weight_clip=0.03)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(X, batch_size=4, verbose=0)
    largest = [np.abs(weight).max() for weight in values(model.discriminator.trainable_weights)]
    assert max(largest) == pytest.approx(0.03)
    assert np.abs(model.generator.trainable_weights[0]).max() > 0.03


@pytest.mark.usefixtures("untraced")
def test_the_critic_of_wgan_gp_is_updated_five_times_a_step():
    model = kg.WGAN_GP((6,), latent_dim=2, seed=0)
    model.compile()
    model.fit(X, batch_size=8, verbose=0)
    assert int(model.optimizer.iterations) == 2
    assert int(model.discriminator_optimizer.iterations) == 10
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-4)
    assert (model.optimizer.beta_1, model.optimizer.beta_2) == (0.0, 0.9)


# ---- the averaged generator -------------------------------------------------------------------


@pytest.mark.usefixtures("untraced")
def test_the_average_is_the_recursion_of_its_definition():
    model = small(ema_decay=0.5)
    expected = values(model.generator.weights)
    recorded = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            recorded.append(values(self.model.generator.weights))

    model.compile(keras.optimizers.SGD(0.1))
    model.fit(X, batch_size=2, verbose=0, callbacks=[Record()])
    for step, weights in enumerate(recorded):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, weights, strict=True)]
    for have, want in zip(values(model.averaged_generator.weights), expected, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-6)
    assert any(changed(values(model.generator.weights), expected))


@pytest.mark.usefixtures("untraced")
def test_samples_come_from_the_average_and_the_raw_weights_are_kept():
    model = one_step(small(), X)
    z = model.prior().sample(4, seed=[0, 1])
    np.testing.assert_allclose(model(z), model.averaged_generator(z), rtol=1e-6)
    np.testing.assert_allclose(model(z, training=True), model.generator(z, training=True), rtol=1e-6)
    averaged, raw = (model.sample(8, seed=1, use_ema=use).numpy() for use in (True, False))
    assert np.abs(averaged - raw).max() > 1e-4
    model.averaged_generator.set_weights(model.generator.get_weights())
    np.testing.assert_array_equal(model.sample(8, seed=1), raw)


@pytest.mark.usefixtures("untraced")
def test_without_an_average_there_is_one_generator():
    model = one_step(small(ema_decay=None), X)
    assert model.averaged_generator is None
    np.testing.assert_array_equal(model.sample(5, seed=1), model.sample(5, seed=1, use_ema=False))


# ---- terms ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("untraced")
def test_terms_of_an_undecided_discriminator_by_hand():
    model = small(r1=2.0, r2=3.0, gradient_penalty=0.5)
    for weight in model.discriminator.trainable_weights:
        weight.assign(tf.zeros_like(weight))
    model.compile()
    logs = model.evaluate(X, verbose=0, return_dict=True)
    for name in ("discriminator_real", "discriminator_fake", "generator_adversarial"):
        assert logs[name] == pytest.approx(np.log(2.0))
    assert logs["discriminator_accuracy"] == 0.5
    assert logs["discriminator_r1"] == logs["discriminator_r2"] == 0.0
    assert logs["discriminator_gradient_penalty"] == pytest.approx(1.0)
    assert logs["discriminator_loss"] == pytest.approx(2 * np.log(2.0) + 0.5)
    assert logs["loss"] == pytest.approx(3 * np.log(2.0) + 0.5)


def linear_discriminator(slopes):
    """x -> slopes . x, without hidden layers."""
    x = keras.Input((6,))
    network = keras.Model(x, keras.layers.Dense(1)(x))
    network.set_weights([np.reshape(slopes, (6, 1)), np.zeros(1)])
    return network


@pytest.mark.usefixtures("untraced")
def test_terms_of_a_linear_discriminator_by_hand():
    slopes = np.arange(6.0) / 5
    model = small(discriminator=linear_discriminator(slopes), r1=1.0, r2=1.0, loss="wasserstein")
    model.compile()
    logs = model.evaluate(X, batch_size=len(X), verbose=0, return_dict=True)
    half = np.sum(slopes**2) / 2
    assert logs["discriminator_r1"] == pytest.approx(half, rel=1e-5)
    assert logs["discriminator_r2"] == pytest.approx(half, rel=1e-5)
    assert logs["discriminator_real"] == pytest.approx(-np.mean(X @ slopes), rel=1e-4)
    assert "discriminator_accuracy" not in logs
    assert logs["discriminator_fake"] == pytest.approx(-logs["generator_adversarial"], rel=1e-5)


def test_instance_noise_has_its_schedule_and_is_absent_from_evaluation():
    """What the discriminator sees of real and of generated zeros."""
    model = small(r1=0.0, instance_noise=kg.training.LinearSchedule(0.0, 4, start=2.0))
    x = tf.zeros([20_000, 6])
    seen = []

    class Discriminator(keras.layers.Layer):
        def call(self, x):
            seen.append(x.numpy())
            return x[:, :1]

    model.discriminator = Discriminator()

    def judged(training):
        seen.clear()
        arguments = {"condition": None, "training": training, "seed": tf.constant([3, 4]), "shared": x}
        model._discriminator_terms(x, **arguments)
        model._generator_terms(x, **arguments)
        return list(seen)

    for done, stddev in ((0, 2.0), (1, 1.5), (4, 0.0)):
        model._noise_state.assign([0, done])
        real, fake, of_generator = judged(training=True)
        for noise in (real, fake, of_generator):
            assert noise.std() == pytest.approx(stddev, rel=0.02)
        # The generator is judged by what the discriminator saw.
        np.testing.assert_array_equal(of_generator, fake)
    model._noise_state.assign([0, 0])
    for noise in judged(training=False):
        np.testing.assert_array_equal(noise, x)
    real, fake, _ = judged(training=True)
    assert abs(np.corrcoef(real.ravel(), fake.ravel())[0, 1]) < 0.03


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("condition", [{"num_classes": 3}, {"condition_shape": (2,)}])
def test_the_projection_discriminator_is_its_formula(condition):
    network = dense_discriminator((6,), hidden_dims=(8,), conditioning="projection", seed=0, **condition)
    model = kg.GAN((6,), latent_dim=2, discriminator=network, seed=0, **condition)
    c = np.arange(16) % 3 if "num_classes" in condition else X[:, :2]
    features = model.features(X, condition=c).numpy()
    hidden = network.get_layer("hidden_0")
    w, b = (part.numpy() for part in (hidden.kernel, hidden.bias))
    pre = X @ w + b
    np.testing.assert_allclose(features, np.where(pre > 0, pre, 0.2 * pre), rtol=1e-4, atol=1e-5)
    weight, bias = network.get_layer("logits").get_weights()
    (embedding,) = network.get_layer("embedding").get_weights()
    embedded = embedding[c] if "num_classes" in condition else c @ embedding
    expected = features @ weight[:, 0] + bias[0] + np.sum(embedded * features, axis=1)
    np.testing.assert_allclose(network([X, c])[:, 0], expected, rtol=1e-4, atol=1e-5)


# ---- capabilities -----------------------------------------------------------------------------


@pytest.mark.usefixtures("untraced")
def test_samples_have_the_distribution_of_the_generator():
    """A linear generator: N(b, W^T W), within five standard errors."""
    z = keras.Input((2,))
    generator = keras.Model(z, keras.layers.Dense(2)(z))
    w, b = np.array([[2.0, 0.5], [0.0, 1.0]]), np.array([1.0, -1.0])
    generator.set_weights([w, b])
    model = kg.GAN((2,), latent_dim=2, generator=generator, seed=0)
    x = model.sample(5_000, seed=3).numpy()
    covariance = w.T @ w
    error = np.sqrt(np.diag(covariance) / 5_000)
    assert np.all(np.abs(x.mean(0) - b) < 5 * error)
    bound = 5 * np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / 5_000)
    assert np.all(np.abs(np.cov(x.T) - covariance) < bound)


@pytest.mark.usefixtures("untraced")
def test_a_sample_depends_on_its_seed_and_number_alone():
    model = small()
    many = model.sample(1_500, seed=5).numpy()
    np.testing.assert_allclose(model.sample(3, seed=5), many[:3], rtol=1e-5, atol=1e-6)
    assert not np.allclose(model.sample(3, seed=6), many[:3])
    assert not np.allclose(model.sample(3), model.sample(3))


@pytest.mark.usefixtures("untraced")
def test_features_are_what_the_logit_is_linear_in():
    model = small()
    features = model.features(X).numpy()
    weight, bias = model.discriminator.get_layer("logits").get_weights()
    np.testing.assert_allclose(features @ weight + bias, model.discriminator(X), rtol=1e-4, atol=1e-5)
    sequential = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    own = small(discriminator=sequential)
    np.testing.assert_allclose(own.features(X), sequential.layers[0](X), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("untraced")
def test_features_of_a_subclassed_discriminator_are_refused():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    with pytest.raises(TypeError, match=r"functional or sequential.*received a Own.*keras\.Model"):
        small(discriminator=Own()).features(X)


@pytest.mark.usefixtures("untraced")
def test_predict_takes_latent_vectors():
    model = small()
    z = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    np.testing.assert_allclose(model.predict(z, verbose=0), model(z), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"`z` must have shape \[batch, 2\]; received \(16, 6\)"):
        model.predict(X, verbose=0)


def test_latent_vectors_interpolate():
    model = small()
    a, b = np.array([1.0, 0.0]), np.array([0.0, 2.0])
    path = kg.applications.interpolate(model, a, b, num_steps=3, latent=True)
    np.testing.assert_allclose(path[[0, 2]], model(np.stack([a, b])), rtol=1e-5, atol=1e-6)


def test_a_gan_learns_a_gaussian():
    """Mean 2, deviation 0.5."""
    x = (2.0 + 0.5 * np.random.default_rng(0).normal(size=(2_000, 1))).astype("float32")
    model = kg.GAN(
        (1,),
        latent_dim=1,
        generator=dense_generator((1,), (1,), hidden_dims=(16, 16), seed=1),
        discriminator=dense_discriminator((1,), hidden_dims=(32, 32), seed=2),
        ema_decay=0.99,
        seed=0,
    )
    model.compile(keras.optimizers.Adam(3e-3, beta_1=0.0, beta_2=0.99), steps_per_execution=20)
    model.fit(x, batch_size=100, epochs=40, verbose=0)
    samples = model.sample(2_000, seed=1).numpy()
    assert samples.mean() == pytest.approx(2.0, abs=0.15)
    assert samples.std() == pytest.approx(0.5, abs=0.15)


# ---- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options,words",
    [
        ({"loss": "wgan"}, ["`loss`", "'hinge'", "'wgan'"]),
        ({"r1": -1.0}, ["`r1`", "at least 0", "-1"]),
        ({"gradient_penalty": np.nan}, ["`gradient_penalty`", "finite"]),
        ({"label_smoothing": 0.7}, ["`label_smoothing`", "at most 0.5", "0.7"]),
        ({"label_smoothing": 0.1, "loss": "hinge"}, ["needs a loss with labels", "'hinge'", "'minimax'"]),
        ({"instance_noise": "much"}, ["`instance_noise`", "LinearSchedule", "much"]),
        ({"weight_clip": 0.0}, ["`weight_clip`", "above 0"]),
        ({"ema_decay": 1.5}, ["`ema_decay`", "at most 1"]),
        ({"spectral_norm": True}, ["options of the default discriminator", "Build them into"]),
        ({"output_activation": "tanh"}, ["options of the default generator"]),
        ({"generator": dense_generator((2,), (5,))}, ["`generator` must end in 6 outputs", "(None, 5)"]),
        ({"generator": dense_generator((3,), (6,))}, ["`generator` could not be called", "(None, 2)"]),
        ({"discriminator": dense_generator((6,), (2,))}, ["`discriminator` must end in 1 raw", "(None, 2)"]),
        ({"latent_dim": 0}, ["`latent_dim`", "at least 1"]),
    ],
)
def test_constructor(options, words):
    with pytest.raises(ValueError) as raised:
        small(**options)
    for word in words:
        assert word in str(raised.value)


def test_options_of_default_networks():
    with pytest.raises(ValueError, match=r"`conditioning='projection'` needs a condition"):
        kg.GAN((6,), latent_dim=2, discriminator_conditioning="projection")
    with pytest.raises(ValueError, match=r"needs `batch_norm=True` and a condition"):
        kg.DCGAN((8, 8, 1), latent_dim=2, generator_conditioning="batch_norm")
    with pytest.raises(ValueError, match=r"default networks for vectors"):
        kg.GAN((4, 4), latent_dim=2)


def test_data_outside_the_range_of_the_generator():
    model = images()
    model.compile()
    before = values(model.weights)
    for method in (model.fit, model.evaluate):
        with pytest.raises(
            ValueError, match=r"values in \[-1, 1\]; received values from .* to 25.*ends in tanh.*127"
        ):
            method(IMAGES * 127.5 + 127.5, verbose=0)
    assert not any(changed(before, values(model.weights)))
    sigmoid = kg.GAN((6,), latent_dim=2, output_activation="sigmoid")
    assert str(sigmoid.value_range()) == "values in [0, 1]"
    assert str(small().value_range()) == "finite values"


@pytest.mark.usefixtures("untraced")
def test_labels_out_of_range_and_conditions_that_do_not_fit():
    model = kg.GAN((6,), latent_dim=2, num_classes=3, seed=0)
    model.compile()
    with pytest.raises(ValueError, match=r"\[0, 2\]"):
        model.fit(X, np.arange(16) % 4, verbose=0)
    with pytest.raises(ValueError, match=r"from 0 to 2|\[0, 2\]"):
        model.sample(2, condition=3)
    with pytest.raises(ValueError, match="conditional"):
        model.sample(2)
    with pytest.raises(ValueError, match="unconditional"):
        small().features(X, condition=1)
