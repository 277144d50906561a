"""What sampling dimension by dimension needs of a head: draws by the inverse distribution function.

On an even grid of levels the share of draws in a set is the set's probability up to one step a border.
"""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.distributions import (
    BernoulliHead,
    CategoricalHead,
    ContinuousBernoulliHead,
    DiscretizedLogisticMixtureHead,
    FullCovarianceGaussianHead,
    GaussianHead,
    Head,
    LowRankGaussianHead,
    StudentTHead,
)

LAST = np.float32(1 - 2**-24)
SIZE = 2**12
GRID = ((np.arange(SIZE) + 0.5) / SIZE).astype(np.float32)[:, None]
# All pairs of 16 levels for the component and 2^12 for the value.
PAIRS = np.stack(np.meshgrid((np.arange(16) + 0.5) / 16, GRID[:, 0], indexing="ij"), axis=-1)
PAIRS = PAIRS.reshape(-1, 2).astype(np.float32)

HEADS = {
    "bernoulli": BernoulliHead,
    "continuous_bernoulli": ContinuousBernoulliHead,
    "fixed": lambda **kwargs: GaussianHead(0.5, **kwargs),
    "learned": lambda **kwargs: GaussianHead("learned", **kwargs),
    "predicted": lambda **kwargs: GaussianHead("predicted", **kwargs),
    # At a temperature of 100 the degrees of freedom are still 1.01.
    "student_t": lambda **kwargs: StudentTHead("predicted", df=200.0, **kwargs),
    "categorical": lambda **kwargs: CategoricalHead(7, **kwargs),
    "logistics": lambda **kwargs: DiscretizedLogisticMixtureHead(4, 7, **kwargs),
}


def tempered(probs, temperature):
    probs = np.asarray(probs, np.float64) ** (1 / temperature)
    return probs / probs.sum()


def repeat(params, uniforms):
    return np.tile(np.float32(params), (len(uniforms), 1))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_bernoulli(temperature):
    for prob in (0.1, 0.5, 0.8):
        params = repeat([np.log(prob / (1 - prob))], GRID)
        draws = BernoulliHead().draw(params, GRID, temperature).numpy()
        assert set(np.unique(draws)) <= {0, 1}
        assert abs(draws.mean() - tempered([1 - prob, prob], temperature)[1]) <= 1 / SIZE


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_categorical(temperature):
    probs = [0.05, 0.0, 0.3, 0.2, 0.4, 0.05]
    params = repeat(np.log(np.maximum(probs, 1e-30)), GRID)
    draws = CategoricalHead(6).draw(params, GRID, temperature).numpy()
    share = [(draws == value).mean() for value in range(6)]
    np.testing.assert_allclose(share, tempered(probs, temperature), atol=1 / SIZE)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("logit", [-5.0, 0.0, 1e-3, 5.0])
def test_continuous_bernoulli(logit, temperature):
    """The mean over the even grid is the mean of e^(x l / T), normalised."""
    head = ContinuousBernoulliHead(event_shape=(1,))
    draws = head.draw(repeat([logit], GRID), GRID, temperature).numpy()
    assert draws.min() > 0 and draws.max() < 1
    mean = head(np.float32([[logit / temperature]]))[0, 0]
    np.testing.assert_allclose(draws.mean(dtype=np.float64), mean, atol=1e-5)
    # The level back from the draw: F(x) = (e^(x l) - 1) / (e^l - 1).
    slope = logit / temperature or 1e-9
    levels = np.expm1(draws.astype(np.float64) * slope) / np.expm1(slope)
    np.testing.assert_allclose(levels, GRID[:, 0], atol=1e-6)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("name", ["fixed", "learned", "predicted"])
def test_gaussian(name, temperature):
    """N(m, s^2)^(1/T) is N(m, T s^2): the distribution function gives the levels back."""
    head = HEADS[name](event_shape=(1,))
    params = [1.5] if name != "predicted" else [1.5, -0.7]
    one = head.distribution(np.float32([params]))
    draws = head.draw(repeat(params, GRID), GRID, temperature)
    untempered = 1.5 + (draws - 1.5) / np.sqrt(temperature)
    np.testing.assert_allclose(one.distribution.cdf(untempered[:, None])[:, 0], GRID[:, 0], atol=1e-5)
    if temperature != 1:
        return
    # With the mean, the second moment of the tempered density, by summation of p^(1/T).
    for other in (0.25, 4.0):
        x = np.linspace(-20, 23, 4001, dtype=np.float32)
        probs = tempered(one.prob(x[:, None]).numpy(), other)
        moment = (head.draw(repeat(params, GRID), GRID, other).numpy().astype(np.float64) ** 2).mean()
        assert moment == pytest.approx(x.astype(np.float64) ** 2 @ probs, rel=5e-3)


