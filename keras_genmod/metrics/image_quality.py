r"""How near a picture is to the one that it should be: absolute error, PSNR and SSIM, one value a picture.

With a range of values of length $L$ and the mean squared error $m$ of a picture,

$$ \mathrm{PSNR} = 10 \log_{10} (L^2 / m) $$

in decibels. SSIM compares means $\mu$, variances $\sigma^2$ and the covariance of small windows,

$$ \mathrm{SSIM} = \frac{(2 \mu_x \mu_y + c_1)(2 \sigma_{xy} + c_2)}
   {(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)}, \quad c_1 = (0.01 L)^2, \; c_2 = (0.03 L)^2 $$

and takes the mean over all windows that lie within the picture, and over channels. Values are measured from
the lower end of the range, so that the figure does not depend on where the range begins.

Reference: Image Quality Assessment: From Error Visibility to Structural Similarity, Wang, Bovik, Sheikh and
Simoncelli, 2004.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.core.precision import as_real

__all__ = ["absolute_error", "psnr", "ssim"]

# The window of SSIM: its side and the standard deviation of its weights, in pixels.
_WINDOW, _STDDEV = 11, 1.5
# The mean squared error, relative to the squared range, below which PSNR is cut off.
_LEAST_ERROR = 1e-10


def absolute_error(x: Any, y: Any) -> tf.Tensor:
    """The mean absolute difference of each picture, `[B]`.

    Args:
        x, y: Pictures `[B, height, width, C]`, or arrays of any one shape.

    Example:
        >>> float(absolute_error(tf.zeros([1, 2, 2, 1]), tf.fill([1, 2, 2, 1], 3.0))[0])
        3.0
    """
    x, y = _as_pair(x, y)
    return tf.reduce_mean(tf.abs(x - y), axis=range(1, len(x.shape)))


def psnr(x: Any, y: Any, value_range: Sequence[float]) -> tf.Tensor:
    """The peak signal-to-noise ratio of each picture in decibels, `[B]`; larger is nearer.

    Args:
        x, y: Pictures `[B, height, width, C]`.
        value_range: Lowest and highest value that a pixel may have.

    Returns:
        `[B]`, at most 100: equal pictures have 100.

    Example:
        >>> float(psnr(tf.zeros([1, 2, 2, 1]), tf.fill([1, 2, 2, 1], 0.1), (0, 1))[0])
        20.0...
    """
    x, y = _as_pair(x, y)
    error = tf.reduce_mean(tf.math.squared_difference(x, y), axis=range(1, len(x.shape)))
    share = error / _length(value_range) ** 2
    return -10.0 / math.log(10.0) * tf.math.log(tf.maximum(share, _LEAST_ERROR))


def ssim(x: Any, y: Any, value_range: Sequence[float]) -> tf.Tensor:
    """The structural similarity of each picture, `[B]`; 1 for equal pictures.

    Windows have 11x11 pixels with normal weights of standard deviation 1.5, as in the paper. In pictures with
    a side below 11 they have the largest odd number of pixels that fits.

    Args:
        x, y: Pictures `[B, height, width, C]`.
        value_range: Lowest and highest value that a pixel may have.

    Cost: five blurred pictures, each by two passes of 11 taps.

    Example:
        >>> x = tf.random.stateless_uniform([1, 16, 16, 1], [0, 1])
        >>> float(ssim(x, x, (0, 1))[0])
        1.0
    """
    length = _length(value_range)
    x, y = (part - tf.cast(value_range[0], part.dtype) for part in _as_pair(x, y))
    c1, c2 = (0.01 * length) ** 2, (0.03 * length) ** 2
    size = min(_WINDOW, *(side - 1 + side % 2 for side in x.shape[1:3]))
    channels = x.shape[3]
    stacked = _blurred(tf.concat([x, y, x * x + y * y, x * y], axis=3), size)
    mean_x, mean_y, squares, products = (
        stacked[..., number * channels : (number + 1) * channels] for number in range(4)
    )
    both, product = mean_x**2 + mean_y**2, mean_x * mean_y
    luminance = (2.0 * product + c1) / (both + c1)
    structure = (2.0 * (products - product) + c2) / (squares - both + c2)
    return tf.reduce_mean(luminance * structure, axis=[1, 2, 3])


def _blurred(x: tf.Tensor, size: int) -> tf.Tensor:
    """The weighted means over all windows within a picture."""
    distance = np.arange(size) - (size - 1) / 2
    weights = np.exp(-0.5 * (distance / _STDDEV) ** 2)
    weights = tf.constant(weights / weights.sum(), x.dtype)
    channels = x.shape[3]
    for shape in ([size, 1], [1, size]):
        kernel = tf.tile(tf.reshape(weights, [*shape, 1, 1]), [1, 1, channels, 1])
        x = tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")
    return x


def _as_pair(x: Any, y: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Both pictures in one real dtype."""
    x, y = as_real(x), as_real(y)
    if not x.shape.is_compatible_with(y.shape):
        raise ValueError(
            f"The pictures must have one shape; received {tuple(x.shape)} and {tuple(y.shape)}. Resize one."
        )
    return (x, y) if x.dtype == y.dtype else (tf.cast(x, tf.float32), tf.cast(y, tf.float32))


def _length(value_range: Sequence[float]) -> float:
    low, high = value_range
    if not 0 < high - low < math.inf:
        raise ValueError(
            "`value_range` must be the lowest and the highest value of a pixel, such as (-1, 1); received "
            f"{tuple(value_range)}."
        )
    return high - low
