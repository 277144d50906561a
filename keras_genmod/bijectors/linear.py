"""Linear bijections, which are the same for every example: scaling, permutation and mixing of channels."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bijectors.bijection import Bijection
from keras_genmod.bijectors.own_bijector import OwnBijector
from keras_genmod.core.checks import describe
from keras_genmod.core.noise import fresh_seed
from keras_genmod.core.registration import register

__all__ = ["ActNorm", "InvertibleConvolution", "Permutation"]

tfb = tfp.bijectors


@register
class ActNorm(Bijection):
    r"""$x = z \odot e^{s} + b$, with one scale and shift for each channel (of vectors: each variable).

    Their data-dependent initialisation gives each channel of the noise mean 0 and variance 1 on the first
    data; a constant channel keeps its scale. `fit` does this before its first step.

    Reference: Glow: Generative Flow with Invertible 1x1 Convolutions, Kingma and Dhariwal, 2018.
    """

    def _create(self, seed: int | None) -> None:
        channels = self.event_shape[-1:]
        options = {"initializer": "zeros", "dtype": self.real_dtype.name, "autocast": False}
        self.shift = self.add_weight(shape=channels, name="shift", **options)
        self.log_scale = self.add_weight(shape=channels, name="log_scale", **options)
        self.is_initialized = self.add_weight(
            shape=(),
            initializer="zeros",
            dtype="int32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="is_initialized",
        )

    def bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """Scale and shift."""
        shift, log_scale = tf.convert_to_tensor(self.shift), tf.convert_to_tensor(self.log_scale)
        return tfb.Shift(shift)(tfb.Scale(log_scale=log_scale))

    def _to_noise(self, x: tf.Tensor, condition: Any, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        log_scale = tf.convert_to_tensor(self.log_scale)
        noise = (x - tf.convert_to_tensor(self.shift)) * tf.exp(-log_scale)
        return noise, -float(math.prod(self.event_shape[:-1])) * tf.reduce_sum(log_scale)

    def initialize(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Sets shift and scale to the mean and standard deviation of each channel of x."""
        axes = list(range(x.shape.rank - 1))
        mean, variance = tf.nn.moments(tf.cast(x, tf.float64), axes)
        self.shift.assign(tf.cast(mean, self.real_dtype))
        # A constant channel keeps scale 1, because a tiny scale would blow up any later deviation.
        variance = tf.where(variance > 1e-10, variance, 1.0)
        self.log_scale.assign(tf.cast(0.5 * tf.math.log(variance), self.real_dtype))
        self.is_initialized.assign(1)
        return super().initialize(x, condition)

    def needs_data(self) -> bool:
        """Whether scale and shift have not been set from data yet."""
        return not int(self.is_initialized.numpy())

    def get_config(self) -> dict:
        """The constructor arguments."""
        # Only the arguments of every layer. Without this method Keras finds them only if the dtype is a name,
        # and files hold it as an object.
        return super().get_config()


@register
class Permutation(Bijection):
    """Reorders the channels (of vectors: the variables).

    Args:
        permutation: "reverse", "random" (drawn once, from the seed), or the numbers of the channels: channel
            i of the noise is channel `permutation[i]` of the data.

    Raises:
        ValueError: If `permutation` is anything else.
    """

    def __init__(self, permutation: Any = "reverse", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(permutation, str):
            if permutation not in ("reverse", "random"):
                raise ValueError(
                    "`permutation` must be 'reverse', 'random' or the numbers of the channels; received "
                    f"{describe(permutation)}. Choose one of these."
                )
        else:
            permutation = [int(number) for number in np.asarray(permutation).ravel()]
        self.permutation = permutation

    def _create(self, seed: int | None) -> None:
        size = self.event_shape[-1]
        if self.permutation == "reverse":
            numbers = np.arange(size)[::-1].copy()
        elif self.permutation == "random":
            numbers = np.random.default_rng(fresh_seed() if seed is None else seed).permutation(size)
        else:
            numbers = np.asarray(self.permutation)
            if not np.array_equal(np.sort(numbers), np.arange(size)):
                raise ValueError(
                    f"`permutation` must hold the numbers 0 to {size - 1}, each once; received "
                    f"{describe(self.permutation)}. Pass 'reverse' or 'random', or all the numbers."
                )
        # A weight, so that files hold the order that was drawn.
        self.numbers = self.add_weight(
            shape=(size,),
            initializer=lambda shape, dtype: tf.constant(numbers, dtype),
            dtype="int32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="numbers",
        )

    def bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """The permutation, from noise to data."""
        numbers = tf.convert_to_tensor(self.numbers)
        return tfb.Permute(tf.math.invert_permutation(numbers), axis=-1)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "permutation": self.permutation}


