"""Pieces that the networks between pictures share: sources of pictures or class indices, normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_choice, check_integer, check_shape_tuple
from keras_genmod.core.precision import real_dtype
from keras_genmod.layers.normalization import BatchNormalization

__all__ = ["Convolutions", "normalized", "source_input"]

NORMALIZATIONS = ("instance", "batch", "none")


def source_input(
    shape: Sequence[int],
    classes: int | None,
    *,
    name: str = "x",
    embedding_dim: int,
    kernel_initializer: Any,
    dtype: Any,
) -> tuple[keras.KerasTensor, Any]:
    """The input for sources, and the picture `[B, height, width, C]` that the first layer takes.

    Args:
        shape: `(height, width, channels)`, or `(height, width)` of maps of class indices.
        classes: Number of classes; None for pictures.
        name: Name of the input.
        embedding_dim: Number of channels that class indices are embedded into.
        kernel_initializer: Of the embedding.
        dtype: Dtype policy of the embedding.
    """
    if classes is None:
        check_shape_tuple("source_shape", shape, ranks=(3,))
        x = keras.Input(shape, dtype=real_dtype().name, name=name)
        return x, x
    check_shape_tuple("source_shape", shape, ranks=(2,))
    x = keras.Input(shape, dtype="int32", name=name)
    h = keras.layers.Embedding(
        check_integer("source_classes", classes, minimum=2),
        check_integer("embedding_dim", embedding_dim),
        embeddings_initializer=kernel_initializer,
        dtype=dtype,
        name=f"embedded_{name}",
    )(x)
    return x, h


def normalized(kind: str, h: Any, name: str, dtype: Any) -> Any:
    """A picture with normalised channels: over its own pixels ("instance"), over the batch, or not at all."""
    check_choice("normalization", kind, NORMALIZATIONS)
    if kind == "instance":
        return keras.layers.GroupNormalization(-1, epsilon=1e-5, dtype=dtype, name=f"{name}_norm")(h)
    return BatchNormalization(dtype=dtype, name=f"{name}_norm")(h) if kind == "batch" else h


class Convolutions:
    """Applies convolutions, each with initial weights of its own, and what follows them.

    Args:
        supply: Yields initialisers.
        normalization: "instance", "batch" or "none".
        dtype: Dtype policy of all layers.
    """

    def __init__(self, supply: Any, normalization: str, dtype: Any) -> None:
        self._supply, self._dtype = supply, dtype
        self.normalization = check_choice("normalization", normalization, NORMALIZATIONS)

    def __call__(
        self,
        h: Any,
        filters: int,
        kernel_size: int,
        *,
        name: str,
        strides: int = 1,
        padding: str = "same",
        normalize: bool = True,
        activation: Callable[[str], keras.layers.Layer] | None = None,
        transposed: bool = False,
        kernel_initializer: Any = None,
    ) -> Any:
        """One convolution of a picture, its normalisation and its activation.

        Args:
            h: The picture.
            filters, kernel_size, strides, padding: Of the convolution.
            name: Name of the convolution; what follows it is named after it.
            normalize: Whether it is followed by the normalisation.
            activation: Function from a name to the layer of the activation; None for none.
            transposed: Whether it is a transposed convolution, which enlarges.
            kernel_initializer: In place of the next of the supply.
        """
        layer = keras.layers.Conv2DTranspose if transposed else keras.layers.Conv2D
        normalize = normalize and self.normalization != "none"
        h = layer(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            use_bias=not normalize,
            kernel_initializer=kernel_initializer or next(self._supply),
            dtype=self._dtype,
            name=name,
        )(h)
        if normalize:
            h = normalized(self.normalization, h, name, self._dtype)
        return h if activation is None else activation(f"{name}_activation")(h)

    def relu(self, name: str) -> keras.layers.Layer:
        """A rectifier."""
        return keras.layers.Activation("relu", dtype=self._dtype, name=name)

    def leaky_relu(self, name: str) -> keras.layers.Layer:
        """A leaky rectifier of slope 0.2."""
        return keras.layers.LeakyReLU(0.2, dtype=self._dtype, name=name)
