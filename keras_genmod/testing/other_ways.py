"""Promises that a model computed in other ways gives the same numbers: parts, replicas, XLA, precisions."""

from __future__ import annotations

from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.bases import generative_model
from keras_genmod.testing.arithmetic import SAME, loss_tolerance, term_sizes, terms_of
from keras_genmod.testing.comparing import evaluated, largest_difference
from keras_genmod.testing.keeping import promise
from keras_genmod.testing.row import BATCH, RAGGED, Restarted, Row, policy

__all__ = [
    "a_weight_of_two_counts_like_the_example_twice",
    "bfloat16_computes_and_trains",
    "data_sets_and_arrays_train_alike",
    "double_precision_is_the_same_model",
    "eager_steps_are_the_same",
    "float16_scales_losses",
    "identical_shards_train_as_one",
    "micro_batches_give_the_gradient_of_the_whole_batch",
    "several_steps_in_one_execution_are_the_same",
    "two_replicas_evaluate_as_one_device",
    "two_replicas_train_as_one_device",
    "xla_compiles_the_same_objective",
]


def _assert_same(first: Any, second: Any) -> None:
    difference = largest_difference(first, second)
    assert difference < SAME, f"Both ways must give the same weights, to {SAME}; they are {difference} apart."


def _trained(model: Any, row: Row, num_rows: int = RAGGED, epochs: int = 2, **options: Any) -> Any:
    """The model, compiled with options and trained by plain gradient steps."""
    restarted = Restarted(model, keras.optimizers.SGD(0.005), **options)
    return restarted.trained(row.case.data(num_rows), epochs=epochs)


# ---- without noise, in float64 ----------------------------------------------------------------------


@promise("float64")
def two_replicas_train_as_one_device(row: Row) -> None:
    """Two replicas, each with a part of every batch, give the weights and the logs of one device."""
    data = row.case.data(RAGGED)
    one, two = row.exact.trained(data, epochs=2), row.replicated.trained(data, epochs=2)
    _assert_same(one, two)
    # Logs are float32.
    for name, values in row.exact.history.items():
        logs = row.replicated.history[name]
        assert np.all(np.isfinite(logs)), f"`{name}` must be finite; received {logs}."
        np.testing.assert_allclose(logs, values, rtol=1e-6, atol=SAME, err_msg=name)


@promise("float64")
def two_replicas_evaluate_as_one_device(row: Row) -> None:
    """The figures of `evaluate` on two replicas are those of one device."""
    data = row.case.data(RAGGED)
    one, two = (evaluated(made.restart(), data, batch_size=BATCH) for made in (row.exact, row.replicated))
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-6, atol=SAME, err_msg=name)


@promise("float64")
def micro_batches_give_the_gradient_of_the_whole_batch(row: Row) -> None:
    """Steps in three parts give the weights of steps with whole batches."""
    model = _trained(row.case.without_noise(7), row, micro_batches=3)
    _assert_same(row.exact.trained(row.case.data(RAGGED), epochs=2), model)


@promise("float64")
def xla_compiles_the_same_objective(row: Row) -> None:
    """Steps that XLA compiles give the weights of those that it does not."""
    model = _trained(row.case.without_noise(7), row, 2 * BATCH, 1, jit_compile=True)
    assert model.jit_compile is True and row.exact.model.jit_compile is False
    _assert_same(row.exact.trained(row.case.data(2 * BATCH)), model)


@promise("float64")
def a_weight_of_two_counts_like_the_example_twice(row: Row) -> None:
    """On the objective, where both are divided by the same number of examples."""
    data = row.case.data(4)
    x, condition = data if len(data) > 1 else (data[0], None)
    model = row.exact.restart()
    weight = np.array([2.0, 0.0, 1.0, 1.0], "float32")
    weighted = evaluated(model, (x, condition), sample_weight=weight)
    rows = [0, 0, 2, 3]
    repeated = evaluated(
        model, keras.tree.map_structure(lambda a: None if a is None else a[rows], (x, condition))
    )
    # Logs are float32.
    tolerance = 1e-6 * term_sizes(model, data)["loss"]
    np.testing.assert_allclose(weighted["loss"], repeated["loss"], rtol=0.0, atol=tolerance)


# ---- in other precisions ------------------------------------------------------------------------------


