"""Noise: draws are functions of their seed, and no two purposes, steps, replicas or rows share one."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.noise import (
    Purpose,
    add_noise_state,
    as_seed,
    check_seed,
    fold_in,
    fresh_seed,
    replica_seed,
    row_seeds,
    sample_rows,
    split,
    stream_seed,
)
from keras_genmod.distributions import BernoulliHead, ContinuousBernoulliHead, GaussianHead

tfd = tfp.distributions


def draw(seed):
    return tf.random.stateless_normal([8], seed).numpy()


@pytest.mark.parametrize("seed", [0, 2**31 - 1, np.int32(7), np.int64(7), None])
def test_seeds_of_models(seed):
    assert check_seed(seed) == seed


@pytest.mark.parametrize("seed", [-1, 2**31, 1.0, True, "1", (1, 2)])
def test_other_seeds_of_models_are_refused(seed):
    with pytest.raises(
        ValueError, match=r"`seed` must be None or an integer from 0 to 2\*\*31 - 1; received"
    ):
        check_seed(seed)


def test_noise_state_of_a_layer_starts_at_step_0():
    keras.utils.set_random_seed(5)
    fresh = fresh_seed()
    keras.utils.set_random_seed(5)
    for seed, expected in ((2**31 - 1, 2**31 - 1), (0, 0), (None, fresh)):
        layer = keras.layers.Layer(dtype="mixed_float16")
        state = add_noise_state(layer, seed, "noise_state")
        np.testing.assert_array_equal(state.numpy(), [expected, 0])
        assert layer.non_trainable_weights == [state] and state.dtype == "int64"
    with pytest.raises(ValueError, match="`seed` must be None or an integer"):
        add_noise_state(keras.layers.Layer(), -1, "noise_state")


def test_one_or_two_integers_make_a_seed():
    for value in (5, np.int64(5)):
        np.testing.assert_array_equal(as_seed(value), [0, 5])
    for value in ((1, 2), [1, 2], np.array([1, 2]), tf.constant([1, 2], tf.int64)):
        seed = as_seed(value)
        assert seed.dtype == tf.int32
        np.testing.assert_array_equal(seed, [1, 2])


@pytest.mark.parametrize("value", [1.5, True, (1, 2, 3), (1,), (0.5, 1.0), [[1, 2]], "ab", -1, None])
def test_what_is_no_seed_is_refused(value):
    with pytest.raises(ValueError, match="`seed` must be .*integer.*received"):
        as_seed(value)


def test_fresh_seeds_follow_the_global_seed():
    def seeds(value):
        keras.utils.set_random_seed(value)
        return [fresh_seed() for _ in range(100)]

    assert seeds(1) == seeds(1)
    assert not set(seeds(1)) & set(seeds(2))
    # Uniform over [0, 2**31): of 100 draws the mean has standard deviation 2**31 / sqrt(1200).
    assert abs(np.mean(seeds(1)) - 2**30) < 4 * 2**31 / np.sqrt(1200)
    assert all(check_seed(seed) == seed for seed in seeds(3))


def test_streams_repeat():
    for purpose in Purpose:
        np.testing.assert_array_equal(stream_seed(3, purpose, 5), stream_seed(3, purpose, 5))


def test_model_seed_purpose_and_step_give_streams_of_their_own():
    seeds = [
        tuple(stream_seed(seed, purpose, step).numpy())
        for seed, purpose, step in itertools.product((0, 1, 2**31 - 1), Purpose, (0, 1, 2, 10**6, 2**31 - 1))
    ]
    assert len(set(seeds)) == len(seeds) == 3 * len(Purpose) * 5
    draws = [draw(stream_seed(0, purpose, step)) for purpose in Purpose for step in (0, 1)]
    assert len(np.unique(np.concatenate(draws))) == sum(map(len, draws))


def test_purposes_and_replicas_do_not_collide(monkeypatch):
    """On up to 64 replicas, for a model's seed and its neighbours (an encoder's and a decoder's, say)."""
    replica = None
    monkeypatch.setattr("keras_genmod.core.noise.replica_id", lambda: replica)
    streams = [stream_seed(seed, p, 4) for seed in (0, 1, 2, 2**31 - 1) for p in Purpose]
    found = set()
    for replica in range(64):  # noqa: B007 (read by `replica_id`)
        found |= {tuple(replica_seed(stream).numpy()) for stream in streams}
    assert len(found) == 64 * len(streams)


def test_replicas_draw_different_noise(strategy):
    plain = stream_seed(3, Purpose.TRAINING, 7)
    np.testing.assert_array_equal(replica_seed(plain), plain)

    @tf.function
    def seeds():
        return strategy.run(lambda: replica_seed(stream_seed(3, Purpose.TRAINING, 7)))

    first, second = strategy.experimental_local_results(seeds())
    # The first replica draws what one device draws.
    np.testing.assert_array_equal(first, plain)
    assert not np.intersect1d(draw(first), draw(second)).size


def test_steps_are_counted_beyond_32_bits():
    assert not np.array_equal(stream_seed(0, Purpose.DATA, 2**31 - 1), stream_seed(0, Purpose.DATA, 2**31))
    assert stream_seed(2**31 - 1, Purpose.DATA, tf.constant(2**40, tf.int64)).dtype == tf.int32


