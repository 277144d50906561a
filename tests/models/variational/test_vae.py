r"""The VAE against a model whose exact likelihood is known.

Linear-Gaussian: z ~ N(0, I), x | z ~ N(W z + b, s^2 I), so x ~ N(b, W W^T + s^2 I), and the true
posterior of z is Gaussian. With W^T W diagonal it is a *diagonal* Gaussian, which the encoder can be.
"""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.distributions import GaussianHead

S = 0.7
W = np.array([[1.0, 0.5], [-1.0, 0.5], [0.5, 1.0], [0.5, 1.0], [0.0, 0.0]])
W[:, 1] -= W[:, 0] * (W[:, 0] @ W[:, 1]) / (W[:, 0] @ W[:, 0])
B = np.array([0.3, -0.2, 0.0, 1.0, 0.5])
PRECISION = 1.0 + np.sum(W**2, axis=0) / S**2  # of the true posterior, per latent


def inverse_softplus_scale(scale):
    """The raw parameter that the head turns into this scale."""
    return np.log(np.expm1(np.asarray(scale) - 1e-5)) - math.log(math.e - 1.0)


def linear(kernel, bias, name):
    network = keras.Sequential([keras.Input((kernel.shape[0],)), keras.layers.Dense(len(bias))], name=name)
    network.set_weights([kernel.astype("float32"), np.asarray(bias, "float32")])
    return network


def linear_gaussian(posterior_error=0.0):
    to_mean = (W / S**2) / PRECISION
    raw = inverse_softplus_scale(PRECISION**-0.5 * (1.0 + posterior_error))
    encoder = linear(
        np.concatenate([to_mean, np.zeros_like(to_mean)], axis=1),
        np.concatenate([-B @ to_mean + posterior_error, raw]),
        "encoder",
    )
    decoder = linear(W.T, B, "decoder")
    model = kg.VAE((5,), latent_dim=2, encoder=encoder, decoder=decoder, likelihood=GaussianHead(S), seed=0)
    model.compile()
    return model


def exact_log_prob(x):
    covariance = W @ W.T + S**2 * np.eye(5)
    centred = x - B
    mahalanobis = np.sum(centred @ np.linalg.inv(covariance) * centred, axis=1)
    return -0.5 * (mahalanobis + np.linalg.slogdet(2 * np.pi * covariance)[1])


@pytest.fixture(scope="module")
def x():
    generator = np.random.default_rng(1)
    z = generator.normal(size=(200, 2))
    return (z @ W.T + B + S * generator.normal(size=(200, 5))).astype("float32")


@pytest.mark.usefixtures("untraced")
def test_at_the_true_posterior_every_draw_of_the_bound_is_the_log_likelihood(x):
    model = linear_gaussian()
    for num_samples in (1, 7):
        np.testing.assert_allclose(
            model.log_prob(x, num_samples=num_samples, seed=3), exact_log_prob(x), atol=2e-4
        )


@pytest.mark.usefixtures("untraced")
def test_the_bound_lies_below_the_log_likelihood_by_the_posterior_divergence(x):
    error = 0.3
    model = linear_gaussian(error)
    # KL(q || true posterior) of each latent: scales differ by the factor 1.3, means by 0.3.
    ratio = (1.0 + error) ** 2
    gap = 0.5 * np.sum(ratio - 1.0 - math.log(ratio) + error**2 * PRECISION)
    draws = np.stack([model.log_prob(x, num_samples=1, seed=seed) for seed in range(30)])
    bound, spread = draws.mean(), draws.std() / math.sqrt(draws.size)
    assert bound == pytest.approx(exact_log_prob(x).mean() - gap, abs=float(5 * spread))
    result = model.evaluate(x, return_dict=True, verbose=0)
    analytic_kl_spread = draws.std() / math.sqrt(len(x))
    assert -result["loss"] == pytest.approx(bound, abs=float(5 * analytic_kl_spread))
    assert -result["loss"] < exact_log_prob(x).mean()