@pytest.mark.parametrize("df", [1.5, 5.0, "learned"])
@pytest.mark.parametrize("scale", [0.5, "learned", "predicted"])
def test_student_t(scale, df):
    """The distribution function of TensorFlow Probability, in float64, gives the levels back."""
    head = StudentTHead(scale, df=df, event_shape=(1,))
    params = np.float32([1.5, -0.7] if scale == "predicted" else [1.5])
    one = head.distribution(params[None]).distribution
    exact = tfp.distributions.StudentT(np.float64(one.df), np.float64(1.5), np.float64(one.scale))
    draws = head.draw(repeat(params, GRID), GRID).numpy().astype(np.float64)
    np.testing.assert_allclose(np.ravel(exact.cdf(draws)), GRID[:, 0], atol=2e-6)


@pytest.mark.parametrize("temperature", [0.25, 2.0, 3.5])
def test_student_t_with_temperature(temperature):
    """The share of draws in an interval is that of p^(1/T), normalised by summation over the line."""
    head = StudentTHead(0.5, df=5.0, event_shape=(1,))
    draws = head.draw(repeat([1.5], GRID), GRID, temperature).numpy()
    # x = 1.5 + sinh(t): the tails, which fall as |x|^(-6 / T), reach 1e8.
    t = np.linspace(-19, 19, 38_001)
    log_prob = -3.0 * np.log1p((np.sinh(t) / 0.5) ** 2 / 5.0) / temperature
    probs = np.exp(log_prob) * np.cosh(t)
    below = np.cumsum(probs) / probs.sum()
    for x in (-3.0, 0.5, 1.0, 1.4, 1.7, 2.2, 4.0):
        expected = np.interp(np.arcsinh(x - 1.5), t + 0.0005, below)
        assert abs((draws <= x).mean() - expected) < 1e-3
    assert np.median(draws) == pytest.approx(1.5, abs=1e-3)


@pytest.mark.parametrize("num_values", [2, 7, 256])
def test_logistics(num_values):
    """Weights in sixteenths are exact on the grid of 16 levels, so only the bins' borders are uncertain."""
    head = DiscretizedLogisticMixtureHead(3, num_values, event_shape=(1,))
    params = [*np.log([1 / 16, 10 / 16, 5 / 16]), -1.2, 0.1, 0.6, -1.0, -4.0, -20.0]
    draws = head.draw(repeat(params, PAIRS), PAIRS).numpy()
    values = np.arange(num_values, dtype=np.float32)
    probs = np.exp(head.distribution(repeat(params, values)).log_prob(values[:, None]))
    share = np.array([(draws == value).mean() for value in values])
    assert share.sum() == 1  # Nothing but integers of the range.
    np.testing.assert_allclose(share, probs, atol=1.1 / SIZE)


def test_logistics_with_temperature():
    """The weights to the power of 1/T, normalised; the scales times T."""
    head = DiscretizedLogisticMixtureHead(2, 9, event_shape=(1,))
    weights, loc, log_scale = np.array([0.2, 0.8]), np.array([-0.5, 0.5]), np.array([-2.0, -1.0])
    for temperature in (0.5, 2.0):
        draws = head.draw(repeat([*np.log(weights), *loc, *log_scale], PAIRS), PAIRS, temperature).numpy()
        values = np.arange(9, dtype=np.float32)
        share = np.array([(draws == value).mean() for value in values])
        # The grid of 16 levels meets the weights to a sixteenth.
        weight = np.round(tempered(weights, temperature)[0] * 16) / 16
        params = [*np.log([weight, 1 - weight]), *loc, *log_scale + np.log(temperature)]
        probs = np.exp(head.distribution(repeat(params, values)).log_prob(values[:, None]))
        np.testing.assert_allclose(share, probs, atol=1.1 / SIZE)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size", [0.0, 3.0, 1e4])