def test_derived_seeds_are_different_and_repeat():
    seed = as_seed(1)
    derived = [tuple(s.numpy()) for s in (seed, *(fold_in(seed, i) for i in range(20)), *split(seed, 20))]
    again = [tuple(s.numpy()) for s in (seed, *(fold_in(seed, i) for i in range(20)), *split(seed, 20))]
    assert derived == again
    assert len(set(derived)) == 41


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_seed_of_a_row_depends_on_its_number_alone(dtype):
    seed = as_seed(9)
    whole = row_seeds(seed, 0, 8)
    np.testing.assert_array_equal(row_seeds(seed, 2, 3), whole[2:5])
    np.testing.assert_array_equal(row_seeds(seed, tf.constant(2, dtype), tf.constant(3, dtype)), whole[2:5])
    assert whole.dtype == tf.int32 and len(np.unique(whole, axis=0)) == 8


def test_rows_of_different_seeds_are_different():
    """Also where the first halves of the seeds are equal, as they are for `seed=1` and `seed=2`."""
    rows = np.concatenate([row_seeds(as_seed(seed), 0, 50) for seed in range(20)])
    assert len(np.unique(rows, axis=0)) == 1000


def head_distribution(head, num_rows):
    head.set_event_shape((2, 3))
    params = tf.random.stateless_normal([num_rows, *head.params_shape], (0, 1))
    return head.distribution(params)


DISTRIBUTIONS = {
    "independent": lambda n: tfd.Independent(tfd.Normal(tf.range(n * 1.0)[:, None] * [[1, -1]], 1.0), 1),
    "scalar event": lambda n: tfd.Normal(tf.range(n * 1.0), 1.0),
    "multivariate": lambda n: tfd.MultivariateNormalDiag(tf.random.stateless_normal([n, 3], (0, 1))),
    "bernoulli": lambda n: head_distribution(BernoulliHead(), n),
    "continuous bernoulli": lambda n: head_distribution(ContinuousBernoulliHead(), n),
    "one learned scale": lambda n: head_distribution(GaussianHead("learned"), n),
    "learned scales": lambda n: head_distribution(GaussianHead("per_dimension"), n),
    "predicted scales": lambda n: head_distribution(GaussianHead("predicted"), n),
    "shared": lambda n: tfd.Independent(tfd.Normal(tf.zeros([3]), 1.0), 1),
}


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_draws_do_not_depend_on_how_the_batch_is_cut(kind):
    distribution, seeds = DISTRIBUTIONS[kind](5), row_seeds(as_seed(1), 0, 5)
    whole = sample_rows(distribution, 2, seeds)
    assert whole.shape == (5, 2, *distribution.event_shape)
    parts = []
    for start, stop in ((0, 2), (2, 3), (3, 5)):
        part = distribution if kind == "shared" else distribution[start:stop]
        parts.append(sample_rows(part, 2, seeds[start:stop]))
    # Logarithms and exponentials, of which the continuous Bernoulli's quantile is made, round differently in
    # arrays of other sizes.
    rounding = 1e-6 if kind == "continuous bernoulli" else 0.0
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=rounding)
    graph = tf.function(lambda seeds: sample_rows(distribution, 2, seeds))
    np.testing.assert_allclose(graph(seeds), whole, rtol=rounding)
    # The rows, and the draws of a row, are different all the same.
    if kind != "bernoulli":
        assert len(np.unique(whole)) == whole.numpy().size


def test_draws_of_rows_follow_each_row_s_distribution():
    loc = tf.constant([[0.0, 10.0], [-5.0, 3.0]])
    scale = tf.constant([[1.0, 2.0], [0.5, 3.0]])
    count = 20_000
    distribution = tfd.Independent(tfd.Normal(loc, scale), 1)
    draws = sample_rows(distribution, count, row_seeds(as_seed(1), 0, 2)).numpy()
    # Four standard errors: sigma / sqrt(n) of a mean, sigma / sqrt(2 n) of a standard deviation.
    assert np.all(abs(draws.mean(axis=1) - loc) < 4 * scale / np.sqrt(count))
    assert np.all(abs(draws.std(axis=1) - scale) < 4 * scale / np.sqrt(2 * count))
    correlations = np.corrcoef(draws.transpose(0, 2, 1).reshape(4, count))
    assert np.all(abs(correlations - np.eye(4)) < 4 / np.sqrt(count))


def test_draws_over_rows_of_one_draw_each_follow_the_distribution():
    """Neighbouring seeds, one draw from each: as good as one long stream."""
    count = 4000
    shared = tfd.Independent(tfd.Normal(tf.zeros([3]), 1.0), 1)
    graph = tf.function(lambda seeds: sample_rows(shared, 1, seeds)[:, 0])
    draws = graph(row_seeds(as_seed(2), 0, count)).numpy()
    assert np.all(abs(draws.mean(axis=0)) < 4 / np.sqrt(count))
    assert np.all(abs(draws.std(axis=0) - 1) < 4 / np.sqrt(2 * count))
    neighbours = np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(count)
