"""Convolutional default networks: from an image to a vector, and from a vector to an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_integer, check_integers, check_shape_tuple
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.networks.building import (
    cropped,
    finish,
    halved_sides,
    initializers,
    network,
    start,
    under_its_policy,
)

__all__ = ["conv_decoder", "conv_encoder"]


@under_its_policy
def conv_encoder(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    filters: Sequence[int] = (32, 64),
    hidden_dim: int = 256,
    activation: Any = "relu",
    num_classes: int | None = None,
    condition_shape: Sequence[int] | None = None,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "conv_encoder",
) -> keras.Model:
    """Strided convolutions and a dense layer that map images to raw outputs `[B, *output_shape]`.

    Every 3x3 convolution halves height and width, rounding up.

    Args:
        input_shape: `(height, width, channels)`.
        output_shape: Shape of one output; the last layer is linear.
        filters: Number of channels of each convolution.
        hidden_dim: Width of the dense layer after the convolutions.
        activation: Activation of every layer but the last.
        num_classes, condition_shape: What the network is conditioned on; the condition is appended to the
            image's channels.
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights (He normal; Glorot uniform in the last layer).
        name: Name of the network.

    Returns:
        A built `keras.Model` of `x`, or of `[x, condition]`.

    Cost: grows with height times width.

    Example:
        >>> conv_encoder((28, 28, 1), (64,)).output_shape
        (None, 64)
    """
    input_shape = check_shape_tuple("input_shape", input_shape, ranks=(3,))
    output_shape = check_shape_tuple("output_shape", output_shape)
    filters = check_integers("filters", filters)
    hidden_dim = check_integer("hidden_dim", hidden_dim)
    hidden = initializers("he_normal", seed)
    inputs, h = start(input_shape, ConditionSpec.of(num_classes, condition_shape))
    for index, channels in enumerate(filters):
        h = keras.layers.Conv2D(
            channels,
            3,
            strides=2,
            padding="same",
            activation=activation,
            kernel_initializer=next(hidden),
            dtype=dtype,
            name=f"conv_{index}",
        )(h)
    h = keras.layers.Flatten(name="flatten")(h)
    h = keras.layers.Dense(
        hidden_dim,
        activation=activation,
        kernel_initializer=next(hidden),
        dtype=dtype,
        name="hidden",
    )(h)
    return finish(inputs, h, output_shape, seed=seed, dtype=dtype, name=name)


@under_its_policy
def conv_decoder(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    filters: Sequence[int] = (64, 32),
    hidden_dim: int = 256,
    activation: Any = "relu",
    num_classes: int | None = None,
    condition_shape: Sequence[int] | None = None,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "conv_decoder",
) -> keras.Model:
    """Dense layers and transposed convolutions that map vectors to raw outputs `[B, *output_shape]`.

    Every 3x3 transposed convolution doubles height and width; an odd side is cropped to its size.

    Args:
        input_shape: Shape of one input, which is flattened.
        output_shape: `(height, width, channels)` of the raw output; the last layer is linear.
        filters: Number of input channels of each transposed convolution.
        hidden_dim: Width of the first dense layer.
        activation: Activation of every layer but the last.
        num_classes, condition_shape: What the network is conditioned on; the condition is appended to the
            flattened input.
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights (He normal; Glorot uniform in the last layer).
        name: Name of the network.

    Returns:
        A built `keras.Model` of `x`, or of `[x, condition]`.

    Cost: grows with height times width.

    Example:
        >>> conv_decoder((16,), (28, 28, 1)).output_shape
        (None, 28, 28, 1)
    """
    input_shape = check_shape_tuple("input_shape", input_shape)
    height, width, channels = check_shape_tuple("output_shape", output_shape, ranks=(3,))
    filters = check_integers("filters", filters, min_length=1)
    hidden_dim = check_integer("hidden_dim", hidden_dim)
    hidden = initializers("he_normal", seed)
    sides = halved_sides((height, width), len(filters))
    inputs, h = start(input_shape, ConditionSpec.of(num_classes, condition_shape), flatten=True)
    first = (*sides[-1], filters[0])
    for layer_name, size in (("hidden", hidden_dim), ("start", math.prod(first))):
        h = keras.layers.Dense(
            size,
            activation=activation,
            kernel_initializer=next(hidden),
            dtype=dtype,
            name=layer_name,
        )(h)
    h = keras.layers.Reshape(first, name="start_shape")(h)
    last = initializers("glorot_uniform", seed)
    for index, (side, after) in enumerate(zip(sides[-2::-1], [*filters[1:], None], strict=True)):
        h = keras.layers.Conv2DTranspose(
            after or channels,
            3,
            strides=2,
            padding="same",
            activation=activation if after else None,
            kernel_initializer=next(hidden if after else last),
            dtype=dtype,
            name=f"conv_{index}" if after else "outputs",
        )(h)
        h = cropped(h, side, f"crop_{index}")
    return network(inputs, h, name)
