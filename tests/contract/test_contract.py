"""The promises that every model keeps on one device."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.training import MEASURE
from tests.arithmetic import SAME, UNIT, loss_tolerance, term_sizes, terms_of
from tests.contract.cases import every_case, every_mechanism, largest_difference, weights

BATCH = 8
ROWS = 20  # the last batch of an epoch is ragged


def fitted(case, *, epochs=1, data=None, **compile_options):
    model = case.build(7)
    model.compile(**compile_options)
    model.fit(*(data or case.data(ROWS)), batch_size=BATCH, epochs=epochs, verbose=0)
    return model


@every_case
def test_the_same_seed_trains_to_the_same_weights(case):
    first, second = fitted(case), fitted(case)
    assert largest_difference(first, second) == 0.0
    other = case.build(8)
    other.compile()
    other.fit(*case.data(ROWS), batch_size=BATCH, verbose=0)
    assert largest_difference(first, other) > 1e-4


@every_case
def test_a_step_reaches_every_trainable_weight(case):
    model = case.build(7)
    model.compile(keras.optimizers.SGD(0.1))
    before = [weight.numpy() for weight in model.trainable_weights]
    model.fit(*case.data(ROWS), batch_size=BATCH, epochs=3, verbose=0)
    still = [
        weight.path
        for weight, old in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(weight.numpy(), old)
    ]
    assert tuple(still) == case.without_gradient


@every_mechanism
def test_evaluation_looking_and_sampling_do_not_change_training(case):
    plain = fitted(case, epochs=2)
    watched = case.build(7)
    watched.compile()

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if hasattr(self.model, "sample"):
                condition = None if len(case.data(1)) == 1 else case.data(1)[1][0]
                self.model.sample(2, condition=condition)

    watched.fit(
        *case.data(ROWS),
        validation_data=case.data(ROWS, seed=1),
        batch_size=BATCH,
        epochs=2,
        verbose=0,
        callbacks=[Look()],
    )
    assert largest_difference(plain, watched) == 0.0


@every_case
def test_evaluation_is_repeatable_and_named(case):
    model = fitted(case)
    data = case.data(ROWS, seed=1)
    data = data if len(data) > 1 else data[0]
    args = data if isinstance(data, tuple) else (data,)
    first = model.evaluate(*args, return_dict=True, verbose=0)
    assert first == model.evaluate(*args, return_dict=True, verbose=0)
    assert list(first.values()).count(0.0) < len(first)
    as_list = model.evaluate(*args, verbose=0)
    as_list = as_list if isinstance(as_list, list) else [as_list]
    assert as_list == [first[name] for name in model.metrics_names]
    assert model.metrics_names[0] == "loss"


@every_case
def test_loss_is_the_weighted_sum_of_the_terms(case):
    model = fitted(case)
    result = model.evaluate(*case.data(ROWS), return_dict=True, verbose=0)
    total = 0.0
    for player, prefix, terms in terms_of(model, case.data(2)):
        weights = player.term_weights()
        named = {name: float(weights.get(name, 1.0)) for name in terms if weights.get(name) is not MEASURE}
        total += sum(weight * result[prefix + name] for name, weight in named.items())
    # Ten terms, each a sum over the rows in float32.
    size = term_sizes(model, case.data(ROWS))["loss"]
    assert result["loss"] == pytest.approx(total, abs=10 * ROWS * UNIT["float32"] * size)


@every_mechanism
def test_data_sets_and_arrays_give_the_same_training(case, float64):
    by_arrays = case.build(7)
    by_arrays.compile()
    by_arrays.fit(*case.data(ROWS), batch_size=BATCH, shuffle=False, verbose=0)
    by_batches = case.build(7)
    by_batches.compile()
    data = case.data(ROWS)
    dataset = tf.data.Dataset.from_tensor_slices(data if len(data) > 1 else data[0])
    by_batches.fit(dataset.batch(BATCH), verbose=0)
    # Only arrays are passed through in an order of the model's own.
    by_batches._data_position.assign(by_arrays._data_position)
    assert largest_difference(by_arrays, by_batches) < SAME


@every_case
def test_a_weight_of_two_counts_like_the_example_twice(case):
    """On the objective, where both are divided by the same number of examples."""
    if "repetition" in case.exempt:
        return
    model = case.noiseless(7)
    model.compile()
    x, *condition = case.data(4)
    condition = condition[0] if condition else None
    weight = np.array([2.0, 0.0, 1.0, 1.0], "float32")
    if case.unpaired:
        weighted = model.evaluate(x, None, sample_weight=weight, return_dict=True, verbose=0)
    else:
        weighted = model.evaluate(x, condition, sample_weight=weight, return_dict=True, verbose=0)
    rows = [0, 0, 2, 3]
    take = keras.tree.map_structure(lambda a: None if a is None else a[rows], (x, condition))
    repeated = model.evaluate(*take, return_dict=True, verbose=0)
    size = term_sizes(model, case.data(4))["loss"]
    assert weighted["loss"] == pytest.approx(repeated["loss"], abs=1e-5 * size)


@every_case
def test_micro_batches_give_the_gradient_of_the_whole_batch(case, float64):
    if "micro_batches" in case.exempt:
        return
    models = []
    for micro_batches in (1, 3):
        model = case.noiseless(7)
        model.compile(keras.optimizers.SGD(0.005), micro_batches=micro_batches)
        model.fit(*case.data(ROWS), batch_size=BATCH, epochs=2, verbose=0)
        models.append(model)
    assert largest_difference(*models) < SAME


@every_mechanism
def test_several_steps_per_execution_are_the_same_steps(case, float64):
    assert largest_difference(fitted(case, epochs=2), fitted(case, epochs=2, steps_per_execution=2)) < SAME


@every_mechanism
def test_eager_steps_are_the_same_steps(case, float64):
    assert largest_difference(fitted(case), fitted(case, run_eagerly=True)) < SAME


@every_case
def test_xla_compiles_the_same_objective(case, float64):
    models = []
    for jit_compile in (False, True):
        model = case.noiseless(7)
        model.compile(keras.optimizers.SGD(0.005), jit_compile=jit_compile)
        assert model.jit_compile is jit_compile
        model.fit(*case.data(16), batch_size=BATCH, epochs=1, verbose=0)
        models.append(model)
    assert largest_difference(*models) < SAME


@every_case
def test_mixed_precision_computes_and_trains(case):
    """In bfloat16, whose roundings are the larger."""
    check_mixed_precision(case, "mixed_bfloat16")


@every_mechanism
def test_mixed_precision_scales_losses(case):
    """In float16, whose gradients would vanish. Loss scaling belongs to the step, not to what is trained."""
    check_mixed_precision(case, "mixed_float16")


def check_mixed_precision(case, policy):
    exact = case.noiseless(7)
    exact.compile()
    keras.config.set_dtype_policy(policy)
    model = case.noiseless(7)
    model.compile()
    for player in model.players():
        scaled = isinstance(model._optimizer_of(player), keras.optimizers.LossScaleOptimizer)
        assert scaled == (policy == "mixed_float16")
    results = [m.evaluate(*case.data(ROWS), return_dict=True, verbose=0) for m in (exact, model)]
    tolerance = loss_tolerance(exact, case.data(ROWS), policy.removeprefix("mixed_"))
    assert results[1]["loss"] == pytest.approx(results[0]["loss"], abs=tolerance)
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)
    # Loss scaling starts high: its first steps overflow and are left out, until it fits.
    model.fit(*case.data(ROWS), batch_size=BATCH, epochs=12, verbose=0)
    trained = model.evaluate(*case.data(ROWS), return_dict=True, verbose=0)
    assert np.all(np.isfinite(list(trained.values())))
    if not case.adversarial:
        assert trained["loss"] < results[1]["loss"]


@every_case
def test_double_precision_is_the_same_model(case):
    single = case.noiseless(7)
    keras.config.set_dtype_policy("float64")
    double = case.noiseless(7)
    for model in (single, double):
        model.compile()
    double.set_weights(single.get_weights())

    single, exact = (
        model.evaluate(*case.data(ROWS), return_dict=True, verbose=0)["loss"] for model in (single, double)
    )
    assert single == pytest.approx(exact, abs=loss_tolerance(double, case.data(ROWS), "float32"))
    model = fitted(case)
    assert all(weight.dtype == "float64" for weight in model.trainable_weights)
    if hasattr(model, "sample"):
        condition = None if len(case.data(1)) == 1 else case.data(1)[1][0]
        assert model.sample(2, condition=condition, seed=1).dtype == tf.float64


def without_object_ids(config):
    """A configuration without the numbers that Keras gives to shared objects of one process."""
    if isinstance(config, dict):
        return {k: without_object_ids(value) for k, value in config.items() if k != "shared_object_id"}
    return [without_object_ids(value) for value in config] if isinstance(config, list) else config


@every_case
def test_a_configuration_rebuilds_the_model(case):
    model = case.build(7)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(model)
    # A model that was loaded is saved again.
    again = json.loads(json.dumps(keras.saving.serialize_keras_object(copy)))
    assert without_object_ids(again) == without_object_ids(config)
    assert [w.shape for w in copy.weights] == [w.shape for w in model.weights]
    copy.set_weights(model.get_weights())
    assert largest_difference(model, copy) == 0.0
    for m in (model, copy):
        m.compile()
    evaluations = [m.evaluate(*case.data(ROWS), return_dict=True, verbose=0) for m in (model, copy)]
    assert evaluations[0] == evaluations[1]


@every_case
def test_a_file_keeps_weights_slots_and_the_next_noise(case, tmp_path):
    model = fitted(case)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]
    assert largest_difference(model, loaded) == 0.0
    assert int(loaded.training_steps) == 3
    for attribute in {"optimizer", *model._optimizer_arguments.values()}:
        slots = getattr(model, attribute).variables, getattr(loaded, attribute).variables
        for ours, theirs in zip(*slots, strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    for m in (model, loaded):
        m.fit(*case.data(ROWS), batch_size=BATCH, initial_epoch=1, epochs=2, verbose=0)
    assert largest_difference(model, loaded) < 1e-6


@every_mechanism
def test_weights_files_round_trip(case, tmp_path):
    model = fitted(case)
    model.save_weights(tmp_path / "model.weights.h5")
    other = case.build(3)
    other.compile()
    other.load_weights(tmp_path / "model.weights.h5")
    assert largest_difference(model, other) == 0.0


@every_case
def test_an_export_gives_the_numbers_of_the_model_without_this_package(case, tmp_path):
    model = fitted(case)
    model.export(tmp_path / "1")
    differences = kg.serving.verify(tmp_path / "1")
    assert set(differences) == set(model.endpoints())
    assert max(differences.values()) < 1e-4


@every_case
def test_a_handful_of_examples_is_learnt(case):
    if "overfit" in case.exempt:
        assert case.adversarial
        return
    rate, steps, share = case.overfit
    model = case.noiseless(7)
    model.compile(keras.optimizers.Adam(rate), steps_per_execution=50)
    history = model.fit(
        *case.data(8), batch_size=8, epochs=steps // 50, steps_per_epoch=50, verbose=0
    ).history[case.overfit_term]
    first = case.noiseless(7)
    first.compile()
    start = first.evaluate(*case.data(8), return_dict=True, verbose=0)[case.overfit_term]
    assert history[-1] < share * start


@every_mechanism
def test_callbacks_of_keras_work(case, tmp_path):
    model = case.build(7)
    model.compile()
    monitor = "val_loss"
    logs = model.fit(
        *case.data(ROWS),
        validation_data=case.data(ROWS, seed=1),
        batch_size=BATCH,
        epochs=3,
        verbose=0,
        callbacks=[
            keras.callbacks.EarlyStopping(monitor, patience=5, restore_best_weights=True),
            keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor, save_best_only=True),
            keras.callbacks.ReduceLROnPlateau(monitor, factor=0.5, patience=0, min_delta=1e9),
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            keras.callbacks.TensorBoard(tmp_path / "tensorboard", write_graph=False),
        ],
    ).history
    start = float(case.build(7).default_optimizers()[next(iter(model._optimizer_arguments))].learning_rate)
    assert logs["learning_rate"] == pytest.approx([start, start, start / 2])
    best = keras.saving.load_model(tmp_path / "best.keras")
    result = best.evaluate(*case.data(ROWS, seed=1), batch_size=BATCH, return_dict=True, verbose=0)
    assert result["loss"] == pytest.approx(min(logs["val_loss"]), rel=1e-5)


@every_case
def test_weights_have_names_that_do_not_collide(case):
    model = case.build(7)
    assert len(weights(model)) == len(model.weights)
