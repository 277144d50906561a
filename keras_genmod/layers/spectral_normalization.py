"""Spectral normalisation: divides a kernel by an estimate of its spectral norm."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.precision import as_real
from keras_genmod.core.registration import register

__all__ = ["SpectralNormalization"]


@register
class SpectralNormalization(keras.layers.Wrapper):
    r"""Applies a layer with its kernel divided by the kernel's spectral norm.

    Let W be the kernel as a matrix, with its last axis as columns and all others as rows, and u the right
    singular vector of its largest singular value. The layer keeps an estimate of u and uses the kernel
    $$ W / \lVert W u \rVert, \quad \lVert u \rVert = 1 $$

    For a convolution this is the norm of the reshaped kernel, as in the paper. The norm of the convolution as
    a map between images may be larger, at most by the square root of the number of the kernel's positions.

    A call changes no state: between two calls of `update`, all calls use the same kernel, in training and
    outside it. `update` moves u by one step of the power method,
    $u \leftarrow W^T W u / \lVert W^T W u \rVert$; the training step calls it after each update of the
    weights. Initially u is the exact singular vector. The weights themselves stay unnormalised, unlike those
    of `keras.layers.SpectralNormalization`, which divides them in place in each training call.

    Args:
        layer: A layer with one kernel, such as `Dense`, `Conv2D` or `Embedding`.

    Raises:
        ValueError: When it is built, if the layer has no kernel.

    Cost: A call takes one product of the kernel with a vector, an update two. Building computes the
    eigenvectors of a square matrix with the kernel's shorter side.

    Reference: Spectral Normalization for Generative Adversarial Networks, Miyato et al., 2018.

    Example:
        >>> layer = SpectralNormalization(keras.layers.Dense(3, kernel_initializer="ones", use_bias=False))
        >>> [round(float(y), 4) for y in layer(tf.ones([1, 4]))[0]]  # the norm of 4 x 3 ones is sqrt(12)
        [1.1547, 1.1547, 1.1547]
    """

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer and finds the singular vector of its kernel."""
        super().build(input_shape)
        self.direction = self.add_weight(
            (self._kernel().shape[-1],),
            initializer=lambda shape, dtype: tf.cast(_singular_vector(self._matrix()), dtype),
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="direction",
        )

    def call(self, inputs: Any, **kwargs: Any) -> Any:
        """The layer's output with the normalised kernel."""
        kernel = self._kernel()
        norm = tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(self._image())), 1e-24))
        values = [(weight, weight.value) for weight in self.layer.variables if weight is not kernel]
        # Inside the scope the layer reads these values instead of its weights.
        with keras.StatelessScope([*values, (kernel, as_real(kernel.value) / norm)]):
            return self.layer(inputs, **kwargs)

    def update(self) -> None:
        """Moves the estimate of the singular vector by one step of the power method."""
        direction = tf.linalg.matvec(self._matrix(), self._image(), transpose_a=True)
        self.direction.assign(direction / tf.maximum(tf.norm(direction), 1e-12))

    def _kernel(self) -> keras.Variable:
        kernel = getattr(self.layer, "kernel", getattr(self.layer, "embeddings", None))
        if kernel is None:
            raise ValueError(
                "`layer` must have a kernel, such as `Dense`, `Conv2D` or `Embedding`; received the "
                f"{type(self.layer).__name__} {self.layer.name!r}. Use it without normalisation."
            )
        return kernel

    def _matrix(self) -> tf.Tensor:
        """The kernel as a matrix."""
        kernel = self._kernel()
        return tf.reshape(as_real(kernel.value), [-1, kernel.shape[-1]])

    def _image(self) -> tf.Tensor:
        """W u for the unit vector u, normalised here because averaged directions are shorter than 1."""
        direction = tf.convert_to_tensor(self.direction)
        return tf.linalg.matvec(self._matrix(), direction / tf.maximum(tf.norm(direction), 1e-12))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The wrapped layer's output shape."""
        return self.layer.compute_output_shape(input_shape)


def _singular_vector(matrix: tf.Tensor) -> tf.Tensor:
    """The right singular vector that belongs to the largest singular value."""
    rows, columns = matrix.shape
    if columns <= rows:
        return tf.linalg.eigh(tf.matmul(matrix, matrix, transpose_a=True))[1][:, -1]
    left = tf.linalg.eigh(tf.matmul(matrix, matrix, transpose_b=True))[1][:, -1]
    return tf.math.l2_normalize(tf.linalg.matvec(matrix, left, transpose_a=True))
