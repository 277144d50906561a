"""Default generators: from latent vectors to examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import (
    check_choice,
    check_integer,
    check_integers,
    check_shape_tuple,
)
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.layers.normalization import BatchNormalization, ConditionalBatchNormalization
from keras_genmod.networks.building import (
    cropped,
    finish,
    halved_sides,
    hidden_and_last,
    image_filters,
    initializers,
    network,
    start,
    under_its_policy,
)

__all__ = ["conv_generator", "dense_generator"]


@under_its_policy
def dense_generator(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    hidden_dims: Sequence[int] = (256, 256, 256),
    activation: Any = "relu",
    batch_norm: bool = False,
    conditioning: str = "concatenate",
    output_activation: str = "linear",
    num_classes: int | None = None,
    condition_shape: Sequence[int] | None = None,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "dense_generator",
) -> keras.Model:
    """A multilayer perceptron from latent vectors to examples `[B, *output_shape]`.

    Args:
        input_shape: Shape of one latent vector.
        output_shape: Shape of one example.
        hidden_dims: Widths of the hidden layers, first layer first.
        activation: Activation of the hidden layers.
        batch_norm: Whether the hidden layers have batch normalisation.
        conditioning: "concatenate" appends the condition to the latent vector; with "batch_norm" the
            condition determines the scales and offsets of batch normalisation, which needs `batch_norm`.
        output_activation: Activation of the last layer: "linear" for unbounded data, "tanh" for [-1, 1],
            "sigmoid" for [0, 1].
        num_classes, condition_shape: What the network is conditioned on.
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights (He normal; Glorot uniform in the last layer).
        name: Name of the network.

    Returns:
        A built `keras.Model` of `z`, or of `[z, condition]`.

    Cost: one multiplication and addition per weight and example.

    Example:
        >>> dense_generator((2,), (2,)).count_params()
        132866
    """
    output_shape = check_shape_tuple("output_shape", output_shape)
    parts = _Parts(activation, batch_norm, conditioning, num_classes, condition_shape, dtype)
    inputs, h = parts.start(input_shape)
    hidden = initializers("he_normal", seed)
    for index, width in enumerate(check_integers("hidden_dims", hidden_dims)):
        h = keras.layers.Dense(
            width,
            use_bias=not batch_norm,
            kernel_initializer=next(hidden),
            dtype=dtype,
            name=f"hidden_{index}",
        )(h)
        h = parts.normalized_and_activated(h, index)
    return finish(inputs, h, output_shape, seed=seed, dtype=dtype, name=name, activation=output_activation)


@under_its_policy
def conv_generator(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    filters: Sequence[int] | None = None,
    kernel_size: int = 4,
    activation: Any = "relu",
    batch_norm: bool = True,
    conditioning: str = "concatenate",
    output_activation: str = "tanh",
    initial_stddev: float | None = None,
    num_classes: int | None = None,
    condition_shape: Sequence[int] | None = None,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "conv_generator",
) -> keras.Model:
    """DCGAN's generator: projects and reshapes the latent vector, then applies transposed convolutions.

    Every transposed convolution doubles height and width; an odd side is cropped to its size.

    Args:
        input_shape: Shape of one latent vector.
        output_shape: `(height, width, channels)`.
        filters: Number of input channels of each transposed convolution. None uses 64 for the last one and
            twice as many for each one before it, with as many doublings as make the image from a start
            whose longer side is 4 to 7.
        kernel_size: Side of the transposed convolutions' square kernels.
        activation: Activation of every layer but the last.
        batch_norm: Whether every layer but the last has batch normalisation.
        conditioning: "concatenate" appends the condition to the latent vector; with "batch_norm" the
            condition determines the scales and offsets of batch normalisation, which needs `batch_norm`.
        output_activation: Activation of the last layer.
        initial_stddev: Standard deviation of normally distributed initial weights; None uses He normal
            (Glorot uniform in the last layer).
        num_classes, condition_shape: What the network is conditioned on.
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights.
        name: Name of the network.

    Returns:
        A built `keras.Model` of `z`, or of `[z, condition]`.

    Cost: grows with height times width, and with the square of the filters.

    Reference: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks,
    Radford, Metz and Chintala, 2016.

    Example:
        >>> conv_generator((64,), (28, 28, 1)).output_shape
        (None, 28, 28, 1)
    """
    *sides, channels = check_shape_tuple("output_shape", output_shape, ranks=(3,))
    if filters is None:
        filters = image_filters(sides)[::-1]
    filters = check_integers("filters", filters, min_length=1)
    check_integer("kernel_size", kernel_size)
    parts = _Parts(activation, batch_norm, conditioning, num_classes, condition_shape, dtype)
    hidden, last = hidden_and_last(seed, initial_stddev)
    path = halved_sides(sides, len(filters))
    inputs, h = parts.start(input_shape)
    start = (*path[-1], filters[0])
    h = keras.layers.Dense(
        math.prod(start),
        use_bias=not batch_norm,
        kernel_initializer=next(hidden),
        dtype=dtype,
        name="project",
    )(h)
    h = keras.layers.Reshape(start, name="reshape")(h)
    h = parts.normalized_and_activated(h, 0)
    for index, (side, after) in enumerate(zip(path[-2::-1], [*filters[1:], None], strict=True)):
        h = keras.layers.Conv2DTranspose(
            after or channels,
            kernel_size,
            strides=2,
            padding="same",
            use_bias=not (after and batch_norm),
            activation=None if after else output_activation,
            kernel_initializer=next(hidden if after else last),
            dtype=dtype,
            name=f"conv_{index}" if after else "outputs",
        )(h)
        h = cropped(h, side, f"crop_{index}")
        if after:
            h = parts.normalized_and_activated(h, index + 1)
    return network(inputs, h, name)


class _Parts:
    """What both builders share: inputs with a condition, and a layer's normalisation and activation."""

    def __init__(
        self,
        activation: Any,
        batch_norm: bool,
        conditioning: str,
        num_classes: int | None,
        condition_shape: Sequence[int] | None,
        dtype: Any,
    ) -> None:
        self._activation, self._batch_norm, self._dtype = activation, batch_norm, dtype
        self._spec = ConditionSpec.of(num_classes, condition_shape)
        modulates = check_choice("conditioning", conditioning, ("concatenate", "batch_norm")) == "batch_norm"
        if modulates and not (batch_norm and self._spec):
            raise ValueError(
                "`conditioning='batch_norm'` needs `batch_norm=True` and a condition; received "
                f"batch_norm={batch_norm}, num_classes={num_classes}, condition_shape={condition_shape}. "
                "Use 'concatenate', or pass `batch_norm=True` and a kind of condition."
            )
        self._modulates = modulates

    def start(self, input_shape: Sequence[int]) -> tuple[list, Any]:
        """The network's inputs and the tensor that the first layer takes."""
        input_shape = check_shape_tuple("input_shape", input_shape)
        inputs, h = start(input_shape, self._spec, flatten=True, name="z", concatenate=not self._modulates)
        self._condition = inputs[-1]
        return inputs, h

    def normalized_and_activated(self, h: Any, index: int) -> Any:
        """A hidden layer's output after normalisation and activation."""
        name = f"batch_norm_{index}"
        if self._modulates:
            layer = ConditionalBatchNormalization(self._spec.num_classes, dtype=self._dtype, name=name)
            h = layer([h, self._condition])
        elif self._batch_norm:
            h = BatchNormalization(dtype=self._dtype, name=name)(h)
        return keras.layers.Activation(self._activation, dtype=self._dtype, name=f"activation_{index}")(h)
