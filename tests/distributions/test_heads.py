"""Heads: densities against formulas in float64, gradients, scales, precision, and files."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

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
    get_head,
)

LOGITS = np.array([-200, -30, -4, -0.01, -0.0041, -0.0039, -1e-4, 0, 1e-4, 0.0039, 0.0041, 0.01, 4, 30, 200])


def column(values):
    """One event of one value a row."""
    return np.asarray(values, np.float32)[:, None]


# ---- Bernoulli --------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.0, 1.0, 0.3], ids=["zero", "one", "grey"])
def test_bernoulli_is_the_cross_entropy(x):
    """x log p + (1 - x) log(1 - p), which for x in {0, 1} is the log-density."""
    logits = column(LOGITS).astype(np.float64)[:, 0]
    expected = -x * np.logaddexp(0, -logits) - (1 - x) * np.logaddexp(0, logits)
    log_prob = BernoulliHead(event_shape=(1,)).distribution(column(LOGITS)).log_prob(np.full([15, 1], x))
    # x l - softplus(l) is a difference of float32 numbers as large as the logit.
    assert np.all(abs(log_prob - expected) <= 2**-23 * np.maximum(abs(logits), 1))


def test_bernoulli_sums_over_the_event():
    logits, x = np.log([[[3.0, 1 / 3], [1.0, 9.0]]]), np.array([[[1, 1], [0, 0]]], np.float32)
    log_prob = BernoulliHead(event_shape=(2, 2)).distribution(logits.astype(np.float32)).log_prob(x)
    np.testing.assert_allclose(log_prob, np.log([0.75 * 0.25 * 0.5 * 0.1]), rtol=1e-6)


def test_bernoulli_densities_of_all_events_sum_to_one():
    x = np.array([[i >> d & 1 for d in range(6)] for i in range(64)], np.float32)
    logits = tf.random.stateless_normal([1, 6], (0, 1), stddev=2.0)
    log_prob = BernoulliHead(event_shape=(6,)).distribution(logits).log_prob(x)
    np.testing.assert_allclose(np.exp(log_prob).sum(), 1.0, rtol=1e-5)


def test_gradient_of_bernoulli_is_the_error():
    logits, x = tf.constant(column(LOGITS)), np.linspace(0, 1, 15, dtype=np.float32)[:, None]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_prob = BernoulliHead(event_shape=(1,)).distribution(logits).log_prob(x)
    np.testing.assert_allclose(tape.gradient(log_prob, logits), x - tf.sigmoid(logits), atol=1e-6)


def test_bernoulli_draws_and_mean():
    head = BernoulliHead(event_shape=(3,))
    probs = np.array([[0.1, 0.5, 0.9]], np.float32)
    distribution = head.distribution(np.log(probs / (1 - probs)))
    np.testing.assert_allclose(distribution.mean(), probs, rtol=1e-5)
    draws = distribution.sample(20_000, seed=(0, 1)).numpy()[:, 0]
    assert draws.dtype == np.float32 and set(np.unique(draws)) == {0, 1}
    assert np.all(abs(draws.mean(axis=0) - probs) < 4 * np.sqrt(probs * (1 - probs) / 20_000))


def test_bernoulli_at_infinite_logits():
    """Sure of a value: 0 where it comes, minus infinity where another does; the gradient is the error."""
    logits = tf.constant(column([-np.inf, -np.inf, np.inf, np.inf, np.inf, -np.inf, np.nan]))
    x = column([0, 1, 0, 1, 0.3, 0.3, 1])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_prob = BernoulliHead(event_shape=(1,)).distribution(logits).log_prob(x)
    infinity = np.inf
    expected = [0, -infinity, -infinity, 0, -infinity, -infinity, np.nan]
    np.testing.assert_array_equal(log_prob, expected)
    np.testing.assert_array_equal(tape.gradient(log_prob, logits), x - tf.sigmoid(logits))


# ---- continuous Bernoulli ---------------------------------------------------------------------------


def continuous_bernoulli(logits, x):
    """The log-density x l - log((e^l - 1) / l), without cancellation, in float64."""
    logits = np.asarray(logits, np.float32).astype(np.float64)
    size = np.maximum(abs(logits), 1e-3)
    # (e^l - 1) / l = e^(l / 2) sinh(l / 2) / (l / 2)
    log_sinhc = size / 2 + np.log(-np.expm1(-size)) - np.log(size)
    log_sinhc = np.where(abs(logits) < 1e-3, logits**2 / 24, log_sinhc)
    return x * logits - logits / 2 - log_sinhc


@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_continuous_bernoulli(x):
    """Also where the normaliser is 0 / 0, and where the logits are huge."""
    distribution = ContinuousBernoulliHead(event_shape=(1,)).distribution(column(LOGITS))
    expected = continuous_bernoulli(LOGITS, x)
    # Near logit 0 the normaliser is a difference of float32 numbers near log 2.
    np.testing.assert_allclose(distribution.log_prob(np.full([15, 1], x)), expected, rtol=2e-6, atol=3e-7)


@pytest.mark.parametrize("logit", [-30.0, -3.0, -0.0041, -0.001, 0.0, 0.0039, 2.0, 30.0])
def test_continuous_bernoulli_is_normalised(logit):
    """By Simpson's rule over [0, 1]; its error is below (h l)^4 / 180 of the result."""
    x = np.linspace(0, 1, 2001)
    weights = np.ones(2001)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    distribution = ContinuousBernoulliHead(event_shape=(1,)).distribution([[logit]])
    density = np.exp(distribution.log_prob(column(x)).numpy().astype(np.float64))
    # Each log-density may be off by float32's rounding of numbers as large as the logit.
    np.testing.assert_allclose(density @ weights / 6000, 1.0, rtol=1e-6 * max(1, abs(logit)))


