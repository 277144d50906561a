"""The aggregate posterior of known examples, covariances by hand, and permutations that are even."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.losses import covariance_penalties, log_aggregate_posterior, permute_latents


def log_normal(x, loc, scale):
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


# ---- aggregate posterior ----------------------------------------------------------------------------

Z = np.float32([[0.0, 1.0], [2.0, -1.0]])
LOC = np.float32([[0.5, 1.0], [1.0, -2.0]])
SCALE = np.float32([[1.0, 0.5], [2.0, 1.5]])


def test_two_posteriors_by_hand():
    joint, each = log_aggregate_posterior(Z, LOC, SCALE)
    for i in range(2):
        terms = [[log_normal(Z[i, d], LOC[j, d], SCALE[j, d]) for d in range(2)] for j in range(2)]
        wanted = math.log(sum(math.exp(sum(term)) for term in terms) / 2)
        assert float(joint[i]) == pytest.approx(wanted, rel=1e-5)
        for d in range(2):
            wanted = math.log(sum(math.exp(term[d]) for term in terms) / 2)
            assert float(each[i, d]) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("num_examples", [1, 2, 1000])
def test_the_size_of_the_data_is_a_constant(num_examples):
    """1 / (N M) in place of 1 / M."""
    plain = log_aggregate_posterior(Z, LOC, SCALE)
    weighted = log_aggregate_posterior(Z, LOC, SCALE, num_examples=num_examples)
    for before, after in zip(plain, weighted, strict=True):
        np.testing.assert_allclose(before - after, np.full(before.shape, np.log(num_examples)), atol=1e-6)


COVARIANCE = np.array([[2.0, 1.2, 0.0], [1.2, 1.0, 0.3], [0.0, 0.3, 1.5]])
NOISE = 0.6


@pytest.fixture(scope="module")
def aggregate():
    """N(0, C) of posterior means with N(0, s^2 I) about each is N(0, C + s^2 I) of latents."""
    rng = np.random.default_rng(0)
    loc = rng.multivariate_normal(np.zeros(3), COVARIANCE, size=5000)
    total = COVARIANCE + NOISE**2 * np.eye(3)
    z = rng.multivariate_normal(np.zeros(3), total, size=200)
    z, loc = z.astype("float32"), loc.astype("float32")
    joint, each = log_aggregate_posterior(z, loc, np.full_like(loc, NOISE))
    return total, z, loc, joint.numpy(), each.numpy()


def test_it_approaches_the_density_of_the_aggregate(aggregate):
    """Within the sampling error of a mean of 5000 densities, in logarithms."""
    total, z, loc, joint, each = aggregate
    densities = np.exp(log_normal(z[:, None].astype("float64"), loc, NOISE))

    def error(terms):
        return terms.std(axis=1) / terms.mean(axis=1) / np.sqrt(len(loc))

    quadratic = np.einsum("ni,ij,nj->n", z, np.linalg.inv(total), z)
    exact = -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * total)[1])
    assert np.all(abs(joint - exact) < 5 * error(densities.prod(axis=-1)) + 1e-4)
    assert np.all(abs(each - log_normal(z, 0.0, np.sqrt(np.diag(total)))) < 5 * error(densities) + 1e-4)


def test_total_correlation_of_correlated_latents(aggregate):
    """-log det R / 2 with the correlations R, the mean of log q(z) - sum_d log q(z_d)."""
    total, _, _, joint, each = aggregate
    scale = np.sqrt(np.diag(total))
    exact = -0.5 * np.linalg.slogdet(total / np.outer(scale, scale))[1]
    ratios = joint - each.sum(axis=1)
    assert abs(ratios.mean() - exact) < 5 * ratios.std() / np.sqrt(len(ratios))
    assert exact > 5 * ratios.std() / np.sqrt(len(ratios))


# ---- covariances ------------------------------------------------------------------------------------

# Means 2 and 1; of the deviations (-2, 1), (0, 1), (2, -2): variances 8/3 and 2, covariance -2.
MEANS = np.float32([[0, 2], [2, 2], [4, -1]])
VARIANCES = np.float32([[0.1, 0.5], [0.2, 0.5], [0.9, 2.0]])


def test_covariance_of_the_means_by_hand():
    off, diagonal = covariance_penalties(MEANS)
    np.testing.assert_allclose(off, [2 * 2**2] * 3, rtol=1e-6)
    np.testing.assert_allclose(diagonal, [(5 / 3) ** 2 + 1] * 3, rtol=1e-6)


def test_covariance_of_the_draws_has_the_mean_variance_on_its_diagonal():
    """The variances 0.4 and 1.0 more."""
    off, diagonal = covariance_penalties(MEANS, VARIANCES)
    np.testing.assert_allclose(off, [2 * 2**2] * 3, rtol=1e-6)
    np.testing.assert_allclose(diagonal, [(5 / 3 + 0.4) ** 2 + 2**2] * 3, rtol=1e-6)


def test_covariance_far_from_the_origin():
    off, diagonal = covariance_penalties(MEANS + np.float32([1000, -500]))
    np.testing.assert_allclose([off[0], diagonal[0]], [8, 34 / 9], rtol=1e-5)


def test_the_draws_have_that_covariance():
    """E[Sigma] + Cov[mu] is the covariance of draws, by the law of total variance."""
    rng = np.random.default_rng(1)
    means = rng.normal(size=(5, 3)) @ [[1.0, 0.5, 0.0], [0.0, 1.0, -0.7], [0.0, 0.0, 0.4]]
    variances = rng.uniform(0.1, 2.0, size=(5, 3))
    draws = means + np.sqrt(variances) * rng.normal(size=(20_000, 5, 3))
    covariance = np.cov(draws.reshape(-1, 3).T)
    wanted = np.sum(covariance**2) - np.sum(np.diag(covariance) ** 2), np.sum((np.diag(covariance) - 1) ** 2)
    penalties = covariance_penalties(np.float32(means), np.float32(variances))
    for penalty, value in zip(penalties, wanted, strict=True):
        # An entry of the sample covariance of 100,000 draws is off by less than 1 %.
        assert float(penalty[0]) == pytest.approx(value, rel=0.03, abs=0.03)


def test_uncorrelated_latents_of_unit_variance_cost_nothing():
    corners = np.float32(list(itertools.product([-1, 1], repeat=3)))
    for means, variances in ((corners, None), (0.6 * corners, np.full_like(corners, 0.64))):
        np.testing.assert_allclose(covariance_penalties(means, variances), np.zeros((2, 8)), atol=1e-6)


# ---- permutations -----------------------------------------------------------------------------------


def test_columns_are_permuted_and_nothing_else():
    z = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    permuted = permute_latents(z, tf.constant([1, 2])).numpy()
    np.testing.assert_array_equal(np.sort(permuted, axis=0), np.sort(z, axis=0))
    assert np.all(np.mean(permuted == z, axis=0) < 0.2)


def test_all_orders_are_as_likely_and_columns_do_not_depend_on_each_other():
    """Three rows and 6000 columns: 6 orders each, and 36 pairs of orders of neighbouring columns."""
    count = 6000
    z = np.tile(np.float32([[0], [1], [2]]), (1, count))
    permuted = permute_latents(z, tf.constant([3, 4])).numpy().astype(int)
    orders = permuted[0] * 9 + permuted[1] * 3 + permuted[2]
    _, times = np.unique(orders, return_counts=True)
    assert len(times) == 6
    assert np.all(abs(times / count - 1 / 6) < 5 * np.sqrt(5 / 36 / count))
    _, times = np.unique(orders[::2] * 27 + orders[1::2], return_counts=True)
    pairs = count // 2
    assert len(times) == 36
    assert np.all(abs(times / pairs - 1 / 36) < 5 * np.sqrt(1 / 36 / pairs))


def test_latents_become_independent():
    """The correlation, 0.95 before, is 0 within 1 / sqrt(n)."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(2000, 1)) + 0.2 * rng.normal(size=(2000, 3))
    assert np.all(np.corrcoef(z.T) > 0.9)
    permuted = permute_latents(np.float32(z), tf.constant([5, 6])).numpy()
    assert np.all(abs(np.corrcoef(permuted.T) - np.eye(3)) < 5 / np.sqrt(2000))


def test_permutations_follow_the_seed():
    z = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    first, again, other = (permute_latents(z, tf.constant(seed)) for seed in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first.numpy() == other.numpy()) < 0.2


# ---- several replicas -------------------------------------------------------------------------------


def test_replicas_take_the_batch_as_a_whole(strategy):
    """Also where they have different numbers of rows."""
    rng = np.random.default_rng(2)
    z, loc = rng.normal(size=(2, 5, 3)).astype(np.float32)
    scale = rng.uniform(0.3, 2.0, size=(5, 3)).astype(np.float32)

    def values(z, loc, scale):
        return [
            *log_aggregate_posterior(z, loc, scale, num_examples=9),
            *covariance_penalties(loc),
            *covariance_penalties(loc, scale),
        ]

    def step():
        first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
        rows = [
            tf.cond(first, lambda a=a: a[:2], lambda a=a: a[2:]) for a in map(tf.constant, (z, loc, scale))
        ]
        return values(*rows)

    results = tf.function(lambda: strategy.run(step))()
    for result, whole in zip(results, values(z, loc, scale), strict=True):
        shared = np.concatenate(strategy.experimental_local_results(result))
        np.testing.assert_allclose(shared, whole, rtol=1e-5)
