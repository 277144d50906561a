"""The Row LSTM of PixelRNN."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_genmod.core.registration import register
from keras_genmod.layers.pixel_lstm import PixelLSTM, lstm_cell
from keras_genmod.layers.raster import Nest, Walker

__all__ = ["RowLSTM"]


@register
class RowLSTM(PixelLSTM):
    r"""An LSTM that runs down the rows; each pixel receives the states of the three pixels above it.

    $$ [o_r, f_r, i_r, g_r] = K^{ss} * h_{r-1} + K^{is} * x_r, \quad
       c_r = \sigma(f_r) \odot c_{r-1} + \sigma(i_r) \odot \tanh(g_r), \quad
       h_r = \sigma(o_r) \odot \tanh(c_r) $$

    Both convolutions run along the row and are three pixels wide; $K^{is}$ is masked (type "B"). A pixel
    depends on a triangle above it, and in each layer on one more pixel to its left.

    Args:
        units: Number of features of the state.
        input_groups, groups: Colour of each input channel and of each state feature; see `MaskedConv2D`.
        condition_size: Channels of the condition, which is added to the gates; None without condition.
        kernel_initializer, recurrent_initializer: Initializers of $K^{is}$ and $K^{ss}$.

    Cost: 7 products of `units` x 4 `units` per pixel; one sequential step per row.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner and Kavukcuoglu, 2016.
    """

    _input_kernel = (1, 3)

    def _recurrent_shape(self) -> tuple[int, ...]:
        return (1, 3, self.units, 4 * self.units)

    def call(self, inputs: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """The states h at all pixels of whole images."""
        gates = tf.transpose(self.input_to_state(inputs, condition), [1, 0, 2, 3])
        kernel = self._weight(self.recurrent_kernel)
        zeros = tf.zeros_like(gates[0, ..., : self.units])

        def step(state: tuple, row: tf.Tensor) -> tuple:
            h, c = state
            return lstm_cell(row + _along_row(h, kernel), c)

        h, _ = tf.scan(step, gates, (zeros, zeros))
        return tf.transpose(h, [1, 0, 2, 3])

    def walker(self, batch_size: Any, width: int, condition: tf.Tensor | None = None) -> Walker:
        """The walker of this layer."""
        return _RowWalker(self, batch_size, width, condition)


def _along_row(h: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A convolution along rows `[B, W, C]`."""
    return tf.nn.conv2d(h[:, None], kernel, 1, "SAME")[:, 0]


class _RowWalker(Walker):
    def __init__(self, layer: RowLSTM, batch_size: Any, width: int, condition: Any) -> None:
        self.inputs = layer.input_to_state.walker(batch_size, width, condition)
        self.kernel = layer._weight(layer.recurrent_kernel)
        self.shape = [width, batch_size, layer.units]

    def start(self) -> Nest:
        zeros = tf.zeros(self.shape, self.kernel.dtype)
        return zeros, zeros

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any = None) -> tuple[Nest, Nest, Any]:
        h, c = rows
        from_above = tf.transpose(_along_row(tf.transpose(h, [1, 0, 2]), self.kernel), [1, 0, 2])
        return rows, (from_above, c, self.inputs.start_row((), row)[1]), above

    def start_columns(self) -> Nest:
        return self.inputs.start_columns()

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        from_above, c, own_context = context
        gates, columns, _ = self.inputs.step(own_context, columns, inputs)
        h, c = lstm_cell(gates + from_above, c)
        return h, columns, (h, c)

    def end_row(self, rows: Nest, kept: Nest) -> Nest:
        return kept
