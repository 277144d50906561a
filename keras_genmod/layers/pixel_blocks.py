"""Blocks of PixelCNN: the residual block, and the gated block with two stacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register
from keras_genmod.layers.masked_conv import MaskedConv2D, MaskedConvWalker, pushed
from keras_genmod.layers.raster import Nest, RasterLayer, Walker

__all__ = ["GatedPixelBlock", "PixelResidualBlock"]


class _PixelBlock(RasterLayer):
    """Base of the blocks: their arguments, which they pass on to their convolutions."""

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        *,
        groups: Sequence[int] | None = None,
        condition_size: int | None = None,
        kernel_initializers: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = check_integer("filters", filters)
        self.kernel_size = kernel_size
        self.groups = None if groups is None else tuple(groups)
        self.condition_size = condition_size
        self._initializers = iter(kernel_initializers or ())

    def _conv(self, filters: int, kernel_size: Any, mask_type: str = "B", **options: Any) -> MaskedConv2D:
        return MaskedConv2D(
            filters,
            kernel_size,
            mask_type,
            condition_size=self.condition_size,
            kernel_initializer=next(self._initializers, "glorot_uniform"),
            dtype=self.dtype_policy,
            **options,
        )

    def get_config(self) -> dict:
        """The constructor arguments; initial weights are not part of them."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "groups": self.groups,
            "condition_size": self.condition_size,
        }


