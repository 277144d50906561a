"""A layer that feeds a condition into a network."""

from __future__ import annotations

import keras
from keras import ops

from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register

__all__ = ["ConcatenateCondition"]


@register
class ConcatenateCondition(keras.layers.Layer):
    r"""Appends a condition to the channels of a tensor: $[x, c] \mapsto x \oplus e(c)$.

    Classes become one-hot vectors. If `x` is an image, a vector condition is repeated at every pixel, and an
    image condition of the same height and width is appended unchanged.

    Args:
        num_classes: Number of classes (at least 2) if the condition is a class, else None.

    Call arguments:
        inputs: List of `x` `[B, ..., C]` and the condition, int `[B]` or float `[B, *shape]`.

    Returns:
        `[B, ..., C + E]`, where `E` is `num_classes` or the condition's number of channels.

    Raises:
        ValueError: If an image-shaped condition has another height or width than `x`.

    Reference: Conditional Generative Adversarial Nets, Mirza and Osindero, 2014.
    """

    def __init__(self, num_classes: int | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.num_classes = (
            None if num_classes is None else check_integer("num_classes", num_classes, minimum=2)
        )

    def build(self, input_shape) -> None:
        """Checks that the two shapes fit together. The layer has no weights."""
        self._encoded_shape(*input_shape)

    def _encoded_shape(self, x_shape, condition_shape) -> tuple:
        """Shape of the condition when it is concatenated with `x`."""
        if self.num_classes is not None:
            return (*x_shape[:-1], self.num_classes)
        condition_shape = tuple(condition_shape)
        if len(condition_shape) == len(x_shape):
            if condition_shape[1:-1] != tuple(x_shape[1:-1]):
                raise ValueError(
                    f"The condition of data of shape {tuple(x_shape)} must be a vector or have the same "
                    f"height and width; received {condition_shape}. Resize it, or give the model your own "
                    "networks."
                )
            return condition_shape
        size = 1
        for side in condition_shape[1:]:
            size *= side
        return (*x_shape[:-1], size)

    def call(self, inputs):
        """Concatenates along the last axis."""
        x, condition = inputs
        shape = self._encoded_shape(x.shape, condition.shape)
        if self.num_classes is not None:
            condition = ops.one_hot(condition, self.num_classes, dtype=x.dtype)
        else:
            condition = ops.cast(condition, x.dtype)
        sides = tuple(x.shape[1:-1])
        if len(condition.shape) != len(x.shape) or tuple(condition.shape[1:-1]) != sides:
            condition = ops.reshape(condition, (-1, *[1] * len(sides), shape[-1]))
            condition = ops.broadcast_to(condition, (*ops.shape(x)[:-1], shape[-1]))
        return ops.concatenate([x, condition], axis=-1)

    def compute_output_shape(self, input_shape):
        """`[B, ..., C + E]`."""
        x_shape, condition_shape = input_shape
        encoded = self._encoded_shape(x_shape, condition_shape)
        return (*x_shape[:-1], x_shape[-1] + encoded[-1])

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "num_classes": self.num_classes}
