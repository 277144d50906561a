"""What `fit`, `evaluate` and `predict` may be handed, brought to one form and checked as it comes.

Arrays, lists and frames become a `Batch` of arrays. Everything else is batches: a `tf.data.Dataset`, a
`PyDataset`, a generator. These are wrapped, so that each batch is checked before a step sees it, and the
error names the batch. The wrappers hold what they check by, never the model: TensorFlow keeps the functions
of data sets for good.
"""

from __future__ import annotations

import contextlib
import numbers
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.batches import Batch, unpack
from keras_genmod.core.checks import ValueRange, check_number, describe
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.spaces import Space
from keras_genmod.data.arrays import as_array, take_rows

__all__ = [
    "WEIGHTS",
    "CheckedSequence",
    "Complaint",
    "array_batch",
    "as_arrays",
    "checked_dataset",
    "checked_iterator",
    "class_table",
    "split",
    "weigh",
]

WEIGHTS = ValueRange(low=0.0, advice="Weights are not negative.")

# Around what a data set's assertion says, to find it in TensorFlow's report.
_MARK = "keras_genmod found bad data: "


def array_batch(x: Any, y: Any, sample_weight: Any, event_shape: tuple[int, ...]) -> Batch | None:
    """Arrays as a batch, or None where `x` holds batches.

    Args:
        x: an array, a list of rows, a dictionary of these, or a tuple or list `(x, condition, sample_weight)`
            of them; lists and frames serve as arrays.
        y, sample_weight: condition and weights, where they are separate arguments.
        event_shape: shape of one row. It tells a list of two rows from a list of rows and conditions.

    Raises:
        ValueError: for conditions or weights in two places.
    """
    if isinstance(x, (tuple, list)) and not _is_rows(x, len(event_shape)):
        batch = unpack(tuple(x))
        if len(x) > 1 and (y is not None or sample_weight is not None):
            raise ValueError(
                "Pass either one tuple `(x, condition, sample_weight)` or separate arguments; received both."
            )
        return as_arrays(batch if len(x) > 1 else Batch(batch.x, y, sample_weight))
    if isinstance(x, (tuple, list, dict)) or hasattr(x, "__array__") or hasattr(x, "toarray"):
        return as_arrays(Batch(x, y, sample_weight))
    on_disk = hasattr(x, "shape") and hasattr(x, "dtype") and hasattr(x, "__getitem__")
    return as_arrays(Batch(x, y, sample_weight)) if on_disk else None


def as_arrays(batch: Batch) -> Batch:
    """The batch with every entry as `data.arrays.as_array` returns it."""
    x, condition, weight = batch
    if isinstance(x, dict):
        x = {name: as_array(name, part) for name, part in x.items()}
    else:
        x = as_array("x", x)
    return Batch(x, as_array("condition", condition), as_array("sample_weight", weight))


def _is_rows(entries: tuple | list, event_rank: int) -> bool:
    """Whether a list holds rows, and not data, conditions and weights."""
    if not entries:
        return True
    first = entries[0]
    if isinstance(first, dict) or first is None:
        return False
    rank = 0
    while isinstance(first, (tuple, list)) and first:
        first, rank = first[0], rank + 1
    rank += np.ndim(first) if not hasattr(first, "shape") else len(first.shape)
    if rank in (event_rank, event_rank + 1):
        return rank == event_rank
    # Neither fits. What is named in the error should be what the user has.
    return len(entries) > 3 or not hasattr(entries[0], "shape")


def split(batch: Batch, fraction: Any) -> tuple[Batch, Batch]:
    """The beginning of each array for training and its end for validation.

    Args:
        batch: arrays; those of unpaired data may have different lengths.
        fraction: the fraction of each array that is held out.
    """
    fraction = check_number("validation_split", fraction, minimum=0.0, maximum=1.0)

    def cut(leaf: Any) -> int:
        rows = leaf.shape[0]
        at = int(rows * (1.0 - fraction))
        if not 0 < at < rows:
            raise ValueError(
                f"`validation_split` must leave examples on both sides; received {fraction} for {rows} "
                "examples."
            )
        return at

    def part(take: Callable[[Any], Any]) -> Batch:
        return keras.tree.map_structure(lambda leaf: None if leaf is None else take(leaf), batch)

    return part(lambda leaf: leaf[: cut(leaf)]), part(lambda leaf: leaf[cut(leaf) :])


