"""The mixture of diagonal normals: densities in float64, accuracy far from the origin, draws."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.distributions import DiagonalGaussianMixture

tfd = tfp.distributions

LOGITS = np.float32([0.3, -1.0, 2.0, 0.0])
LOC = np.random.default_rng(0).normal(size=(4, 3), scale=2.0).astype(np.float32)
SCALE = np.random.default_rng(1).uniform(0.2, 2.0, size=(4, 3)).astype(np.float32)


def exact_joint(z, logits=LOGITS, loc=LOC, scale=SCALE):
    """log w_k + sum_d log N(z_d; m_kd, s_kd^2), `[..., K]`, in float64."""
    z, logits, loc, scale = (np.asarray(value, np.float64) for value in (z, logits, loc, scale))
    residual = (z[..., None, :] - loc) / scale
    log_normal = -0.5 * residual**2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
    return logits - np.logaddexp.reduce(logits) + log_normal.sum(axis=-1)


@pytest.mark.parametrize("shape", [(3,), (50, 3), (5, 10, 3)])
def test_density(shape):
    z = np.random.default_rng(2).normal(size=shape, scale=3.0).astype(np.float32)
    mixture = DiagonalGaussianMixture(LOGITS, LOC, SCALE)
    joint = exact_joint(z)
    assert mixture.joint_log_prob(z).shape == (*shape[:-1], 4)
    np.testing.assert_allclose(mixture.joint_log_prob(z), joint, rtol=1e-5, atol=1e-4)
    expected = np.logaddexp.reduce(joint, axis=-1)
    np.testing.assert_allclose(mixture.log_prob(z), expected, rtol=1e-5, atol=1e-4)
    general = tfd.MixtureSameFamily(tfd.Categorical(logits=LOGITS), tfd.MultivariateNormalDiag(LOC, SCALE))
    np.testing.assert_allclose(mixture.log_prob(z), general.log_prob(z), rtol=1e-5, atol=1e-4)
    assert mixture.batch_shape == [] and mixture.event_shape == [3]


def test_joint_density_by_hand():
    """1/4 N(1; 1, 2^2) and 3/4 N(1; 0, 1)."""
    mixture = DiagonalGaussianMixture(np.log([1.0, 3.0]), [[1.0], [0.0]], [[2.0], [1.0]])
    half_log = 0.5 * np.log(2 * np.pi)
    expected = [np.log(0.25) - np.log(2) - half_log, np.log(0.75) - 0.5 - half_log]
    np.testing.assert_allclose(mixture.joint_log_prob([1.0]), expected, rtol=1e-6)
    np.testing.assert_allclose(mixture.log_prob([1.0]), np.log(np.exp(expected).sum()), rtol=1e-6)


def test_one_component_is_a_normal_distribution():
    mixture = DiagonalGaussianMixture([7.0], [[1.0, 2.0]], [[0.5, 3.0]])
    normal = tfd.MultivariateNormalDiag([1.0, 2.0], [0.5, 3.0])
    z = [[0.0, 0.0], [1.0, 2.0], [-4.0, 9.0]]
    np.testing.assert_allclose(mixture.log_prob(z), normal.log_prob(z), rtol=1e-5)


def test_far_from_the_origin_it_is_as_accurate_as_near_it():
    """Means about 1000 with scales about 1: products not taken from their centre would be off by 0.1."""
    loc = (LOC + np.float32([1000, -1000, 3000])).astype(np.float32)
    z = (loc[[0, 1, 2, 3, 3]] + np.float32([0.5, -1.0, 0.25])).astype(np.float32)
    mixture = DiagonalGaussianMixture(LOGITS, loc, SCALE)
    expected = np.logaddexp.reduce(exact_joint(z, loc=loc), axis=-1)
    np.testing.assert_allclose(mixture.log_prob(z), expected, atol=2e-4)


SPREADS = pytest.mark.parametrize(
    ("spread", "scale"), [(1.0, 1.0), (100.0, 1.0), (3.0, 1e-3), (300.0, 1e-3), (1e4, 1e-3)]
)


def spread_out(spread, scale):
    """Points of 20 components in 32 dimensions, `spread` apart, whose scales differ."""
    rng = np.random.default_rng(3)
    loc = rng.normal(size=(20, 32), scale=spread).astype(np.float32)
    scale = (scale * rng.uniform(0.5, 2.0, size=loc.shape)).astype(np.float32)
    return (loc + scale * rng.normal(size=loc.shape)).astype(np.float32), loc, scale


@SPREADS
def test_means_may_lie_far_from_each_other(spread, scale):
    """Any number of scales: the error is that of the rounding to float32 and the 2e-4 nats promised."""
    z, loc, scale = spread_out(spread, scale)
    mixture = DiagonalGaussianMixture(np.zeros(20), loc, scale)
    joint = exact_joint(z, np.zeros(20), loc, scale)
    expected = np.logaddexp.reduce(joint, axis=-1)
    assert np.all(abs(mixture.log_prob(z) - expected) < 2e-4 + 2.0**-23 * abs(expected))
    assert np.all(abs(mixture.joint_log_prob(z) - joint) < 2e-4 + 2.0**-23 * abs(joint))


@pytest.mark.parametrize("far", [-1e7, 1e9, 1e15])
def test_a_far_component_spoils_no_other(far):
    loc, z = LOC.copy(), np.concatenate([LOC, LOC + np.float32(0.3)])
    loc[1] = z[1] = far
    mixture = DiagonalGaussianMixture(LOGITS, loc, SCALE)
    expected = np.logaddexp.reduce(exact_joint(z, loc=loc), axis=-1)
    np.testing.assert_allclose(mixture.log_prob(z), expected, rtol=1e-6, atol=2e-4)


@SPREADS
def test_gradients_of_means_far_from_each_other(spread, scale):
    """By z, the logits, the means and the scales: the coarsest has 2^-50 of squared distances in scales."""
    z, loc, scale = spread_out(spread, scale)
    inputs = [tf.constant(value) for value in (z, np.zeros(20, "float32"), loc, scale)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = tf.reduce_sum(DiagonalGaussianMixture(*inputs[1:]).log_prob(inputs[0]))
    received = tape.gradient(value, inputs)
    joint = exact_joint(z, np.zeros(20), loc, scale)
    shares = np.exp(joint - np.logaddexp.reduce(joint, axis=-1, keepdims=True))
    loc, scale = loc.astype(np.float64), scale.astype(np.float64)
    residual = (z[:, None] - loc) / scale
    expected = (
        -np.einsum("nk,nkd->nd", shares, residual / scale),
        np.sum(shares - 1 / 20, axis=0),
        np.einsum("nk,nkd->kd", shares, residual / scale),
        np.einsum("nk,nkd->kd", shares, (residual**2 - 1) / scale),
    )
    squares = np.max((np.max(abs(loc)) / scale) ** 2)
    for own, exact in zip(received, expected, strict=True):
        allowed = 1e-5 + 2.0**-50 * squares
        # Of the logits all cancels but the rounding: each component has one point.
        np.testing.assert_allclose(own, exact, rtol=0.0, atol=allowed * max(np.max(abs(exact)), 1.0))


def test_gradient_pulls_to_the_likely_components():
    """d log p / dz = sum_k r_k (m_k - z) / s_k^2 with r_k = p(k | z)."""
    z = tf.constant(np.random.default_rng(4).normal(size=(6, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(z)
        log_prob = DiagonalGaussianMixture(LOGITS, LOC, SCALE).log_prob(z)
    joint = exact_joint(z)
    shares = np.exp(joint - np.logaddexp.reduce(joint, axis=-1, keepdims=True))
    expected = np.einsum("nk,nkd->nd", shares, (LOC - z.numpy()[:, None]) / SCALE**2)
    np.testing.assert_allclose(tape.gradient(log_prob, z), expected, rtol=1e-4, atol=1e-4)


def test_draws_follow_weights_means_and_scales():
    """Components so far apart that each draw tells its own."""
    weights = np.array([0.1, 0.6, 0.3])
    loc = np.float32([[-100, 0], [0, 100], [100, 0]])
    scale = np.float32([[1.0, 0.1], [3.0, 2.0], [0.5, 4.0]])
    mixture = DiagonalGaussianMixture(np.log(weights), loc, scale)
    draws = mixture.sample(30_000, seed=(1, 2)).numpy()
    which = np.argmin(((draws[:, None] - loc) ** 2).sum(axis=-1), axis=1)
    for index, weight in enumerate(weights):
        own = (draws[which == index] - loc[index]) / scale[index]
        count = len(own)
        assert abs(count / 30_000 - weight) < 5 * np.sqrt(weight * (1 - weight) / 30_000)
        assert np.all(abs(own.mean(axis=0)) < 5 / np.sqrt(count))
        # Variances 1, and no correlation: their errors are sqrt(2 / n) and sqrt(1 / n).
        assert np.all(abs(own.T @ own / count - np.eye(2)) < 5 * np.sqrt((1 + np.eye(2)) / count))


def test_draws_have_the_moments_of_the_mixture():
    mixture = DiagonalGaussianMixture(LOGITS, LOC, SCALE)
    weights = np.exp(np.float64(LOGITS)) / np.exp(np.float64(LOGITS)).sum()
    mean = weights @ LOC
    variance = weights @ (SCALE**2 + LOC**2) - mean**2
    np.testing.assert_allclose(mixture.mean(), mean, rtol=1e-5)
    np.testing.assert_allclose(mixture.variance(), variance, rtol=1e-4)
    draws = mixture.sample((100, 200), seed=(1, 2)).numpy()
    assert draws.shape == (100, 200, 3)
    draws = draws.reshape(-1, 3).astype(np.float64)
    assert np.all(abs(draws.mean(axis=0) - mean) < 5 * np.sqrt(variance / len(draws)))
    squares = (draws - mean) ** 2
    assert np.all(abs(squares.mean(axis=0) - variance) < 5 * squares.std(axis=0) / np.sqrt(len(draws)))


def test_draws_repeat_with_their_seed():
    mixture = DiagonalGaussianMixture(LOGITS, LOC, SCALE)
    first, again, other = (mixture.sample(50, seed=seed).numpy() for seed in ((1, 2), (1, 2), (1, 3)))
    np.testing.assert_array_equal(first, again)
    assert not np.intersect1d(first, other).size
    assert mixture.sample(seed=(1, 2)).shape == (3,)


def test_a_copy_with_another_parameter():
    mixture = DiagonalGaussianMixture(LOGITS, LOC, SCALE)
    assert set(mixture.parameters) == {"logits", "loc", "scale", "name"}
    np.testing.assert_array_equal(mixture.parameters["loc"], LOC)
    z = np.float32([[0.5, -1.0, 2.0]])
    moved = mixture.copy(loc=LOC + np.float32([1.0, 2.0, -3.0]))
    assert type(moved) is DiagonalGaussianMixture
    shifted = mixture.log_prob(z - np.float32([1.0, 2.0, -3.0]))
    np.testing.assert_allclose(moved.log_prob(z), shifted, rtol=1e-5)
    np.testing.assert_array_equal(mixture.copy().log_prob(z), mixture.log_prob(z))


def test_compiled_it_is_the_same():
    z = np.random.default_rng(5).normal(size=(7, 3)).astype(np.float32)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, 3])])
    def compiled(z):
        mixture = DiagonalGaussianMixture(LOGITS, LOC, SCALE)
        return mixture.log_prob(z), mixture.sample(4, seed=(1, 2))

    mixture = DiagonalGaussianMixture(LOGITS, LOC, SCALE)
    log_prob, draws = compiled(z)
    np.testing.assert_allclose(log_prob, mixture.log_prob(z), rtol=1e-5)
    np.testing.assert_allclose(draws, mixture.sample(4, seed=(1, 2)), rtol=1e-5)
