"""Default discriminators: from an example to one logit.

Each ends in the layer named "features" and a logit that is linear in the features f(x). A conditional
discriminator either takes the condition c beside its input ("concatenate") or adds the inner product of the
features and an embedding e(c) of the condition ("projection"):

    D(x, c) = w . f(x) + b + e(c) . f(x)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_genmod.core.checks import (
    check_choice,
    check_integer,
    check_integers,
    check_number,
    check_shape_tuple,
)
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.layers.dropout import Dropout
from keras_genmod.layers.minibatch_stddev import MinibatchStddev
from keras_genmod.layers.normalization import BatchNormalization
from keras_genmod.layers.spectral_normalization import SpectralNormalization
from keras_genmod.networks.building import (
    hidden_and_last,
    image_filters,
    initializers,
    network,
    start,
    under_its_policy,
)

__all__ = ["conv_discriminator", "dense_discriminator"]


@under_its_policy
def dense_discriminator(
    input_shape: Sequence[int],
    *,
    hidden_dims: Sequence[int] = (256, 256, 256),
    dropout: float = 0.0,
    minibatch_stddev: bool = False,
    spectral_norm: bool = False,
    conditioning: str = "concatenate",
    num_classes: int | None = None,
    condition_shape: Sequence[int] | None = None,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "dense_discriminator",
) -> keras.Model:
    """A multilayer perceptron with leaky rectifiers (slope 0.2) from examples to logits `[B, 1]`.

    Args:
        input_shape: Shape of one example, which is flattened.
        hidden_dims: Widths of the hidden layers; the last layer's outputs are the features.
        dropout: Dropout rate after each hidden layer.
        minibatch_stddev: Whether the last hidden layer receives the standard deviation over the batch
            (`layers.MinibatchStddev`).
        spectral_norm: Whether every layer's kernel has spectral norm 1 (`layers.SpectralNormalization`).
        conditioning: "concatenate" or "projection".
        num_classes, condition_shape: What the network is conditioned on.
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights (He normal; Glorot uniform in the last layer).
        name: Name of the network.

    Returns:
        A built `keras.Model` of `x`, or of `[x, condition]`.

    Cost: one multiplication and addition per weight and example.

    References: cGANs with Projection Discriminator, Miyato and Koyama, 2018; Spectral Normalization for
    Generative Adversarial Networks, Miyato et al., 2018.

    Example:
        >>> dense_discriminator((2,)).count_params()
        132609
    """
    hidden_dims = check_integers("hidden_dims", hidden_dims, min_length=1)
    parts = _Parts(conditioning, spectral_norm, num_classes, condition_shape, dtype)
    inputs, h = parts.start(input_shape, flatten=True)
    hidden = initializers("he_normal", seed)
    for index, width in enumerate(hidden_dims):
        if minibatch_stddev and index == len(hidden_dims) - 1:
            h = MinibatchStddev(dtype=dtype, name="minibatch_stddev")(h)
        dense = keras.layers.Dense(
            width, kernel_initializer=next(hidden), dtype=dtype, name=f"hidden_{index}"
        )
        h = parts.leaky_relu(parts.normalized(dense)(h), index)
        if check_number("dropout", dropout, minimum=0.0, maximum=1.0):
            layer_seed = None if seed is None else (seed + index + 1) % 2**31
            h = Dropout(dropout, seed=layer_seed, dtype=dtype, name=f"dropout_{index}")(h)
    return parts.finish(inputs, h, initializers("glorot_uniform", seed), name)


@under_its_policy
def conv_discriminator(
    input_shape: Sequence[int],
    *,
    filters: Sequence[int] | None = None,
    kernel_size: int = 4,
    batch_norm: bool = False,
    minibatch_stddev: bool = False,
    spectral_norm: bool = False,
    initial_stddev: float | None = None,
    conditioning: str = "concatenate",
    num_classes: int | None = None,
    condition_shape: Sequence[int] | None = None,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "conv_discriminator",
) -> keras.Model:
    """DCGAN's strided convolutions with leaky rectifiers (slope 0.2) from images to logits `[B, 1]`.

    Every convolution halves height and width, rounding up. There is no dense hidden layer.

    Args:
        input_shape: `(height, width, channels)`.
        filters: Number of channels of each convolution; None uses 64, 128, ... until the longer side is at
            most 7.
        kernel_size: Side of the convolutions' square kernels.
        batch_norm: Whether every hidden layer but the first has batch normalisation.
        minibatch_stddev: Whether the last convolution receives the standard deviation over the batch
            (`layers.MinibatchStddev`).
        spectral_norm: Whether every layer's kernel, reshaped to a matrix, has spectral norm 1. This is not
            the norm of the convolution; see `layers.SpectralNormalization`.
        initial_stddev: Standard deviation of normally distributed initial weights; None uses He normal
            (Glorot uniform in the last layer).
        conditioning: "concatenate" or "projection".
        num_classes, condition_shape: What the network is conditioned on.
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights.
        name: Name of the network.

    Returns:
        A built `keras.Model` of `x`, or of `[x, condition]`.

    Cost: grows with height times width, and with the square of the filters.

    References: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks,
    Radford, Metz and Chintala, 2016; cGANs with Projection Discriminator, Miyato and Koyama, 2018.

    Example:
        >>> conv_discriminator((28, 28, 1)).get_layer("features").output.shape
        (None, 6272)
    """
    input_shape = check_shape_tuple("input_shape", input_shape, ranks=(3,))
    filters = image_filters(input_shape[:2]) if filters is None else filters
    filters = check_integers("filters", filters, min_length=1)
    check_integer("kernel_size", kernel_size)
    parts = _Parts(conditioning, spectral_norm, num_classes, condition_shape, dtype)
    hidden, last = hidden_and_last(seed, initial_stddev)
    inputs, h = parts.start(input_shape)
    for index, channels in enumerate(filters):
        if minibatch_stddev and index == len(filters) - 1:
            h = MinibatchStddev(dtype=dtype, name="minibatch_stddev")(h)
        normalizes = batch_norm and index > 0
        conv = keras.layers.Conv2D(
            channels,
            kernel_size,
            strides=2,
            padding="same",
            use_bias=not normalizes,
            kernel_initializer=next(hidden),
            dtype=dtype,
            name=f"conv_{index}",
        )
        h = parts.normalized(conv)(h)
        if normalizes:
            h = BatchNormalization(dtype=dtype, name=f"batch_norm_{index}")(h)
        h = parts.leaky_relu(h, index)
    return parts.finish(inputs, keras.layers.Flatten(name="flat")(h), last, name)


class _Parts:
    """What both builders share: inputs with a condition, spectral normalisation, the logit."""

    def __init__(
        self,
        conditioning: str,
        spectral_norm: bool,
        num_classes: int | None,
        condition_shape: Sequence[int] | None,
        dtype: Any,
    ) -> None:
        self._spec = ConditionSpec.of(num_classes, condition_shape)
        self._projects = (
            check_choice("conditioning", conditioning, ("concatenate", "projection")) == "projection"
        )
        if self._projects and not self._spec:
            raise ValueError(
                "`conditioning='projection'` needs a condition; received none. Pass `num_classes=` or "
                "`condition_shape=`."
            )
        self._spectral_norm, self._dtype = spectral_norm, dtype

    def start(self, input_shape: Sequence[int], flatten: bool = False) -> tuple[list, Any]:
        """The network's inputs and the tensor that the first layer takes."""
        input_shape = check_shape_tuple("input_shape", input_shape)
        inputs, h = start(input_shape, self._spec, flatten=flatten, concatenate=not self._projects)
        self._condition = inputs[-1]
        return inputs, h

    def normalized(self, layer: keras.layers.Layer) -> Callable:
        """The layer, wrapped in spectral normalisation if the network uses it."""
        if not self._spectral_norm:
            return layer
        return SpectralNormalization(layer, dtype=self._dtype, name=f"{layer.name}_norm")

    def leaky_relu(self, h: Any, index: int) -> Any:
        return keras.layers.LeakyReLU(0.2, dtype=self._dtype, name=f"leaky_relu_{index}")(h)

    def finish(self, inputs: list, h: Any, last: Any, name: str) -> keras.Model:
        """The network that ends in the features and a logit linear in them."""
        features = keras.layers.Identity(name="features")(h)
        logits = keras.layers.Dense(1, kernel_initializer=next(last), dtype=self._dtype, name="logits")
        outputs = self.normalized(logits)(features)
        if self._projects:
            width = features.shape[-1]
            if self._spec.num_classes is not None:
                embed = keras.layers.Embedding(
                    self._spec.num_classes,
                    width,
                    embeddings_initializer=next(last),
                    dtype=self._dtype,
                    name="embedding",
                )
                embedded = self.normalized(embed)(self._condition)
            else:
                flat = keras.layers.Flatten(name="flat_condition")(self._condition)
                embed = keras.layers.Dense(
                    width, use_bias=False, kernel_initializer=next(last), dtype=self._dtype, name="embedding"
                )
                embedded = self.normalized(embed)(flat)
            product = keras.layers.Dot(axes=-1, dtype=self._dtype, name="projection")([features, embedded])
            outputs = keras.layers.Add(dtype=self._dtype, name="outputs")([outputs, product])
        return network(inputs, outputs, name)