def test_importance_samples_raise_the_bound_to_the_exact_value(x):
    model = linear_gaussian(0.3)
    exact = exact_log_prob(x)
    means = [float(np.mean(model.log_prob(x, num_samples=k, seed=5))) for k in (1, 5, 25, 2000)]
    assert means[:3] == sorted(means[:3])
    # Each row's weights w = p(x, z) / q(z | x) have mean p(x): the error of log(mean w) is about the
    # relative deviation of w over sqrt(K).
    log_w = np.stack([model.log_prob(x, num_samples=1, seed=seed) for seed in range(40)])
    w = np.exp(log_w - exact)
    tolerance = 5 * w.std() / math.sqrt(2000 * len(x)) + w.var() / 2000
    assert means[-1] == pytest.approx(exact.mean(), abs=float(tolerance))


@pytest.mark.usefixtures("untraced")
def test_results_do_not_depend_on_the_chunk_size(x):
    model = linear_gaussian(0.3)
    whole = model.log_prob(x, num_samples=11, batch_size=4096, seed=2).numpy()
    for batch_size in (1, 7, 100):
        some = model.log_prob(x[:20], num_samples=11, batch_size=batch_size, seed=2)
        np.testing.assert_allclose(some, whole[:20], rtol=1e-5)


@pytest.mark.usefixtures("untraced")
def test_chunks_of_rows_do_not_change_results(x, monkeypatch):
    from keras_genmod.models.variational import importance_bound

    model = linear_gaussian(0.3)
    whole = model.log_prob(x, num_samples=9, seed=2)
    monkeypatch.setattr(importance_bound, "_LATENTS_PER_CALL", 63)
    np.testing.assert_allclose(model.log_prob(x, num_samples=9, seed=2), whole, rtol=1e-5)


def test_gradients_through_the_sample_agree_with_finite_differences():
    """For a fixed seed the objective is a smooth function of the weights."""
    model = linear_gaussian(0.3)
    x = tf.constant(np.random.default_rng(0).normal(size=(6, 5)).astype("float32"))
    seed = tf.constant([4, 2])

    def objective():
        return tf.reduce_mean(tf.add_n(list(model.loss_terms(x, training=True, seed=seed).values())))

    weights = model.trainable_weights
    with tf.GradientTape() as tape:
        value = objective()
    grads = tape.gradient(value, weights)
    generator = np.random.default_rng(3)
    for weight, grad in zip(weights, grads, strict=True):
        direction = generator.normal(size=weight.shape).astype("float32")
        step = 1e-2 / np.linalg.norm(direction)
        before = weight.numpy()
        values = []
        for sign in (1, -1):
            weight.assign(before + sign * step * direction)
            values.append(float(objective()))
        weight.assign(before)
        slope = (values[0] - values[1]) / (2 * step)
        # Float32 values of about 10 leave errors of about 1e-6 / 1e-2 in a slope along a unit vector.
        scale = np.linalg.norm(direction)
        assert float(np.sum(grad * direction)) == pytest.approx(slope, rel=2e-3, abs=float(2e-3 * scale))


@pytest.mark.usefixtures("untraced")
def test_encode_decode_and_posterior_are_the_matrices(x):
    model = linear_gaussian()
    mean = (x - B) @ (W / S**2) / PRECISION
    np.testing.assert_allclose(model.encode(x), mean, atol=1e-5)
    np.testing.assert_allclose(
        model.posterior(x).stddev(), np.broadcast_to(PRECISION**-0.5, (200, 2)), rtol=1e-5
    )
    np.testing.assert_allclose(model.decode(mean), mean @ W.T + B, atol=1e-4)
    np.testing.assert_allclose(model.reconstruct(x), mean @ W.T + B, atol=1e-4)
    np.testing.assert_allclose(model.predict(x, verbose=0), mean @ W.T + B, atol=1e-4)