@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_gradient_of_continuous_bernoulli(x):
    """x - A'(l) with A'(l) = 1 / (1 - exp(-l)) - 1 / l, which is 1/2 + l/12 near 0."""
    logits = np.concatenate([LOGITS, [-3e38, -1e30, -1e5, -0.51, -0.49, 0.49, 0.51, 1e5, 1e30, 3e38]])
    params = tf.constant(column(logits))
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = (
            ContinuousBernoulliHead(event_shape=(1,))
            .distribution(params)
            .log_prob(np.full([len(logits), 1], x, np.float32))
        )
    # In long double the closed form is right where the series is used in float32.
    wide = column(logits).astype(np.longdouble)[:, 0]
    safe = np.where(abs(wide) < 1e-2, 1, wide)
    with np.errstate(over="ignore"):
        slope = np.where(
            abs(wide) < 1e-2, 0.5 + wide / 12 - wide**3 / 720, 1 / (1 - np.exp(-safe)) - 1 / safe
        )
    gradient = tape.gradient(log_prob, params)[:, 0]
    # Sums of numbers up to 1 / 0.5, a few roundings each.
    np.testing.assert_allclose(gradient, np.float32(x) - slope.astype(np.float64), rtol=0, atol=2e-6)
    assert np.all(np.isfinite(log_prob))


def test_continuous_bernoulli_at_infinite_logits():
    """Those of the largest finite ones: nearly all mass at one end, and no NaN."""
    head = ContinuousBernoulliHead(event_shape=(1,))
    largest = np.finfo(np.float32).max
    x = column([0, 0.3, 1] * 2)
    infinite, finite = np.repeat([-np.inf, np.inf], 3), np.repeat([-largest, largest], 3)
    log_prob = head.distribution(column(infinite)).log_prob(x)
    np.testing.assert_array_equal(log_prob, head.distribution(column(finite)).log_prob(x))
    uniforms = column([0, 0.5, 1 - 2**-24] * 2)
    # The value below which half of the mass lies is at the end itself, to float32.
    drawn = np.asarray(head.draw(column(infinite), uniforms))
    assert np.all(np.isfinite(drawn))
    np.testing.assert_array_equal(drawn[[1, 4]], [0, 1])
    assert np.isnan(head.distribution(column([np.nan])).log_prob(column([0.3])))


def test_continuous_bernoulli_mean():
    """1 / (1 - e^-l) - 1 / l, which is the derivative of the normaliser; 1/2 + l / 12 near 0."""
    logits = np.where(LOGITS == 0, 1.0, LOGITS)
    expected = np.where(abs(LOGITS) < 1e-3, 0.5 + LOGITS / 12, -1 / np.expm1(-logits) - 1 / logits)
    mean = ContinuousBernoulliHead(event_shape=(1,))(column(LOGITS))[:, 0]
    np.testing.assert_allclose(mean, expected, rtol=1e-6)


