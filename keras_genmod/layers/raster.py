"""Layers over images that are read in raster scan, and how they are walked through a pixel at a time.

In raster scan pixels come row by row from the top, in a row from the left, and of one pixel the channels in
their order. A raster layer sees of its input, at each pixel, only what came before it (and, but for the
first layer of a network, that pixel). So one pixel's output needs a few earlier values only, and a walker
keeps just these: what the finished rows have to say to the whole next row is computed once when that row
starts, as one product for all its pixels; what is left to do at a pixel is one product with its neighbours
to the left and itself.

Rows are held with the column in front, `[W, B, C]`: a loop over columns then reads and writes whole slices.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["RasterLayer", "Walker", "channel_groups"]

Nest = Any


class Walker:
    """A layer's part in a walk through an image; plain functions of tensors, to be called inside loops.

    Three kinds of state are nests of tensors: what is carried from row to row (`rows`), what from column to
    column within a row (`columns`), and what a row's start has prepared for each of its columns
    (`context`, tensors `[W, ...]`, of which `step` gets one column's slices).
    """

    def start(self) -> Nest:
        """The `rows` before the first row."""
        return ()

    def start_row(self, rows: Nest, row: tf.Tensor, above: tf.Tensor | None) -> tuple[Nest, Nest, Any]:
        """What can be known of row number `row` before its first pixel.

        Args:
            rows: the state after the row before.
            row: number of the row.
            above: what the layer below has computed for this row from earlier rows alone, `[W, B, C]`
                (the vertical stack of gated networks), None where there is no such stack.

        Returns:
            `rows`, `context` and the `above` of the next layer.
        """
        return rows, (), above

    def start_columns(self) -> Nest:
        """The `columns` before the first pixel of a row."""
        return ()

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        """One pixel.

        Args:
            context: this column's slices of what `start_row` prepared.
            columns: the state after the pixel before.
            inputs: of this pixel, `[B, C]`.

        Returns:
            Outputs `[B, F]`, the new `columns`, and a nest of tensors `[B, ...]` to keep until the end of
            the row.
        """
        raise TypeError(f"{type(self).__name__} must define `step`.")

    def end_row(self, rows: Nest, kept: Nest) -> Nest:
        """The `rows` after a row; `kept` holds what its steps kept, `[W, B, ...]` each."""
        return rows


class RasterLayer(keras.layers.Layer):
    """Base of layers on images `[B, H, W, C]` whose outputs depend on earlier pixels only.

    `call(inputs, condition)` computes a whole image at once, for training and densities;
    `walker(batch_size, width, condition)` gives the `Walker` that computes the same numbers a pixel at a
    time. Conditions are encoded ones: float `[B, E]`, or `[B, H, W, E]` for one a pixel.
    """

    def walker(self, batch_size: Any, width: int, condition: tf.Tensor | None = None) -> Walker:
        """What walks through this layer for `batch_size` images of that width."""
        raise TypeError(f"{type(self).__name__} must define `walker`.")

    def _weight(self, variable: keras.Variable) -> tf.Tensor:
        """A weight in the layer's type, inside `call` and outside of it."""
        return tf.cast(tf.convert_to_tensor(variable), self.compute_dtype)


def channel_groups(num_channels: int, num_groups: int) -> tuple[int, ...]:
    """The colour that each of a layer's features belongs to: equal shares in their order.

    A feature of group g may depend on the colours up to g of its own pixel.
    """
    return tuple(index * num_groups // num_channels for index in range(num_channels))
