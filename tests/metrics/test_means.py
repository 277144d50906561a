"""Means of terms: NumPy's means over ragged batches, nothing lost over millions, sums over replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.metrics.means import StatisticSum, TermMeans


def sums_of(batch):
    return {name: tf.constant(np.sum(values), tf.float32) for name, values in batch.items()}


def test_means_over_ragged_batches():
    rng = np.random.default_rng(0)
    batches = [{"kl": rng.normal(size=n), "loss": rng.normal(5, 2, size=n)} for n in (7, 1, 12, 3)]
    metric = TermMeans()
    for batch in batches:
        metric.update_state(sums_of(batch), tf.constant(len(batch["kl"])))
    result = metric.result()
    assert list(result) == ["kl", "loss"]
    for name, mean in result.items():
        assert mean.dtype == tf.float32
        expected = np.mean(np.concatenate([batch[name] for batch in batches]))
        np.testing.assert_allclose(mean, expected, rtol=1e-6)
    assert metric.num_examples() == 23


def test_weighted_examples_are_divided_by_their_number():
    """w_i t_i over N, and not over the sum of weights."""
    metric = TermMeans()
    metric.update_state({"loss": tf.constant(0.5 * 4.0 + 2.0 * 1.0)}, tf.constant(2))
    assert metric.result()["loss"] == 2.0


def add(metric, loss, num_examples, total, weighted, of):
    statistic = StatisticSum(*(tf.constant(float(value)) for value in (total, weighted, of)))
    sums = {"loss": tf.constant(loss), "mmd": tf.zeros([])}
    metric.update_state(sums, tf.constant(num_examples), {"mmd": statistic})


def test_a_statistic_has_examples_of_its_own():
    """A mean of 6 / 3 in one batch of 3 out of 4 examples; its part of the objective is 30 / 3."""
    metric = TermMeans()
    add(metric, 8.0, 3, 6.0, 30.0, 3)
    add(metric, 4.0, 1, 0.0, 0.0, 0)
    assert metric.result() == {"loss": 12.0 / 4 + 10.0, "mmd": 2.0}
    metric.reset_state()
    assert metric.result() == {"loss": 0.0, "mmd": 0.0}
    add(metric, 4.0, 1, 0.0, 0.0, 0)
    assert np.isnan(metric.result()["mmd"]) and np.isnan(metric.result()["loss"])


def test_nothing_is_lost_over_ten_million_examples():
    """A float32 sum stands still at 2**24: there 1 added to 16777216 is 16777216."""
    metric = TermMeans()
    metric.update_state({"loss": tf.constant(2.0**24)}, tf.constant(2**24))
    for _ in range(100):
        metric.update_state({"loss": tf.constant(3.0)}, tf.constant(1))
    assert metric.num_examples() == 2**24 + 100
    assert metric.sums.numpy()[1] == 2**24 + 300
    update = tf.function(metric.update_state)
    metric.reset_state()
    batch = {"loss": tf.constant(100_000 * 0.1)}
    for _ in range(100):
        update(batch, tf.constant(100_000))
    np.testing.assert_allclose(metric.result()["loss"], 0.1, rtol=1e-7)


def test_before_the_first_example_means_are_zero():
    metric = TermMeans()
    assert metric.result() == {}
    metric.update_state({"loss": tf.constant(3.0)}, tf.constant(2))
    metric.reset_state()
    assert metric.result() == {"loss": 0.0} and metric.num_examples() == 0


@pytest.mark.parametrize("names", [["loss", "rate"], ["kl", "loss"], ["loss"]])
def test_other_names_are_refused(names):
    metric = TermMeans()
    metric.update_state({"loss": tf.constant(1.0), "kl": tf.constant(1.0)}, tf.constant(1))
    with pytest.raises(ValueError, match=r"same names .* expected \['loss', 'kl'\], received"):
        metric.update_state({name: tf.constant(1.0) for name in names}, tf.constant(1))


def test_number_of_terms_is_bounded():
    metric = TermMeans()
    metric.update_state({f"t{i}": tf.constant(i * 1.0) for i in range(31)}, tf.constant(1))
    assert metric.result()["t30"] == 30.0
    with pytest.raises(ValueError, match="at most 31 terms; received 32"):
        TermMeans().update_state({f"t{i}": tf.constant(1.0) for i in range(32)}, tf.constant(1))


def watch(metric, loss, kl, step):
    sums = {"loss": tf.constant(loss), "kl": tf.constant(kl)}
    metric.watch(sums, tf.constant(step, tf.int64))
    metric.update_state(sums, tf.constant(1))


def test_watch_notes_the_first_bad_step_of_each_term():
    metric = TermMeans()
    watch(metric, 1.0, 1.0, 0)
    assert metric.bad_terms() == {}
    watch(metric, 1.0, np.inf, 10**10)
    assert metric.bad_terms() == {"kl": 10**10}
    watch(metric, np.nan, np.nan, 10**10 + 1)
    watch(metric, 1.0, -np.inf, 10**10 + 2)
    assert metric.bad_terms() == {"loss": 10**10 + 1, "kl": 10**10}
    metric.reset_state()
    assert metric.bad_terms() == {"loss": 10**10 + 1, "kl": 10**10}
    metric.forget_bad_terms()
    assert metric.bad_terms() == {}
    watch(metric, np.nan, 1.0, 0)
    assert metric.bad_terms() == {"loss": 0}


def run(strategy, function, *values):
    shards = [
        strategy.experimental_distribute_values_from_function(
            lambda context, pair=pair: tf.constant(pair[context.replica_id_in_sync_group])
        )
        for pair in values
    ]
    tf.function(lambda: strategy.run(function, shards))()


def test_replicas_are_summed(strategy):
    with strategy.scope():
        metric = TermMeans()

    def step(loss, count):
        metric.update_state({"loss": loss}, count)

    run(strategy, step, (3.0, 7.0), (1, 4))
    run(strategy, step, (1.0, 0.0), (2, 0))
    assert metric.num_examples() == 7
    np.testing.assert_allclose(metric.result()["loss"], 11 / 7, rtol=1e-6)
    metric.reset_state()
    run(strategy, step, (3.0, 7.0), (1, 4))
    np.testing.assert_allclose(metric.result()["loss"], 2.0, rtol=1e-6)


@pytest.mark.parametrize("bad_replica", [0, 1])
def test_bad_example_of_any_replica_is_noted(strategy, bad_replica):
    with strategy.scope():
        metric = TermMeans()
    values = [[1.0, 1.0], [1.0, 1.0]]
    values[1][bad_replica] = np.nan
    for number, pair in enumerate(values):
        step = tf.constant(number, tf.int64)
        run(strategy, lambda kl, step=step: metric.watch({"loss": 2 * kl / kl, "kl": kl}, step), tuple(pair))
    assert metric.bad_terms() == {"loss": 1, "kl": 1}


def test_files_hold_nothing_of_it(tmp_path):
    inputs = keras.Input((1,))
    model = keras.Model(inputs, inputs)
    model.term_means = TermMeans()
    model.term_means.update_state({"loss": tf.constant(3.0)}, tf.constant(1))
    store = {}
    model.term_means.save_own_variables(store)
    assert store == {}
    model.save_weights(tmp_path / "model.weights.h5")
    model.term_means.reset_state()
    model.term_means.update_state({"loss": tf.constant(5.0)}, tf.constant(1))
    model.load_weights(tmp_path / "model.weights.h5")
    assert model.term_means.result()["loss"] == 5.0
