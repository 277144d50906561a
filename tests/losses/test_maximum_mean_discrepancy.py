"""Maximum mean discrepancy: the definition written out, population values, and the absence of bias."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.losses import maximum_mean_discrepancy

KERNELS = pytest.mark.parametrize("kernel", ["gaussian", "inverse_multiquadratic"])
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def exact_kernel(kernel, x, y):
    distance, dim = np.sum((np.float64(x) - y) ** 2), len(x)
    if kernel == "gaussian":
        return np.exp(-distance / (2 * dim))
    return np.mean([2 * dim * s / (2 * dim * s + distance) for s in SCALES])


def exact_row(kernel, i, x, y):
    rows = range(len(x))
    within = [np.mean([exact_kernel(kernel, a[i], a[j]) for j in rows if j != i]) for a in (x, y)]
    return sum(within) - 2 * np.mean([exact_kernel(kernel, x[i], y[j]) for j in rows])


def samples(count, dim, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dim)).astype("f4"), (0.5 + 2 * rng.normal(size=(count, dim))).astype("f4")


@KERNELS
@pytest.mark.parametrize("dim", [1, 3])
def test_it_is_the_definition_row_by_row(kernel, dim):
    x, y = samples(7, dim)
    expected = [exact_row(kernel, i, x, y) for i in range(7)]
    np.testing.assert_allclose(maximum_mean_discrepancy(x, y, kernel=kernel), expected, rtol=1e-4, atol=1e-6)


def test_the_kernel_of_default():
    x, y = samples(5, 2)
    np.testing.assert_array_equal(
        maximum_mean_discrepancy(x, y), maximum_mean_discrepancy(x, y, kernel="inverse_multiquadratic")
    )


@pytest.mark.parametrize("kernel,value", [("gaussian", np.exp(-0.5)), ("inverse_multiquadratic", None)])
def test_two_points_by_hand(kernel, value):
    """All x at 0 and all y at distance sqrt(D): 2 - 2 k."""
    if value is None:
        value = np.mean([0.2 / 1.2, 0.4 / 1.4, 1 / 2, 2 / 3, 4 / 5, 10 / 11, 20 / 21])
    estimate = maximum_mean_discrepancy(tf.zeros([4, 9]), tf.ones([4, 9]), kernel=kernel)
    np.testing.assert_allclose(estimate, np.full(4, 2 - 2 * value), rtol=1e-5)


@KERNELS
def test_a_sample_from_itself_lies_below_zero_by_its_diagonal(kernel):
    """The mean kernel K of all pairs holds each point with itself: 2 (n K - 1) / (n - 1) - 2 K."""
    x, _ = samples(8, 2)
    mean = np.mean([[exact_kernel(kernel, a, b) for a in x] for b in x])
    expected = 2 * (8 * mean - 1) / 7 - 2 * mean
    order = np.random.default_rng(0).permutation(8)
    for y in (x, x[order]):
        estimate = float(tf.reduce_mean(maximum_mean_discrepancy(x, y, kernel=kernel)))
        assert estimate == pytest.approx(expected, abs=1e-6)
    assert expected < -0.01


def population(kernel, shift):
    r"""$2 E[k(x, x')] - 2 E[k(x, y)]$ for N(0, I) and N(d, I), whose differences are N(0, 2I) and N(d, 2I).

    $E[e^{-t u^2}] = (1 + 4 t)^{-1/2} e^{-t d^2 / (1 + 4 t)}$ for $u \sim N(d, 2)$, with $t = 1 / (2 D)$ for
    the Gaussian kernel; and $b / (b + r) = \int_0^\infty e^{-s} e^{-s r / b} ds$ for the other.
    """
    dim = len(shift)

    def exponential(t, d):
        return np.prod([(1 + 4 * t) ** -0.5 * np.exp(-t * v**2 / (1 + 4 * t)) for v in d], axis=0)

    if kernel == "gaussian":
        t, weights = np.array([1 / (2 * dim)]), np.ones(1)
    else:
        # s = e^v, by the trapezoidal rule.
        v = np.linspace(-40, 6, 4001)
        weights = np.exp(v - np.exp(v)) * (v[1] - v[0]) / len(SCALES)
        t = np.concatenate([np.exp(v) / (2 * dim * scale) for scale in SCALES])
        weights = np.tile(weights, len(SCALES))
    return 2 * weights @ (exponential(t, np.zeros(dim)) - exponential(t, shift))


@KERNELS
@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.0, -0.5), (0.4, 0.0, 0.0, 2.0)])
def test_small_batches_give_the_population_value_in_the_mean(kernel, shift):
    """The mean of 2000 batches of 5."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 5, len(shift))).astype("float32")
    y = (shift + rng.normal(size=x.shape)).astype("float32")

    def estimate(pair):
        return tf.reduce_mean(maximum_mean_discrepancy(*pair, kernel=kernel))

    estimates = tf.vectorized_map(estimate, (tf.constant(x), tf.constant(y))).numpy().astype(np.float64)
    error = estimates.std() / np.sqrt(len(estimates))
    exact = population(kernel, shift)
    assert abs(estimates.mean() - exact) < 5 * error
    # What a biased estimate would be off by, the diagonal of both, is far more.
    assert error < 0.01 and (exact > 10 * error or not any(shift))


@KERNELS
def test_its_gradient_leads_one_sample_to_the_other(kernel):
    x, y = tf.zeros([6, 2]), tf.constant(samples(6, 2)[1] / 4 + [1.0, -1.0], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_mean(maximum_mean_discrepancy(x, y, kernel=kernel))
    moved = x - 0.5 * tape.gradient(loss, x)
    assert float(tf.reduce_mean(maximum_mean_discrepancy(moved, y, kernel=kernel))) < float(loss) - 1e-3


@KERNELS
def test_one_row_has_no_others_and_no_estimate(kernel):
    np.testing.assert_array_equal(maximum_mean_discrepancy(*samples(1, 3), kernel=kernel), [0.0])


@KERNELS
def test_replicas_compare_the_rows_of_all(strategy, kernel):
    """Also where the replicas have different numbers of rows."""
    x, y = samples(5, 3)

    def step():
        first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
        own = [tf.cond(first, lambda a=a: a[:2], lambda a=a: a[2:]) for a in (tf.constant(x), tf.constant(y))]
        return maximum_mean_discrepancy(*own, kernel=kernel)

    results = tf.function(lambda: strategy.run(step))()
    shared = np.concatenate(strategy.experimental_local_results(results))
    np.testing.assert_allclose(shared, maximum_mean_discrepancy(x, y, kernel=kernel), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", ["rbf", "Gaussian", None, 1.0])
def test_other_kernels_are_refused(kernel):
    words = "`kernel` must be one of 'inverse_multiquadratic', 'gaussian'; received"
    with pytest.raises(ValueError, match=words):
        maximum_mean_discrepancy(tf.zeros([2, 1]), tf.zeros([2, 1]), kernel=kernel)