@promise("float64")
def double_precision_is_the_same_model(row: Row) -> None:
    """The loss in float64 is that in float32 up to roundings, and answers are float64."""
    data = row.case.data(RAGGED)
    with policy("float32"):
        single = row.case.without_noise(7)
        single.compile(run_eagerly=True)
    double = row.exact.restart()
    double.set_weights(single.get_weights())
    loss, expected = (evaluated(model, data)["loss"] for model in (single, double))
    np.testing.assert_allclose(loss, expected, rtol=0.0, atol=loss_tolerance(double, data, "float32"))
    model = row.case.build(7)
    assert all(weight.dtype == "float64" for weight in model.trainable_weights)
    for _, _, terms in terms_of(model, row.case.data(2)):
        assert {term.dtype for term in terms.values()} == {tf.float64}
    if hasattr(model, "sample"):
        assert model.sample(2, condition=row.case.condition(), seed=1).dtype == tf.float64


@promise("mixed_bfloat16")
def bfloat16_computes_and_trains(row: Row) -> None:
    """Half precision with the larger roundings: the loss is that of float64 up to these, and falls."""
    _check_half_precision(row, "bfloat16")


@promise("mixed_float16")
def float16_scales_losses(row: Row) -> None:
    """Half precision whose gradients would vanish: optimizers scale the loss."""
    _check_half_precision(row, "float16")


def _check_half_precision(row: Row, dtype: str) -> None:
    data = row.case.data(RAGGED)
    model = row.case.without_noise(7)
    model.compile()
    for player in model.players():
        scaled = isinstance(model._optimizer_of(player), keras.optimizers.LossScaleOptimizer)
        assert scaled == (dtype == "float16"), f"Only float16 scales losses; {scaled=} in {dtype}."
    exact = row.exact.restart()
    exact.set_weights(model.get_weights())
    before, expected = (evaluated(one, data)["loss"] for one in (model, exact))
    np.testing.assert_allclose(before, expected, rtol=0.0, atol=loss_tolerance(exact, data, dtype))
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)
    # Loss scaling starts high: its first steps overflow and are left out, until it fits.
    model.fit(*data, batch_size=BATCH, epochs=12, verbose=0)
    trained = evaluated(model, data)
    assert np.all(np.isfinite(list(trained.values()))), f"Figures must be finite; received {trained}."
    if not row.case.adversarial:
        assert trained["loss"] < before, f"The loss must fall from {before}; received {trained['loss']}."


# ---- with noise, in float64 ---------------------------------------------------------------------------


@promise("float64")
def data_sets_and_arrays_train_alike(row: Row) -> None:
    """A `tf.data.Dataset` of batches trains as the arrays do in their own order."""
    data = row.case.data(RAGGED)
    by_arrays = row.noisy.trained(data, shuffle=False)
    by_batches = row.case.build(7)
    by_batches.compile(keras.optimizers.SGD(0.005))
    dataset = tf.data.Dataset.from_tensor_slices(data if len(data) > 1 else data[0])
    by_batches.fit(dataset.batch(BATCH), verbose=0)
    # Only arrays are passed through in an order of the model's own.
    by_batches._data_position.assign(by_arrays._data_position)
    _assert_same(by_arrays, by_batches)


@promise("float64")
def several_steps_in_one_execution_are_the_same(row: Row) -> None:
    """`steps_per_execution` changes no number."""
    model = _trained(row.case.build(7), row, steps_per_execution=2)
    _assert_same(row.noisy.trained(row.case.data(RAGGED), epochs=2), model)


@promise("float64")
def eager_steps_are_the_same(row: Row) -> None:
    """`run_eagerly` changes no number."""
    model = _trained(row.case.build(7), row, run_eagerly=True)
    _assert_same(row.noisy.trained(row.case.data(RAGGED), epochs=2), model)


@promise("float64")
def identical_shards_train_as_one(row: Row) -> None:
    """The full objective: replicas with the same rows and the same seeds move as one of them would."""
    data, size = row.case.data(2 * BATCH), BATCH // 2

    def twice(x: Any) -> Any:
        """Every half batch as a batch whose two halves are the same."""
        return np.concatenate([np.concatenate([x[i : i + size]] * 2) for i in range(0, len(x), size)])

    with mock.patch.object(generative_model, "replica_seed", lambda seed: seed):
        one = row.noisy.trained(data, batch_size=size, epochs=2, shuffle=False)
        with row.strategy.scope():
            two = Restarted(row.case.build(7), keras.optimizers.SGD(0.005))
        doubled = keras.tree.map_structure(twice, data)
        _assert_same(one, two.trained(doubled, epochs=2, shuffle=False))