def test_gradient_of_continuous_bernoulli_is_data_minus_mean():
    head, x = ContinuousBernoulliHead(event_shape=(1,)), 0.3
    logits = tf.constant(column(LOGITS))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_prob = head.distribution(logits).log_prob(tf.fill([15, 1], x))
    np.testing.assert_allclose(tape.gradient(log_prob, logits), x - head(logits), atol=1e-5)


# ---- Gaussian ---------------------------------------------------------------------------------------


def normal(x, loc, scale):
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


X = np.array([[0.5, -1.0, 2.0], [0.0, 1.5, -3.0]])
LOC = np.array([[0.0, 1.0, 2.5], [-1.0, 1.5, -2.0]])


def test_fixed_scale():
    head = GaussianHead(0.5, event_shape=(3,))
    expected = normal(X, LOC, 0.5).sum(-1)
    np.testing.assert_allclose(head.distribution(np.float32(LOC)).log_prob(X), expected, rtol=1e-6)
    assert not head.weights


@pytest.mark.parametrize(("scale", "shape"), [("learned", ()), ("per_dimension", (3,))])
def test_learned_scale(scale, shape):
    head = GaussianHead(scale, event_shape=(3,))
    (weight,) = head.trainable_weights
    assert weight.shape == shape
    # softplus(raw + log(e - 1)) + 1e-5: 1 at the start, and 2 and 0.5 where solved for by hand.
    np.testing.assert_allclose(
        head.distribution(np.float32(LOC)).stddev(), np.full([2, 3], 1.00001), rtol=1e-6
    )
    wanted = np.broadcast_to([0.5, 1.0, 2.0] if shape else 2.0, (3,))
    raw = np.log(np.expm1(wanted - 1e-5)) - np.log(np.e - 1)
    weight.assign(raw if shape else raw[0])
    distribution = head.distribution(np.float32(LOC))
    np.testing.assert_allclose(distribution.stddev(), [wanted] * 2, rtol=1e-6)
    np.testing.assert_allclose(distribution.log_prob(X), normal(X, LOC, wanted).sum(-1), rtol=1e-5)


def test_learned_scale_is_trained_towards_the_error():
    """The likelihood is greatest where the variance is the mean squared error."""
    head = GaussianHead("learned", event_shape=(3,))
    error = np.sqrt(np.mean((X - LOC) ** 2))
    for scale, sign in ((error * 0.9, 1), (error * 1.1, -1)):
        head.raw_scale.assign(np.log(np.expm1(scale)) - np.log(np.e - 1))
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(head.distribution(np.float32(LOC)).log_prob(np.float32(X)))
        assert np.sign(tape.gradient(total, head.raw_scale.value)) == sign


