"""The promises that every model keeps on one device."""

import json

import keras
import numpy as np
import pytest

from keras_genmod.training import MEASURE
from tests.arithmetic import UNIT, term_sizes, terms_of
from tests.contract.cases import (
    check_export,
    every_case,
    every_mechanism,
    largest_difference,
    unlike,
    weights,
)

BATCH = 8
ROWS = 20  # the last batch of an epoch is ragged


@every_case
def test_the_same_seed_trains_to_the_same_weights(case, full, twin):
    first, second = full.trained(case.data(ROWS)), twin.trained(case.data(ROWS))
    assert largest_difference(first, second) == 0.0
    other = case.build(8)
    if not unlike(case.build(7), other):
        # The seed decides on no initial weight where the networks are given, but on the noise and the order.
        other.compile()
        other.fit(*case.data(ROWS), batch_size=BATCH, verbose=0)
        assert unlike(first, other)


@every_case
def test_training_reaches_every_trainable_weight(case, full):
    before = [weight.numpy() for weight in case.build(7).trainable_weights]
    model = full.trained(case.data(ROWS), epochs=3)
    still = [
        weight.path
        for weight, old in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(weight.numpy(), old)
    ]
    assert tuple(still) == case.without_gradient


@every_mechanism
def test_evaluation_looking_and_sampling_do_not_change_training(case, full):
    plain = full.trained(case.data(ROWS), epochs=2)
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
def test_evaluation_is_repeatable_and_named(case, full):
    model = full.trained(case.data(ROWS))
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
def test_loss_is_the_weighted_sum_of_the_terms(case, full):
    model = full.trained(case.data(ROWS))
    result = model.evaluate(*case.data(ROWS), return_dict=True, verbose=0)
    total = 0.0
    for player, prefix, terms in terms_of(model, case.data(2)):
        weights = player.term_weights()
        named = {name: float(weights.get(name, 1.0)) for name in terms if weights.get(name) is not MEASURE}
        total += sum(weight * result[prefix + name] for name, weight in named.items())
    # Ten terms, each a sum over the rows in float32.
    size = term_sizes(model, case.data(ROWS))["loss"]
    assert result["loss"] == pytest.approx(total, abs=10 * ROWS * UNIT["float32"] * size)


def without_object_ids(config):
    """A configuration without the numbers that Keras gives to shared objects of one process."""
    if isinstance(config, dict):
        return {k: without_object_ids(value) for k, value in config.items() if k != "shared_object_id"}
    return [without_object_ids(value) for value in config] if isinstance(config, list) else config


@every_case
def test_a_configuration_rebuilds_the_model(case, full):
    model = full.trained(case.data(ROWS))
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(model)
    # A model that was loaded is saved again.
    again = json.loads(json.dumps(keras.saving.serialize_keras_object(copy)))
    assert without_object_ids(again) == without_object_ids(config)
    assert [w.shape for w in copy.weights] == [w.shape for w in model.weights]
    copy.set_weights(model.get_weights())
    assert largest_difference(model, copy) == 0.0
    copy.compile()
    evaluations = [m.evaluate(*case.data(ROWS), return_dict=True, verbose=0) for m in (model, copy)]
    assert evaluations[0] == evaluations[1]


@every_case
def test_a_file_keeps_weights_slots_and_the_next_noise(case, full, twin, tmp_path):
    model = full.trained(case.data(ROWS))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]
    assert largest_difference(model, loaded) == 0.0
    assert int(loaded.training_steps) == 3
    for attribute in {"optimizer", *model._optimizer_arguments.values()}:
        slots = getattr(model, attribute).variables, getattr(loaded, attribute).variables
        for ours, theirs in zip(*slots, strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    loaded.fit(*case.data(ROWS), batch_size=BATCH, initial_epoch=1, epochs=2, verbose=0)
    assert largest_difference(twin.trained(case.data(ROWS), epochs=2), loaded) < 1e-6


@every_mechanism
def test_weights_files_round_trip(case, full, tmp_path):
    model = full.trained(case.data(ROWS))
    model.save_weights(tmp_path / "model.weights.h5")
    other = case.build(3)
    other.compile()
    other.load_weights(tmp_path / "model.weights.h5")
    assert largest_difference(model, other) == 0.0


@every_case
def test_an_export_gives_the_numbers_of_the_model_without_this_package(case, full, verify, tmp_path):
    model = full.trained(case.data(ROWS))
    model.export(tmp_path / "1")
    differences = verify(tmp_path / "1")
    assert set(differences) == set(model.endpoints())
    assert max(differences.values()) < 1e-4
    check_export(tmp_path / "1", model)


@every_case
def test_a_handful_of_examples_is_learnt(case):
    if "overfit" in case.exempt:
        assert case.adversarial
        return
    rate, steps, share = case.overfit
    model = case.noiseless(7)
    model.compile(keras.optimizers.Adam(rate), steps_per_execution=50)
    start = model.evaluate(*case.data(8), return_dict=True, verbose=0)[case.overfit_term]
    history = model.fit(
        *case.data(8), batch_size=8, epochs=steps // 50, steps_per_epoch=50, verbose=0
    ).history[case.overfit_term]
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
