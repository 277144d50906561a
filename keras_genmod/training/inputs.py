"""The forms of data that `fit`, `evaluate` and `predict` take, brought to one form.

Arrays, lists and frames become a `Batch` of arrays. Everything else holds batches: a `tf.data.Dataset`, a
`PyDataset` or a generator; `checked_batches` wraps these.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.batches import Batch, unpack
from keras_genmod.core.checks import ValueRange, check_number, describe
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.data.arrays import as_array, take_rows

__all__ = [
    "WEIGHTS",
    "array_batch",
    "as_arrays",
    "class_table",
    "split",
    "weigh",
]

WEIGHTS = ValueRange(low=0.0, advice="Weights must not be negative.")


def array_batch(x: Any, y: Any, sample_weight: Any, event_shape: tuple[int, ...]) -> Batch | None:
    """Arrays as a batch; None if `x` holds batches.

    Args:
        x: An array, a list of rows, a dictionary of these, or a tuple or list `(x, condition, sample_weight)`
            of them. Frames serve as arrays.
        y, sample_weight: Condition and weights, if they are separate arguments.
        event_shape: Shape of one row. It tells a list of two rows from a list of rows and conditions.

    Raises:
        ValueError: If conditions or weights are given twice.
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
    """Applies `data.arrays.as_array` to each entry of a batch."""
    x, condition, weight = batch
    if isinstance(x, dict):
        x = {name: as_array(name, part) for name, part in x.items()}
    else:
        x = as_array("x", x)
    return Batch(x, as_array("condition", condition), as_array("sample_weight", weight))


def _is_rows(entries: tuple | list, event_rank: int) -> bool:
    """Whether a list holds rows, rather than data, conditions and weights."""
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
    # Neither fits. The guess decides what the error will name.
    return len(entries) > 3 or not hasattr(entries[0], "shape")


def split(batch: Batch, fraction: Any) -> tuple[Batch, Batch]:
    """Splits each array into its beginning, for training, and its end, for validation.

    Args:
        batch: The arrays. Those of unpaired data may have different lengths.
        fraction: Fraction of each array that is held out for validation.
    """
    fraction = check_number("validation_split", fraction, minimum=0.0, maximum=1.0)

    def cut(leaf: Any) -> int:
        rows = leaf.shape[0]
        at = int(rows * (1.0 - fraction))
        if not 0 < at < rows:
            raise ValueError(
                f"`validation_split` must leave examples on both sides; received {fraction} for {rows} "
                "examples. Choose a fraction nearer to the middle, or pass `validation_data`."
            )
        return at

    def part(take: Callable[[Any], Any]) -> Batch:
        return keras.tree.map_structure(lambda leaf: None if leaf is None else take(leaf), batch)

    return part(lambda leaf: leaf[: cut(leaf)]), part(lambda leaf: leaf[cut(leaf) :])


def class_table(class_weight: Mapping[int, float], num_classes: int) -> np.ndarray:
    """Weights of all classes, float32 `[num_classes]`; 1 for classes left out."""
    table = np.ones(num_classes, np.float32)
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            "`class_weight` must be a dictionary from classes to weights, such as {0: 1.0, 1: 5.0}; received "
            f"{describe(class_weight)}."
        )
    for label, weight in class_weight.items():
        is_integer = isinstance(label, numbers.Integral) and not isinstance(label, bool)
        if not is_integer or not 0 <= label < num_classes:
            raise ValueError(
                f"The keys of `class_weight` must be classes, integers from 0 to {num_classes - 1}; received "
                f"{label!r}."
            )
        table[label] = check_number(f"class_weight[{label}]", weight, minimum=0.0)
    return table


def weigh(batch: Batch, table: np.ndarray, condition: ConditionSpec) -> Batch:
    """Multiplies the weights of a batch by the weights of its classes.

    Args:
        batch: Arrays, or tensors of a graph, with classes as the condition.
        table: Weights of all classes, see `class_table`.
        condition: Describes the condition.
    """
    if batch.condition is None:
        raise ValueError(
            "`class_weight` needs the classes of the examples; received data without classes. Pass them "
            "second: `fit(x, classes)`."
        )
    symbolic = tf.is_tensor(batch.condition)
    labels = condition.standardize(batch.condition if symbolic else take_rows(batch.condition, slice(None)))
    weight = tf.gather(table, labels) if symbolic else table[np.asarray(labels)]
    return batch._replace(weight=weight if batch.weight is None else weight * batch.weight)