@pytest.mark.parametrize("temperature", [0.01, 1.0, 100.0])
def test_ends_of_the_uniform_numbers(name, size, temperature):
    """And their middle, where an infinite scale would meet the quantile 0."""
    head = HEADS[name](event_shape=(1,))
    rng = np.random.default_rng(0)
    params = np.float32(rng.choice([-size, size], size=(200, head.params_per_dim)))
    uniforms = np.float32(rng.choice([0.0, 0.5, LAST], size=(200, head.uniforms_per_dim)))
    draws = head.draw(params, uniforms, temperature).numpy()
    assert draws.dtype == np.float32 and draws.shape == (200,) and np.isfinite(draws).all()
    head.value_range.check("draws", draws)


@pytest.mark.parametrize("name", HEADS)
def test_compiled_draws_are_the_same(name):
    head = HEADS[name](event_shape=(1,))
    params = tf.random.stateless_normal([500, head.params_per_dim], (0, 1), stddev=2.0)
    uniforms = tf.random.stateless_uniform([500, head.uniforms_per_dim], (0, 2))
    draws = head.draw(params, uniforms, 0.7)
    # XLA takes a quarter of a minute for the incomplete beta function of Student's t.
    for compiled in (False,) if name == "student_t" else (False, True):
        function = tf.function(head.draw, autograph=False, jit_compile=compiled)
        np.testing.assert_allclose(function(params, uniforms, 0.7), draws, rtol=1e-5, atol=1e-6)
        # The temperature as a tensor, as a sampling loop may carry it.
        again = function(params, uniforms, tf.constant(0.7))
        np.testing.assert_allclose(again, draws, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_half_precision_is_promoted_first(name):
    head = HEADS[name](event_shape=(1,))
    params = tf.random.stateless_normal([100, head.params_per_dim], (0, 1), dtype=tf.float16)
    uniforms = tf.random.stateless_uniform([100, head.uniforms_per_dim], (0, 2))
    draws = head.draw(params, uniforms)
    assert draws.dtype == tf.float32
    np.testing.assert_array_equal(draws, head.draw(tf.cast(params, tf.float32), uniforms))


def test_real_values_are_inputs_as_they_are():
    x = np.float32([[0.25, -3.0]])
    for name in ("bernoulli", "continuous_bernoulli", "fixed", "student_t"):
        np.testing.assert_array_equal(HEADS[name]().standardize(x), x)


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        (GaussianHead, ["per_dimension"]),
        (StudentTHead, ["per_dimension"]),
        (LowRankGaussianHead, [1]),
        (FullCovarianceGaussianHead, []),
    ],
)
def test_dimensions_that_cannot_be_drawn_alone(kind, args):
    """They have scales of their own, or depend on each other."""
    head = kind(*args, event_shape=(3,))
    assert head.uniforms_per_dim is None
    with pytest.raises(TypeError, match=f"{kind.__name__} cannot draw one dimension by itself. Use another"):
        head.draw(tf.zeros([2, 1]), tf.zeros([2, 1]))


def test_own_head_says_whether_it_can_draw():
    class Nothing(Head):
        pass

    assert Nothing().uniforms_per_dim is None
    with pytest.raises(TypeError, match="Nothing cannot draw one dimension"):
        Nothing().draw(tf.zeros([2, 1]), tf.zeros([2, 1]))

    class Promised(Head):
        uniforms_per_dim = 1

    with pytest.raises(TypeError, match=r"Promised must define `_draw\(params, uniforms, temperature\)`"):
        Promised().draw(tf.zeros([2, 1]), tf.zeros([2, 1]))


def test_arguments_of_draw_that_do_not_fit():
    head = DiscretizedLogisticMixtureHead(2)
    with pytest.raises(ValueError, match=r"`params` must have shape \[batch, 6\].*received \(3, 12\)"):
        head.draw(tf.zeros([3, 12]), tf.zeros([3, 2]))
    with pytest.raises(ValueError, match=r"`uniforms` must have shape \[batch, 2\].*received \(3,\)"):
        head.draw(tf.zeros([3, 6]), tf.zeros([3]))
    for temperature in (0, -1.0, np.nan, None):
        with pytest.raises(ValueError, match="`temperature` must be a finite number above 0; received"):
            head.draw(tf.zeros([3, 6]), tf.zeros([3, 2]), temperature)
