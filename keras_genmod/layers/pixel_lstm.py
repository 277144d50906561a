"""Recurrent layers of PixelRNN: over rows, and over diagonals from both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register
from keras_genmod.layers.masked_conv import MaskedConv2D
from keras_genmod.layers.raster import Nest, RasterLayer, Walker

__all__ = ["DiagonalBiLSTM", "PixelLSTMBlock", "RowLSTM"]


class _PixelLSTM(RasterLayer):
    """What both layers share: the masked convolution of the input and the arguments.

    The four gates stand behind each other in the channels: output, forget, input, content.
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
        """Creates the convolution of the input and the kernel of the state."""
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


def _cell(gates: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The new state (h, c) of a long short-term memory from its gates `[..., 4 * units]`."""
    out, forget, write, content = tf.split(gates, 4, axis=-1)
    c = tf.sigmoid(forget) * c + tf.sigmoid(write) * tf.tanh(content)
    return tf.sigmoid(out) * tf.tanh(c), c


@register
class RowLSTM(_PixelLSTM):
    r"""A memory that runs down the rows, each pixel hearing the three above it.

    $$ [o_r, f_r, i_r, g_r] = K^{ss} * h_{r-1} + K^{is} * x_r, \quad
       c_r = \sigma(f_r) \odot c_{r-1} + \sigma(i_r) \odot \tanh(g_r), \quad
       h_r = \sigma(o_r) \odot \tanh(c_r) $$

    Both convolutions run along the row, three wide; $K^{is}$ is masked (type "B"). A pixel sees a triangle
    above it, and one pixel to its left for each layer.

    Args:
        units: features of the state.
        input_groups, groups: colour of each input and of each state feature; see `MaskedConv2D`.
        condition_size: channels of the condition, added to the gates.
        kernel_initializer, recurrent_initializer: of $K^{is}$ and $K^{ss}$.

    Cost: 7 products of `units` x 4 `units` a pixel; as many steps as rows, one after the other.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner and Kavukcuoglu, 2016.
    """

    _input_kernel = (1, 3)

    def _recurrent_shape(self) -> tuple[int, ...]:
        return (1, 3, self.units, 4 * self.units)

    def call(self, inputs: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """The states h of all pixels of whole images."""
        gates = tf.transpose(self.input_to_state(inputs, condition), [1, 0, 2, 3])
        kernel = self._weight(self.recurrent_kernel)
        zeros = tf.zeros_like(gates[0, ..., : self.units])

        def step(state: tuple, row: tf.Tensor) -> tuple:
            h, c = state
            return _cell(row + _along_row(h, kernel), c)

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

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any) -> tuple[Nest, Nest, Any]:
        h, c = rows
        heard = tf.transpose(_along_row(tf.transpose(h, [1, 0, 2]), self.kernel), [1, 0, 2])
        return rows, (heard, c, self.inputs.start_row((), row)[1]), above

    def start_columns(self) -> Nest:
        return self.inputs.start_columns()

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        heard, c, own_context = context
        gates, columns, _ = self.inputs.step(own_context, columns, inputs)
        h, c = _cell(gates + heard, c)
        return h, columns, (h, c)

    def end_row(self, rows: Nest, kept: Nest) -> Nest:
        return kept


@register
class DiagonalBiLSTM(_PixelLSTM):
    r"""Two memories that run over the image in diagonals, one from each upper corner.

    The one from the left hears at a pixel its neighbours to the left and above,

    $$ [o, f, i, g]_{rc} = K^{ss} [h_{r,c-1}, h_{r-1,c}] + K^{is} x_{rc}, $$

    the one from the right those to the right and above; its output is shifted down by a row and added, so
    that each pixel sees all that came before it. For whole images each row is shifted one pixel further to
    the right than the row above (padding and reshaping do that), and a column of the result holds a
    diagonal, all of whose pixels are computed at once.

    Args:
        units: features of each memory's state.
        input_groups, groups: colour of each input and of each state feature; see `MaskedConv2D`.
        condition_size: channels of the condition, added to the gates.
        kernel_initializer, recurrent_initializer: of $K^{is}$ and $K^{ss}$.

    Cost: 6 products of `units` x 4 `units` a pixel; H + W - 1 steps, one after the other.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner and Kavukcuoglu, 2016.
    """

    _input_kernel = (1, 1)
    _num_directions = 2

    def _recurrent_shape(self) -> tuple[int, ...]:
        # Of each direction: first what comes from the pixel beside, then from the one above.
        return (2, 2 * self.units, 4 * self.units)

    def call(self, inputs: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """The sum of both memories' states for all pixels of whole images."""
        left, right = tf.split(self.input_to_state(inputs, condition), 2, axis=-1)
        _, height, width, _ = left.shape
        num_images = tf.shape(inputs)[0]
        # Diagonals in front, then the two directions; the rows of all images as one axis, so that a
        # diagonal is one product for each direction: [S, 2, H * B, 4 * units].
        diagonals = tf.stack([_skewed(left), _skewed(tf.reverse(right, [2]))])
        diagonals = tf.transpose(diagonals, [3, 0, 2, 1, 4])
        diagonals = tf.reshape(diagonals, [-1, 2, height * num_images, 4 * self.units])
        kernel = self._weight(self.recurrent_kernel)
        zeros = tf.zeros_like(diagonals[0, ..., : self.units])
        no_row = zeros[:, :num_images]

        def step(state: tuple, gates: tf.Tensor) -> tuple:
            h, c = state
            # On the last diagonal the pixel beside is in the same row, the one above in the row above.
            above = tf.concat([no_row, h[:, :-num_images]], axis=1)
            return _cell(gates + tf.matmul(tf.concat([h, above], axis=-1), kernel), c)

        h, _ = tf.scan(step, diagonals, (zeros, zeros))
        h = tf.reshape(h, [width + height - 1, 2, height, num_images, self.units])
        left, right = tf.unstack(tf.transpose(h, [1, 3, 2, 0, 4]), num=2)
        right = tf.reverse(_straight(right, width), [2])
        return _straight(left, width) + tf.pad(right[:, :-1], [[0, 0], [1, 0], [0, 0], [0, 0]])

    def walker(self, batch_size: Any, width: int, condition: tf.Tensor | None = None) -> Walker:
        """The walker of this layer."""
        return _DiagonalWalker(self, batch_size, width, condition)


def _skewed(x: tf.Tensor) -> tf.Tensor:
    """Each row `[B, H, W, C]` one pixel further to the right than the row above: `[B, H, W + H - 1, C]`."""
    _, height, width, channels = x.shape
    x = tf.pad(x, [[0, 0], [0, 0], [0, height], [0, 0]])
    # Cut after W + H - 1 pixels instead of W + H, row r begins r pixels late.
    x = tf.reshape(x, [-1, height * (width + height), channels])[:, :-height]
    return tf.reshape(x, [-1, height, width + height - 1, channels])


def _straight(x: tf.Tensor, width: int) -> tf.Tensor:
    """The inverse of `_skewed`: `[B, H, W, C]`."""
    _, height, length, channels = x.shape
    x = tf.pad(tf.reshape(x, [-1, height * length, channels]), [[0, 0], [0, height], [0, 0]])
    return tf.reshape(x, [-1, height, length + 1, channels])[:, :, :width]


class _DiagonalWalker(Walker):
    """The memory from the left goes along with the pixels; the one from the right does a row at a time.

    A pixel sees of the second only the row above, so that row is gone through when it is finished.
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
        """Of the row above: states from the left, from the right, and the right one's gates."""
        gates = tf.zeros([self.width, self.state_shape[0], 4 * self.units], self.dtype)
        return self._zeros(self.width), self._zeros(self.width), gates

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any) -> tuple[Nest, Nest, Any]:
        left, right, gates = rows
        gates += tf.tensordot(right, self.right_above, 1)

        def step(state: tuple, own: tf.Tensor) -> tuple:
            h, c = state
            return _cell(own + tf.matmul(h, self.right_beside), c)

        state = self._zeros()
        # Before the first row there are no gates and so no states: zeros go in, zeros come out.
        right, _ = tf.scan(step, gates, (state, state), reverse=True)
        heard = tf.tensordot(left, self.above, 1)
        return (left, right, gates), (heard, right, self.inputs.start_row((), row)[1]), above

    def start_columns(self) -> Nest:
        return self._zeros(), self._zeros()

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        heard, right, own_context = context
        h, c = columns
        gates, _, _ = self.inputs.step(own_context, self.inputs.start_columns(), inputs)
        from_left, from_right = tf.split(gates, 2, axis=-1)
        h, c = _cell(from_left + heard + tf.matmul(h, self.beside), c)
        return h + right, (h, c), (h, from_right)

    def end_row(self, rows: Nest, kept: Nest) -> Nest:
        left, gates = kept
        return left, rows[1], gates


