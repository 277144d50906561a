"""The mixture of discretised logistics: masses against other formulas, extremes, mean, draws."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.noise import sample_rows
from keras_genmod.distributions import DiscretizedLogisticMixture

tfd = tfp.distributions


def random_mixture(batch, num_components, num_values, seed=0):
    rng = np.random.default_rng(seed)
    shape = (*batch, num_components)
    logits = rng.normal(size=shape).astype(np.float32)
    loc = rng.uniform(-1.3, 1.3, size=shape).astype(np.float32)
    log_scale = rng.uniform(-6, 0.5, size=shape).astype(np.float32)
    return DiscretizedLogisticMixture(logits, loc, log_scale, num_values)


def masses(distribution):
    """Probabilities `[K, *batch]` of all values."""
    values = np.arange(distribution.num_values, dtype=np.float32)
    values = values.reshape(-1, *[1] * distribution.batch_shape.rank)
    return np.exp(distribution.log_prob(values).numpy().astype(np.float64))


def test_by_hand():
    """Three values at -1, 0, 1 with edges at -1/2 and 1/2; scales 1 / (2 log 3), so that the edges stand at
    odds of 3: from mean 0 the masses are 1/4, 1/2, 1/4, from mean 1/2 they are 1/10, 4/10, 5/10."""
    scale = np.log(1 / (2 * np.log(3)))
    one = DiscretizedLogisticMixture([0.0], [0.0], [scale], 3)
    np.testing.assert_allclose(masses(one), [1 / 4, 1 / 2, 1 / 4], rtol=1e-6)
    two = DiscretizedLogisticMixture(np.log([1.0, 3.0]), [0.0, 0.5], [scale, scale], 3)
    expected = 0.25 * np.array([1 / 4, 1 / 2, 1 / 4]) + 0.75 * np.array([0.1, 0.4, 0.5])
    np.testing.assert_allclose(masses(two), expected, rtol=1e-6)
    np.testing.assert_allclose(two.mean(), expected @ [0, 1, 2], rtol=1e-6)


@pytest.mark.parametrize("num_values", [2, 3, 16, 256])
def test_masses_sum_to_one(num_values):
    # The edges' positions are rounded: 2^-24 in units of a scale of e^-6, seen by every bin near a mean.
    total = masses(random_mixture((40,), 5, num_values)).sum(axis=0)
    np.testing.assert_allclose(total, 1, rtol=1e-4)


@pytest.mark.parametrize("num_values", [2, 8, 256])
def test_is_the_quantised_mixture(num_values):
    """TensorFlow Probability's general quantisation, in float64, of logistics in units of the values."""
    mine = random_mixture((7,), 4, num_values)
    half = (num_values - 1) / 2
    logits, loc, log_scale = (
        tf.cast(mine.parameters[name], tf.float64) for name in ("logits", "loc", "log_scale")
    )
    # It rounds up: shifted down by a half, that is to round to the nearest.
    logistics = tfd.Logistic((loc + 1) * half - 0.5, tf.exp(log_scale) * half)
    quantised = tfd.QuantizedDistribution(logistics, low=0.0, high=num_values - 1.0)
    mixture = tfd.MixtureSameFamily(tfd.Categorical(logits=logits), quantised)
    expected = mixture.prob(np.arange(num_values, dtype=np.float64)[:, None])
    np.testing.assert_allclose(masses(mine), expected, rtol=3e-4, atol=1e-9)


@pytest.mark.parametrize("loc", [-300.0, -1.0, 0.3, 1.0, 300.0])
@pytest.mark.parametrize("log_scale", [-7.0, -3.0, 0.0, 5.0, 200.0])
def test_extremes_are_finite_and_right(loc, log_scale):
    """log_prob and gradients far in the tails, where the difference of two sigmoids is 0 in float32."""
    value = np.float32([0, 1, 100, 254, 255])
    logits, means, scales = (tf.fill([5, 2], x) for x in (0.0, loc, log_scale))
    with tf.GradientTape() as tape:
        tape.watch([logits, means, scales])
        log_prob = DiscretizedLogisticMixture(logits, means, scales).log_prob(value)
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(log_prob, [logits, means, scales]))

    # In float64: sigmoid(a) - sigmoid(b) = e^b (e^(a - b) - 1) / ((1 + e^a) (1 + e^b)).
    scale = np.exp(np.float64(log_scale))
    upper = ((2 * value.astype(np.float64) + 1) / 255 - 1 - np.float32(loc)) / scale
    lower = ((2 * value.astype(np.float64) - 1) / 255 - 1 - np.float32(loc)) / scale
    inner = lower - np.logaddexp(0, upper) - np.logaddexp(0, lower) + np.log(np.expm1(2 / 255 / scale))
    expected = np.where(value == 0, -np.logaddexp(0, -upper), inner)
    expected = np.where(value == 255, -np.logaddexp(0, lower), expected)
    # Positions are rounded to 2^-24 of the mean's size, in units of the scale.
    tolerance = 1e-6 + 3e-7 * max(1, abs(loc)) / scale
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=tolerance)


