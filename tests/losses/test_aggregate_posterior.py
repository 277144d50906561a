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


def test_two_posteriors_out_of_more_by_hand():
    """Out of 5: the own posterior weighs 1/5, the other stands for the 4 that are left."""
    joint, each = log_aggregate_posterior(Z, LOC, SCALE, num_examples=5)
    for i in range(2):
        weights = [0.2 if j == i else 0.8 for j in range(2)]
        terms = [[log_normal(Z[i, d], LOC[j, d], SCALE[j, d]) for d in range(2)] for j in range(2)]
        wanted = math.log(sum(w * math.exp(sum(term)) for w, term in zip(weights, terms, strict=True)))
        assert float(joint[i]) == pytest.approx(wanted, rel=1e-5)
        for d in range(2):
            wanted = math.log(sum(w * math.exp(term[d]) for w, term in zip(weights, terms, strict=True)))
            assert float(each[i, d]) == pytest.approx(wanted, rel=1e-5)


def test_as_many_examples_as_rows_are_the_batch_itself():
    """Also one row out of one, and one row of many, which has no other to stand for the rest."""
    for rows, num_examples in ((2, 2), (1, 1), (1, 1000)):
        batch = Z[:rows], LOC[:rows], SCALE[:rows]
        for value, plain in zip(
            log_aggregate_posterior(*batch, num_examples=num_examples),
            log_aggregate_posterior(*batch),
            strict=True,
        ):
            np.testing.assert_allclose(value, plain, rtol=1e-6)


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_the_density_is_without_bias_for_every_size_of_a_batch(rows):
    """The mean over all batches that hold an example is the density of the aggregate of all 6."""
    rng = np.random.default_rng(3)
    loc, scale = rng.normal(size=(6, 2)), rng.uniform(0.5, 2.0, size=(6, 2))
    z = rng.normal(size=2)
    exact = np.exp(log_normal(z, loc, scale))
    densities = []
    for others in itertools.combinations(range(1, 6), rows - 1):
        batch = [0, *others]
        joint, each = log_aggregate_posterior(
            np.float32(np.tile(z, (rows, 1))),
            np.float32(loc[batch]),
            np.float32(scale[batch]),
            num_examples=6,
        )
        densities.append([np.exp(joint[0]), *np.exp(each[0])])
    wanted = [exact.prod(axis=1).mean(), *exact.mean(axis=0)]
    np.testing.assert_allclose(np.mean(densities, axis=0), wanted, rtol=1e-5)


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


def of_pairs(means, variances=None):
    """The penalties from the products of the covariances of every two pairs without a row in common."""
    rows = range(len(means))
    covariances = {}
    for a, b in itertools.combinations(rows, 2):
        half = (means[a] - means[b]) / np.sqrt(2)
        extra = 0.0 if variances is None else np.diag((variances[a] + variances[b]) / 2)
        covariances[a, b] = np.outer(half, half) + extra
    off, diagonal = [], []
    for first, second in itertools.permutations(covariances, 2):
        if not set(first) & set(second):
            one, two = covariances[first], covariances[second]
            off.append(np.sum(one * two) - np.diag(one) @ np.diag(two))
            diagonal.append((np.diag(one) - 1) @ (np.diag(two) - 1))
    return np.mean(off), np.mean(diagonal)


def rows_of_latents(count, seed=1):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(count, 3)) @ [[1.0, 0.5, 0.0], [0.0, 1.0, -0.7], [0.0, 0.0, 0.4]]
    return means, rng.uniform(0.1, 2.0, size=(count, 3))


@pytest.mark.parametrize("count", [4, 5, 9])
@pytest.mark.parametrize("kind", ["means", "draws"])
def test_squares_are_products_of_covariances_of_different_pairs(count, kind):
    means, variances = rows_of_latents(count)
    arguments = (means, variances) if kind == "draws" else (means,)
    values = covariance_penalties(*map(np.float32, arguments))
    for value, wanted in zip(values, of_pairs(*arguments), strict=True):
        # Terms of a few units cancel, in float32.
        np.testing.assert_allclose(value, np.full(count, wanted), rtol=1e-4, atol=1e-4)


