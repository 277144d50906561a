"""Padding of pictures by reflection, so that borders look like the inside."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer, describe
from keras_genmod.core.registration import register

__all__ = ["ReflectionPadding2D"]


@register
class ReflectionPadding2D(keras.layers.Layer):
    """Adds rows and columns that mirror a picture's, without repeating the border: c b [a b c] b a.

    Args:
        padding: Number of pixels to add at each side, or `((top, bottom), (left, right))`. A side must have
            more pixels than are added to it.

    Call arguments:
        inputs: `[B, height, width, C]`.

    Returns:
        `[B, top + height + bottom, left + width + right, C]`.

    Example:
        >>> x = tf.reshape([1.0, 2.0, 3.0], [1, 1, 3, 1])
        >>> ReflectionPadding2D(((0, 0), (2, 1)))(x).numpy().ravel().tolist()
        [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """

    def __init__(self, padding: Any = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding = _checked(padding)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """`inputs`, padded."""
        return tf.pad(inputs, [(0, 0), *self.padding, (0, 0)], mode="REFLECT")

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Keras' hook: the padded shape.

        Raises:
            ValueError: For a side that is too short to be mirrored.
        """
        batch, *sides, channels = input_shape
        for side, added in zip(sides, self.padding, strict=True):
            if side is not None and max(added) >= side:
                raise ValueError(
                    f"Reflection of {max(added)} pixels needs sides of at least {max(added) + 1}; received "
                    f"{tuple(input_shape)}. Take larger pictures, or less padding."
                )
        padded = (
            None if side is None else side + sum(p) for side, p in zip(sides, self.padding, strict=True)
        )
        return (batch, *padded, channels)

    def compute_output_spec(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Keras' hook: the symbolic output."""
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)

    def get_config(self) -> dict:
        """Keras' hook: the constructor arguments."""
        return {**super().get_config(), "padding": self.padding}


def _checked(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    try:
        if isinstance(padding, int):
            padding = ((padding, padding), (padding, padding))
        (top, bottom), (left, right) = padding
        top, bottom, left, right = (
            check_integer("padding", one, minimum=0) for one in (top, bottom, left, right)
        )
    except (TypeError, ValueError):
        raise ValueError(
            "`padding` must be a number of pixels or ((top, bottom), (left, right)); received "
            f"{describe(padding)}."
        ) from None
    return (top, bottom), (left, right)
