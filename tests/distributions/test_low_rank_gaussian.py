"""The normal distribution of low rank beside a diagonal, against rational numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.distributions import LowRankGaussian, LowRankGaussianHead

SIZE = 5


def inverse_and_log_det(matrix):
    """Of a matrix of fractions, by elimination: exact."""
    size = len(matrix)
    rows = [list(row) + [Fraction(int(i == j)) for j in range(size)] for i, row in enumerate(matrix)]
    log_det = 0.0
    for i in range(size):
        pivot = rows[i][i]
        log_det += math.log(pivot.numerator) - math.log(pivot.denominator)
        rows[i] = [value / pivot for value in rows[i]]
        for j in range(size):
            if j != i:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return np.array([row[size:] for row in rows]), log_det


def fractions(array):
    return np.vectorize(Fraction, otypes=[object])(np.asarray(array, np.float64))


def exact(x, loc, variances, factor):
    """Log-density and its gradients by x, variances and factor; float64 of exact numbers."""
    x, loc, variances, factor = map(fractions, (x, loc, variances, factor))
    inverse, log_det = inverse_and_log_det(np.diag(variances) + factor @ factor.T)
    pull = inverse @ (x - loc)
    log_prob = -0.5 * (float((x - loc) @ pull) + log_det + len(x) * math.log(2 * math.pi))
    by_factor = -inverse @ factor + np.outer(pull, pull) @ factor
    by_variances = (pull**2 - np.diag(inverse)) / 2
    return log_prob, *(value.astype(float) for value in (-pull, by_variances, by_factor))


def case(loadings, deviation, angle, seed):
    """A point drawn from the distribution; its two directions are `angle` apart, about."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(SIZE, 2))
    directions[:, 1] = directions[:, 0] + angle * directions[:, 1]
    factor = np.float32(loadings * directions)
    loc, variances = rng.normal(size=SIZE).astype("float32"), np.full(SIZE, deviation**2, "float32")
    noise = deviation * rng.normal(size=SIZE) + factor.astype(float) @ rng.normal(size=2)
    return (loc + noise).astype("float32"), loc, variances, factor


CASES = pytest.mark.parametrize(
    ("loadings", "deviation", "angle"),
    [
        (0.5, 1.0, 1.0),
        (100.0, 0.08, 1.0),
        (100.0, 0.08, 1e-4),
        (1e4, 0.02, 1.0),
        # A^T A is about 1e11, of two directions that are all but the same.
        (500.0, 0.004, 1e-6),
    ],
)


@CASES
def test_densities_and_gradients_are_exact(loadings, deviation, angle):
    for seed in range(3):
        x, *parameters = case(loadings, deviation, angle, seed)
        log_prob, by_x, by_variances, by_factor = exact(x, *parameters)
        inputs = [tf.constant(value) for value in (x, *parameters)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            own = LowRankGaussian(*inputs[1:]).log_prob(inputs[0])
        # The rounding of the result to float32, and of C = I + A^T A in float64.
        assert abs(float(own) - log_prob) < 1e-3 + 2.0**-23 * abs(log_prob)
        for received, expected in zip(
            tape.gradient(own, inputs), (by_x, -by_x, by_variances, by_factor), strict=True
        ):
            size = np.max(abs(expected))
            np.testing.assert_allclose(received, expected, rtol=0.0, atol=1e-3 * size)


@CASES
def test_entropy(loadings, deviation, angle):
    _, loc, variances, factor = case(loadings, deviation, angle, 0)
    covariance = np.diag(fractions(variances)) + fractions(factor) @ fractions(factor).T
    expected = 0.5 * (inverse_and_log_det(covariance)[1] + SIZE * math.log(2 * math.pi * math.e))
    received = float(LowRankGaussian(loc, variances, factor).entropy())
    assert abs(received - expected) < 1e-3 + 2.0**-23 * abs(expected)


def test_batches_of_parameters_and_of_points():
    cases = [case(100.0, 0.08, 1.0, seed) for seed in range(3)]
    x, *parameters = (np.stack(values) for values in zip(*cases, strict=True))
    normal = LowRankGaussian(*parameters)
    expected = [exact(*values)[0] for values in cases]
    np.testing.assert_allclose(normal.log_prob(x), expected, atol=1e-4)
    both = normal.log_prob(np.stack([x, x + np.float32(0.5)]))
    np.testing.assert_allclose(both[0], expected, atol=1e-4)
    moved = [exact(x + np.float32(0.5), *rest)[0] for x, *rest in cases]
    np.testing.assert_allclose(both[1], moved, rtol=2.0**-22)
    assert normal.entropy().shape == normal.batch_shape == [3]
    again = normal.copy(loc=parameters[0] + np.float32(1.0))
    assert type(again) is LowRankGaussian
    np.testing.assert_allclose(again.log_prob(x + np.float32(1.0)), expected, atol=1e-2)


def test_the_head_gives_it():
    """Loadings of 100 beside a standard deviation of 0.08: float32 was wrong by some hundred nats."""
    head = LowRankGaussianHead(2, event_shape=(SIZE,))
    x, loc, variances, factor = case(100.0, 0.08, 1.0, 0)
    raw = np.log(np.expm1(variances.astype(float) - 1e-5)) - math.log(math.e - 1.0)
    params = np.concatenate([loc[None], raw[None], factor.T]).reshape(1, -1).astype("float32")
    distribution = head.distribution(params)
    assert type(distribution) is LowRankGaussian
    # The variance that float32 makes of the raw one.
    expected = exact(x, loc, distribution.cov_diag_factor[0].numpy(), factor)[0]
    assert float(distribution.log_prob(x[None])[0]) == pytest.approx(expected, abs=1e-4)