def test_four_rows_by_hand():
    """The corners of a square with sides of 2, cut into two pairs in three ways.

    The pairs of diagonals have covariances 2 and -2, all sides have 0: off the diagonal 2 * (-4 + 0 + 0) / 3.
    The variances, less 1, are (1, 1) and (1, 1); (1, -1) twice; (-1, 1) twice: products of 1 each.
    """
    off, diagonal = covariance_penalties(np.float32([[0, 0], [2, 2], [2, 0], [0, 2]]))
    np.testing.assert_allclose([off[0], diagonal[0]], [-8 / 3, 2.0], rtol=1e-5)


@pytest.mark.parametrize("count", [4, 5])
def test_penalties_have_the_same_mean_for_every_number_of_rows(count):
    """Over all batches that are drawn, with replacement, from three equally likely posteriors."""
    means, variances = np.array([[0, 1], [2, -1], [1, 3.0]]), np.array([[0.5, 0.1], [0.2, 2.0], [1.5, 0.3]])
    batches = np.array(list(itertools.product(range(3), repeat=count)))
    for kind in ("means", "draws"):
        arguments = [means[batches]] + ([variances[batches]] if kind == "draws" else [])
        penalties = tf.vectorized_map(
            lambda rows: tf.stack([value[0] for value in covariance_penalties(*rows)]),
            tuple(tf.constant(a, tf.float32) for a in arguments),
        )
        exact = np.cov(means.T, bias=True) + (np.diag(variances.mean(axis=0)) if kind == "draws" else 0.0)
        wanted = 2 * exact[0, 1] ** 2, np.sum((np.diag(exact) - 1) ** 2)
        np.testing.assert_allclose(np.float64(penalties).mean(axis=0), wanted, rtol=1e-5)


@pytest.mark.parametrize("kind", ["means", "draws"])
def test_the_gradient_is_that_of_the_covariance_of_the_batch(kind):
    r"""$4 / n$ times the centred rows times C, and $2 / n$ times the diagonal by the variances."""
    means, variances = rows_of_latents(6)
    x, v = tf.constant(means, tf.float32), tf.constant(variances, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, v])
        off, diagonal = covariance_penalties(x, v if kind == "draws" else None)
        off, diagonal = tf.reduce_mean(off), tf.reduce_mean(diagonal)
    centred = means - means.mean(axis=0)
    covariance = np.cov(means.T, bias=True)
    variance = np.diag(covariance)
    of_draws = variance + (variances.mean(axis=0) if kind == "draws" else 0.0)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(
        tape.gradient(off, x), 4 / 6 * centred @ (covariance - np.diag(variance)), **close
    )
    np.testing.assert_allclose(tape.gradient(diagonal, x), 4 / 6 * centred * (of_draws - 1), **close)
    if kind == "draws":
        wanted = np.tile(2 / 6 * (of_draws - 1), (6, 1))
        np.testing.assert_allclose(tape.gradient(diagonal, v), wanted, **close)


def test_penalties_far_from_the_origin():
    means, _ = rows_of_latents(6)
    near, far = (covariance_penalties(np.float32(means + shift)) for shift in (0, [1000, -500, 100]))
    # A float32 of 1000 has steps of 6e-5.
    np.testing.assert_allclose(np.stack(far), np.stack(near), rtol=1e-3, atol=1e-3)


def test_fewer_than_four_rows_have_no_penalties():
    means, variances = map(np.float32, rows_of_latents(3))
    np.testing.assert_array_equal(covariance_penalties(means, variances), np.zeros((2, 3)))


def test_uncorrelated_latents_of_unit_variance_cost_nothing_in_the_mean():
    """2000 batches of 6 standard normal rows."""
    means = tf.random.stateless_normal([2000, 6, 2], [1, 2])
    penalties = tf.vectorized_map(lambda x: tf.stack([p[0] for p in covariance_penalties(x)]), means).numpy()
    assert np.all(abs(penalties.mean(axis=0)) < 5 * penalties.std(axis=0) / np.sqrt(2000))


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


def test_replicas_permute_the_rows_of_all(strategy):
    """One row on each: its 64 columns come from both, and would not by chance in 2**63 runs."""

    def step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        z = tf.fill([1, 64], tf.cast(replica, tf.float32))
        return permute_latents(z, tf.stack([tf.cast(replica, tf.int32), 5]))

    results = tf.function(lambda: strategy.run(step))()
    for permuted in strategy.experimental_local_results(results):
        assert permuted.shape == (1, 64) and set(permuted.numpy().ravel()) == {0.0, 1.0}