@register
class PixelLSTMBlock(RasterLayer):
    """A recurrent layer, a 1x1 convolution back to the channels of the input, and a residual connection.

    Args:
        memory: a `RowLSTM` or `DiagonalBiLSTM`.
        widen: the 1x1 convolution, with as many filters as the input has channels.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner and Kavukcuoglu, 2016.
    """

    def __init__(self, memory: RasterLayer, widen: MaskedConv2D, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.memory, self.widen = (
            keras.saving.deserialize_keras_object(layer) if isinstance(layer, dict) else layer
            for layer in (memory, widen)
        )

    def build(self, input_shape) -> None:
        """Builds both layers."""
        self.memory.build(input_shape)
        self.widen.build(self.memory.compute_output_shape(input_shape))

    def call(self, inputs: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """The block over whole images."""
        return inputs + self.widen(self.memory(inputs, condition), condition)

    def compute_output_shape(self, input_shape):
        """That of the input."""
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
        self.start, self.start_columns, self.end_row = (
            memory.start,
            memory.start_columns,
            memory.end_row,
        )

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any) -> tuple[Nest, Nest, Any]:
        rows, context, above = self.memory.start_row(rows, row, above)
        return rows, (context, self.widen.start_row((), row)[1]), above

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        own_context, widen_context = context
        h, columns, kept = self.memory.step(own_context, columns, inputs)
        h, _, _ = self.widen.step(widen_context, self.widen.start_columns(), h)
        return inputs + h, columns, kept
