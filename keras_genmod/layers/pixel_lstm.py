"""The base of PixelRNN's recurrent layers, and the block that contains one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register
from keras_genmod.layers.masked_conv import MaskedConv2D
from keras_genmod.layers.raster import Nest, RasterLayer, Walker

__all__ = ["PixelLSTM", "PixelLSTMBlock", "lstm_cell"]


class PixelLSTM(RasterLayer):
    """Base of the recurrent layers: their arguments and the masked convolution of the input.

    The channels hold the four gates in this order: output, forget, input, content.
    """

    _input_kernel: tuple[int, int]
    _num_directions = 1

    def __init__(
        self,
        units: int,
        *,
        input_groups: Sequence[int] | None = None,
        groups: Sequence[int] | None = None,
        condition_size: int | None = None,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_integer("units", units)
        self.input_groups = None if input_groups is None else tuple(input_groups)
        self.groups = None if groups is None else tuple(groups)
        self.condition_size = condition_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)

    def build(self, input_shape) -> None:
        """Creates the input's convolution and the state's kernel."""
        num_gates = 4 * self._num_directions
        self.input_to_state = MaskedConv2D(
            num_gates * self.units,
            self._input_kernel,
            "B",
            input_groups=self.input_groups,
            output_groups=None if self.groups is None else self.groups * num_gates,
            condition_size=self.condition_size,
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            name="input_to_state",
        )
        self.input_to_state.build(input_shape)
        self.recurrent_kernel = self.add_weight(
            shape=self._recurrent_shape(), initializer=self.recurrent_initializer, name="recurrent_kernel"
        )

    def _recurrent_shape(self) -> tuple[int, ...]:
        raise TypeError(f"{type(self).__name__} must define `_recurrent_shape`.")

    def compute_output_shape(self, input_shape):
        """`[B, H, W, units]`."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "input_groups": self.input_groups,
            "groups": self.groups,
            "condition_size": self.condition_size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
        }


def lstm_cell(gates: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The new state (h, c) of an LSTM from its gates `[..., 4 * units]` and the previous cell state c."""
    out, forget, write, content = tf.split(gates, 4, axis=-1)
    c = tf.sigmoid(forget) * c + tf.sigmoid(write) * tf.tanh(content)
    return tf.sigmoid(out) * tf.tanh(c), c


@register
class PixelLSTMBlock(RasterLayer):
    """A recurrent layer, a 1x1 convolution to the input's number of channels, and a residual connection.

    Args:
        memory: A `RowLSTM` or `DiagonalBiLSTM`.
        widen: The 1x1 convolution, which has as many filters as the input has channels.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner and Kavukcuoglu, 2016.
    """

    def __init__(self, memory: RasterLayer, widen: MaskedConv2D, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.memory, self.widen = (
            keras.saving.deserialize_keras_object(layer) if isinstance(layer, dict) else layer
            for layer in (memory, widen)
        )

    def build(self, input_shape) -> None:
        """Builds both layers; layers from a file are built already."""
        if not self.memory.built:
            self.memory.build(input_shape)
        if not self.widen.built:
            self.widen.build(self.memory.compute_output_shape(input_shape))

    def call(self, inputs: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """The block over whole images."""
        return inputs + self.widen(self.memory(inputs, condition), condition)

    def compute_output_shape(self, input_shape):
        """The input's shape."""
        return tuple(input_shape)

    def walker(self, batch_size: Any, width: int, condition: tf.Tensor | None = None) -> Walker:
        """The walker of this block."""
        return _BlockWalker(
            self.memory.walker(batch_size, width, condition), self.widen.walker(batch_size, width, condition)
        )

    def get_config(self) -> dict:
        """The two layers."""
        return {
            **super().get_config(),
            "memory": keras.saving.serialize_keras_object(self.memory),
            "widen": keras.saving.serialize_keras_object(self.widen),
        }


class _BlockWalker(Walker):
    def __init__(self, memory: Walker, widen: Walker) -> None:
        self.memory, self.widen = memory, widen

    def start(self) -> Nest:
        return self.memory.start()

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any = None) -> tuple[Nest, Nest, Any]:
        rows, context, above = self.memory.start_row(rows, row, above)
        return rows, (context, self.widen.start_row((), row)[1]), above

    def start_columns(self) -> Nest:
        return self.memory.start_columns()

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        own_context, widen_context = context
        h, columns, kept = self.memory.step(own_context, columns, inputs)
        h, _, _ = self.widen.step(widen_context, self.widen.start_columns(), h)
        return inputs + h, columns, kept

    def end_row(self, rows: Nest, kept: Nest) -> Nest:
        return self.memory.end_row(rows, kept)
