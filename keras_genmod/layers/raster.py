"""Layers over images in raster order, and their computation pixel by pixel.

In raster order, rows come from top to bottom, the pixels of a row from left to right, and the channels of a
pixel in their order. At each pixel, a raster layer's output depends only on earlier pixels (and on the pixel
itself, except in the first layer of a network). So one pixel's output needs only a few earlier values, which
a `Walker` keeps. When a row starts, one product gives the contribution of the finished rows to all of its
pixels; each pixel then needs one product with itself and its neighbours to the left.

Rows are stored with the column axis first, `[W, B, C]`, so that a loop over columns reads and writes whole
slices.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["RasterLayer", "Walker", "channel_groups"]

Nest = Any


class Walker:
    """Computes one layer pixel by pixel; its methods are pure functions of tensors, for use in loops.

    Three kinds of state are nests of tensors: `rows` is carried from row to row; `columns` is carried from
    column to column within a row; `context` is what the start of a row prepares for each of its columns,
    tensors `[W, ...]` of which `step` gets one column's slices.
    """

    def start(self) -> Nest:
        """The `rows` before the first row."""
        return ()

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any = None) -> tuple[Nest, Nest, Any]:
        """Computes what is known of a row before its first pixel.

        Args:
            rows: The state after the previous row.
            row: Number of the row.
            above: The previous layer's output for this row from earlier rows alone, `[W, B, C]` (the vertical
                stack of gated networks). None if there is no such stack.

        Returns:
            `rows`, `context`, and `above` for the next layer.
        """
        return rows, (), above

    def start_columns(self) -> Nest:
        """The `columns` before the first pixel of a row."""
        return ()

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        """Computes one pixel.

        Args:
            context: This column's slices of the `context` that `start_row` returned.
            columns: The state after the previous pixel.
            inputs: The pixel's inputs, `[B, C]`.

        Returns:
            The outputs `[B, F]`, the new `columns`, and a nest of tensors `[B, ...]` to keep until the end of
            the row.
        """
        raise TypeError(f"{type(self).__name__} must define `step`.")

    def end_row(self, rows: Nest, kept: Nest) -> Nest:
        """The `rows` after a row; `kept` holds what its steps kept, as tensors `[W, B, ...]`."""
        return rows


class RasterLayer(keras.layers.Layer):
    """Base of layers over images `[B, H, W, C]` whose outputs depend only on earlier pixels.

    `call(inputs, condition)` computes whole images at once, for training and densities.
    `walker(batch_size, width, condition)` returns the `Walker` that computes the same numbers pixel by pixel.
    Conditions are encoded: float `[B, E]`, or `[B, H, W, E]` for one condition per pixel.
    """

    def walker(self, batch_size: Any, width: int, condition: tf.Tensor | None = None) -> Walker:
        """The walker of this layer for `batch_size` images of this width."""
        raise TypeError(f"{type(self).__name__} must define `walker`.")

    def _weight(self, variable: keras.Variable) -> tf.Tensor:
        """A weight in the layer's compute dtype, inside `call` and outside it."""
        return tf.cast(tf.convert_to_tensor(variable), self.compute_dtype)


def channel_groups(num_channels: int, num_groups: int) -> tuple[int, ...]:
    """The colour that each of a layer's channels belongs to: contiguous groups of equal size.

    A channel of group g may depend on the colours up to g of its own pixel.
    """
    return tuple(index * num_groups // num_channels for index in range(num_channels))
