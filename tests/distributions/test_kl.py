"""Divergences and priors: the closed form, Monte Carlo, and the sum over dimensions."""

import numpy as np
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
