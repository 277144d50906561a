"""Replicas: sums over all, state that stays equal, and the answers of one device outside a strategy."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.replicas import (
    assign_equally,
    check_collectives,
    gather_rows,
    in_multi_worker,
    is_chief,
    num_replicas,
    replica_id,
    sum_over_replicas,
)


def run(strategy, function, *args):
    """The result of `function` on each replica of a step."""
    results = tf.function(lambda: strategy.run(function, args))()
    return keras.tree.map_structure(lambda value: strategy.experimental_local_results(value), results)


def per_replica(strategy, *values):
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(values[context.replica_id_in_sync_group])
    )


def test_who_am_i(strategy):
    assert num_replicas() == 1 and replica_id() is None
    with strategy.scope():
        assert num_replicas() == 2
    assert [int(i) for i in run(strategy, replica_id)] == [0, 1]
    assert [int(n) for n in run(strategy, lambda: tf.constant(num_replicas()))] == [2, 2]


def test_sum_is_the_same_on_all_replicas(strategy):
    values = per_replica(strategy, [1.0, 2.0], [10.0, -2.0])
    result = run(strategy, lambda x: sum_over_replicas({"a": x, "b": [x[0]]}), values)
    for replica in range(2):
        np.testing.assert_array_equal(result["a"][replica], [11.0, 0.0])
        assert float(result["b"][0][replica]) == 11.0


def test_sum_on_one_device_is_the_value():
    value = tf.constant([1.0])
    assert sum_over_replicas(value) is value


def test_another_strategy_than_that_of_an_earlier_training_is_refused(strategy, monkeypatch):
    """Over the same devices too: where shapes differ, TensorFlow's operations would not find each other."""
    monkeypatch.setattr("keras_genmod.core.replicas._first_strategies", {})
    other = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    check_collectives(other)
    check_collectives(other)
    with pytest.raises(RuntimeError, match="serve one `MirroredStrategy` object in a process"):
        check_collectives(strategy)
    # `fit` sees it before the first step, and evaluation too.
    with strategy.scope():
        model = kg.VAE((3,), latent_dim=1, likelihood="gaussian", seed=0)
        model.compile()
    for train in (model.fit, model.evaluate):
        with pytest.raises(RuntimeError, match="cross_device_ops"):
            train(np.zeros((4, 3), "float32"), verbose=0)
    assert int(model.training_steps) == 0
    # What needs no group is not in the way.
    reduction = tf.distribute.ReductionToOneDevice()
    check_collectives(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=reduction))
    check_collectives(tf.distribute.MirroredStrategy(["CPU:0"]))
    check_collectives(tf.distribute.get_strategy())


def append(old, rows):
    """A first-in-first-out pool: what must see all rows, in one order."""
    return tf.concat([old[len(rows) :], rows], axis=0)


def make_pool(kind):
    if kind == "keras":
        return keras.Variable(
            np.zeros([6, 2], np.float32), trainable=False, aggregation="only_first_replica", name="pool"
        )
    return tf.Variable(
        tf.zeros([6, 2]), trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
    )


@pytest.mark.parametrize("kind", ["keras", "tf"])
def test_state_stays_equal_and_is_that_of_one_device(strategy, kind):
    shards = [np.array([[1, 2], [3, 4]], np.float32), np.array([[5, 6], [7, 8]], np.float32)]
    alone = make_pool(kind)
    assign_equally(alone, append, rows=tf.constant(np.concatenate(shards)))
    np.testing.assert_array_equal(alone, [[0, 0], [0, 0], [1, 2], [3, 4], [5, 6], [7, 8]])

    with strategy.scope():
        pool = make_pool(kind)
    run(strategy, lambda rows: assign_equally(pool, append, rows=rows), per_replica(strategy, *shards))
    copies = strategy.experimental_local_results(pool.value if kind == "keras" else pool)
    assert len(copies) == 2
    for copy in copies:
        np.testing.assert_array_equal(copy, alone)


def test_state_may_move_without_rows(strategy):
    """A persistent chain moves by itself."""

    def move(old, rows):
        assert rows == ()
        return 2.0 * old + 1.0

    alone = make_pool("keras")
    with strategy.scope():
        pool = make_pool("keras")
    for expected in (1.0, 3.0):
        assign_equally(alone, move)
        run(strategy, lambda: assign_equally(pool, move))
        for copy in (alone, *strategy.experimental_local_results(pool.value)):
            np.testing.assert_array_equal(copy, np.full([6, 2], expected))