@register
class InvertibleConvolution(Bijection):
    r"""A 1x1 convolution: $z = x W$ at every pixel, with $W = P L (U + \operatorname{diag}(s))$.

    P is a fixed permutation, L is lower triangular with unit diagonal, and U is strictly upper triangular.
    The log-determinant is $H W \sum \log |s|$ for images of H x W pixels. W starts as a random rotation.

    Cost: C^2 operations per pixel, and C^3 once for the inverse.

    Reference: Glow: Generative Flow with Invertible 1x1 Convolutions, Kingma and Dhariwal, 2018.
    """

    def _create(self, seed: int | None) -> None:
        size = self.event_shape[-1]
        generator = np.random.default_rng(fresh_seed() if seed is None else seed)
        rotation = np.linalg.qr(generator.normal(size=(size, size)))[0]
        lu, pivots = (tensor.numpy() for tensor in tf.linalg.lu(rotation))
        diagonal = np.diag(lu)

        def add(name: str, values: np.ndarray, trainable: bool = True) -> keras.Variable:
            return self.add_weight(
                shape=values.shape,
                initializer=lambda shape, dtype: tf.constant(values, dtype),
                dtype="int32" if name == "permutation" else self.real_dtype.name,
                trainable=trainable,
                autocast=False,
                aggregation="mean" if trainable else "only_first_replica",
                name=name,
            )

        self.lower = add("lower", np.tril(lu, -1))
        self.upper = add("upper", np.triu(lu, 1))
        self.log_diagonal = add("log_diagonal", np.log(np.abs(diagonal)))
        self.sign = add("sign", np.sign(diagonal), trainable=False)
        # The rows of the factors' product are in the order of the pivots.
        self.permutation = add("permutation", np.asarray(pivots), trainable=False)

    def _to_noise(self, x: tf.Tensor, condition: Any, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        *factors, log_det = self._factors()
        return _times(x, _matrix(*factors)), float(math.prod(self.event_shape[:-1])) * log_det

    def bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """The product with the inverse of W, from noise to data."""
        return tfb.Invert(_Product(*self._factors()))

    def _factors(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """The triangular factors of W, the positions of their product's rows in W, and log |det W|."""
        log_diagonal = tf.convert_to_tensor(self.log_diagonal)
        diagonal = tf.convert_to_tensor(self.sign) * tf.exp(log_diagonal)
        size = self.event_shape[-1]
        lower = tf.linalg.band_part(self.lower, -1, 0)
        lower = tf.linalg.set_diag(lower, tf.ones([size], self.real_dtype))
        upper = tf.linalg.set_diag(tf.linalg.band_part(self.upper, 0, -1), diagonal)
        places = tf.math.invert_permutation(tf.convert_to_tensor(self.permutation))
        return lower, upper, places, tf.reduce_sum(log_diagonal)

    def get_config(self) -> dict:
        """The constructor arguments."""
        # Only the arguments of every layer. Without this method Keras finds them only if the dtype is a name,
        # and files hold it as an object.
        return super().get_config()


def _matrix(lower: tf.Tensor, upper: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """W from its factors."""
    return tf.gather(tf.matmul(lower, upper), places)


def _times(x: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """The product of x with a matrix on its last axis."""
    return tf.matmul(x, matrix) if x.shape.rank == 2 else tf.tensordot(x, matrix, 1)


class _Product(OwnBijector):
    """y = x W on the last axis, with W given by its triangular factors."""

    def __init__(self, lower: tf.Tensor, upper: tf.Tensor, places: tf.Tensor, log_det: tf.Tensor) -> None:
        self._lower, self._upper, self._places, self._log_det = lower, upper, places, log_det
        super().__init__(1, dtype=lower.dtype, is_constant_jacobian=True)

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        return _times(x, _matrix(self._lower, self._upper, self._places))

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        # (P L U)^-1 = U^-1 L^-1 P^-1, computed once for the unit matrix.
        size = self._lower.shape[0]
        unit = tf.gather(tf.eye(size, dtype=self.dtype), tf.math.invert_permutation(self._places))
        half = tf.linalg.triangular_solve(self._lower, unit)
        return tf.tensordot(y, tf.linalg.triangular_solve(self._upper, half, lower=False), 1)

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        return self._log_det
