"""Promises of how a model is called, and of what it refuses."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_genmod.testing.keeping import promise
from keras_genmod.testing.row import Row

__all__ = [
    "bad_data_are_refused_before_the_first_step",
    "the_condition_is_second_and_batch_size_changes_nothing",
]

# Methods of rows of data that families have, under their common names.
_ROW_WISE = (
    "encode",
    "reconstruct",
    "log_prob",
    "bits_per_dim",
    "anomaly_score",
    "features",
    "responsibilities",
)

# Float32 sums of a hundred products of numbers about 1, in an order that depends on the number of rows.
_SUMS = 100 * 2.0**-24


def _assert_close(result: Any, expected: Any, what: str) -> None:
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=_SUMS, err_msg=what)


@promise("float32")
def the_condition_is_second_and_batch_size_changes_nothing(row: Row) -> None:
    """Methods of rows take `(x, condition)` and `batch_size`, and the model takes `[x, condition]`."""
    model, data = row.full.restart(), row.case.data(5)
    condition = None if row.case.condition() is None else data[1]
    x = data[0]
    if isinstance(x, Mapping):
        return  # A model of several domains has methods of its own.
    for method in [getattr(model, name) for name in _ROW_WISE if hasattr(model, name)]:
        expected, what = method(x, condition=condition), f"`{method.__name__}`"
        np.testing.assert_array_equal(method(x, condition), expected, err_msg=what)
        _assert_close(method(x, condition, batch_size=2), expected, what)
        try:
            method(x, condition, batch_size=0)
        except ValueError as error:
            assert "`batch_size` must be an integer of at least 1; received 0" in str(error)
        else:
            raise AssertionError(f"{what} must refuse `batch_size=0`.")
    if hasattr(model, "sample"):
        whole = model.sample(5, condition=condition, seed=1)
        _assert_close(model.sample(5, condition=condition, seed=1, batch_size=2), whole, "`sample`")
    if hasattr(model, "decode") and hasattr(model, "encode"):
        z = np.asarray(model.encode(x, condition))
        expected = model.decode(z, condition=condition)
        np.testing.assert_array_equal(model.decode(z, condition), expected)
        _assert_close(model.decode(z, condition, batch_size=2), expected, "`decode`")
    if hasattr(model, "inpaint"):
        mask, options = np.arange(x[0].size).reshape(x[0].shape) % 2, {"seed": 1}
        if "num_particles" in inspect.signature(model.inpaint).parameters:
            options["num_particles"] = 3
        whole = model.inpaint(x, mask, condition, **options)
        parts = model.inpaint(x, mask, condition=condition, batch_size=4, **options)
        np.testing.assert_array_equal(parts, whole, err_msg="`inpaint`")
    # A generator's call takes latent vectors.
    given = model.input_space().example(5)
    inputs = [given] if condition is None else [given, condition]
    np.testing.assert_array_equal(model(inputs), model(given, condition=condition))


@promise("float32")
def bad_data_are_refused_before_the_first_step(row: Row) -> None:
    """`fit` refuses a wrong shape, no examples, NaN, and a condition too many or too few."""
    model, data = row.full.restart(), row.case.data(6)

    def changed(change: Any) -> tuple:
        return keras.tree.map_structure(change, data[0]), *data[1:]

    bad = {
        "an axis too many": changed(lambda x: x[:, None]),
        "no examples": keras.tree.map_structure(lambda x: x[:0], data),
        "NaN": changed(lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, np.nan, x)),
    }
    if row.case.condition() is not None:
        bad["no condition"] = data[:1]
    elif len(data) == 1:
        bad["a condition too many"] = (*data, np.zeros(6, int))
    before = model.get_weights()
    for what, arguments in bad.items():
        try:
            model.fit(*arguments, verbose=0)
        except (TypeError, ValueError):
            continue
        except Exception as error:
            raise AssertionError(f"`fit` must refuse data with {what}; received {error!r}.") from error
        raise AssertionError(f"`fit` must refuse data with {what}.")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old, err_msg="Data that are refused must change no weight.")