class Complaint:
    """Keeps an error that was raised where TensorFlow would report it in words of its own."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keeps what is raised inside."""
        try:
            yield
        except BaseException as error:
            self.error = error
            raise

    @contextlib.contextmanager
    def in_plain_words(self) -> Iterator[None]:
        """Raises the kept error, or that of a data set's assertion, in place of TensorFlow's."""
        try:
            yield
        except tf.errors.OpError as error:
            if self.error is not None:
                raise self.error from None
            found = re.search(f"{re.escape(_MARK)}(.*?){re.escape(_MARK)}", str(error), re.DOTALL)
            if found is None:
                raise
            raise ValueError(found.group(1).replace("\\'", "'")) from None


def class_table(class_weight: Mapping[int, float], num_classes: int) -> np.ndarray:
    """The weight of each class, float32 `[num_classes]`; 1 for classes left out."""
    table = np.ones(num_classes, np.float32)
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            "`class_weight` must be a dictionary from classes to weights, such as {0: 1.0, 1: 5.0}; received "
            f"{describe(class_weight)}."
        )
    for label, weight in class_weight.items():
        whole = isinstance(label, numbers.Integral) and not isinstance(label, bool)
        if not whole or not 0 <= label < num_classes:
            raise ValueError(
                f"The keys of `class_weight` must be classes, integers from 0 to {num_classes - 1}; received "
                f"{label!r}."
            )
        table[label] = check_number(f"class_weight[{label}]", weight, minimum=0.0)
    return table


def weigh(batch: Batch, table: np.ndarray, condition: ConditionSpec) -> Batch:
    """A batch, of arrays or of a graph's tensors, whose weights are multiplied by those of its classes.

    Args:
        batch: with classes as its condition.
        table: the weight of each class, see `class_table`.
        condition: what the condition is.
    """
    if batch.condition is None:
        raise ValueError(
            "`class_weight` needs the classes of the examples; received data without. Pass them second: "
            "`fit(x, classes)`."
        )
    symbolic = tf.is_tensor(batch.condition)
    labels = condition.standardize(batch.condition if symbolic else take_rows(batch.condition, slice(None)))
    weight = tf.gather(table, labels) if symbolic else table[np.asarray(labels)]
    return batch._replace(weight=weight if batch.weight is None else weight * batch.weight)


def checked_dataset(
    dataset: tf.data.Dataset,
    first: Batch,
    space: Space,
    condition: ConditionSpec,
    table: np.ndarray | None = None,
) -> tf.data.Dataset:
    """A data set whose batches have static shapes, are weighed, and are checked by assertions in its graph.

    Args:
        dataset: the batches.
        first: the first of them, which was checked in Python; the others have its types and row shapes.
        space: the space of `x`.
        condition: what conditions may be.
        table: the weight of each class, if examples are weighed by it.
    """
    ranges = Batch(space.accepted, _condition_range(condition, first.condition), WEIGHTS)
    names = (space.name, "condition", "sample_weight")
    one_hot = condition.num_classes is not None and _is_one_hot(first.condition, condition)

    def prepare(number: tf.Tensor, *data: Any) -> tuple:
        batch = unpack(data)
        batch = Batch(*(_with_row_shapes(*each, number) for each in zip(names, batch, first, strict=True)))
        checked = []
        for name, part, allowed in zip(names, batch, ranges, strict=True):
            if tf.is_tensor(part) and allowed is not None:
                assertions = _value_assertions(name, part, allowed, number)
                if name == "condition" and one_hot:
                    assertions.append(_one_hot_assertion(part, number))
                if tf.is_tensor(batch.x):
                    assertions.append(_length_assertion(name, part, batch.x, number))
                with tf.control_dependencies(assertions):
                    part = tf.identity(part)
            checked.append(part)
        batch = Batch(*checked) if table is None else weigh(Batch(*checked), table, condition)
        return tuple(() if part is None else part for part in batch)

    # Checked while the step before runs.
    return dataset.enumerate().map(prepare).prefetch(1)


def _condition_range(condition: ConditionSpec, first: Any) -> ValueRange | None:
    """The values of conditions; None where the second entry of a batch is something else, such as targets."""
    if condition.num_classes is None:
        return ValueRange() if condition else None
    highest = 1 if _is_one_hot(first, condition) else condition.num_classes - 1
    return ValueRange(0, highest, integer=True, advice="Raise `num_classes`, or relabel.")


def _is_one_hot(first: Any, condition: ConditionSpec) -> bool:
    return len(first.shape) == 2 and first.shape[1] == condition.num_classes


