"""Quantiles against float64, at the ends of the uniform numbers and at extreme parameters."""

import math

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.distributions.quantiles import (
    categorical_quantile,
    continuous_bernoulli_quantile,
    logistic_quantile,
    normal_quantile,
)

LAST = np.float32(1 - 2**-24)
UNIFORMS = np.float32([2**-23, 1e-5, 0.01, 0.25, 0.5, 0.75, 0.99, 1 - 2**-20, LAST])


def test_normal():
    """The distribution function of the quantile is the level; both ends are finite and alike."""
    quantiles = normal_quantile(UNIFORMS).numpy().astype(np.float64)
    levels = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in quantiles])
    assert np.all(abs(levels - UNIFORMS) <= 1e-5 * np.minimum(UNIFORMS, 1 - UNIFORMS) + 1e-7)
    low, high = normal_quantile(tf.constant([0.0, LAST])).numpy()
    assert np.isfinite(low) and low == -high


def test_logistic():
    exact = UNIFORMS.astype(np.float64)
    np.testing.assert_allclose(logistic_quantile(UNIFORMS), np.log(exact / (1 - exact)), rtol=1e-6, atol=1e-7)
    low, high = logistic_quantile(tf.constant([0.0, LAST])).numpy()
    assert np.isfinite(low) and low == pytest.approx(-high)


@pytest.mark.parametrize(
    "logit", [-1e4, -200, -20, -3, -0.7, -1e-3, -1.1e-4, -9e-5, -1e-30, 0, 1e-6, 1.1e-4, 0.7, 3, 20, 200, 1e4]
)
def test_continuous_bernoulli(logit):
    """log(1 + u (e^l - 1)) / l in float64, mirrored for positive logits, where u is exact beside 1 - u."""
    u = UNIFORMS.astype(np.float64)
    slope, level = (logit, u) if logit <= 0 else (-logit, 1 - u)
    exact = np.log1p(level * np.expm1(slope)) / slope if slope else level
    exact = exact if logit <= 0 else 1 - exact
    values = continuous_bernoulli_quantile(tf.fill([9], float(logit)), UNIFORMS)
    np.testing.assert_allclose(values, exact, rtol=1e-6, atol=1.2e-7)
    ends = continuous_bernoulli_quantile(tf.fill([2], float(logit)), tf.constant([0.0, LAST])).numpy()
    assert ends[0] == 0 and 0 <= ends[1] <= 1


def test_categorical_steps_at_the_sums():
    """Probabilities in eighths are exact: the steps lie at 1/8, 3/8 and 1."""
    logits = np.log(np.float32([0.125, 0.25, 0.625]))
    u = np.float32([0, 0.1249, 0.1251, 0.3749, 0.3751, LAST])
    np.testing.assert_array_equal(categorical_quantile(logits, u), [0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("num_values", [2, 3, 256, 1000])
def test_categorical_never_draws_what_has_no_probability(num_values):
    """Neither beyond the last value nor one of probability zero at an end, however the sum is rounded."""
    rng = np.random.default_rng(num_values)
    logits = rng.normal(size=(300, num_values), scale=3).astype(np.float32)
    draws = categorical_quantile(logits, np.full(300, LAST)).numpy()
    assert draws.max() <= num_values - 1
    logits[:, [0, -1]] = -1e4
    if num_values > 2:
        for u in (np.float32(0), LAST):
            draws = categorical_quantile(logits, np.full(300, u)).numpy()
            assert draws.min() >= 1 and draws.max() <= num_values - 2


def test_categorical_takes_many_levels_for_one_row():
    logits = np.log(np.float32([[0.5, 0.5], [0.25, 0.75]]))
    u = np.float32([[0.1, 0.1], [0.3, 0.3], [0.6, 0.6]])
    np.testing.assert_array_equal(categorical_quantile(logits, u), [[0, 0], [0, 1], [1, 1]])
