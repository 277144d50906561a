"""What a conditional model is conditioned on: a class, or an array of floats.

A user may pass classes as integers `[B]`, as a column of integers `[B, 1]` or as one-hot vectors
`[B, num_classes]`. Inside the model they are always integers, int32 `[B]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import (
    ValueRange,
    check_integer,
    check_rows,
    check_shape_tuple,
    describe,
)
from keras_genmod.core.spaces import Space

__all__ = ["ConditionSpec"]


@dataclass(frozen=True)
class ConditionSpec:
    """The condition that a model takes: none, classes (int `[B]`) or arrays (float `[B, *shape]`).

    Args:
        num_classes: Number of classes; None where conditions are no classes.
        shape: Shape of one array; None where conditions are no arrays.
        real_dtype: Dtype of arrays.
    """

    num_classes: int | None = None
    shape: tuple[int, ...] | None = None
    real_dtype: tf.DType = tf.float32
    # What errors about batches call it.
    name: ClassVar[str] = "condition"

    @classmethod
    def of(cls, num_classes: Any, condition_shape: Any, real_dtype: tf.DType = tf.float32) -> ConditionSpec:
        """The condition of the constructor arguments `num_classes` and `condition_shape`, which it checks."""
        if num_classes is not None and condition_shape is not None:
            raise ValueError(
                "`num_classes` and `condition_shape` exclude each other; received "
                f"num_classes={num_classes!r} and condition_shape={condition_shape!r}. "
                "For both, use `condition_shape` and arrays that hold a one-hot class beside the rest."
            )
        if num_classes is not None:
            return cls(num_classes=check_integer("num_classes", num_classes, minimum=2))
        if condition_shape is not None:
            return cls(shape=check_shape_tuple("condition_shape", condition_shape), real_dtype=real_dtype)
        return cls()

    def __bool__(self) -> bool:
        return self.num_classes is not None or self.shape is not None

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one condition; `()` for a class."""
        return () if self.shape is None else self.shape

    @property
    def dtype(self) -> str:
        """`"int32"` for classes, `"float32"` or `"float64"` for arrays."""
        return "int32" if self.num_classes is not None else self.real_dtype.name

    def spaces(self) -> tuple[Space, ...]:
        """The condition as inputs of an endpoint or a network: its one space, or none if there is none."""
        if not self:
            return ()
        return (Space("condition", self.row_shape, self.dtype, self.value_range()),)

    def value_range(self) -> ValueRange:
        """The values of conditions: numbers of classes, or any finite values."""
        if self.num_classes is None:
            return ValueRange()
        advice = "Raise `num_classes`, or relabel."
        return ValueRange(0, self.num_classes - 1, integer=True, advice=advice)

    def __str__(self) -> str:
        if self.num_classes is not None:
            return (
                f"integers [batch] from 0 to {self.num_classes - 1} or one-hot vectors "
                f"[batch, {self.num_classes}]"
            )
        return f"floats [{', '.join(['batch', *map(str, self.row_shape)])}]"

    def check_presence(self, condition: Any) -> None:
        """Refuses a missing condition, and one that is given to an unconditional model."""
        if self and condition is None:
            raise ValueError(
                f"This model is conditional: it needs a `condition`, {self}; received none. "
                "Pass it second, `fit(x, condition)`, to `predict` in a tuple, `predict((x, condition))`, "
                "and by name to `sample` and to callbacks that draw, `condition=`."
            )
        if not self and condition is not None:
            raise ValueError(
                "This model is unconditional; received a `condition` "
                f"({describe(condition)}). Leave it out, or build the model with "
                "`num_classes=` or `condition_shape=`."
            )

    def check_values(self, condition: Any) -> None:
        """Refuses conditions of another shape, type or range; `condition` is an array, one row an example."""
        condition = np.asarray(condition)
        if self.num_classes is not None and self._is_one_hot(condition):
            self._check_one_hot(condition)
            return
        if self.num_classes is not None and _is_one_hot_of_others(condition):
            raise ValueError(
                f"`condition` must hold {self}; received one-hot vectors of {condition.shape[1]} classes, "
                f"shape {condition.shape}. Build the model with `num_classes={condition.shape[1]}`, or "
                "relabel."
            )
        if self.num_classes is not None and self._is_column(condition):
            condition = condition[:, 0]
        check_rows("condition", condition, self.row_shape)
        self.value_range().check("condition", condition)

    def standardize(self, condition: Any) -> tf.Tensor | None:
        """Conditions in the model's form: classes as int32 `[B]`, arrays in the real dtype.

        Args:
            condition: An array or tensor with one condition a row; classes may be one-hot vectors.
        """
        if not self or condition is None:
            return condition
        rank = _rank(condition)
        if self.num_classes is None or rank not in (2, None):
            return tf.cast(condition, self.dtype)
        if rank is None:
            # One graph serves batches of integers and batches of one-hot vectors.
            condition = tf.reshape(condition, [tf.shape(condition)[0], -1])
        if condition.shape[1] not in (None, 1, self.num_classes):
            return condition
        column = tf.cast(condition[:, 0], self.dtype)
        if condition.shape[1] == 1:
            return column
        numbers = tf.argmax(tf.cast(condition, tf.float32), axis=-1, output_type=tf.int32)
        return numbers if condition.shape[1] else tf.where(tf.shape(condition)[1] == 1, column, numbers)

    def rows(self, condition: Any, num_rows: Any) -> tf.Tensor | None:
        """The condition in the model's form, one row an example.

        Args:
            condition: One a row, or a single one for all rows, which its rank tells; None without one.
            num_rows: Number of rows, an integer or a scalar tensor.
        """
        if isinstance(condition, keras.KerasTensor):
            raise TypeError(
                "`condition` must be an array or tensor; received a KerasTensor, which has no values. "
                "Inside another Keras model call the model itself, `model(x, condition=condition)`."
            )
        self.check_presence(condition)
        if condition is None:
            return None
        if not tf.is_tensor(condition):
            condition = np.asarray(condition)
        single = _rank(condition) == len(self.row_shape) and all(
            have in (None, want) for have, want in zip(condition.shape, self.row_shape, strict=True)
        )
        if not tf.is_tensor(condition) or hasattr(condition, "numpy"):
            self.check_values(np.asarray(condition)[None] if single else condition)
            self._check_not_one_vector(condition, num_rows)
        condition = self.standardize(condition)
        if _rank(condition) is None:
            return tf.ensure_shape(condition, (None, *self.row_shape))
        if single:
            return tf.broadcast_to(condition, (num_rows, *self.row_shape))
        check_rows("condition", condition, self.row_shape)
        if isinstance(num_rows, int) and condition.shape[0] not in (None, num_rows):
            raise ValueError(
                f"`condition` must have one row per example, {num_rows}, or be a single one "
                f"without the batch axis; received shape {tuple(condition.shape)}."
            )
        return condition

    # ---- classes that are not integers [B] --------------------------------------------------------

    def _is_one_hot(self, condition: np.ndarray) -> bool:
        return _rank(condition) == 2 and condition.shape[1] == self.num_classes

    def _is_column(self, condition: np.ndarray) -> bool:
        return _rank(condition) == 2 and condition.shape[1] == 1

    def _check_one_hot(self, condition: np.ndarray) -> None:
        """Refuses rows `[B, num_classes]` that do not hold one 1 among zeros."""
        check_rows("condition", condition, condition.shape[1:])
        ValueRange().check("condition", condition)
        wrong = np.flatnonzero(~_rows_are_one_hot(condition))
        if wrong.size:
            row = np.array2string(condition[wrong[0]].astype(np.float64), separator=", ", threshold=8)
            raise ValueError(
                f"`condition` of shape {condition.shape} must hold one-hot rows, one 1 among zeros; received "
                f"{row} in row {wrong[0]} ({wrong.size} such rows). Pass the numbers of the classes, such as "
                "`np.argmax(condition, axis=-1)`, or build the model with "
                f"`condition_shape=({self.num_classes},)` for conditions that are mixtures."
            )

    def _check_not_one_vector(self, condition: Any, num_rows: Any) -> None:
        """Refuses a single one-hot vector, which would otherwise be read as `num_classes` class numbers."""
        condition = np.asarray(condition)
        if self.num_classes is None or condition.shape != (self.num_classes,):
            return
        one_hot = _rows_are_one_hot(condition[None])[0]
        if one_hot and (condition.dtype.kind not in "iu" or num_rows != self.num_classes):
            number = condition.argmax()
            raise ValueError(
                f"`condition` of shape {condition.shape} holds {self.num_classes} class numbers, one per "
                f"example; received what looks like one one-hot vector. For class {number} in all examples "
                f"pass its number, `condition={number}`; pass class numbers as integers."
            )


def _rank(condition: Any) -> int | None:
    """Number of axes of an array or tensor; None where only the running graph knows it."""
    shape = getattr(condition, "shape", ())
    return None if getattr(shape, "rank", 0) is None else len(shape)


def _rows_are_one_hot(condition: np.ndarray) -> np.ndarray:
    """Tells for each row `[B, K]` whether it holds one 1 among zeros."""
    return (np.sum(condition == 1, axis=1) == 1) & (np.sum(condition != 0, axis=1) == 1)


def _is_one_hot_of_others(condition: np.ndarray) -> bool:
    """Whether an array holds one-hot vectors of another number of classes than the model's."""
    return condition.ndim == 2 and condition.shape[1] > 1 and bool(_rows_are_one_hot(condition).all())
