"""Builders of the PixelCNN and PixelRNN networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.layers.diagonal_lstm import DiagonalBiLSTM
from keras_genmod.layers.masked_conv import MaskedConv2D
from keras_genmod.layers.pixel_blocks import GatedPixelBlock, PixelResidualBlock
from keras_genmod.layers.pixel_lstm import PixelLSTMBlock
from keras_genmod.layers.position_bias import PositionBias
from keras_genmod.layers.raster import channel_groups
from keras_genmod.layers.row_lstm import RowLSTM
from keras_genmod.networks.autoregressive import encoded_size
from keras_genmod.networks.building import initializers
from keras_genmod.networks.raster import RasterNetwork

__all__ = ["pixel_cnn", "pixel_rnn"]


def pixel_cnn(
    event_shape: Sequence[int],
    params_per_dim: int = 1,
    *,
    filters: int = 128,
    num_blocks: int = 5,
    gated: bool = False,
    kernel_size: int = 3,
    first_kernel_size: int = 7,
    position_bias: bool = True,
    condition: ConditionSpec | None = None,
    seed: int | None = None,
    dtype: Any = None,
) -> RasterNetwork:
    """Builds PixelCNN's network: a masked convolution, blocks, two 1x1 convolutions and the outputs.

    Args:
        event_shape: `(height, width, channels)`.
        params_per_dim: Number of raw parameters of one variable.
        filters: Number of channels of the blocks and of the 1x1 convolutions.
        num_blocks: Number of blocks after the first layer.
        gated: Whether to use gated blocks with a vertical and a horizontal stack.
        kernel_size: Side of the blocks' square kernels, an odd number.
        first_kernel_size: Side of the first layer's square kernel, an odd number.
        position_bias: Whether a `PositionBias` follows the first layer.
        condition: What the network is conditioned on; every layer takes the condition.
        seed: Seeds the initial weights.
        dtype: Keras dtype policy of the layers.
    """
    parts = _Parts(event_shape, filters, condition, seed, dtype)
    if gated:
        kinds = [("A", first_kernel_size), *[("B", kernel_size)] * num_blocks]
        body = [
            GatedPixelBlock(
                filters,
                size,
                mask_type,
                groups=parts.hidden,
                input_groups=parts.colours,
                kernel_initializers=parts.several(4),
                name=f"block_{number}",
                **parts.options,
            )
            for number, (mask_type, size) in enumerate(kinds)
        ]
    else:
        body = [parts.first_layer(first_kernel_size)]
        body += [
            PixelResidualBlock(
                filters,
                kernel_size,
                groups=parts.hidden,
                kernel_initializers=parts.several(3),
                name=f"block_{number}",
                **parts.options,
            )
            for number in range(1, num_blocks + 1)
        ]
    if position_bias:
        body.insert(1, PositionBias(name="position", dtype=dtype))
    return parts.network(body, params_per_dim, "pixel_cnn")


def pixel_rnn(
    event_shape: Sequence[int],
    params_per_dim: int = 1,
    *,
    kind: str = "diagonal",
    units: int = 32,
    num_layers: int = 1,
    first_kernel_size: int = 7,
    condition: ConditionSpec | None = None,
    seed: int | None = None,
    dtype: Any = None,
) -> RasterNetwork:
    """Builds PixelRNN's network: a masked convolution, residual recurrent layers and the outputs.

    Args:
        event_shape: `(height, width, channels)`.
        params_per_dim: Number of raw parameters of one variable.
        kind: "row" (Row LSTM) or "diagonal" (Diagonal BiLSTM).
        units: Number of features of the recurrent states; the layers between have twice as many channels.
        num_layers: Number of recurrent layers.
        first_kernel_size: Side of the first layer's square kernel, an odd number.
        condition: What the network is conditioned on; every layer takes the condition.
        seed: Seeds the initial weights.
        dtype: Keras dtype policy of the layers.
    """
    parts = _Parts(event_shape, 2 * units, condition, seed, dtype)
    layer = {"row": RowLSTM, "diagonal": DiagonalBiLSTM}[kind]
    inner = None if parts.hidden is None else channel_groups(units, event_shape[-1])
    body = [parts.first_layer(first_kernel_size)]
    body += [
        PixelLSTMBlock(
            layer(
                units,
                input_groups=parts.hidden,
                groups=inner,
                kernel_initializer=next(parts.kernels),
                recurrent_initializer=next(parts.recurrent),
                name="memory",
                **parts.options,
            ),
            MaskedConv2D(
                2 * units,
                1,
                input_groups=inner,
                output_groups=parts.hidden,
                kernel_initializer=next(parts.kernels),
                name="widen",
                **parts.options,
            ),
            name=f"block_{number}",
            dtype=dtype,
        )
        for number in range(1, num_layers + 1)
    ]
    return parts.network(body, params_per_dim, "pixel_rnn")


class _Parts:
    """What both builders share: colours, initializers, options of every layer, first and last layers."""

    def __init__(
        self,
        event_shape: Sequence[int],
        filters: int,
        condition: ConditionSpec | None,
        seed: int | None,
        dtype: Any,
    ) -> None:
        self.event_shape, self.filters = tuple(event_shape), filters
        self.condition = condition or ConditionSpec()
        self.dtype = dtype
        channels = self.event_shape[-1]
        # With a single colour there are no channel groups, and so no masks within a pixel.
        self.colours = tuple(range(channels)) if channels > 1 else None
        self.hidden = channel_groups(filters, channels) if channels > 1 else None
        self.kernels = initializers("glorot_uniform", seed)
        self.recurrent = initializers("glorot_normal", seed)
        size = encoded_size(self.condition, self.event_shape[:2])
        self.options = {"condition_size": size, "dtype": dtype}

    def several(self, number: int) -> list:
        return [next(self.kernels) for _ in range(number)]

    def first_layer(self, kernel_size: int) -> MaskedConv2D:
        return MaskedConv2D(
            self.filters,
            kernel_size,
            "A",
            input_groups=self.colours,
            output_groups=self.hidden,
            kernel_initializer=next(self.kernels),
            name="first",
            **self.options,
        )

    def network(self, body: list, params_per_dim: int, name: str) -> RasterNetwork:
        channels = self.event_shape[-1]
        outputs = None if self.colours is None else self.colours * params_per_dim
        heads = [
            MaskedConv2D(
                filters,
                1,
                input_groups=self.hidden,
                output_groups=groups,
                kernel_initializer=next(self.kernels),
                name=layer_name,
                **self.options,
            )
            for layer_name, filters, groups in (
                ("head_1", self.filters, self.hidden),
                ("head_2", self.filters, self.hidden),
                ("outputs", channels * params_per_dim, outputs),
            )
        ]
        return RasterNetwork(
            self.event_shape,
            params_per_dim,
            body,
            heads,
            condition=self.condition,
            name=name,
            dtype=self.dtype,
        )
