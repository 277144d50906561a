"""Learned biases for the rows and columns of an image."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_genmod.core.registration import register
from keras_genmod.layers.raster import Nest, RasterLayer, Walker

__all__ = ["PositionBias"]


@register
class PositionBias(RasterLayer):
    r"""$y_{rc} = x_{rc} + a_r + b_c$: tells convolutions the position in the image.

    Without it a convolution knows its position only near the border, and only if the padding differs from
    the image: black pixels and padding are both zeros. For images of centred objects the position is
    informative.

    Call arguments:
        inputs: `[B, H, W, C]` of known height and width.

    Returns:
        `[B, H, W, C]`.

    Cost: (H + W) C weights, and one addition per feature.
    """

    def build(self, input_shape) -> None:
        """Creates the two biases, initially zeros."""
        _, height, width, channels = input_shape
        self.rows = self.add_weight(shape=(height, channels), initializer="zeros", name="rows")
        self.columns = self.add_weight(shape=(width, channels), initializer="zeros", name="columns")

    def call(self, inputs: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """The sum."""
        return inputs + self._weight(self.rows)[:, None] + self._weight(self.columns)

    def compute_output_shape(self, input_shape):
        """The input's shape."""
        return tuple(input_shape)

    def walker(self, batch_size: Any, width: int, condition: tf.Tensor | None = None) -> Walker:
        """The walker of this layer."""
        return _PositionWalker(self._weight(self.rows), self._weight(self.columns))

    def get_config(self) -> dict:
        """The constructor arguments."""
        # Only the arguments of every layer. Without this method Keras finds them only if the dtype is a name,
        # and files hold it as an object.
        return super().get_config()


class _PositionWalker(Walker):
    def __init__(self, rows: tf.Tensor, columns: tf.Tensor) -> None:
        self.rows, self.columns = rows, columns

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any = None) -> tuple[Nest, Nest, Any]:
        bias = (self.rows[row] + self.columns)[:, None]
        if above is None:
            return rows, bias, above
        # With two stacks, the vertical one comes first and is known for the whole row.
        vertical, bias = tf.split(bias, 2, axis=-1)
        return rows, bias, above + vertical

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        return inputs + context, columns, ()