def test_predicted_scale_stands_behind_the_means():
    head = GaussianHead("predicted", event_shape=(2, 2, 3))
    assert head.params_shape == (2, 2, 6) and head.params_size == 24
    loc = np.random.default_rng(0).normal(size=(4, 2, 2, 3))
    scale = np.random.default_rng(1).uniform(0.2, 3.0, size=(4, 2, 2, 3))
    raw = np.log(np.expm1(scale - 1e-5)) - np.log(np.e - 1)
    params = np.concatenate([loc, raw], axis=-1).astype(np.float32)
    distribution = head.distribution(params)
    np.testing.assert_allclose(distribution.mean(), loc, rtol=1e-6)
    np.testing.assert_allclose(distribution.stddev(), scale, rtol=1e-5)
    x = np.zeros((4, 2, 2, 3), np.float32)
    np.testing.assert_allclose(distribution.log_prob(x), normal(0, loc, scale).sum((1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(
        head.distribution(np.zeros((1, 2, 2, 6))).stddev(), np.full((1, 2, 2, 3), 1.00001)
    )


def test_scale_stays_positive():
    head = GaussianHead("predicted", event_shape=(1,))
    stddev = head.distribution(np.array([[0.0, -1e4]], np.float32)).stddev()
    np.testing.assert_allclose(stddev, [[1e-5]])


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf, True, "shared", None, [1.0]])
def test_other_scales_are_refused(scale):
    with pytest.raises(ValueError, match="`scale` must be .*received"):
        GaussianHead(scale)


# ---- Student's t ------------------------------------------------------------------------------------


def student_t(x, df, loc, scale):
    """log Gamma((n + 1) / 2) - log Gamma(n / 2) - log(n pi) / 2 - log s - (n + 1) / 2 log(1 + r^2 / n)."""
    constant = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    return constant - np.log(scale) - (df + 1) / 2 * np.log1p(((x - loc) / scale) ** 2 / df)


def raw_of(scale):
    """The raw parameter that softplus(raw + log(e - 1)) + 1e-5 turns into this."""
    return np.log(np.expm1(np.asarray(scale, np.float64) - 1e-5)) - np.log(np.e - 1)


@pytest.mark.parametrize("df", [1.01, 3.0, 40.0])
def test_student_t_of_fixed_scale(df):
    head = StudentTHead(0.5, df=df, event_shape=(3,))
    distribution = head.distribution(np.float32(LOC))
    np.testing.assert_allclose(distribution.log_prob(X), student_t(X, df, LOC, 0.5).sum(-1), rtol=2e-6)
    assert not head.weights


def test_predicted_scale_of_student_t_stands_behind_the_locations():
    head = StudentTHead("predicted", df=4.0, event_shape=(2, 2, 3))
    rng = np.random.default_rng(0)
    x, loc = rng.normal(size=(2, 4, 2, 2, 3))
    scale = rng.uniform(0.2, 3.0, size=(4, 2, 2, 3))
    distribution = head.distribution(np.concatenate([loc, raw_of(scale)], axis=-1).astype(np.float32))
    expected = student_t(x, 4.0, loc, scale).sum((1, 2, 3))
    np.testing.assert_allclose(distribution.log_prob(np.float32(x)), expected, rtol=1e-5)
    # The variance of four degrees of freedom is twice the squared scale.
    np.testing.assert_allclose(distribution.variance(), 2 * scale**2, rtol=1e-5)


def test_learned_degrees_of_freedom_are_5_at_the_start():
    head = StudentTHead("per_dimension", event_shape=(3,))
    assert {tuple(weight.shape) for weight in head.trainable_weights} == {(), (3,)}
    expected = student_t(X, 5.0, LOC, 1.00001).sum(-1)
    np.testing.assert_allclose(head.distribution(np.float32(LOC)).log_prob(X), expected, rtol=1e-5)


@pytest.mark.parametrize("df", [1.2, 2.5, 60.0])
def test_learned_degrees_of_freedom_and_their_gradient(df):
    """1 + 1e-5 + softplus(raw + log(e^4 - 1)), so that d df / d raw = 1 - e^(1 - df), but for 1e-5."""
    head = StudentTHead(0.5, event_shape=(3,))
    head.raw_df.assign(np.log(np.expm1(df - 1)) - np.log(np.expm1(4)))
    with tf.GradientTape() as tape:
        log_prob = tf.reduce_sum(head.distribution(np.float32(LOC)).log_prob(np.float32(X)))
    expected = student_t(X, df, LOC, 0.5).sum()
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    slope = (student_t(X, df + 1e-4, LOC, 0.5).sum() - student_t(X, df - 1e-4, LOC, 0.5).sum()) / 2e-4
    # log Gamma in float32 has few digits of its derivative left where df is large.
    gradient = tape.gradient(log_prob, head.raw_df.value)
    np.testing.assert_allclose(gradient, slope * -np.expm1(1 - df), rtol=1e-3, atol=1e-4)


def test_learned_degrees_of_freedom_stay_above_one():
    """There is a mean, whatever the weight."""
    head = StudentTHead(event_shape=(3,))
    head.raw_df.assign(-100.0)
    np.testing.assert_array_equal(head(np.float32(LOC)), np.float32(LOC))


def test_temperatures_without_a_tempered_form_are_refused():
    head = StudentTHead(df=3.0, event_shape=(1,))
    params, uniforms = np.zeros((1, 1), np.float32), np.full((1, 1), 0.9, np.float32)
    assert np.isfinite(head.draw(params, uniforms, 3.0))
    with pytest.raises(ValueError, match="`temperature` must be below df . 1 = 4,.*received 4.0.*lower"):
        head.draw(params, uniforms, 4.0)


def test_outliers_cost_the_logarithm_of_their_distance():
    """(n + 1) log 1000 more for the thousandfold distance, where a normal distribution takes 5e11."""
    distribution = StudentTHead(df=2.0, event_shape=(1,)).distribution(np.zeros((2, 1), np.float32))
    near, far = distribution.log_prob([[1e3], [1e6]]).numpy()
    assert near - far == pytest.approx(3 * math.log(1e3), abs=1e-4)


@pytest.mark.parametrize("df", [1.0, 0, -2.0, np.nan, np.inf, True, "predicted", None, [3.0]])
def test_other_degrees_of_freedom_are_refused(df):
    with pytest.raises(ValueError, match="`df` must be a .*number above 1.*received"):
        StudentTHead(df=df)
    with pytest.raises(ValueError, match="`scale` must be a .*received"):
        StudentTHead(-1.0)


# ---- normal vectors and images with covariances -----------------------------------------------------


def multivariate_normal(x, loc, covariance):
    """-((x - m)^T C^-1 (x - m) + log det(2 pi C)) / 2, for each row."""
    centred = x - loc
    quadratic = np.einsum("ni,nij,nj->n", centred, np.linalg.inv(covariance), centred)
    return -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1])


