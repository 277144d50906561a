"""What a conditional model is conditioned on: a class, or an array of floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

__all__ = ["ConditionSpec"]


@dataclass(frozen=True)
class ConditionSpec:
    """The condition that a model takes: none, classes (int `[B]`) or arrays (float `[B, *shape]`).

    Args:
        num_classes: number of classes, or None.
        shape: shape of one array, or None.
        real_dtype: dtype of arrays.
    """

    num_classes: int | None = None
    shape: tuple[int, ...] | None = None
    real_dtype: tf.DType = tf.float32

    @classmethod
    def of(cls, num_classes: Any, condition_shape: Any, real_dtype: tf.DType = tf.float32) -> ConditionSpec:
        """Checks the two constructor arguments that every family shares."""
        if num_classes is not None and condition_shape is not None:
            raise ValueError(
                "`num_classes` and `condition_shape` exclude each other; received "
                f"num_classes={num_classes!r} and condition_shape={condition_shape!r}. "
                "For both, pass arrays that hold a one-hot class beside the rest."
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

    def tensor_spec(self, num_rows: int | None = None) -> tf.TensorSpec:
        """The signature entry named `condition`."""
        return tf.TensorSpec((num_rows, *self.row_shape), self.dtype, name="condition")

    def keras_input(self) -> keras.KerasTensor:
        """The second input of a conditional network."""
        return keras.Input(self.row_shape, dtype=self.dtype, name="condition")

    def __str__(self) -> str:
        if self.num_classes is not None:
            return f"whole numbers [batch] from 0 to {self.num_classes - 1}"
        return f"floats [{', '.join(['batch', *map(str, self.row_shape)])}]"

    def check_presence(self, condition: Any) -> None:
        """Refuses a condition too many or too few."""
        if self and condition is None:
            raise ValueError(
                f"This model is conditional: it needs a `condition`, {self}; received none. "
                "In `fit` pass it second: `fit(x, condition)`."
            )
        if not self and condition is not None:
            raise ValueError(
                "This model is unconditional; received a `condition` "
                f"({describe(condition)}). Leave it out, or build the model with "
                "`num_classes=` or `condition_shape=`."
            )

    def check_values(self, condition: Any) -> None:
        """Refuses conditions (arrays) of another shape, type or range."""
        condition = np.asarray(condition)
        check_rows("condition", condition, self.row_shape)
        if self.num_classes is None:
            ValueRange().check("condition", condition)
        else:
            ValueRange(
                0, self.num_classes - 1, integer=True, advice="Raise `num_classes`, or relabel."
            ).check("condition", condition)

    def rows(self, condition: Any, num_rows: Any) -> tf.Tensor | None:
        """The condition as one row per example: a single one is repeated, its rank decides."""
        self.check_presence(condition)
        if condition is None:
            return None
        if not tf.is_tensor(condition):
            condition = np.asarray(condition)
        single = len(condition.shape) == len(self.row_shape) and all(
            have in (None, want) for have, want in zip(condition.shape, self.row_shape, strict=True)
        )
        if not single:
            check_rows("condition", condition, self.row_shape)
        if not tf.is_tensor(condition) or hasattr(condition, "numpy"):
            self.check_values(np.asarray(condition)[None] if single else condition)
        condition = tf.cast(condition, self.dtype)
        if single:
            return tf.broadcast_to(condition, (num_rows, *self.row_shape))
        if isinstance(num_rows, int) and condition.shape[0] not in (None, num_rows):
            raise ValueError(
                f"`condition` must have one row per example, {num_rows}, or be a single one "
                f"without the batch axis; received shape {tuple(condition.shape)}."
            )
        return condition