def _with_row_shapes(name: str, part: Any, first: Any, number: tf.Tensor) -> Any:
    """A nest of tensors with the row shapes of the first batch, also where TensorFlow does not know them."""
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
        with tf.control_dependencies([_assertion(fits, message, [number, tf.shape(leaf)])]):
            leaf = tf.identity(leaf)
        return tf.ensure_shape(leaf, [None, *row_shape])

    return keras.tree.map_structure(shaped, part, first)


def _assertion(holds: tf.Tensor, message: str, values: list) -> tf.Tensor:
    """Fails, where something does not hold, with a message of which `{}` are the values."""

    def refuse() -> tf.Tensor:
        text = tf.strings.format(f"{_MARK}{message}{_MARK}", values)
        with tf.control_dependencies([tf.Assert(False, [text])]):
            return tf.constant(False)

    return tf.cond(holds, lambda: tf.constant(True), refuse)


def _length_assertion(name: str, part: tf.Tensor, x: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    rows, length = tf.shape(part)[0], tf.shape(x)[0]
    message = (
        f"`{name}` must have one row for each of the {{}} examples, and one at least; batch {{}} has {{}}."
    )
    return _assertion((rows == length) & (rows > 0), message, [length, number, rows])


def _one_hot_assertion(rows: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    message = (
        "`condition` must hold one-hot rows, one 1 among zeros; batch {} (counted from 0) holds others. Pass "
        "the numbers of the classes, or build the model with `condition_shape=` for mixtures of them."
    )
    return _assertion(tf.reduce_all(tf.reduce_sum(rows, axis=-1) == 1), message, [number])


def _value_assertions(name: str, value: tf.Tensor, accepted: ValueRange, number: tf.Tensor) -> list:
    """Assertions that a batch holds accepted values; none where its dtype holds no others."""
    dtype = value.dtype
    if dtype == tf.bool or not (dtype.is_floating or dtype.is_integer):
        return []
    low, high = max(accepted.low, dtype.min), min(accepted.high, dtype.max)
    lowest, highest = tf.reduce_min(value), tf.reduce_max(value)
    must = f"`{name}` must hold {accepted}; batch {{}} (counted from 0)"
    assertions = []
    if dtype.is_floating:
        # NaN need be neither the least nor the largest. Numbers within bounds have a finite sum.
        bounded = np.isfinite(accepted.low) and np.isfinite(accepted.high)
        finite = tf.reduce_all(tf.math.is_finite(tf.reduce_sum(value) if bounded else value))
        message = f"{must} holds NaN, infinite or huge ones, of values from {{}} to {{}}."
        assertions.append(_assertion(finite, message, [number, lowest, highest]))
    if low > dtype.min or high < dtype.max:
        low, high = (np.asarray(bound).astype(dtype.as_numpy_dtype) for bound in (low, high))
        message = f"{must} holds values from {{}} to {{}}. {accepted.advice}"
        assertions.append(_assertion((lowest >= low) & (highest <= high), message, [number, lowest, highest]))
    if accepted.integer and dtype.is_floating:
        whole = tf.reduce_all(value == tf.floor(value))
        assertions.append(_assertion(whole, f"{must} holds fractions. {accepted.advice}", [number]))
    return assertions


class CheckedSequence(keras.utils.PyDataset):
    """A `PyDataset` whose batches are brought to the model's form.

    Args:
        data: the user's.
        prepare: from a batch and its number to the tuple that a step takes.
        complaint: keeps what is raised, by the user's code too.
    """

    def __init__(
        self,
        data: keras.utils.PyDataset,
        prepare: Callable[[Any, int], tuple],
        complaint: Complaint,
    ) -> None:
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self._data, self._prepare, self._complaint = data, prepare, complaint

    @property
    def num_batches(self) -> int | None:
        """That of the user's data."""
        return self._data.num_batches

    def __getitem__(self, index: int) -> tuple:
        with self._complaint.kept():
            return self._prepare(self._data[index], index)

    def on_epoch_begin(self) -> None:
        """Tells the user's data."""
        self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Tells the user's data."""
        self._data.on_epoch_end()


def checked_iterator(data: Iterable, prepare: Callable[[Any, int], tuple], complaint: Complaint) -> Iterator:
    """The batches of an iterator in the model's form, each taken when it is asked for."""
    with complaint.kept():
        for number, batch in enumerate(data):
            yield prepare(batch, number)