def test_gradients_are_those_of_the_masses():
    """Against central differences of the float64 formula."""
    logits, loc, log_scale = np.array([0.3, -0.4]), np.array([-0.2, 0.4]), np.array([-1.5, -2.5])

    def exact(parameters, value):
        logits, loc, log_scale = parameters.reshape(3, 2)
        edges = np.array([-np.inf, *(2 * np.arange(7) + 1) / 7 - 1, np.inf])
        lower, upper = 1 / (1 + np.exp(-(edges[value : value + 2, None] - loc) / np.exp(log_scale)))
        weights = np.exp(logits) / np.exp(logits).sum()
        return np.log(weights @ (upper - lower))

    start = np.concatenate([logits, loc, log_scale])
    for value in (0, 3, 7):
        parameters = [tf.constant(x, tf.float32) for x in (logits, loc, log_scale)]
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            log_prob = DiscretizedLogisticMixture(*parameters, num_values=8).log_prob(float(value))
        steps = 1e-5 * np.eye(6)
        expected = [(exact(start + step, value) - exact(start - step, value)) / 2e-5 for step in steps]
        np.testing.assert_allclose(np.concatenate(tape.gradient(log_prob, parameters)), expected, rtol=1e-4)


@pytest.mark.parametrize("num_values", [2, 16, 256])
@pytest.mark.parametrize("compiled", [False, True])
def test_mean_is_that_of_the_masses(num_values, compiled):
    distribution = random_mixture((6,), 3, num_values)
    mean = tf.function(distribution.mean, autograph=False, jit_compile=compiled)()
    probs = masses(distribution)
    np.testing.assert_allclose(mean, np.arange(num_values) @ (probs / probs.sum(axis=0)), rtol=1e-4)


def test_draws_have_the_masses():
    distribution = random_mixture((2,), 3, 8)
    num_draws = 20_000
    draws = distribution.sample(num_draws, seed=(0, 1)).numpy()
    assert draws.dtype == np.float32
    probs = masses(distribution)
    share = np.stack([(draws == value).mean(axis=0) for value in range(8)])
    assert np.all(abs(share - probs) <= 4.5 * np.sqrt(probs * (1 - probs) / num_draws) + 1e-6)
    np.testing.assert_array_equal(draws, distribution.sample(num_draws, seed=(0, 1)))
    assert np.any(draws != distribution.sample(num_draws, seed=(0, 2)))


def test_rows_are_drawn_by_themselves():
    """A row of a batch of events, cut out, is the distribution of that row."""
    whole = random_mixture((4, 3, 2), 3, 16)
    rows = tfd.Independent(whole, reinterpreted_batch_ndims=2)
    one = rows[..., 2]
    assert one.batch_shape == [] and one.event_shape == [3, 2] and one.distribution.num_values == 16
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_allclose(one.log_prob(x), rows.log_prob(np.stack([x] * 4))[2], rtol=1e-6)
    seeds = np.array([[0, 1], [0, 2], [0, 3], [0, 4]], np.int32)
    draws = tf.function(lambda: sample_rows(rows, 5, seeds), autograph=False)()
    np.testing.assert_array_equal(draws[2], sample_rows(one, 5, seeds[2:3])[0])
    assert np.any(draws[2] != draws[1])


@pytest.mark.parametrize("num_values", [1, 0, 2.5, True, None])
def test_other_numbers_of_values_are_refused(num_values):
    with pytest.raises(ValueError, match="`num_values` must be an integer of at least 2; received"):
        DiscretizedLogisticMixture([0.0], [0.0], [0.0], num_values)