def softplus_scale(raw):
    return np.logaddexp(0, raw + np.log(np.e - 1)) + 1e-5


def low_rank_moments(params, event_shape, rank):
    """Mean and D + U U^T, parameter k of channel c at index k C + c."""
    rows, channels = len(params), event_shape[-1]
    parts = params.reshape(rows, *event_shape[:-1], 2 + rank, channels)
    parts = np.moveaxis(parts, -1, -2).reshape(rows, -1, 2 + rank).astype(np.float64)
    factor = parts[..., 2:]
    diagonal = softplus_scale(parts[..., 1])[..., None] * np.eye(parts.shape[1])
    return parts[..., 0], diagonal + factor @ np.swapaxes(factor, -1, -2)


def full_moments(params, event_shape, _):
    """The rows of L for a vector of 3, in the order of `tfp.math.fill_triangular`."""
    loc, (a, b, c, d, e, f) = params[:, :3].astype(np.float64), params[:, 3:].astype(np.float64).T
    zero, positive = np.zeros_like(a), softplus_scale
    one = np.ones_like(a)
    unit = np.array([[one, zero, zero], [f, one, zero], [c, b, one]])
    tril = np.moveaxis(unit * positive(np.array([d, e, a]))[:, None], -1, 0)
    return loc, tril @ np.swapaxes(tril, -1, -2)


MULTIVARIATE = pytest.mark.parametrize(
    ("make", "moments", "event_shape", "size"),
    [
        (FullCovarianceGaussianHead, full_moments, (3,), 9),
        (lambda **kwargs: LowRankGaussianHead(2, **kwargs), low_rank_moments, (5,), 20),
        (lambda **kwargs: LowRankGaussianHead(2, **kwargs), low_rank_moments, (2, 2, 3), 48),
    ],
    ids=["full", "low_rank_vector", "low_rank_image"],
)


@MULTIVARIATE
def test_normal_density_of_the_covariance(make, moments, event_shape, size):
    head = make(event_shape=event_shape)
    assert head.params_size == size == math.prod(head.params_shape)
    rng = np.random.default_rng(0)
    params = rng.normal(size=(6, *head.params_shape)).astype(np.float32)
    x = rng.normal(size=(6, *event_shape)).astype(np.float32)
    loc, covariance = moments(params, event_shape, 2)
    distribution = head.distribution(params)
    expected = multivariate_normal(x.reshape(6, -1), loc, covariance)
    np.testing.assert_allclose(distribution.log_prob(x), expected, rtol=1e-4)
    np.testing.assert_allclose(head(params), loc.reshape(x.shape), rtol=1e-6)
    assert distribution.batch_shape == [6] and distribution.event_shape == event_shape


@MULTIVARIATE
def test_draws_have_the_mean_and_the_covariance(make, moments, event_shape, size):
    """An entry of the sample covariance has the variance (C_ii C_jj + C_ij^2) / n."""
    head, count = make(event_shape=event_shape), 20_000
    params = np.random.default_rng(1).normal(size=(1, *head.params_shape)).astype(np.float32)
    (loc,), (covariance,) = moments(params, event_shape, 2)
    draws = head.distribution(params).sample(count, seed=(1, 2)).numpy()
    assert draws.shape == (count, 1, *event_shape)
    centred = draws.reshape(count, -1) - loc
    variances = np.diag(covariance)
    assert np.all(abs(centred.mean(axis=0)) < 5 * np.sqrt(variances / count))
    error = np.sqrt((np.outer(variances, variances) + covariance**2) / count)
    assert np.all(abs(centred.T @ centred / count - covariance) < 5 * error)


