r"""Pictures made smaller and larger by whole factors.

Bicubic resampling weighs pixels by Keys' kernel of $a = -1/2$,

$$ k(t) = \begin{cases} \tfrac32 |t|^3 - \tfrac52 |t|^2 + 1 & |t| \le 1 \\
   -\tfrac12 |t|^3 + \tfrac52 |t|^2 - 4 |t| + 2 & 1 < |t| < 2 \end{cases} $$

Pixel i covers the interval from i to i + 1, with its centre at i + 1/2 (half-pixel centres): output pixel j
of a picture that is enlarged s times lies at (j + 1/2) / s. So a picture neither moves nor changes its mean
brightness, and away from the border a ramp stays a ramp. To make a picture smaller the kernel is widened s
times, which removes what the small picture cannot show (antialiasing). Beyond the border weights are left
out, and the others are scaled to the sum 1.

Reference: Cubic Convolution Interpolation for Digital Image Processing, Keys, 1981.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.precision import as_real
from keras_genmod.core.registration import register

__all__ = ["BicubicDownsampling", "BicubicUpsampling", "SubpixelUpsampling"]


class _Resampling(keras.layers.Layer):
    """A layer without weights that changes height and width by a whole factor.

    Args:
        scale: The factor.
    """

    # Whether pictures become larger.
    _enlarges = True

    def __init__(self, scale: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = check_integer("scale", scale)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Keras' hook: the shape of the result.

        Raises:
            ValueError: For sides that the factor does not divide.
        """
        batch, *sides, channels = input_shape
        if self._enlarges:
            return (batch, *(None if side is None else side * self.scale for side in sides), channels)
        if any(side is not None and side % self.scale for side in sides):
            nearest = tuple(side if side is None else side - side % self.scale for side in sides)
            raise ValueError(
                f"Height and width must be multiples of scale={self.scale}; received {tuple(sides)}. Crop "
                f"the pictures, for example to {nearest}."
            )
        return (batch, *(None if side is None else side // self.scale for side in sides), channels)

    def compute_output_spec(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Keras' hook: the symbolic output."""
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)

    def get_config(self) -> dict:
        """Keras' hook: the constructor arguments."""
        return {**super().get_config(), "scale": self.scale}

    def _resampled(self, inputs: tf.Tensor) -> tf.Tensor:
        """The picture in its new size, in the dtype of the inputs."""
        x, shape = as_real(inputs), tf.shape(inputs)
        # Each channel is a picture of its own.
        planes = tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [-1, shape[1], shape[2], 1])
        for axis in (1, 2):
            planes = self._along(planes, axis)
        sides = tf.shape(planes)[1:3]
        planes = tf.reshape(planes, [shape[0], shape[3], sides[0], sides[1]])
        result = tf.ensure_shape(
            tf.transpose(planes, [0, 2, 3, 1]), self.compute_output_shape(tuple(inputs.shape))
        )
        return tf.cast(result, inputs.dtype)

    def _along(self, planes: tf.Tensor, axis: int) -> tf.Tensor:
        """Pictures `[N, height, width, 1]` resampled along one axis."""
        weighted, weights = (self._weighted(x, axis) for x in (planes, tf.ones_like(planes[:1])))
        return weighted / weights

    def _weighted(self, planes: tf.Tensor, axis: int) -> tf.Tensor:
        """The sums of the pixels beneath the kernel, or of the kernels over each pixel, along one axis."""
        scale, (first, kernel) = self.scale, _kernel(self.scale)
        shape = [1, 1, 1, 1]
        shape[axis - 1] = len(kernel)
        taps = tf.constant(kernel.reshape(shape), planes.dtype)
        strides, padding = [1, 1, 1, 1], [[0, 0]] * 4
        strides[axis] = scale
        padding[axis] = [-first, first + len(kernel) - scale]
        if not self._enlarges:
            return tf.nn.conv2d(tf.pad(planes, padding), taps, strides, "VALID")
        sides = tf.unstack(tf.shape(planes))
        sides[axis] = sides[axis] * scale + sum(padding[axis])
        result = tf.nn.conv2d_transpose(planes, taps, sides, strides, "VALID")
        begin = [0, 0, 0, 0]
        begin[axis] = padding[axis][0]
        sides[axis] = tf.shape(planes)[axis] * scale
        return tf.slice(result, begin, sides)


def _kernel(scale: int) -> tuple[int, np.ndarray]:
    """Keys' kernel over the large picture's pixels around the first pixel of the small one.

    Returns:
        The number of the first pixel, which is not positive, and the weights from there on.
    """
    first, last = math.floor(-1.5 * scale - 0.5) + 1, math.ceil(2.5 * scale - 0.5) - 1
    t = np.abs((np.arange(first, last + 1) + 0.5) / scale - 0.5)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1.0, -0.5 * t**3 + 2.5 * t**2 - 4.0 * t + 2.0
    return first, np.where(t <= 1.0, near, far)


@register
class BicubicDownsampling(_Resampling):
    """Makes pictures `scale` times smaller by the antialiased bicubic filter, with half-pixel centres.

    The filter is computed in float32 at least. Results may lie a little beyond the pixels' range.

    Args:
        scale: The factor, which divides height and width.

    Call arguments:
        inputs: `[B, height, width, C]`.

    Returns:
        `[B, height / scale, width / scale, C]`.

    Reference: Cubic Convolution Interpolation for Digital Image Processing, Keys, 1981.

    Example:
        >>> BicubicDownsampling(2)(tf.ones([1, 4, 6, 1])).shape
        TensorShape([1, 2, 3, 1])
    """

    _enlarges = False

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The smaller pictures."""
        return self._resampled(inputs)


@register
class BicubicUpsampling(_Resampling):
    """Makes pictures `scale` times larger by bicubic interpolation, with half-pixel centres.

    The interpolation is computed in float32 at least. Results may lie a little beyond the pixels' range.

    Args:
        scale: The factor.

    Call arguments:
        inputs: `[B, height, width, C]`.

    Returns:
        `[B, scale * height, scale * width, C]`.

    Reference: Cubic Convolution Interpolation for Digital Image Processing, Keys, 1981.

    Example:
        >>> BicubicUpsampling(2)(tf.ones([1, 4, 6, 1])).shape
        TensorShape([1, 8, 12, 1])
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The larger pictures."""
        return self._resampled(inputs)


@register
class SubpixelUpsampling(_Resampling):
    """Turns `s * s` channels into a square of pixels: `[B, h, w, s * s * C]` to `[B, s * h, s * w, C]`.

    Args:
        scale: The factor `s`.

    Reference: Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
    Neural Network, Shi et al., 2016.

    Example:
        >>> SubpixelUpsampling(2)(tf.reshape([1.0, 2.0, 3.0, 4.0], [1, 1, 1, 4])).numpy()[0, :, :, 0].tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The larger pictures."""
        return tf.nn.depth_to_space(inputs, self.scale) if self.scale > 1 else inputs

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Keras' hook: the shape of the result.

        Raises:
            ValueError: For channels that the square of the factor does not divide.
        """
        *sides, channels = super().compute_output_shape(input_shape)
        if channels % self.scale**2:
            raise ValueError(
                f"The number of channels must be a multiple of scale * scale = {self.scale**2}; received "
                f"{channels}. Let the convolution before give as many."
            )
        return (*sides, channels // self.scale**2)
