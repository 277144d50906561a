"""Convolutions whose outputs depend only on earlier pixels in raster order."""

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
    r"""A convolution that depends on the rows above, the pixels to the left and, for type "B", the own pixel.

    $$ y_{rc} = b + \sum_{(i, j) \le (r, c)} K_{i - r,\, j - c} \, x_{ij} $$

    The sum runs over the kernel's window; pixels beyond the border are 0. Type "A", for the first layer of a
    network, excludes the pixel itself (with several colours: its own and later colours). Type "B" includes
    it. Weights exist only for the upper half of the kernel; the part to the right in its last row is masked.

    Args:
        filters: Number of output channels.
        kernel_size: Side of the window, an odd number, or a pair (height, width).
        mask_type: "A" or "B".
        vertical: Whether the window covers the rows above (type "A"), or these and all of the pixel's own
            row (type "B"), as the vertical stack of a gated network needs.
        input_groups, output_groups: The colour (0, 1, ...) that each channel belongs to. At its own pixel, an
            output of group g depends on inputs of groups below g (type "A") or up to g (type "B"). None: all
            channels form one group.
        condition_size: Channels of the condition; None without condition. The condition is projected and
            added, one vector for each image or for each pixel.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the kernel and of the condition's kernel.

    Call arguments:
        inputs: `[B, H, W, C]`.
        condition: Float `[B, E]` or `[B, H, W, E]`.

    Returns:
        `[B, H, W, filters]`.

    Cost: For each pixel, the upper half of the kernel's window.

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
                "`input_groups` and `output_groups` must be given together; received "
                f"{describe(input_groups)} and {describe(output_groups)}. Give both or neither."
            )
        if self.output_groups is not None and len(self.output_groups) != self.filters:
            raise ValueError(
                f"`output_groups` must name the group of each of {self.filters} filters; received "
                f"{len(self.output_groups)}. Give one number per filter."
            )
        self.condition_size = condition_size
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    # ---- weights --------------------------------------------------------------------------------

    @property
    def rows_above(self) -> int:
        """Number of rows above the pixel's own row that the window covers."""
        return self.kernel_size[0] // 2

    @property
    def columns_beside(self) -> int:
        """Number of columns on either side that the window covers."""
        return self.kernel_size[1] // 2

    @property
    def _sees_own_row(self) -> bool:
        return not (self.vertical and self.mask_type == "A")

    def build(self, input_shape) -> None:
        """Creates the kernel, the bias and the condition's kernel."""
        channels = input_shape[-1]
        if self.input_groups is not None and len(self.input_groups) != channels:
            raise ValueError(
                f"`input_groups` must name the group of each of {channels} input channels; received "
                f"{len(self.input_groups)}. Give one number per channel."
            )
        num_rows = self.rows_above + self._sees_own_row
        if num_rows == 0:
            raise ValueError(
                "A vertical layer of type 'A' needs a kernel of 3 rows or more; received "
                f"{self.kernel_size}. Raise `kernel_size`."
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
        """The mask `[rows, width, C, F]`, or None if no part of the kernel is masked."""
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
        """The kernel after masking, `[rows, width, C, F]`."""
        kernel = self._weight(self.kernel)
        return kernel if self._mask is None else kernel * tf.constant(self._mask, kernel.dtype)

    # ---- a whole image --------------------------------------------------------------------------

    def call(self, inputs: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """The convolution of whole images."""
        up, side = self.rows_above, self.columns_beside
        padding = [[0, 0], [up, 0], [side, side], [0, 0]] if up or side else "VALID"
        outputs = tf.nn.conv2d(inputs, self.masked_kernel(), 1, padding)
        if not self._sees_own_row:
            # The output has one row too many, below the image.
            outputs = outputs[:, :-1]
        if self.bias is not None:
            outputs = tf.nn.bias_add(outputs, self._weight(self.bias))
        if self.condition_kernel is not None:
            projected = self.projected(condition)
            outputs += projected if projected.shape.rank == 4 else projected[:, None, None]
        return outputs

    def projected(self, condition: tf.Tensor) -> tf.Tensor:
        """The projected condition, `[..., filters]`."""
        return tf.tensordot(tf.cast(condition, self.compute_dtype), self._weight(self.condition_kernel), 1)

    def compute_output_shape(self, input_shape):
        """`[B, H, W, filters]`."""
        return (*input_shape[:-1], self.filters)

    # ---- pixel by pixel -------------------------------------------------------------------------

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
    """Stores the rows above and the pixels to the left, and applies each part of the kernel once.

    A vertical layer only needs `start_row`, because its whole row is known before the row's first pixel.
    """

    def __init__(self, layer: MaskedConv2D, batch_size: Any, width: int, condition: tf.Tensor | None) -> None:
        kernel = layer.masked_kernel()
        self.layer, self.batch_size, self.width = layer, batch_size, width
        self.channels = kernel.shape[2]
        self.dtype = kernel.dtype
        self.above_kernel = kernel[: layer.rows_above] if layer.rows_above else None
        # The kernel of the left neighbours and the pixel itself, as one matrix.
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
        """The rows above, initially zeros: `[rows, W, B, C]`."""
        if not self.layer.rows_above:
            return ()
        return tf.zeros([self.layer.rows_above, self.width, self.batch_size, self.channels], self.dtype)

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any = None) -> tuple[Nest, Nest, Any]:
        """The contribution of the rows above to each pixel of the row, `[W, B, F]`: one product in all."""
        bias = self.bias if self.pixel_bias is None else self.pixel_bias[row]
        if self.above_kernel is None:
            # Without rows above, only a bias that differs between pixels is to be prepared.
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
        """The pixels to the left, initially zeros: `[B, columns * C]`, the nearest last."""
        return tf.zeros([self.batch_size, self.layer.columns_beside * self.channels], self.dtype)

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        """The product of the pixel and its left neighbours with their part of the kernel."""
        window = tf.concat([columns, inputs], axis=-1) if self.layer.columns_beside else inputs
        bias = self.bias if isinstance(context, tuple) else context
        kept = (inputs,) if self.layer.rows_above else ()
        return tf.matmul(window, self.here_kernel) + bias, window[:, self.channels :], kept

    def end_row(self, rows: Nest, kept: Nest) -> Nest:
        """Appends the finished row and drops the uppermost one."""
        return pushed(rows, kept[0]) if self.layer.rows_above else rows


def pushed(rows: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """Rows `[n, W, B, C]` without the first one and with `row` appended."""
    return tf.concat([rows[1:], row[None]], axis=0)


def _odd_pair(kernel_size: Any) -> tuple[int, int]:
    pair = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else tuple(kernel_size)
    odd = [
        isinstance(side, numbers.Integral) and not isinstance(side, bool) and side % 2 == 1 for side in pair
    ]
    if len(pair) != 2 or not all(odd) or min(pair) < 1:
        raise ValueError(
            "`kernel_size` must be an odd positive integer or a pair of them; received "
            f"{describe(kernel_size)}. Pass such as 3 or (1, 3)."
        )
    return int(pair[0]), int(pair[1])
