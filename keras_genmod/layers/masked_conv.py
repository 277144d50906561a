"""Convolutions that see only what came before in raster scan."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_choice, check_integer, describe
from keras_genmod.core.registration import register
from keras_genmod.layers.raster import Nest, RasterLayer, Walker

__all__ = ["MaskedConv2D"]


@register
class MaskedConv2D(RasterLayer):
    r"""A convolution whose output sees the rows above, the pixels to the left and, by type, its own.

    $$ y_{rc} = b + \sum_{(i, j) \le (r, c)} K_{i - r,\, j - c} \, x_{ij} $$

    over the window of the kernel, pixels beyond the border being 0. Type "A" leaves out the pixel itself
    (or, of its colours, those that do not come earlier): the first layer of a network. Type "B" lets it in.
    Only the upper half of the kernel exists as weights; what lies to the right in its last row is masked.

    Args:
        filters: number of output channels.
        kernel_size: odd side of the window, or a pair (height, width).
        mask_type: "A" or "B".
        vertical: whether the window is all of the rows above (type "A") and of the pixel's own row (type
            "B"), as the vertical stack of a gated network needs it.
        input_groups, output_groups: the colour, 0, 1, ..., that each channel belongs to. An output of
            group g sees of its own pixel the inputs of groups below g (type "A") or up to g (type "B").
            None: one group.
        condition_size: channels of the condition, None for an unconditional layer. The condition is
            projected and added, one vector for an image or one for each pixel.
        use_bias: whether to add a bias.
        kernel_initializer: of the kernel and of the condition's.

    Call arguments:
        inputs: `[B, H, W, C]`.
        condition: float `[B, E]` or `[B, H, W, E]`.

    Returns:
        `[B, H, W, filters]`.

    Cost: the upper half of the kernel's window for each pixel.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner and Kavukcuoglu, 2016.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int] = 3,
        mask_type: str = "B",
        *,
        vertical: bool = False,
        input_groups: Sequence[int] | None = None,
        output_groups: Sequence[int] | None = None,
        condition_size: int | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = check_integer("filters", filters)
        self.kernel_size = _odd_pair(kernel_size)
        self.mask_type = check_choice("mask_type", mask_type, ("A", "B"))
        self.vertical = bool(vertical)
        self.input_groups = None if input_groups is None else tuple(map(int, input_groups))
        self.output_groups = None if output_groups is None else tuple(map(int, output_groups))
        if (self.input_groups is None) != (self.output_groups is None):
            raise ValueError(
                "`input_groups` and `output_groups` go together; received "
                f"{describe(input_groups)} and {describe(output_groups)}. Give both or neither."
            )
        if self.output_groups is not None and len(self.output_groups) != self.filters:
            raise ValueError(
                f"`output_groups` must name the group of each of {self.filters} filters; received "
                f"{len(self.output_groups)}."
            )
        self.condition_size = condition_size
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    # ---- weights --------------------------------------------------------------------------------

    @property
    def rows_above(self) -> int:
        """How many rows above the pixel's own the window reaches."""
        return self.kernel_size[0] // 2

    @property
    def columns_beside(self) -> int:
        """How many columns the window reaches to either side."""
        return self.kernel_size[1] // 2

    @property
    def _sees_own_row(self) -> bool:
        return not (self.vertical and self.mask_type == "A")

    def build(self, input_shape) -> None:
        """Creates kernel, bias and the condition's kernel."""
        channels = input_shape[-1]
        if self.input_groups is not None and len(self.input_groups) != channels:
            raise ValueError(
                f"`input_groups` must name the group of each of {channels} input channels; received "
                f"{len(self.input_groups)}."
            )
        num_rows = self.rows_above + self._sees_own_row
        if num_rows == 0:
            raise ValueError(
                f"A vertical layer of type 'A' needs a kernel of 3 rows or more; received {self.kernel_size}."
            )
        self.kernel = self.add_weight(
            shape=(num_rows, self.kernel_size[1], channels, self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self._mask = self._own_row_mask(channels)
        self.bias = self.condition_kernel = None
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        if self.condition_size is not None:
            self.condition_kernel = self.add_weight(
                shape=(self.condition_size, self.filters),
                initializer=self.kernel_initializer.clone(),
                name="condition_kernel",
            )

    def _own_row_mask(self, channels: int) -> np.ndarray | None:
        """The mask `[rows, width, C, F]`, None where all of the kernel is seen."""
        if self.vertical:
            return None
        mask = np.ones(self.kernel.shape, "float32")
        centre = self.columns_beside
        mask[-1, centre + 1 :] = 0.0
        ours = np.zeros(self.filters) if self.output_groups is None else np.array(self.output_groups)
        theirs = np.zeros(channels) if self.input_groups is None else np.array(self.input_groups)
        earlier = np.less if self.mask_type == "A" else np.less_equal
        mask[-1, centre] = earlier(theirs[:, None], ours[None, :])
        return None if mask.all() else mask

    def masked_kernel(self) -> tf.Tensor:
        """The kernel as it acts, `[rows, width, C, F]`."""
        kernel = self._weight(self.kernel)
        return kernel if self._mask is None else kernel * tf.constant(self._mask, kernel.dtype)

    # ---- a whole image --------------------------------------------------------------------------

    def call(self, inputs: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """The convolution of whole images."""
        up, side = self.rows_above, self.columns_beside
        padding = [[0, 0], [up, 0], [side, side], [0, 0]] if up or side else "VALID"
        outputs = tf.nn.conv2d(inputs, self.masked_kernel(), 1, padding)
        if not self._sees_own_row:
            # One row too many came out: the one below the image.
            outputs = outputs[:, :-1]
        if self.bias is not None:
            outputs = tf.nn.bias_add(outputs, self._weight(self.bias))
        if self.condition_kernel is not None:
            projected = self.projected(condition)
            outputs += projected if projected.shape.rank == 4 else projected[:, None, None]
        return outputs

    def projected(self, condition: tf.Tensor) -> tf.Tensor:
        """What the condition adds, `[..., filters]`."""
        return tf.tensordot(tf.cast(condition, self.compute_dtype), self._weight(self.condition_kernel), 1)

    def compute_output_shape(self, input_shape):
        """`[B, H, W, filters]`."""
        return (*input_shape[:-1], self.filters)

    # ---- a pixel at a time ----------------------------------------------------------------------

    def walker(self, batch_size: Any, width: int, condition: tf.Tensor | None = None) -> MaskedConvWalker:
        """The walker of this layer."""
        return MaskedConvWalker(self, batch_size, width, condition)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "mask_type": self.mask_type,
            "vertical": self.vertical,
            "input_groups": self.input_groups,
            "output_groups": self.output_groups,
            "condition_size": self.condition_size,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


class MaskedConvWalker(Walker):
    """Keeps the rows above and the pixels to the left, and applies each part of the kernel once.

    For a vertical layer only `start_row` has something to do: its whole row is known from the start.
    """

    def __init__(self, layer: MaskedConv2D, batch_size: Any, width: int, condition: tf.Tensor | None) -> None:
        kernel = layer.masked_kernel()
        self.layer, self.batch_size, self.width = layer, batch_size, width
        self.channels = kernel.shape[2]
        self.dtype = kernel.dtype
        self.above_kernel = kernel[: layer.rows_above] if layer.rows_above else None
        # The left neighbours and the pixel itself, as one matrix.
        num_taps = layer.columns_beside + 1
        self.here_kernel = tf.reshape(kernel[-1, :num_taps], [num_taps * self.channels, layer.filters])
        self.bias = tf.zeros([layer.filters], kernel.dtype)
        if layer.bias is not None:
            self.bias = layer._weight(layer.bias)
        self.pixel_bias = None
        if layer.condition_kernel is not None:
            projected = layer.projected(condition)
            if projected.shape.rank == 4:
                # [H, W, B, F]: a row is one slice.
                self.pixel_bias = tf.transpose(projected, [1, 2, 0, 3]) + self.bias
            else:
                self.bias += projected

    def start(self) -> Nest:
        """The rows above, none yet: `[rows, W, B, C]`."""
        if not self.layer.rows_above:
            return ()
        return tf.zeros([self.layer.rows_above, self.width, self.batch_size, self.channels], self.dtype)

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any = None) -> tuple[Nest, Nest, Any]:
        """One product for the whole row: what the rows above say to each of its pixels, `[W, B, F]`."""
        bias = self.bias if self.pixel_bias is None else self.pixel_bias[row]
        if self.above_kernel is None:
            # Without rows above, the bias of each pixel is all there is to prepare.
            return rows, (() if self.pixel_bias is None else bias), above
        return rows, self._convolved(rows, self.above_kernel) + bias, above

    def vertical_row(self, rows: tf.Tensor, row: tf.Tensor, own: tf.Tensor | None) -> tf.Tensor:
        """A vertical layer's outputs for a row, `[W, B, F]`, from the rows above and its own (type "B")."""
        kernel = self.above_kernel
        if own is not None:
            rows = tf.concat([rows, own[None]], axis=0)
            kernel = self.layer.masked_kernel()
        return self._convolved(rows, kernel) + (
            self.bias if self.pixel_bias is None else self.pixel_bias[row]
        )

    def _convolved(self, rows: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        side = self.layer.columns_beside
        images = tf.transpose(rows, [2, 0, 1, 3])
        padding = [[0, 0], [0, 0], [side, side], [0, 0]] if side else "VALID"
        return tf.transpose(tf.nn.conv2d(images, kernel, 1, padding)[:, 0], [1, 0, 2])

    def start_columns(self) -> Nest:
        """The pixels to the left, none yet: `[B, columns * C]`, the nearest last."""
        return tf.zeros([self.batch_size, self.layer.columns_beside * self.channels], self.dtype)

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        """One product of the pixel and its left neighbours with their part of the kernel."""
        window = tf.concat([columns, inputs], axis=-1) if self.layer.columns_beside else inputs
        bias = self.bias if isinstance(context, tuple) else context
        kept = (inputs,) if self.layer.rows_above else ()
        return tf.matmul(window, self.here_kernel) + bias, window[:, self.channels :], kept

    def end_row(self, rows: Nest, kept: Nest) -> Nest:
        """The finished row takes its place, the uppermost leaves."""
        return pushed(rows, kept[0]) if self.layer.rows_above else rows


def pushed(rows: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """Rows `[n, W, B, C]` without the first and with a new last."""
    return tf.concat([rows[1:], row[None]], axis=0)


def _odd_pair(kernel_size: Any) -> tuple[int, int]:
    pair = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else tuple(kernel_size)
    odd = [
        isinstance(side, numbers.Integral) and not isinstance(side, bool) and side % 2 == 1 for side in pair
    ]
    if len(pair) != 2 or not all(odd) or min(pair) < 1:
        raise ValueError(
            "`kernel_size` must be an odd positive integer or a pair of them; "
            f"received {describe(kernel_size)}."
        )
    return int(pair[0]), int(pair[1])
