"""The vector-quantised autoencoder with linear networks: codes, gradients and codebook by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.networks import dense_network

SEED = tf.constant([3, 5])
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
NUM_CODES, LATENTS, WIDTH = 5, 3, 2


def build(**options):
    """Four real numbers, three codes of two numbers each."""
    generator = np.random.default_rng(1)
    encoder = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(6), keras.layers.Reshape((LATENTS, WIDTH))]
    )
    encoder.set_weights([generator.normal(size=(4, 6)), generator.normal(size=6)])
    decoder = keras.Sequential([keras.Input((LATENTS, WIDTH)), keras.layers.Flatten(), keras.layers.Dense(4)])
    decoder.set_weights([generator.normal(size=(6, 4)), generator.normal(size=4)])
    options = {"likelihood": "gaussian", "revival_threshold": 0.0, "seed": 0, **options}
    model = kg.VQVAE((4,), num_codes=NUM_CODES, code_dim=WIDTH, encoder=encoder, decoder=decoder, **options)
    model.compile(keras.optimizers.SGD(0.0))
    return model


def by_hand(model):
    """What the encoder gives, the numbers of the nearest codes, the codes, the reconstruction."""
    kernel, bias = map(np.float64, model.encoder.get_weights())
    z = (X @ kernel + bias).reshape(8, LATENTS, WIDTH)
    codebook = np.float64(model.codebook())
    numbers = np.argmin(np.sum((z[:, :, None] - codebook) ** 2, axis=-1), axis=-1)
    kernel, bias = map(np.float64, model.decoder.get_weights())
    return z, numbers, codebook[numbers], codebook[numbers].reshape(8, 6) @ kernel + bias


@pytest.mark.usefixtures("untraced")
def test_codes_are_the_nearest_and_decode_to_the_reconstruction():
    model = build()
    _, numbers, _, mean = by_hand(model)
    assert len(np.unique(numbers)) > 2
    codes = model.encode(X)
    assert codes.dtype == tf.int32
    np.testing.assert_array_equal(codes, numbers)
    np.testing.assert_allclose(model.decode(codes), mean, atol=1e-4)
    np.testing.assert_allclose(model.reconstruct(X), mean, atol=1e-4)
    np.testing.assert_allclose(model.predict(X, verbose=0), mean, atol=1e-4)
    # Integers in a real dtype are codes as well.
    np.testing.assert_array_equal(model.decode(numbers.astype("float64")), model.decode(codes))


@pytest.mark.usefixtures("untraced")
def test_terms_by_hand():
    model = build(commitment_weight=0.6)
    z, numbers, codes, mean = by_hand(model)
    reconstruction = 0.5 * np.sum((X - mean) ** 2, axis=1) + 2.0 * np.log(2.0 * np.pi)
    commitment = np.sum((z - codes) ** 2, axis=(1, 2))
    terms = model.loss_terms(X, seed=SEED)
    np.testing.assert_allclose(terms["reconstruction"], reconstruction, rtol=1e-4)
    np.testing.assert_allclose(terms["commitment"], commitment, rtol=1e-4)
    np.testing.assert_allclose(model.anomaly_score(X), reconstruction, rtol=1e-4)
    shares = np.bincount(numbers.ravel(), minlength=NUM_CODES) / numbers.size
    entropy = -sum(share * np.log(share) for share in shares if share)
    logs = model.evaluate(X, batch_size=3, return_dict=True, verbose=0)
    assert logs["reconstruction"] == pytest.approx(reconstruction.mean(), rel=1e-4)
    assert logs["commitment"] == pytest.approx(commitment.mean(), rel=1e-4)
    assert logs["loss"] == pytest.approx(reconstruction.mean() + 0.6 * commitment.mean(), rel=1e-4)
    # Of all batches together.
    assert logs["perplexity"] == pytest.approx(np.exp(entropy), rel=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_gradients_pass_straight_through_and_commitment_draws_to_the_code(training):
    model = build()
    z, _, codes, mean = by_hand(model)
    weights = [*model.encoder.trainable_weights, *model.decoder.trainable_weights]
    with tf.GradientTape(persistent=True) as tape:
        terms = model.loss_terms(tf.constant(X), training=training, seed=SEED)
        sums = {name: tf.reduce_sum(term) for name, term in terms.items()}
    error = mean - X
    # The gradient of the codes looked up, given to the encoder's vectors as it is.
    by_codes = error @ np.float64(model.decoder.get_weights()[0]).T
    expected = X.T @ by_codes, by_codes.sum(axis=0), codes.reshape(8, 6).T @ error, error.sum(axis=0)
    for grad, by_formula in zip(tape.gradient(sums["reconstruction"], weights), expected, strict=True):
        np.testing.assert_allclose(grad, by_formula, rtol=1e-3, atol=1e-3)
    grads = tape.gradient(sums["commitment"], weights)
    np.testing.assert_allclose(grads[1], 2.0 * np.sum(z - codes, axis=0).ravel(), rtol=1e-3, atol=1e-3)
    assert grads[2] is None and grads[3] is None


def test_no_gradient_and_no_optimizer_reaches_the_codebook():
    model = build()
    assert not any("clusters" in weight.name for weight in model.trainable_weights)
    clusters = next(weight for weight in model.weights if "clusters" in weight.name)
    with tf.GradientTape() as tape:
        tape.watch(clusters.value)
        loss = tf.add_n(list(model.loss_terms(tf.constant(X), seed=SEED).values()))
    assert tape.gradient(loss, clusters.value) is None


@pytest.mark.usefixtures("untraced")
def test_only_training_moves_the_codebook_by_moving_averages():
    model = build(ema_decay=0.75)
    z, numbers, _, _ = by_hand(model)
    before = np.float64(model.codebook())
    model.evaluate(X, verbose=0)
    model.predict(X, verbose=0)
    model.anomaly_score(X)
    model.loss_terms(X, seed=SEED)
    np.testing.assert_array_equal(model.codebook(), before.astype("float32"))
    model.fit(X, batch_size=8, verbose=0)
    one_hot = np.eye(NUM_CODES)[numbers.ravel()]
    # Counts start at 1.
    counts = 0.75 + 0.25 * one_hot.sum(axis=0)
    sums = 0.75 * before + 0.25 * one_hot.T @ z.reshape(-1, WIDTH)
    np.testing.assert_allclose(model.codebook(), sums / counts[:, None], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("untraced")
def test_the_terms_of_a_step_are_those_of_the_codebook_before_it():
    model = build(ema_decay=0.1)
    model.compile(keras.optimizers.SGD(0.0))
    before = model.codebook().numpy()
    outside = model.loss_terms(X, seed=SEED)
    for _ in range(2):
        inside = model.loss_terms(X, training=True, seed=SEED)
        for name in outside:
            np.testing.assert_allclose(inside[name], outside[name], rtol=1e-5)
    np.testing.assert_array_equal(model.codebook(), before)
    logs = model.fit(X, batch_size=8, verbose=0).history
    assert logs["commitment"] == pytest.approx([np.mean(outside["commitment"])], rel=1e-5)
    assert np.abs(model.loss_terms(X, seed=SEED)["commitment"] - outside["commitment"]).max() > 0.1


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("micro_batches", [1, 4])
def test_the_codebook_moves_once_a_step_towards_all_vectors_of_the_batch(micro_batches):
    model = build(ema_decay=0.75, revival_threshold=0.0)
    z, numbers, _, _ = by_hand(model)
    before = np.float64(model.codebook())
    model.compile(micro_batches=micro_batches)
    model.fit(X, batch_size=8, verbose=0)
    one_hot = np.eye(NUM_CODES)[numbers.ravel()]
    counts = 0.75 + 0.25 * one_hot.sum(axis=0)
    sums = 0.75 * before + 0.25 * one_hot.T @ z.reshape(-1, WIDTH)
    np.testing.assert_allclose(model.codebook(), sums / counts[:, None], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("untraced")
def test_codes_of_little_use_are_set_on_vectors_of_the_encoder():
    model = build(ema_decay=0.5, revival_threshold=0.7)
    z, numbers, _, _ = by_hand(model)
    counts = 0.5 + 0.5 * np.bincount(numbers.ravel(), minlength=NUM_CODES)
    rare = counts < 0.7 * counts.mean()
    assert 0 < rare.sum() < NUM_CODES
    model.fit(X, batch_size=8, verbose=0)
    distances = np.abs(model.codebook().numpy()[:, None] - z.reshape(-1, WIDTH)).max(axis=-1).min(axis=1)
    np.testing.assert_array_equal(distances < 1e-4, rare)


@pytest.mark.usefixtures("untraced")
def test_the_codebook_finds_the_clusters_of_its_vectors():
    """Two groups of examples, one code for each: the codes become their means, and nothing is lost."""
    identity = keras.Sequential([keras.Input((2,)), keras.layers.Reshape((1, 2))])
    decoder = keras.Sequential([keras.Input((1, 2)), keras.layers.Reshape((2,))])
    model = kg.VQVAE(
        (2,), num_codes=2, code_dim=2, encoder=identity, decoder=decoder, likelihood="gaussian",
        ema_decay=0.5, seed=0,
    )  # fmt: skip
    model.compile()
    centres = np.array([[4.0, 1.0], [-3.0, 2.0]], "float32")
    x = np.repeat(centres, 10, axis=0)
    logs = model.fit(x, batch_size=20, epochs=30, verbose=0).history
    np.testing.assert_allclose(model.reconstruct(x), x, atol=1e-3)
    assert logs["commitment"][-1] == pytest.approx(0.0, abs=1e-4)
    assert logs["perplexity"][-1] == pytest.approx(2.0)
    assert len(np.unique(model.encode(centres))) == 2


@pytest.mark.usefixtures("untraced")
def test_a_condition_reaches_encoder_and_decoder():
    options = {"num_codes": 16, "code_dim": 2, "num_latents": 3, "num_classes": 3, "seed": 0}
    nets = {"num_classes": 3, "hidden_dims": (8,), "seed": 2}
    model = kg.VQVAE(
        (4,),
        encoder=dense_network((4,), (3, 2), **nets),
        decoder=dense_network((3, 2), (4,), **nets),
        likelihood="gaussian",
        **options,
    )
    labels = np.arange(8) % 3
    codes = model.encode(X, condition=labels)
    assert np.any(codes != model.encode(X, condition=(labels + 1) % 3))
    own, other = (model.decode(codes, condition=c) for c in (labels, (labels + 1) % 3))
    assert np.abs(own - other).max() > 0.01
    np.testing.assert_allclose(model.reconstruct(X, condition=labels), own, atol=1e-5)
    np.testing.assert_allclose(
        model.loss_terms(X, condition=labels, seed=SEED)["reconstruction"],
        model.anomaly_score(X, condition=labels),
        rtol=1e-4,
    )
    with pytest.raises(ValueError, match="conditional"):
        model.encode(X)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("event_shape,sides", [((8, 8, 1), (2, 2)), ((5, 6, 1), (2, 2))])
def test_images_become_small_images_of_codes(event_shape, sides):
    model = kg.VQVAE(event_shape, num_codes=64, code_dim=4, seed=0)
    x = (np.random.default_rng(0).random((2, *event_shape)) < 0.5).astype("float32")
    codes = model.encode(x)
    assert codes.shape == (2, *sides)
    vectors = model.encoder(x)[:, :, :, None]
    distances = np.sum((vectors - model.codebook()) ** 2, axis=-1)
    np.testing.assert_array_equal(codes, distances.argmin(axis=-1))
    np.testing.assert_allclose(model.decode(codes), model.reconstruct(x), atol=1e-6)
    # Summed over all places, not averaged.
    np.testing.assert_allclose(
        model.loss_terms(x, seed=SEED)["commitment"], distances.min(axis=-1).sum(axis=(1, 2)), rtol=1e-4
    )


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "codes,words",
    [
        (np.full((2, LATENTS), NUM_CODES), ["`z`", r"integers in [0, 4]", "from 5 to 5", "`encode`"]),
        (np.full((2, LATENTS), -1), ["`z`", "[0, 4]", "-1"]),
        (np.full((2, LATENTS), 0.5), ["`z`", "[0, 4]", "fractions"]),
        (np.zeros((2, LATENTS + 1), int), ["`z`", "[batch, 3]", "(2, 4)"]),
        (np.zeros((2, LATENTS, WIDTH)), ["`z`", "[batch, 3]", "(2, 3, 2)"]),
    ],
)
def test_codes_that_are_none_are_refused(codes, words):
    with pytest.raises(ValueError) as raised:
        build().decode(codes)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.usefixtures("untraced")
def test_without_a_prior_of_the_codes_there_is_no_sampling_and_no_density():
    model = build()
    for name in ("sample", "log_prob", "prior"):
        assert not hasattr(model, name)
    assert set(model.endpoints()) == {"reconstruct", "encode", "decode", "anomaly_score"}
    assert model.density is None
    with pytest.raises(AttributeError, match="'VQVAE' object has no attribute 'sample'"):
        model.sample(3)


@pytest.mark.usefixtures("untraced")
def test_a_configuration_and_weights_give_the_same_codes():
    model = build(commitment_weight=0.6, ema_decay=0.9, revival_threshold=0.3)
    model.fit(X, verbose=0)
    copy = kg.VQVAE.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    assert (copy.commitment_weight, copy.num_codes, copy.code_dim) == (0.6, NUM_CODES, WIDTH)
    np.testing.assert_array_equal(copy.encode(X), model.encode(X))
    copy.compile(keras.optimizers.SGD(0.0))
    for each in (model, copy):
        each.fit(X, batch_size=8, initial_epoch=1, epochs=2, verbose=0)
    # The codebook moves on at the same rate.
    np.testing.assert_allclose(copy.codebook(), model.codebook(), rtol=1e-5)
