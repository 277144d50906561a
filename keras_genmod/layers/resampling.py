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

from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer
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

    def _resized(self, inputs: tf.Tensor) -> tf.Tensor:
        """The picture in its new size, in the dtype of the inputs."""
        shape = tf.shape(inputs)[1:3]
        sides = shape * self.scale if self._enlarges else shape // self.scale
        resize = tf.raw_ops.ScaleAndTranslate
        factor = float(self.scale) if self._enlarges else 1.0 / self.scale
        resized = resize(
            images=tf.cast(inputs, tf.float32),
            size=sides,
            scale=[factor, factor],
            translation=[0.0, 0.0],
            kernel_type="keyscubic",
            antialias=not self._enlarges,
        )
        static = self.compute_output_shape(tuple(inputs.shape))
        return tf.cast(tf.ensure_shape(resized, static), inputs.dtype)


@register
class BicubicDownsampling(_Resampling):
    """Makes pictures `scale` times smaller by the antialiased bicubic filter, with half-pixel centres.

    The filter is computed in float32. Results may lie a little beyond the pixels' range.

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
        return self._resized(inputs)


@register
class BicubicUpsampling(_Resampling):
    """Makes pictures `scale` times larger by bicubic interpolation, with half-pixel centres.

    The interpolation is computed in float32. Results may lie a little beyond the pixels' range.

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
        return self._resized(inputs)


@register
class SubpixelUpsampling(_Resampling):
    """Turns `scale * scale` channels into a square of pixels: `[B, h, w, s * s * C]` to `[B, s * h, s * w, C]`.

    Args:
        scale: The factor s.

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