@register
class PixelResidualBlock(_PixelBlock):
    r"""$x + W_3\,r(K\,r(W_1\,r(x)))$ with rectifiers $r$: a bottleneck around a masked convolution $K$.

    $W_1$ is a 1x1 convolution to half the channels, $W_3$ one back. A stack of these blocks sees all pixels
    above and to the left except a blind spot: pixels above on the right that no chain of windows reaches.

    Args:
        filters: Number of channels of input and output; inside, half of them are used.
        kernel_size: Side of the window, an odd number.
        groups: Colour of each channel, for images with several; see `MaskedConv2D`.
        condition_size: Channels of the condition, which is added in each convolution; None without condition.
        kernel_initializers: Initializers of the three kernels.

    Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner and Kavukcuoglu, 2016.
    """

    def build(self, input_shape) -> None:
        """Creates the three convolutions."""
        half = max(1, self.filters // 2)
        inner = outer = None
        if self.groups is not None:
            num_groups = max(self.groups) + 1
            outer = self.groups
            inner = tuple(index * num_groups // half for index in range(half))
        self.narrow = self._conv(half, 1, input_groups=outer, output_groups=inner, name="narrow")
        self.window = self._conv(
            half, self.kernel_size, input_groups=inner, output_groups=inner, name="window"
        )
        self.widen = self._conv(self.filters, 1, input_groups=inner, output_groups=outer, name="widen")
        shape = tuple(input_shape)
        for conv in (self.narrow, self.window, self.widen):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)

    def call(self, inputs: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """The block over whole images."""
        h = inputs
        for conv in (self.narrow, self.window, self.widen):
            h = conv(tf.nn.relu(h), condition)
        return inputs + h

    def compute_output_shape(self, input_shape):
        """The input's shape."""
        return tuple(input_shape)

    def walker(self, batch_size: Any, width: int, condition: tf.Tensor | None = None) -> Walker:
        """The walker of this block."""
        convs = (self.narrow, self.window, self.widen)
        return _ResidualWalker([conv.walker(batch_size, width, condition) for conv in convs])


class _ResidualWalker(Walker):
    def __init__(self, convs: Sequence[MaskedConvWalker]) -> None:
        self.convs = convs

    def start(self) -> Nest:
        return [conv.start() for conv in self.convs]

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any = None) -> tuple[Nest, Nest, Any]:
        contexts = [conv.start_row(state, row)[1] for conv, state in zip(self.convs, rows, strict=True)]
        return rows, contexts, above

    def start_columns(self) -> Nest:
        return [conv.start_columns() for conv in self.convs]

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        h, new_columns, kept = inputs, [], []
        for conv, own_context, own_columns in zip(self.convs, context, columns, strict=True):
            h, state, keep = conv.step(own_context, own_columns, tf.nn.relu(h))
            new_columns.append(state)
            kept.append(keep)
        return inputs + h, new_columns, kept

    def end_row(self, rows: Nest, kept: Nest) -> Nest:
        return [conv.end_row(*parts) for conv, *parts in zip(self.convs, rows, kept, strict=True)]


@register
class GatedPixelBlock(_PixelBlock):
    r"""Gated convolutions in a vertical and a horizontal stack, which together see all earlier pixels.

    $$ y = \tanh(K_f * x + V_f c) \odot \sigma(K_g * x + V_g c) $$

    in each stack. The vertical stack sees the full rows above; the horizontal stack sees its own row to the
    left and the vertical stack's output. There is no blind spot. The horizontal stack has a residual
    connection, except in the first block.

    Args:
        filters: Number of channels of each stack.
        kernel_size: Side of the window, an odd number.
        mask_type: "A" for the first block of a network, in which both stacks take the image; "B" for others.
        groups: Colour of each channel, for images with several; see `MaskedConv2D`.
        input_groups: Colour of each input channel, if it differs from `groups`.
        condition_size: Channels of the condition, which is added in both stacks; None without condition.
        kernel_initializers: Initializers of the four kernels.

    Call arguments:
        inputs: For type "A" the image `[B, H, W, C]`; for type "B" the two stacks `[B, H, W, 2 * filters]`,
            the vertical one first.

    Returns:
        Both stacks, `[B, H, W, 2 * filters]`.

    Reference: Conditional Image Generation with PixelCNN Decoders, van den Oord et al., 2016.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        mask_type: str = "B",
        *,
        input_groups: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, **kwargs)
        self.mask_type = mask_type
        self.input_groups = None if input_groups is None else tuple(input_groups)

    def build(self, input_shape) -> None:
        """Creates the four convolutions."""
        filters = self.filters
        first = self.mask_type == "A"
        ours = self.groups
        theirs = self.input_groups if first and ours is not None else ours
        gates = None if ours is None else (*ours, *ours)
        # Features of the rows above may depend on all colours, so the vertical stack has no groups.
        self.vertical = self._conv(
            2 * filters, self.kernel_size, self.mask_type, vertical=True, name="vertical"
        )
        self.across = self._conv(2 * filters, 1, vertical=True, use_bias=False, name="vertical_to_horizontal")
        self.horizontal = self._conv(
            2 * filters,
            (1, self.kernel_size),
            self.mask_type,
            input_groups=theirs,
            output_groups=gates,
            name="horizontal",
        )
        self.out = self._conv(filters, 1, input_groups=ours, output_groups=ours, name="out")
        shape = (*input_shape[:-1], input_shape[-1] if first else filters)
        self.vertical.build(shape)
        self.across.build((*shape[:-1], 2 * filters))
        self.horizontal.build(shape)
        self.out.build((*shape[:-1], filters))

    def call(self, inputs: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """Both stacks over whole images."""
        first = self.mask_type == "A"
        v, h = (inputs, inputs) if first else tf.split(inputs, 2, axis=-1)
        gates = self.vertical(v, condition)
        new_h = self.horizontal(h, condition) + self.across(gates, condition)
        new_h = self.out(gated(new_h), condition)
        return tf.concat([gated(gates), new_h if first else h + new_h], axis=-1)

    def compute_output_shape(self, input_shape):
        """`[B, H, W, 2 * filters]`."""
        return (*input_shape[:-1], 2 * self.filters)

    def walker(self, batch_size: Any, width: int, condition: tf.Tensor | None = None) -> Walker:
        """The walker of this block."""
        return _GatedWalker(self, batch_size, width, condition)

    def get_config(self) -> dict:
        """The constructor arguments; initial weights are not part of them."""
        return {**super().get_config(), "mask_type": self.mask_type, "input_groups": self.input_groups}


class _GatedWalker(Walker):
    """Computes the vertical stack when a row starts; each pixel then needs only the horizontal stack."""

    def __init__(
        self, block: GatedPixelBlock, batch_size: Any, width: int, condition: tf.Tensor | None
    ) -> None:
        self.first = block.mask_type == "A"
        self.vertical, self.across, self.horizontal, self.out = (
            layer.walker(batch_size, width, condition)
            for layer in (block.vertical, block.across, block.horizontal, block.out)
        )

    def start(self) -> Nest:
        return self.vertical.start()

    def start_row(self, rows: Nest, row: tf.Tensor, above: Any = None) -> tuple[Nest, Nest, Any]:
        gates = self.vertical.vertical_row(rows, row, None if self.first else above)
        from_vertical = self.across.vertical_row(gates[None][:0], row, gates)
        _, beside, _ = self.horizontal.start_row((), row)
        _, out, _ = self.out.start_row((), row)
        # If pixels have no conditions of their own, all have the same bias, which `step` adds.
        beside = self.horizontal.bias if isinstance(beside, tuple) else beside
        if not self.first:
            rows = pushed(rows, above)
        return rows, (from_vertical + beside, out), gated(gates)

    def start_columns(self) -> Nest:
        return self.horizontal.start_columns()

    def step(self, context: Nest, columns: Nest, inputs: tf.Tensor) -> tuple[tf.Tensor, Nest, Nest]:
        beside, out = context
        h, columns, _ = self.horizontal.step(beside, columns, inputs)
        h, _, _ = self.out.step(out, self.out.start_columns(), gated(h))
        return (h if self.first else inputs + h), columns, ((inputs,) if self.first else ())

    def end_row(self, rows: Nest, kept: Nest) -> Nest:
        return pushed(rows, kept[0]) if self.first else rows


def gated(x: tf.Tensor) -> tf.Tensor:
    """Applies gates to features, both in `x` `[..., 2 * F]`; returns `[..., F]`."""
    features, gates = tf.split(x, 2, axis=-1)
    return tf.tanh(features) * tf.sigmoid(gates)
