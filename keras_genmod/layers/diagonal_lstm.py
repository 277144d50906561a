"""The Diagonal BiLSTM of PixelRNN."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_genmod.core.registration import register
from keras_genmod.layers.pixel_lstm import PixelLSTM, lstm_cell
from keras_genmod.layers.raster import Nest, Walker

__all__ = ["DiagonalBiLSTM"]


@register
class DiagonalBiLSTM(PixelLSTM):
    r"""Two LSTMs that run diagonally over the image, one from each upper corner.

    At each pixel, the LSTM from the left receives the states of the left and the upper neighbour,

    $$ [o, f, i, g]_{rc} = K^{ss} [h_{r,c-1}, h_{r-1,c}] + K^{is} x_{rc}, $$

    and the LSTM from the right those of the right and the upper neighbour. Its output is shifted down by one
    row and added, so that each pixel depends on all earlier ones. For whole images, padding and reshaping
    shift each row one pixel further to the right than the row above. A column of the result then holds a
    diagonal, whose pixels are computed all at once.

    Args:
        units: Number of features of each LSTM's state.
        input_groups, groups: Colour of each input channel and of each state feature; see `MaskedConv2D`.
        condition_size: Channels of the condition, which is added to the gates; None without condition.
        kernel_initializer, recurrent_initializer: Initializers of $K^{is}$ and $K^{ss}$.

    Cost: 6 products of `units` x 4 `units` per pixel; H + W - 1 sequential steps.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner and Kavukcuoglu, 2016.
    """

    _input_kernel = (1, 1)
    _num_directions = 2

    def _recurrent_shape(self) -> tuple[int, ...]:
        # For each direction: first the kernel for the neighbour beside, then that for the one above.
        return (2, 2 * self.units, 4 * self.units)

    def call(self, inputs: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """The sum of both LSTMs' states at all pixels of whole images."""
        left, right = tf.split(self.input_to_state(inputs, condition), 2, axis=-1)
        _, height, width, _ = left.shape
        num_images = tf.shape(inputs)[0]
        # [S, 2, H * B, 4 * units]: diagonals, directions, and the rows of all images as one axis, so that a
        # diagonal takes one product for each direction.
        diagonals = tf.stack([_skewed(left), _skewed(tf.reverse(right, [2]))])
        diagonals = tf.transpose(diagonals, [3, 0, 2, 1, 4])
        diagonals = tf.reshape(diagonals, [-1, 2, height * num_images, 4 * self.units])
        kernel = self._weight(self.recurrent_kernel)
        zeros = tf.zeros_like(diagonals[0, ..., : self.units])
        no_row = zeros[:, :num_images]

        def step(state: tuple, gates: tf.Tensor) -> tuple:
            h, c = state
            # Both neighbours are on the previous diagonal: one in the same row, one in the row above.
            above = tf.concat([no_row, h[:, :-num_images]], axis=1)
            return lstm_cell(gates + tf.matmul(tf.concat([h, above], axis=-1), kernel), c)

        h, _ = tf.scan(step, diagonals, (zeros, zeros))
        h = tf.reshape(h, [width + height - 1, 2, height, num_images, self.units])
        left, right = tf.unstack(tf.transpose(h, [1, 3, 2, 0, 4]), num=2)
        right = tf.reverse(_straight(right, width), [2])
        return _straight(left, width) + tf.pad(right[:, :-1], [[0, 0], [1, 0], [0, 0], [0, 0]])

    def walker(self, batch_size: Any, width: int, condition: tf.Tensor | None = None) -> Walker:
        """The walker of this layer."""
        return _DiagonalWalker(self, batch_size, width, condition)


def _skewed(x: tf.Tensor) -> tf.Tensor:
    """Shifts each row of `[B, H, W, C]` one pixel further right than the last: `[B, H, W + H - 1, C]`."""
    _, height, width, channels = x.shape
    x = tf.pad(x, [[0, 0], [0, 0], [0, height], [0, 0]])
    # Rows are W + H long now; cut into rows of W + H - 1 instead, row r begins r pixels later.
    x = tf.reshape(x, [-1, height * (width + height), channels])[:, :-height]
    return tf.reshape(x, [-1, height, width + height - 1, channels])


def _straight(x: tf.Tensor, width: int) -> tf.Tensor:
    """The inverse of `_skewed`: `[B, H, W, C]`."""
    _, height, length, channels = x.shape
    x = tf.pad(tf.reshape(x, [-1, height * length, channels]), [[0, 0], [0, height], [0, 0]])
    return tf.reshape(x, [-1, height, length + 1, channels])[:, :, :width]


class _DiagonalWalker(Walker):
    """Runs the LSTM from the left pixel by pixel, and the LSTM from the right row by row.

    A pixel depends only on the previous row of the second, so that row is computed when it is finished.
    """

    def __init__(self, layer: DiagonalBiLSTM, batch_size: Any, width: int, condition: Any) -> None:
        self.inputs = layer.input_to_state.walker(batch_size, width, condition)
        kernels = layer._weight(layer.recurrent_kernel)
        (self.beside, self.above), (self.right_beside, self.right_above) = (
            (kernels[i, : layer.units], kernels[i, layer.units :]) for i in range(2)
        )
        self.state_shape = [batch_size, layer.units]
        self.width, self.units, self.dtype = width, layer.units, kernels.dtype

    def _zeros(self, *sides: int) -> tf.Tensor:
        return tf.zeros([*sides, *self.state_shape], self.dtype)

    def start(self) -> Nest:
        """For the row above: states from the left, states from the right, and gates of the latter."""
        gates = tf.zeros([self.width, self.state_shape[0], 4 * self.units], self.dtype)
        return self._zeros(self.width), self._zeros(self.width), gates

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any = None) -> tuple[Nest, Nest, Any]:
        left, right, gates = rows
        gates += tf.tensordot(right, self.right_above, 1)

        def step(state: tuple, own: tf.Tensor) -> tuple:
            h, c = state
            return lstm_cell(own + tf.matmul(h, self.right_beside), c)

        state = self._zeros()
        # Before the first row all gates are zeros, which give states of zeros.
        right, _ = tf.scan(step, gates, (state, state), reverse=True)
        from_above = tf.tensordot(left, self.above, 1)
        return (left, right, gates), (from_above, right, self.inputs.start_row((), row)[1]), above

    def start_columns(self) -> Nest:
        return self._zeros(), self._zeros()

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        from_above, right, own_context = context
        h, c = columns
        gates, _, _ = self.inputs.step(own_context, self.inputs.start_columns(), inputs)
        from_left, from_right = tf.split(gates, 2, axis=-1)
        h, c = lstm_cell(from_left + from_above + tf.matmul(h, self.beside), c)
        return h + right, (h, c), (h, from_right)

    def end_row(self, rows: Nest, kept: Nest) -> Nest:
        left, gates = kept
        return left, rows[1], gates