@MULTIVARIATE
def test_raw_zeros_are_the_standard_normal_distribution(make, moments, event_shape, size):
    head = make(event_shape=event_shape)
    x = np.random.default_rng(2).normal(size=(4, *event_shape))
    expected = normal(x.reshape(4, -1), 0.0, 1.0).sum(-1)
    log_prob = head.distribution(np.zeros((4, *head.params_shape), np.float32)).log_prob(np.float32(x))
    # The scale is 1.00001, and so is the variance of the low-rank head.
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4)


@pytest.mark.parametrize("event_shape", [(4, 4, 1), (2, 3)])
def test_full_covariance_refuses_images(event_shape):
    with pytest.raises(ValueError, match=r"is for vectors, event_shape=\(size,\); received \(.*LowRank"):
        FullCovarianceGaussianHead(event_shape=event_shape)
    with pytest.raises(ValueError, match=r"is for vectors, event_shape=\(size,\); received \(.*LowRank"):
        get_head(FullCovarianceGaussianHead(), event_shape)


@pytest.mark.parametrize("rank", [0, -1, 2.0, True, None, "2"])
def test_other_ranks_are_refused(rank):
    with pytest.raises(ValueError, match="`rank` must be an integer of at least 1; received"):
        LowRankGaussianHead(rank)


# ---- all heads --------------------------------------------------------------------------------------

HEADS = {
    "bernoulli": BernoulliHead,
    "continuous_bernoulli": ContinuousBernoulliHead,
    "fixed": lambda **kwargs: GaussianHead(0.5, **kwargs),
    "learned": lambda **kwargs: GaussianHead("learned", **kwargs),
    "per_dimension": lambda **kwargs: GaussianHead("per_dimension", **kwargs),
    "predicted": lambda **kwargs: GaussianHead("predicted", **kwargs),
    "student_t": lambda **kwargs: StudentTHead("predicted", df=3.0, **kwargs),
    "student_t_learned": lambda **kwargs: StudentTHead("learned", **kwargs),
    "low_rank": lambda **kwargs: LowRankGaussianHead(3, **kwargs),
    "categorical": lambda **kwargs: CategoricalHead(5, **kwargs),
    "logistics": lambda **kwargs: DiscretizedLogisticMixtureHead(2, 5, **kwargs),
}
PARAMS_PER_DIM = {"predicted": 2, "student_t": 2, "low_rank": 5, "categorical": 5, "logistics": 6}


@pytest.mark.parametrize("name", HEADS)
def test_network_is_told_how_many_numbers_a_head_needs(name):
    head = HEADS[name](event_shape=(4, 5, 3))
    times = PARAMS_PER_DIM.get(name, 1)
    assert head.params_shape == (4, 5, 3 * times) and head.params_size == 60 * times
    distribution = head.distribution(tf.zeros([2, *head.params_shape]))
    assert distribution.batch_shape == [2] and distribution.event_shape == [4, 5, 3]


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_promoted_first(name, dtype):
    """The density is that of the parameters, rounded as they are, computed in float32."""
    head = HEADS[name](event_shape=(300,))
    params = tf.cast(tf.random.stateless_normal([2, *head.params_shape], (0, 1)), dtype)
    x = tf.random.stateless_uniform([2, 300], (0, 2))
    if head.value_range.integer:
        x = tf.floor(5 * x)
    half = head.distribution(params).log_prob(x)
    assert half.dtype == tf.float32
    np.testing.assert_array_equal(half, head.distribution(tf.cast(params, tf.float32)).log_prob(x))


@pytest.mark.parametrize("name", HEADS)
def test_calling_a_head_gives_the_mean_unrounded_under_any_policy(name):
    params = tf.random.stateless_normal([2, 3 * PARAMS_PER_DIM.get(name, 1)], (0, 1))
    mean = HEADS[name](event_shape=(3,)).distribution(params).mean()
    keras.config.set_dtype_policy("mixed_bfloat16")
    head = HEADS[name](event_shape=(3,))
    result = head(params)
    assert result.dtype == tf.float32
    np.testing.assert_array_equal(result, mean)
    assert all(weight.dtype == "float32" for weight in head.weights)


