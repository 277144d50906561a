"""The default network of a coupling layer: from the unchanged part to the parameters of the other part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_integer, check_shape_tuple
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.networks.building import initializers, network, start, under_its_policy
from keras_genmod.networks.dense import dense_network

__all__ = ["coupling_network"]


@under_its_policy
def coupling_network(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    hidden_dims: Sequence[int] = (256, 256),
    filters: int = 64,
    num_blocks: int = 2,
    activation: Any = "relu",
    num_classes: int | None = None,
    condition_shape: Sequence[int] | None = None,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "coupling_network",
) -> keras.Model:
    """A network whose initial output is 0, so that a new coupling layer is the identity.

    Args:
        input_shape: `(size,)` for dense layers, `(height, width, channels)` for convolutions.
        output_shape: Shape of the raw parameters; an image keeps its height and width.
        hidden_dims: Widths of the dense layers.
        filters: Number of channels of the convolutions.
        num_blocks: Number of residual blocks after the first 3x3 convolution; each is a 1x1 and a 3x3
            convolution.
        activation: Activation of the hidden layers.
        num_classes, condition_shape: What the network is conditioned on; the condition is appended to the
            input's channels.
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights (He normal; the last layer's are zeros).
        name: Name of the network.

    Returns:
        A built `keras.Model` of `x`, or of `[x, condition]`.

    Reference: Glow, Kingma and Dhariwal, 2018 (zeros in the last layer).

    Example:
        >>> coupling_network((4, 4, 2), (4, 4, 6), filters=8).output_shape
        (None, 4, 4, 6)
    """
    input_shape = check_shape_tuple("input_shape", input_shape, ranks=(1, 3))
    output_shape = check_shape_tuple("output_shape", output_shape, ranks=(len(input_shape),))
    if len(input_shape) == 1:
        return dense_network(
            input_shape,
            output_shape,
            hidden_dims=hidden_dims,
            activation=activation,
            output_initializer="zeros",
            num_classes=num_classes,
            condition_shape=condition_shape,
            dtype=dtype,
            seed=seed,
            name=name,
        )
    inputs, h = start(input_shape, ConditionSpec.of(num_classes, condition_shape))
    kernels = initializers("he_normal", seed)

    def conv(h: Any, channels: int, size: int, name: str, kernel: Any = None) -> Any:
        kernel = next(kernels) if kernel is None else kernel
        layer = keras.layers.Conv2D(
            channels, size, padding="same", kernel_initializer=kernel, dtype=dtype, name=name
        )
        return layer(h)

    def active(h: Any, name: str) -> Any:
        return keras.layers.Activation(activation, name=name)(h)

    filters = check_integer("filters", filters)
    h = conv(h, filters, 3, "first")
    for index in range(check_integer("num_blocks", num_blocks, minimum=0)):
        r = conv(active(h, f"block_{index}_active_0"), filters, 1, f"block_{index}_1x1")
        r = conv(active(r, f"block_{index}_active_1"), filters, 3, f"block_{index}_3x3")
        h = keras.layers.Add(name=f"block_{index}")([h, r])
    return network(inputs, conv(active(h, "last_active"), output_shape[-1], 3, "outputs", "zeros"), name)
