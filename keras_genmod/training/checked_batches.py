"""Batches of a user's that are checked before a step sees them: data sets, `PyDataset`s and generators.

The error names the batch. The wrappers never hold the model: TensorFlow keeps the functions of data sets for
ever.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.batches import Batch, unpack
from keras_genmod.core.checks import ValueRange
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.kept_errors import KeptError
from keras_genmod.core.spaces import Space
from keras_genmod.core.targets import TargetSpec
from keras_genmod.training.inputs import WEIGHTS, weigh

__all__ = ["CheckedSequence", "checked_dataset", "checked_iterator", "plain_assertions"]

# Stands around the message of a data set's assertion, to find it in TensorFlow's report.
_MARK = "keras_genmod found bad data: "


def checked_dataset(
    dataset: tf.data.Dataset,
    first: Batch,
    space: Space | Sequence[Space],
    second: ConditionSpec | TargetSpec,
    table: np.ndarray | None = None,
) -> tf.data.Dataset:
    """A data set whose batches are checked by assertions in its graph, and have static row shapes.

    Args:
        dataset: The batches.
        first: The first batch, which was checked in Python. The others must have its types and row shapes.
        space: The space of `x`, or those of its arrays if it is a dictionary.
        second: Describes the second entry, the condition or the target.
        table: Weights of all classes, if they weigh the examples.
    """
    parts = () if isinstance(space, Space) else tuple(space)
    x_name, x_range = (space.name, space.accepted) if isinstance(space, Space) else ("x", None)
    ranges = Batch(x_range, _range_of_second(second, first.condition), WEIGHTS)
    names = (x_name, second.name, "sample_weight")
    one_hot = second.num_classes is not None and _is_one_hot(first.condition, second.num_classes)

    def prepare(number: tf.Tensor, *data: Any) -> tuple:
        batch = unpack(data)
        batch = Batch(*(_with_row_shapes(*each, number) for each in zip(names, batch, first, strict=True)))
        checks = []
        for name, part, allowed in zip(names, batch, ranges, strict=True):
            if tf.is_tensor(part) and allowed is not None:
                checks += _value_checks(name, part, allowed, number)
                if name == second.name and one_hot:
                    checks.append(_one_hot_check(part, number))
                if tf.is_tensor(batch.x):
                    checks.append(_length_check(name, part, batch.x, number))
        for one in parts:
            checks += _value_checks(one.name, batch.x[one.name], one.accepted, number)
        with tf.control_dependencies([_assertion(checks)] if checks else []):
            batch = keras.tree.map_structure(lambda leaf: leaf if leaf is None else tf.identity(leaf), batch)
        # Only classes have a table.
        batch = batch if table is None else weigh(batch, table, cast(ConditionSpec, second))
        return tuple(() if part is None else part for part in batch)

    # The next batch is checked while a step runs.
    return dataset.enumerate().map(prepare).prefetch(1)


def _range_of_second(second: ConditionSpec | TargetSpec, first: Any) -> ValueRange | None:
    """The values that the second entry may have; None if the model takes none."""
    if not second:
        return None
    one_hot = second.num_classes is not None and _is_one_hot(first, second.num_classes)
    return ValueRange(0, 1, integer=True) if one_hot else second.value_range()


def _is_one_hot(first: Any, num_classes: int) -> bool:
    return len(first.shape) == 2 and first.shape[1] == num_classes


def _with_row_shapes(name: str, part: Any, first: Any, number: tf.Tensor) -> Any:
    """Gives a nest of tensors the row shapes of the first batch, where TensorFlow does not know them."""
    if part is None or first is None:
        return part

    def shaped(leaf: Any, known: Any) -> Any:
        row_shape = list(known.shape[1:])
        if not tf.is_tensor(leaf) or (leaf.shape.rank is not None and leaf.shape[1:].is_fully_defined()):
            return leaf
        fits = tf.reduce_all(tf.equal(tf.rank(leaf), len(row_shape) + 1))
        fits &= tf.reduce_all(tf.equal(tf.shape(leaf)[-len(row_shape) :], row_shape) if row_shape else fits)
        wanted = ", ".join(["batch", *map(str, row_shape)])
        message = f"`{name}` must have shape [{wanted}] as in the first batch; batch {{}} has shape {{}}."
        with tf.control_dependencies([_assertion([_Check(fits, message, [number, tf.shape(leaf)])])]):
            leaf = tf.identity(leaf)
        return tf.ensure_shape(leaf, [None, *row_shape])

    return keras.tree.map_structure(shaped, part, first)


class _Check(NamedTuple):
    """What must hold of a batch, and the message if it does not, in which the values stand for `{}`."""

    holds: tf.Tensor
    message: str
    values: list


def _assertion(checks: Sequence[_Check]) -> tf.Tensor:
    """Fails with the message of the first check that does not hold."""
    # One branch for all checks, and messages inside it: a batch without faults costs its comparisons alone.
    holds = tf.stack([check.holds for check in checks])

    def refuse() -> tf.Tensor:
        texts = [tf.strings.format(f"{_MARK}{check.message}{_MARK}", check.values) for check in checks]
        first = tf.stack(texts)[tf.argmin(tf.cast(holds, tf.int32))]
        with tf.control_dependencies([tf.Assert(False, [first])]):
            return tf.constant(False)

    return tf.cond(tf.reduce_all(holds), lambda: tf.constant(True), refuse)


def _length_check(name: str, part: tf.Tensor, x: tf.Tensor, number: tf.Tensor) -> _Check:
    rows, length = tf.shape(part)[0], tf.shape(x)[0]
    message = (
        f"`{name}` must have one row for each of the {{}} examples, and one at least; batch {{}} has {{}}."
    )
    return _Check((rows == length) & (rows > 0), message, [length, number, rows])


def _one_hot_check(rows: tf.Tensor, number: tf.Tensor) -> _Check:
    message = (
        "`condition` must hold one-hot rows, one 1 among zeros; batch {} (counted from 0) holds others. Pass "
        "the numbers of the classes, or build the model with `condition_shape=` to use mixtures of classes."
    )
    return _Check(tf.reduce_all(tf.reduce_sum(rows, axis=-1) == 1), message, [number])


def _value_checks(name: str, value: tf.Tensor, accepted: ValueRange, number: tf.Tensor) -> list[_Check]:
    """Checks that a batch holds accepted values; none if its dtype has no others."""
    dtype = value.dtype
    if dtype == tf.bool or not (dtype.is_floating or dtype.is_integer):
        return []
    low, high = max(accepted.low, dtype.min), min(accepted.high, dtype.max)
    lowest, highest = tf.reduce_min(value), tf.reduce_max(value)
    must = f"`{name}` must hold {accepted}; batch {{}} (counted from 0)"
    checks = []
    if dtype.is_floating:
        # The minimum and the maximum may miss a NaN. Numbers within finite bounds have a finite sum.
        bounded = np.isfinite(accepted.low) and np.isfinite(accepted.high)
        finite = tf.reduce_all(tf.math.is_finite(tf.reduce_sum(value) if bounded else value))
        message = f"{must} holds NaN, infinite or huge ones, of values from {{}} to {{}}."
        checks.append(_Check(finite, message, [number, lowest, highest]))
    if low > dtype.min or high < dtype.max:
        low, high = (np.asarray(bound).astype(dtype.as_numpy_dtype) for bound in (low, high))
        message = f"{must} holds values from {{}} to {{}}. {accepted.advice}"
        checks.append(_Check((lowest >= low) & (highest <= high), message, [number, lowest, highest]))
    if accepted.integer and dtype.is_floating:
        discrete = tf.reduce_all(value == tf.floor(value))
        checks.append(_Check(discrete, f"{must} holds fractions. {accepted.advice}", [number]))
    return checks


@contextlib.contextmanager
def plain_assertions() -> Iterator[None]:
    """Around the call of TensorFlow: raises a failed assertion of `checked_dataset` as a `ValueError`."""
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(f"{re.escape(_MARK)}(.*?){re.escape(_MARK)}", str(error), re.DOTALL)
        if found is None:
            raise
        raise ValueError(found.group(1).replace("\\'", "'")) from None


class CheckedSequence(keras.utils.PyDataset):
    """A `PyDataset` of a user's, with checked batches.

    Args:
        data: The user's data.
        prepare: Function from a batch and its number to the tuple that a step takes.
        error: Keeps an error of `prepare` or of the user's code.
    """

    def __init__(
        self,
        data: keras.utils.PyDataset,
        prepare: Callable[[Any, int], tuple],
        error: KeptError,
    ) -> None:
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self._data, self._prepare, self._error = data, prepare, error

    @property
    def num_batches(self) -> int | None:
        """Number of batches of the user's data."""
        return self._data.num_batches

    def __getitem__(self, index: int) -> tuple:
        with self._error.keep():
            return self._prepare(self._data[index], index)

    def on_epoch_begin(self) -> None:
        """Passes the event on to the user's data."""
        self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Passes the event on to the user's data."""
        self._data.on_epoch_end()


def checked_iterator(data: Iterable, prepare: Callable[[Any, int], tuple], error: KeptError) -> Iterator:
    """The checked batches of an iterator. Each is taken from it only when it is asked for."""
    with error.keep():
        for number, batch in enumerate(data):
            yield prepare(batch, number)