def test_state_that_each_replica_would_keep_for_itself_is_refused(strategy):
    with strategy.scope():
        pool = keras.Variable(np.zeros([6, 2], np.float32), trainable=False, name="pool")
    rows = per_replica(strategy, [[1.0, 2.0]], [[5.0, 6.0]])
    with pytest.raises(ValueError, match="aggregation='only_first_replica'.*received.*'none' for 'pool'"):
        run(strategy, lambda rows: assign_equally(pool, append, rows=rows), rows)


def test_shards_of_different_sizes_are_gathered_too(strategy):
    with strategy.scope():
        pool = make_pool("keras")
    rows = per_replica(strategy, [[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]])
    run(strategy, lambda rows: assign_equally(pool, append, rows=rows), rows)
    for copy in strategy.experimental_local_results(pool.value):
        np.testing.assert_array_equal(copy, [[0, 0], [0, 0], [0, 0], [1, 2], [3, 4], [5, 6]])


def cluster(spec, task_type, task_id):
    """A stand-in for a multi-worker strategy, which would need several processes."""
    resolver = SimpleNamespace(
        cluster_spec=lambda: tf.train.ClusterSpec(spec), task_type=task_type, task_id=task_id
    )
    return SimpleNamespace(cluster_resolver=resolver)


def test_one_process_is_its_own_chief(strategy):
    assert is_chief() and not in_multi_worker()
    assert is_chief(strategy) and not in_multi_worker(strategy)
    alone = cluster({"worker": ["localhost:1"]}, "worker", 0)
    assert is_chief(alone) and not in_multi_worker(alone)


@pytest.mark.parametrize(
    ("spec", "task_type", "task_id", "chief"),
    [
        ({"worker": ["a:1", "b:1"]}, "worker", 0, True),
        ({"worker": ["a:1", "b:1"]}, "worker", 1, False),
        ({"chief": ["a:1"], "worker": ["b:1"]}, "chief", 0, True),
        ({"chief": ["a:1"], "worker": ["b:1"]}, "worker", 0, False),
    ],
)
def test_one_of_several_workers_is_chief(spec, task_type, task_id, chief):
    strategy = cluster(spec, task_type, task_id)
    assert in_multi_worker(strategy)
    assert is_chief(strategy) is chief


def test_gathered_rows_on_one_device_are_the_rows():
    rows = tf.constant([[1.0], [2.0]])
    assert gather_rows(rows) is rows


@pytest.mark.parametrize(
    "shards",
    [
        ([[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]),
        ([[1.0, 2.0]], [[5.0, 6.0], [7.0, 8.0], [9.0, 0.0]]),
        ([[1.0, 2.0], [3.0, 4.0]], np.zeros([0, 2], np.float32)),
    ],
    ids=["even", "uneven", "none_on_one"],
)
def test_rows_are_gathered_in_the_order_of_the_replicas(strategy, shards):
    for gathered in run(strategy, gather_rows, per_replica(strategy, *shards)):
        np.testing.assert_array_equal(gathered, np.concatenate(shards))


@pytest.mark.parametrize("sizes", [(2, 2), (3, 1)], ids=["even", "uneven"])
def test_the_gradient_goes_back_to_the_own_rows_from_all_losses(strategy, sizes):
    """Of sum_i c_i r_i^2 over all rows, once on each replica with a factor of its own, 1 and 10."""
    rows = np.float32([[1.0, -2.0], [3.0, 0.5], [-1.0, 4.0], [2.0, 7.0]])
    coefficients = tf.constant([[1.0], [2.0], [3.0], [4.0]])

    def step(rows, factor):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            loss = factor * tf.reduce_sum(coefficients * tf.square(gather_rows(rows)))
        return tape.gradient(loss, rows)

    shards = per_replica(strategy, rows[: sizes[0]], rows[sizes[0] :])
    gradients = run(strategy, step, shards, per_replica(strategy, 1.0, 10.0))
    assert [len(gradient) for gradient in gradients] == list(sizes)
    np.testing.assert_allclose(np.concatenate(gradients), 11 * 2 * coefficients * rows, rtol=1e-6)
