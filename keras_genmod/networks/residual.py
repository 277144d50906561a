"""Convolutional networks with residual blocks: from an image to a smaller feature map, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_integer, check_shape_tuple
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.networks.building import (
    cropped,
    halved_sides,
    initializers,
    network,
    start,
    under_its_policy,
)

__all__ = ["residual_decoder", "residual_encoder"]


@under_its_policy
def residual_encoder(
    input_shape: Sequence[int],
    output_channels: int,
    *,
    filters: int = 64,
    halvings: int = 2,
    num_blocks: int = 2,
    num_classes: int | None = None,
    condition_shape: Sequence[int] | None = None,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "residual_encoder",
) -> keras.Model:
    """Strided convolutions, residual blocks and a 1x1 convolution that map images to smaller feature maps.

    Args:
        input_shape: `(height, width, channels)`.
        output_channels: Number of channels of the linear output.
        filters: Number of channels of all convolutions.
        halvings: How many times height and width are halved, rounding up.
        num_blocks: Number of residual blocks after the strided convolutions; each is a 3x3 convolution to
            half the channels and a 1x1 convolution back.
        num_classes, condition_shape: What the network is conditioned on; the condition is appended to the
            image's channels.
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights.
        name: Name of the network.

    Returns:
        A built `keras.Model` of `x`, or of `[x, condition]`.

    Reference: Neural Discrete Representation Learning, van den Oord, Vinyals and Kavukcuoglu, 2017.

    Example:
        >>> residual_encoder((28, 28, 1), 16).output_shape
        (None, 7, 7, 16)
    """
    input_shape = check_shape_tuple("input_shape", input_shape, ranks=(3,))
    inputs, h = start(input_shape, ConditionSpec.of(num_classes, condition_shape))
    conv = _convolutions(check_integer("filters", filters), dtype, seed)
    for index in range(check_integer("halvings", halvings)):
        h = conv(h, kernel_size=4, strides=2, activation="relu", name=f"down_{index}")
    h = conv(h, kernel_size=3, name="first")
    h = _blocks(h, conv, filters, num_blocks)
    return network(inputs, conv(h, check_integer("output_channels", output_channels), name="outputs"), name)


@under_its_policy
def residual_decoder(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    filters: int = 64,
    halvings: int = 2,
    num_blocks: int = 2,
    num_classes: int | None = None,
    condition_shape: Sequence[int] | None = None,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "residual_decoder",
) -> keras.Model:
    """Residual blocks and transposed convolutions that map feature maps to images.

    Args:
        input_shape: `(height, width, channels)` of the feature map.
        output_shape: `(height, width, channels)` of the raw output; `halvings` halvings of its sides must
            give the feature map's sides. An odd side is cropped to its size.
        filters, halvings, num_blocks: As in `residual_encoder`.
        num_classes, condition_shape: What the network is conditioned on; the condition is appended to the
            feature map's channels.
        dtype, seed, name: As in `residual_encoder`.

    Returns:
        A built `keras.Model` of `z`, or of `[z, condition]`.

    Raises:
        ValueError: If the sides do not fit.

    Example:
        >>> residual_decoder((7, 7, 16), (28, 28, 1)).output_shape
        (None, 28, 28, 1)
    """
    input_shape = check_shape_tuple("input_shape", input_shape, ranks=(3,))
    output_shape = check_shape_tuple("output_shape", output_shape, ranks=(3,))
    sides = halved_sides(output_shape[:2], check_integer("halvings", halvings))
    if sides[-1] != input_shape[:2]:
        raise ValueError(
            f"`input_shape` must have the sides {sides[-1]}, which {halvings} halvings of "
            f"{output_shape[:2]} give; received {input_shape[:2]}. Change `halvings` or one of the shapes."
        )
    inputs, h = start(input_shape, ConditionSpec.of(num_classes, condition_shape))
    conv = _convolutions(check_integer("filters", filters), dtype, seed)
    h = conv(h, kernel_size=3, name="first")
    h = _blocks(h, conv, filters, num_blocks)
    transposed = keras.layers.Conv2DTranspose
    for index, side in enumerate(sides[-2::-1]):
        last = index == halvings - 1
        h = conv(
            h,
            output_shape[-1] if last else filters,
            kernel_size=4,
            strides=2,
            layer=transposed,
            activation=None if last else "relu",
            name="outputs" if last else f"up_{index}",
        )
        h = cropped(h, side, f"crop_{index}")
    return network(inputs, h, name)


def _convolutions(filters: int, dtype: Any, seed: int | None):
    """A function whose every call applies a new convolution with initial weights of its own."""
    supply = initializers("he_normal", seed)

    def apply(h, channels=None, *, kernel_size=1, layer=keras.layers.Conv2D, **options):
        return layer(
            channels or filters,
            kernel_size,
            padding="same",
            kernel_initializer=next(supply),
            dtype=dtype,
            **options,
        )(h)

    return apply


def _blocks(h: Any, conv: Any, filters: int, num_blocks: int) -> Any:
    relu = keras.layers.Activation
    for index in range(check_integer("num_blocks", num_blocks, minimum=0)):
        r = relu("relu", name=f"block_{index}_relu_0")(h)
        r = conv(r, max(1, filters // 2), kernel_size=3, activation="relu", name=f"block_{index}_3x3")
        h = keras.layers.Add(name=f"block_{index}")([h, conv(r, name=f"block_{index}_1x1")])
    return relu("relu", name="last_relu")(h)