@pytest.mark.parametrize("name", HEADS)
def test_configuration_gives_the_head_back(name):
    head = HEADS[name](event_shape=(2, 3), name="likelihood")
    again = get_head(keras.saving.serialize_keras_object(head), (2, 3))
    assert type(again) is type(head) and again is not head
    assert again.get_config() == head.get_config()
    assert again.name == "likelihood" and again.event_shape == (2, 3)
    assert again.params_shape == head.params_shape
    params = tf.random.stateless_normal([4, *head.params_shape], (0, 1))
    x = tf.zeros([4, 2, 3])
    np.testing.assert_array_equal(
        again.distribution(params).log_prob(x), head.distribution(params).log_prob(x)
    )


def test_configuration_of_the_full_covariance():
    head = FullCovarianceGaussianHead(event_shape=(3,))
    again = get_head(keras.saving.serialize_keras_object(head), (3,))
    assert type(again) is FullCovarianceGaussianHead and again.params_shape == (9,)


@keras.saving.register_keras_serializable(package="tests")
class MeanOf(keras.Model):
    """The least model with a head."""

    def __init__(self, head, **kwargs):
        super().__init__(**kwargs)
        self.head = get_head(head, (3,))
        self.built = True

    def call(self, x):
        return self.head.distribution(x).stddev()

    def get_config(self):
        return {"head": keras.saving.serialize_keras_object(self.head), "name": self.name}


@pytest.mark.parametrize("scale", ["learned", "per_dimension"])
def test_file_keeps_the_learned_scale(scale, tmp_path):
    model = MeanOf(GaussianHead(scale))
    values = np.array([0.1, -2.0, 3.0]) if scale == "per_dimension" else 0.7
    model.head.raw_scale.assign(values)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.head.raw_scale.numpy(), np.float32(values))
    np.testing.assert_array_equal(loaded(LOC), model(LOC))


def test_file_keeps_the_learned_degrees_of_freedom(tmp_path):
    model = MeanOf(StudentTHead())
    model.head.raw_df.assign(0.7)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert float(loaded.head.degrees_of_freedom()) == float(model.head.degrees_of_freedom()) != 5.0
    np.testing.assert_array_equal(loaded(LOC), model(LOC))


# ---- the argument -----------------------------------------------------------------------------------


def test_names_of_heads():
    for name, kind in (
        ("bernoulli", BernoulliHead),
        ("categorical", CategoricalHead),
        ("discretized_logistic_mixture", DiscretizedLogisticMixtureHead),
        ("continuous_bernoulli", ContinuousBernoulliHead),
        ("gaussian", GaussianHead),
        ("low_rank_gaussian", LowRankGaussianHead),
        ("student_t", StudentTHead),
    ):
        head = get_head(name, (4,))
        assert type(head) is kind and head.event_shape == (4,)
    own = GaussianHead("learned")
    assert get_head(own, (4,)) is own and own.event_shape == (4,) and own.raw_scale is not None


def test_other_likelihoods_are_refused():
    dense = keras.saving.serialize_keras_object(keras.layers.Dense(2))
    for value in ("Bernoulli", None, 1.0, GaussianHead, dense):
        with pytest.raises(ValueError, match="`likelihood` must be one of 'bernoulli', .*received"):
            get_head(value, (4,))


def test_head_of_another_event_shape_is_refused():
    with pytest.raises(ValueError, match=r"events of shape \(4,\); received \(5,\). Make a new head"):
        get_head(BernoulliHead(event_shape=(4,)), (5,))


def test_values_that_heads_accept():
    for head in (BernoulliHead(), ContinuousBernoulliHead()):
        assert (head.value_range.low, head.value_range.high) == (0, 1)
        with pytest.raises(
            ValueError, match=r"\[0, 1\]; received values from 0.0 to 255.0. Scale pixels by 1/255"
        ):
            head.value_range.check("x", np.array([0.0, 255.0]))
    for head in (GaussianHead(), StudentTHead(), LowRankGaussianHead(), FullCovarianceGaussianHead()):
        head.value_range.check("x", np.array([-1e6, 1e6]))


def test_head_without_a_distribution_says_what_is_missing():
    class Nothing(Head):
        pass

    with pytest.raises(TypeError, match=r"Nothing must define `distribution\(params\)`"):
        Nothing(event_shape=(3,)).distribution(tf.zeros([1, 3]))