@pytest.mark.usefixtures("untraced")
def test_samples_have_the_moments_of_the_model():
    model = linear_gaussian()
    n = 20_000
    samples = model.sample(n, seed=0, from_likelihood=True).numpy()
    covariance = W @ W.T + S**2 * np.eye(5)
    deviation = np.sqrt(np.diag(covariance) / n)
    np.testing.assert_array_less(np.abs(samples.mean(axis=0) - B), 5 * deviation)
    error = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / n)
    np.testing.assert_array_less(np.abs(np.cov(samples.T) - covariance), 5 * error)
    means = model.sample(n, seed=0).numpy()
    error = np.sqrt((np.outer(np.diag(W @ W.T), np.diag(W @ W.T)) + (W @ W.T) ** 2) / n) + 1e-6
    np.testing.assert_array_less(np.abs(np.cov(means.T) - W @ W.T), 5 * error)


@pytest.mark.usefixtures("untraced")
def test_seeds_of_samples():
    model = linear_gaussian()
    np.testing.assert_array_equal(model.sample(3, seed=1), model.sample(3, seed=1))
    np.testing.assert_allclose(model.sample(5, seed=1)[:3], model.sample(3, seed=1), atol=1e-6)
    assert np.abs(model.sample(3, seed=1) - model.sample(3, seed=2)).max() > 0.1
    assert np.abs(model.sample(3) - model.sample(3)).max() > 0.1


@pytest.mark.usefixtures("untraced")
def test_anomaly_scores_are_higher_for_strange_data(x):
    model = linear_gaussian()
    usual, strange = model.anomaly_score(x), model.anomaly_score(x + 5.0)
    np.testing.assert_allclose(usual, -exact_log_prob(x), atol=1e-3)
    assert np.min(strange) > np.max(usual)


@pytest.mark.usefixtures("untraced")
def test_collapse_is_seen():
    """A decoder that ignores z: no unit is active, and no divergence is left."""
    model = kg.VAE(
        (3,),
        latent_dim=4,
        encoder=linear(np.zeros((3, 8)), np.zeros(8), "encoder"),
        likelihood="gaussian",
        seed=0,
    )
    model.compile()
    data = np.random.default_rng(0).normal(size=(64, 3))
    result = model.evaluate(data, return_dict=True, verbose=0)
    assert result["active_units"] == 0.0
    np.testing.assert_allclose(model.latent_usage.kl_per_latent(), np.zeros(4), atol=1e-6)
    kernel = np.zeros((3, 8))
    kernel[0, 1] = 2.0
    model.encoder.set_weights([kernel, np.zeros(8)])
    assert model.evaluate(data, return_dict=True, verbose=0)["active_units"] == 1.0
    expected = [0.0, 0.5 * np.mean((2.0 * data[:, 0]) ** 2), 0.0, 0.0]
    np.testing.assert_allclose(model.latent_usage.kl_per_latent(), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.usefixtures("untraced")
def test_beta_follows_its_schedule():
    schedule = kg.training.LinearSchedule(1.0, 4)
    model = kg.VAE((4,), latent_dim=2, beta=schedule, seed=0)
    model.compile(keras.optimizers.SGD(0.0))
    x = np.eye(4, dtype="float32")
    for epoch in range(5):
        logs = model.fit(x, batch_size=4, verbose=0).history
        beta = (logs["loss"][0] - logs["reconstruction"][0]) / logs["kl"][0]
        assert beta == pytest.approx(min(epoch / 4, 1.0), rel=1e-4, abs=1e-4)


@pytest.mark.usefixtures("untraced")
def test_a_condition_may_be_one_for_all_or_one_a_row():
    model = kg.VAE((6,), latent_dim=2, num_classes=3, seed=0)
    all_two = model.sample(4, condition=2, seed=1)
    np.testing.assert_allclose(all_two, model.sample(4, condition=[2, 2, 2, 2], seed=1), atol=1e-6)
    mixed = model.sample(4, condition=[2, 1, 2, 0], seed=1)
    np.testing.assert_allclose(mixed[::2], all_two[::2], atol=1e-6)
    assert np.abs(mixed[1] - all_two[1]).max() > 1e-4
