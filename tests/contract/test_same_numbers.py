"""A model computed in other ways gives the same numbers: parts of batches, replicas, XLA, precisions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.arithmetic import SAME, loss_tolerance, term_sizes, terms_of
from tests.contract.cases import every_case, every_mechanism, every_network, every_row, largest_difference
from tests.contract.conftest import Restarted

ROWS = 19  # the last batch of an epoch has three rows: two for one replica, one for the other


def evaluated(model, data, **options):
    return model.evaluate(*data, return_dict=True, verbose=0, **options)


# ---- without noise, in float64 ----------------------------------------------------------------------


@every_row
def test_two_replicas_are_one_device(case, exact, strategy):
    one = exact.trained(case.data(ROWS), epochs=2)
    with strategy.scope():
        two = case.noiseless(7)
        two.compile(keras.optimizers.SGD(0.005))
    logs = two.fit(*case.data(ROWS), batch_size=8, epochs=2, verbose=0).history
    assert largest_difference(one, two) < SAME
    assert np.all(np.isfinite(logs["loss"]))
    # Logs are float32.
    for name, values in exact.history.items():
        np.testing.assert_allclose(logs[name], values, rtol=1e-6, atol=SAME)
    first, second = (evaluated(model, case.data(ROWS), batch_size=8) for model in (one, two))
    assert second == pytest.approx(first, rel=1e-6, abs=SAME)


@every_case
def test_micro_batches_give_the_gradient_of_the_whole_batch(case, exact):
    if "micro_batches" in case.exempt:
        return
    model = case.noiseless(7)
    model.compile(keras.optimizers.SGD(0.005), micro_batches=3)
    model.fit(*case.data(ROWS), batch_size=8, epochs=2, verbose=0)
    assert largest_difference(exact.trained(case.data(ROWS), epochs=2), model) < SAME


@every_network
def test_xla_compiles_the_same_objective(case, exact):
    model = case.noiseless(7)
    model.compile(keras.optimizers.SGD(0.005), jit_compile=True)
    assert model.jit_compile is True and exact.model.jit_compile is False
    model.fit(*case.data(16), batch_size=8, verbose=0)
    assert largest_difference(exact.trained(case.data(16)), model) < SAME


@every_case
def test_a_weight_of_two_counts_like_the_example_twice(case, exact):
    """On the objective, where both are divided by the same number of examples."""
    if "repetition" in case.exempt:
        return
    x, *condition = case.data(4)
    condition = condition[0] if condition else None
    weight = np.array([2.0, 0.0, 1.0, 1.0], "float32")
    if case.unpaired:
        condition = None
    weighted = evaluated(exact.model, (x, condition), sample_weight=weight)
    rows = [0, 0, 2, 3]
    repeated = evaluated(
        exact.model, keras.tree.map_structure(lambda a: None if a is None else a[rows], (x, condition))
    )
    size = term_sizes(exact.model, case.data(4))["loss"]
    # Logs are float32.
    assert weighted["loss"] == pytest.approx(repeated["loss"], abs=1e-6 * size)


# ---- in other precisions ------------------------------------------------------------------------------


@every_case
def test_double_precision_is_the_same_model(case, exact):
    keras.config.set_dtype_policy("float32")
    single = case.noiseless(7)
    single.compile()
    exact.model.set_weights(single.get_weights())
    losses = [evaluated(model, case.data(ROWS))["loss"] for model in (single, exact.model)]
    assert losses[0] == pytest.approx(losses[1], abs=loss_tolerance(exact.model, case.data(ROWS), "float32"))
    keras.config.set_dtype_policy("float64")
    model = case.build(7)
    assert all(weight.dtype == "float64" for weight in model.trainable_weights)
    for _, _, terms in terms_of(model, case.data(2)):
        assert {term.dtype for term in terms.values()} == {tf.float64}
    if hasattr(model, "sample"):
        condition = None if len(case.data(1)) == 1 else case.data(1)[1][0]
        assert model.sample(2, condition=condition, seed=1).dtype == tf.float64


@every_network
def test_mixed_precision_computes_and_trains(case, exact):
    """In bfloat16, whose roundings are the larger."""
    check_mixed_precision(case, exact.model, "mixed_bfloat16")


@every_mechanism
def test_mixed_precision_scales_losses(case, exact):
    """In float16, whose gradients would vanish. Loss scaling belongs to the step, not to what is trained."""
    check_mixed_precision(case, exact.model, "mixed_float16")


def check_mixed_precision(case, exact, policy):
    keras.config.set_dtype_policy(policy)
    model = case.noiseless(7)
    model.compile()
    for player in model.players():
        scaled = isinstance(model._optimizer_of(player), keras.optimizers.LossScaleOptimizer)
        assert scaled == (policy == "mixed_float16")
    exact.set_weights(model.get_weights())
    before, expected = (evaluated(m, case.data(ROWS))["loss"] for m in (model, exact))
    tolerance = loss_tolerance(exact, case.data(ROWS), policy.removeprefix("mixed_"))
    assert before == pytest.approx(expected, abs=tolerance)
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)
    # Loss scaling starts high: its first steps overflow and are left out, until it fits.
    model.fit(*case.data(ROWS), batch_size=8, epochs=12, verbose=0)
    trained = evaluated(model, case.data(ROWS))
    assert np.all(np.isfinite(list(trained.values())))
    if not case.adversarial:
        assert trained["loss"] < before


# ---- with noise, in float64 ---------------------------------------------------------------------------


@pytest.fixture
def noisy(case, row, float64):
    """The model of a row with its noise and its default optimizers, in float64."""
    return row.once(case, "noisy", lambda: Restarted(case.build(7)))


@every_mechanism
def test_data_sets_and_arrays_give_the_same_training(case, noisy):
    by_arrays = noisy.trained(case.data(ROWS), shuffle=False)
    by_batches = case.build(7)
    by_batches.compile()
    data = case.data(ROWS)
    dataset = tf.data.Dataset.from_tensor_slices(data if len(data) > 1 else data[0])
    by_batches.fit(dataset.batch(8), verbose=0)
    # Only arrays are passed through in an order of the model's own.
    by_batches._data_position.assign(by_arrays._data_position)
    assert largest_difference(by_arrays, by_batches) < SAME


@every_mechanism
@pytest.mark.parametrize("options", [{"steps_per_execution": 2}, {"run_eagerly": True}], ids=str)
def test_steps_are_the_same_however_they_are_executed(case, noisy, options):
    other = case.build(7)
    other.compile(**options)
    other.fit(*case.data(ROWS), batch_size=8, epochs=2, verbose=0)
    assert largest_difference(noisy.trained(case.data(ROWS), epochs=2), other) < SAME
