"""Divergences: closed forms, estimates from draws, and the sum over dimensions."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.distributions import kl_divergence, kl_per_dimension, standard_normal

tfd = tfp.distributions

LOC = np.array([[0.0, 1.0, -2.0], [3.0, 0.5, 0.0]], np.float32)
SCALE = np.array([[1.0, 0.1, 2.0], [0.5, 1.0, 3.0]], np.float32)


def posterior(loc=LOC, scale=SCALE):
    return tfd.Independent(tfd.Normal(loc, scale), 1)


def closed_form():
    """KL(N(m, s) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s."""
    loc, scale = LOC.astype(np.float64), SCALE.astype(np.float64)
    return (loc**2 + scale**2 - 1) / 2 - np.log(scale)


def test_divergence_from_the_standard_normal():
    np.testing.assert_allclose(
        kl_divergence(posterior(), standard_normal(3)), closed_form().sum(-1), rtol=1e-5
    )
    np.testing.assert_allclose(kl_per_dimension(posterior(), standard_normal(3)), closed_form(), rtol=1e-5)


def test_divergence_between_two_normals():
    """KL(N(m, s) || N(n, t)) = log(t / s) + (s^2 + (m - n)^2) / (2 t^2) - 1/2."""
    other_loc, other_scale = np.float32([0.5, -1.0, 2.0]), np.float32([2.0, 0.5, 1.0])
    expected = np.log(other_scale / SCALE) + (SCALE**2 + (LOC - other_loc) ** 2) / (2 * other_scale**2) - 0.5
    q, p = posterior(), posterior(other_loc, other_scale)
    np.testing.assert_allclose(kl_per_dimension(q, p), expected, rtol=1e-5)
    np.testing.assert_allclose(kl_divergence(q, p), expected.sum(-1), rtol=1e-5)


def test_divergence_is_the_mean_log_ratio():
    q, p = posterior(), standard_normal(3)
    count = 40_000
    z = q.sample(count, seed=(1, 2))
    ratios = (q.log_prob(z) - p.log_prob(z)).numpy()
    error = ratios.std(axis=0) / np.sqrt(count)
    assert np.all(abs(ratios.mean(axis=0) - kl_divergence(q, p)) < 4 * error)


def test_a_distribution_has_none_from_itself():
    np.testing.assert_allclose(kl_divergence(posterior(), posterior()), 0.0, atol=1e-6)


def test_prior_is_the_standard_normal():
    z = tf.constant([[0.0, 0.0], [1.0, -2.0]])
    expected = -np.log(2 * np.pi) - np.array([0.0, 2.5])
    np.testing.assert_allclose(standard_normal(2).log_prob(z), expected, rtol=1e-6)
    assert standard_normal(2).batch_shape == [] and standard_normal(2).event_shape == [2]


# ---- full covariances and mixtures ------------------------------------------------------------------

TRIL = np.float32([[[1, 0, 0], [0.5, 0.3, 0], [-1, 2, 1.5]], [[2, 0, 0], [0, 1, 0], [0.7, -0.2, 0.4]]])


def full(loc=LOC, tril=TRIL):
    return tfd.MultivariateNormalTriL(loc, tril)


def diagonal(values):
    return np.asarray(values)[..., None] * np.eye(3)


def normal_kl(loc, covariance, other_loc, other_covariance):
    """(tr(P^-1 C) + (m - n)^T P^-1 (m - n) - D + log det P - log det C) / 2."""
    inverse = np.linalg.inv(other_covariance)
    difference = np.float64(loc) - other_loc
    return 0.5 * (
        np.trace(inverse @ covariance, axis1=-2, axis2=-1)
        + np.einsum("...i,...ij,...j", difference, inverse, difference)
        - 3
        + np.linalg.slogdet(other_covariance)[1]
        - np.linalg.slogdet(covariance)[1]
    )


COVARIANCE = np.float64(TRIL) @ np.swapaxes(TRIL, -1, -2)


@pytest.mark.parametrize(
    ("loc", "scale"),
    [
        (np.float32([0.5, -1.0, 2.0]), np.float32([2.0, 0.5, 1.0])),
        (LOC[::-1].copy(), SCALE),
    ],
    ids=["one", "one_a_row"],
)
def test_full_covariance_from_a_factorised_normal(loc, scale):
    expected = normal_kl(LOC, COVARIANCE, loc, diagonal(np.float64(scale) ** 2))
    np.testing.assert_allclose(kl_divergence(full(), posterior(loc, scale)), expected, rtol=1e-5)


def test_full_covariance_from_the_standard_normal():
    expected = normal_kl(LOC, COVARIANCE, np.zeros(3), np.eye(3))
    np.testing.assert_allclose(kl_divergence(full(), standard_normal(3)), expected, rtol=1e-5)
    np.testing.assert_allclose(
        kl_divergence(full(tril=np.float32(diagonal(SCALE))), standard_normal(3)),
        closed_form().sum(-1),
        rtol=1e-5,
    )


def test_full_covariance_from_a_full_covariance():
    other = full(LOC[::-1].copy(), TRIL[::-1].copy())
    expected = normal_kl(LOC, COVARIANCE, LOC[::-1], COVARIANCE[::-1])
    np.testing.assert_allclose(kl_divergence(full(), other), expected, rtol=1e-4)
    np.testing.assert_allclose(kl_divergence(full(), full()), 0.0, atol=1e-5)


def mixture():
    components = tfd.MultivariateNormalDiag([[0.0, 1.0, 2.0], [-1.0, 0.0, 3.0]], [[1.0] * 3, [0.5, 2.0, 1.0]])
    return tfd.MixtureSameFamily(tfd.Categorical(probs=[0.3, 0.7]), components)


UNREGISTERED = pytest.mark.parametrize(
    ("q", "p"),
    [
        (posterior(), mixture()),
        (full(), mixture()),
        (full(), tfd.Independent(tfd.Laplace(LOC, SCALE), 1)),
        (posterior(), tfd.Independent(tfd.StudentT(5.0, LOC, SCALE), 1)),
        (tfd.MultivariateNormalDiagPlusLowRankCovariance(LOC, SCALE, TRIL[..., :1]), standard_normal(3)),
    ],
    ids=["mixture", "full_from_mixture", "full_from_laplace", "student_t", "low_rank"],
)


@UNREGISTERED
def test_without_a_closed_form_it_is_the_log_ratio_at_the_draws(q, p):
    z = np.float32([[0.2, -0.4, 1.0], [2.5, 1.0, -3.0]])
    np.testing.assert_array_equal(kl_divergence(q, p, z=z), q.log_prob(z) - p.log_prob(z))
    drawn = q.sample(seed=(3, 4))
    np.testing.assert_array_equal(kl_divergence(q, p, seed=(3, 4)), q.log_prob(drawn) - p.log_prob(drawn))
    # Draws that a caller has come before new ones.
    np.testing.assert_array_equal(kl_divergence(q, p, z=z, seed=(3, 4)), kl_divergence(q, p, z=z))


@UNREGISTERED
def test_without_a_closed_form_draws_are_needed(q, p):
    words = f"no closed form of the divergence of a {type(q).__name__} from a {type(p).__name__}. Pass draws"
    with pytest.raises(ValueError, match=words):
        kl_divergence(q, p)
    assert kl_per_dimension(q, p) is None


def test_a_closed_form_needs_no_draws():
    for q in (posterior(), full()):
        exact = kl_divergence(q, standard_normal(3))
        z = np.full([2, 3], 7.0, np.float32)
        np.testing.assert_array_equal(kl_divergence(q, standard_normal(3), z=z, seed=(1, 2)), exact)


def test_divergence_of_a_full_covariance_is_no_sum_over_dimensions():
    assert kl_per_dimension(full(), standard_normal(3)) is None
    assert kl_per_dimension(posterior(), full()) is None


def test_the_estimate_and_its_gradient_are_unbiased():
    """Against the integral over a fine grid, and its difference quotients, in one dimension."""

    def log_normal(x, loc, scale):
        return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)

    def exact(loc, scale):
        x = np.linspace(loc - 10 * scale, loc + 10 * scale, 4001)
        log_p = np.logaddexp(np.log(0.3) + log_normal(x, -1, 0.5), np.log(0.7) + log_normal(x, 2, 1))
        log_q = log_normal(x, loc, scale)
        return np.sum(np.exp(log_q) * (log_q - log_p)) * (x[1] - x[0])

    count = 20_000
    loc, scale = tf.fill([count, 1], 0.4), tf.fill([count, 1], 0.8)
    p = tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.3, 0.7]), tfd.MultivariateNormalDiag([[-1.0], [2.0]], [[0.5], [1.0]])
    )
    with tf.GradientTape() as tape:
        tape.watch([loc, scale])
        estimate = kl_divergence(posterior(loc, scale), p, seed=(1, 2))
    step = 1e-4
    slopes = (
        (exact(0.4 + step, 0.8) - exact(0.4 - step, 0.8)) / (2 * step),
        (exact(0.4, 0.8 + step) - exact(0.4, 0.8 - step)) / (2 * step),
    )
    gradients = tape.gradient(estimate, [loc, scale])
    for values, expected in zip((estimate, *gradients), (exact(0.4, 0.8), *slopes), strict=True):
        values = np.ravel(values).astype(np.float64)
        assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(count)
        assert abs(expected) > 20 * values.std() / np.sqrt(count)  # Not 0 within the error, either.
