"""Networks over images in raster-scan order, and how they generate images pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.layers.masked_conv import MaskedConv2D
from keras_genmod.layers.pixel_blocks import GatedPixelBlock
from keras_genmod.layers.raster import RasterLayer
from keras_genmod.networks.autoregressive import (
    AutoregressiveNetwork,
    Emit,
    Standardize,
    encode_condition,
    known_size,
)

__all__ = ["RasterNetwork"]


class RasterNetwork(AutoregressiveNetwork):
    """A sequence of raster layers, then 1x1 convolutions after rectifiers.

    Args:
        event_shape: `(height, width, channels)`.
        params_per_dim: Number of raw parameters of one variable.
        body: Raster layers, the first with a mask of type "A". If they have two stacks, the horizontal one
            goes to the heads.
        heads: 1x1 convolutions, each applied after a rectifier.
        condition: What the network is conditioned on.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        params_per_dim: int,
        body: Sequence[RasterLayer],
        heads: Sequence[MaskedConv2D],
        *,
        condition: ConditionSpec | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, params_per_dim, condition=condition, **kwargs)
        self.body = list(body)
        self.heads = list(heads)
        # Two stacks share the channel axis; the horizontal one, which comes last, goes to the heads.
        self._stack_filters = next((x.filters for x in self.body if isinstance(x, GatedPixelBlock)), None)
        shape = (None, *self.event_shape)
        for layer in self.body:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        shape = (*shape[:-1], self._stack_filters or shape[-1])
        for conv in self.heads:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        self.built = True

    def call(
        self, x: tf.Tensor, condition: Any = None, order: Any = None, training: bool = False
    ) -> tf.Tensor:
        """The raw parameters of all pixels, `[B, H, W, P * C]`."""
        condition = encode_condition(self.condition, condition, self.compute_dtype, self.event_shape[:2])
        h = tf.cast(x, self.compute_dtype)
        for layer in self.body:
            h = layer(h, condition)
        if self._stack_filters is not None:
            h = h[..., self._stack_filters :]
        for conv in self.heads:
            h = conv(tf.nn.relu(h), condition)
        return h

    def generate(
        self,
        emit: Emit,
        num_rows: Any,
        *,
        standardize: Standardize,
        condition: Any = None,
        order: Any = None,
    ) -> tf.Tensor:
        """Generates images one pixel at a time, in loops over rows and columns.

        Each layer keeps the rows above and the pixels to the left that its kernel covers.

        Cost: about one pass over the images in total, in H * W sequential steps; each step applies every
        weight at most C times for C colours.
        """
        height, width, channels = self.event_shape
        condition = encode_condition(self.condition, condition, self.compute_dtype, (height, width))
        walkers = [layer.walker(num_rows, width, condition) for layer in (*self.body, *self.heads)]
        pixel = self._pixel_step(walkers, emit, standardize, num_rows)

        def row_body(row: tf.Tensor, states: list, image: tf.TensorArray) -> tuple:
            above, new_states, contexts = None, [], []
            for walker, state in zip(walkers, states, strict=True):
                state, context, above = walker.start_row(state, row, above)
                new_states.append(state)
                contexts.append(context)
            start = [walker.start_columns() for walker in walkers]
            # This pixel is computed for its shapes only.
            example = pixel(tf.nest.map_structure(lambda t: t[0], contexts), start, 0)
            arrays = tf.nest.map_structure(
                lambda t: tf.TensorArray(t.dtype, width, element_shape=t.shape), (example[0], example[2])
            )

            def column_body(column: tf.Tensor, columns: list, arrays: tuple) -> tuple:
                slices = tf.nest.map_structure(lambda t: t[column], contexts)
                values, columns, kept = pixel(slices, columns, (row * width + column) * channels)
                written = tf.nest.map_structure(
                    lambda array, t: array.write(column, t), arrays, (values, kept)
                )
                return column + 1, columns, written

            _, _, arrays = tf.while_loop(
                lambda column, *_: column < width,
                column_body,
                (0, start, arrays),
                maximum_iterations=width,
                parallel_iterations=1,
            )
            values, kept = tf.nest.map_structure(lambda array: array.stack(), arrays)
            new_states = [
                walker.end_row(*parts) for walker, *parts in zip(walkers, new_states, kept, strict=True)
            ]
            return row + 1, new_states, image.write(row, values)

        image = tf.TensorArray(
            self.value_dtype, height, element_shape=[width, known_size(num_rows), channels]
        )
        *_, image = tf.while_loop(
            lambda row, *_: row < height,
            row_body,
            (0, [walker.start() for walker in walkers], image),
            maximum_iterations=height,
            parallel_iterations=1,
        )
        return tf.transpose(image.stack(), [2, 0, 1, 3])

    def _pixel_step(
        self, walkers: list, emit: Emit, standardize: Standardize, num_rows: Any
    ) -> Callable[..., tuple]:
        """The step that generates one pixel from what the layers keep."""
        channels, num_body = self.event_shape[-1], len(self.body)

        def pixel(contexts: list, columns: list, variable: tf.Tensor) -> tuple:
            """Values `[B, C]` of the pixel whose first variable has the given index, and the new states."""
            values = [tf.zeros([num_rows], self.value_dtype)] * channels
            for channel in range(channels):
                h = self._inputs(standardize, values)
                new_columns, kept = [], []
                for index, walker in enumerate(walkers):
                    h = h if index < num_body else tf.nn.relu(h)
                    h, state, keep = walker.step(contexts[index], columns[index], h)
                    new_columns.append(state)
                    kept.append(keep)
                params = tf.reshape(h, [-1, self.params_per_dim, channels])[:, :, channel]
                values[channel] = emit(variable + channel, params)
            # The first layer must keep the finished pixel, not one whose last colour is still missing.
            first = walkers[0].step(contexts[0], columns[0], self._inputs(standardize, values))
            new_columns[0], kept[0] = first[1:]
            return tf.stack(values, axis=-1), new_columns, kept

        return pixel

    def _inputs(self, standardize: Standardize, values: list[tf.Tensor]) -> tf.Tensor:
        return tf.cast(standardize(tf.stack(values, axis=-1)), self.compute_dtype)
