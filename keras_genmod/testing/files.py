"""Promises of configurations, files and exports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_genmod.testing.arithmetic import terms_of
from keras_genmod.testing.comparing import check_export, largest_difference
from keras_genmod.testing.keeping import promise
from keras_genmod.testing.row import RAGGED, Row, run_variables
from keras_genmod.training.objective import MEASURE

__all__ = [
    "a_configuration_rebuilds_the_model",
    "a_file_keeps_weights_slots_and_the_next_noise",
    "an_export_gives_the_numbers_of_the_model",
    "replicas_are_saved_and_exported",
    "weights_files_round_trip",
]


def _without_object_ids(config: Any) -> Any:
    """A configuration without the numbers that Keras gives to shared objects of one process."""
    if isinstance(config, dict):
        return {k: _without_object_ids(value) for k, value in config.items() if k != "shared_object_id"}
    return [_without_object_ids(value) for value in config] if isinstance(config, list) else config


def _numbers(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Weights of terms as numbers; a measure has none."""
    return {name: weight if weight is MEASURE else float(weight) for name, weight in weights.items()}


@promise("float32")
def a_configuration_rebuilds_the_model(row: Row) -> None:
    """`get_config` and the weights hold the whole model: its copy has equal terms and weights of terms."""
    data = row.case.data(RAGGED)
    model = row.full.trained(data)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(model), f"Expected a {type(model).__name__}; received {type(copy).__name__}."
    # A model that was loaded is saved again.
    again = json.loads(json.dumps(keras.saving.serialize_keras_object(copy)))
    assert _without_object_ids(again) == _without_object_ids(config), "The copy must have the configuration."
    assert [w.shape for w in copy.weights] == [w.shape for w in model.weights]
    copy.set_weights(model.get_weights())
    assert largest_difference(model, copy) == 0.0
    for training in (False, True):
        both = (terms_of(one, data, training=training) for one in (model, copy))
        for (player, _, terms), (other, _, others) in zip(*both, strict=True):
            assert terms.keys() == others.keys(), f"Expected {list(terms)}; received {list(others)}."
            for name, term in terms.items():
                np.testing.assert_array_equal(others[name], term, err_msg=f"`{name}`, {training=}")
            weights = _numbers(player.term_weights())
            assert _numbers(other.term_weights()) == weights, f"The copy must have the weights {weights}."


@promise("float32")
def a_file_keeps_weights_slots_and_the_next_noise(row: Row) -> None:
    """A loaded model goes on with the training as if it had not been interrupted."""
    data = row.case.data(RAGGED)
    with row.folder() as folder:
        model = row.full.trained(data)
        model.save(folder / "model.keras")
        loaded = keras.saving.load_model(folder / "model.keras", safe_mode=True)
        assert [file.name for file in folder.iterdir()] == ["model.keras"]
    assert largest_difference(model, loaded) == 0.0
    assert int(loaded.training_steps) == 3
    for attribute in {"optimizer", *model._optimizer_arguments.values()}:
        slots = getattr(model, attribute).variables, getattr(loaded, attribute).variables
        for ours, theirs in zip(*slots, strict=True):
            np.testing.assert_array_equal(theirs.numpy(), ours.numpy(), err_msg=theirs.path)
    # The twin came from a file before it trained; with this file's state it is this file's model.
    twin = row.twin.restart()
    for variable, value in zip(run_variables(twin), run_variables(loaded), strict=True):
        variable.assign(value.numpy())
    row.twin.trained_further(data, initial_epoch=1, epochs=2)
    assert largest_difference(row.full.trained(data, epochs=2), twin) < 1e-6


@promise("float32")
def weights_files_round_trip(row: Row) -> None:
    """`save_weights` and `load_weights` carry all weights."""
    model = row.full.trained(row.case.data(RAGGED))
    with row.folder() as folder:
        model.save_weights(folder / "model.weights.h5")
        other = row.case.build(3)
        other.compile()
        other.load_weights(folder / "model.weights.h5")
    assert largest_difference(model, other) == 0.0


@promise("float32")
def an_export_gives_the_numbers_of_the_model(row: Row) -> None:
    """Every endpoint of an export answers, without this package, as the model's method does."""
    model = row.full.trained(row.case.data(RAGGED))
    with row.folder() as folder:
        model.export(folder / "1")
        differences = row.verify(folder / "1")
        assert set(differences) == set(model.endpoints())
        assert max(differences.values()) < 1e-4, f"An export must give the model's numbers; {differences}."
        check_export(folder / "1", model)


@promise("float64")
def replicas_are_saved_and_exported(row: Row) -> None:
    """A model that was trained on two replicas is saved and exported as it is."""
    model = row.replicated.trained(row.case.data(RAGGED), epochs=2)
    with row.folder() as folder:
        model.save(folder / "model.keras")
        loaded = keras.saving.load_model(folder / "model.keras")
        assert largest_difference(model, loaded) == 0.0
        model.export(folder / "1")
        assert max(row.verify(folder / "1").values()) < 1e-4
        check_export(folder / "1", loaded)
