r"""Rational-quadratic splines: monotone functions whose inverse has a closed form.

A bin between the knots $(x_k, z_k)$ and $(x_{k+1}, z_{k+1})$ has width $w$, height $h$, mean slope
$s = h / w$ and slopes $d_k, d_{k+1}$ at its knots. Inside it, with $\xi = (x - x_k) / w$,

$$ z = z_k + h \frac{s \xi^2 + d_k \xi (1 - \xi)}{s + (d_k + d_{k+1} - 2 s) \xi (1 - \xi)} $$

Reference: Neural Spline Flows, Durkan, Bekasov, Murray and Papamakarios, 2019.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bijectors.own_bijector import Memory, OwnBijector

__all__ = ["RationalQuadraticSpline", "spline_to_noise"]

tfb = tfp.bijectors


class _Bin(NamedTuple):
    """The bin that contains a value; each entry `[...]`."""

    x: tf.Tensor
    z: tf.Tensor
    width: tf.Tensor
    height: tf.Tensor
    slope: tf.Tensor
    next_slope: tf.Tensor


def spline_to_noise(
    x: tf.Tensor, sizes: tf.Tensor, slopes: tf.Tensor, bound: float
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""The noise z of data x and log dz/dx, each `[N]`: `RationalQuadraticSpline` with fewer operations.

    The gradient is written by hand, because automatic differentiation would add five operations for each one
    here. With the numerator $n = s \xi^2 + d_k \xi (1 - \xi)$, the denominator
    $b = s + (d_k + d_{k+1} - 2 s) \xi (1 - \xi)$, and
    $a = d_{k+1} \xi^2 + 2 s \xi (1 - \xi) + d_k (1 - \xi)^2$,

    $$ z = z_k + h n / b, \qquad \log dz/dx = 2 \log s + \log a - 2 \log b $$

    Args:
        x: Data `[N]`.
        sizes: Widths and heights of the bins, `[N, 2, K]`.
        slopes: Slopes at the inner knots, `[N, K - 1]`.
        bound: The spline acts on [-bound, bound].
    """

    @tf.custom_gradient
    def to_noise(x: tf.Tensor, sizes: tf.Tensor, slopes: tf.Tensor) -> tuple:
        value = tf.clip_by_value(x, -bound, bound)
        starts = tf.cumsum(sizes, axis=-1, exclusive=True) - bound
        # `here` is 1 for the last bin that begins at or before the value.
        begun = tf.cast(value[:, None] >= starts[:, 0, 1:], x.dtype)
        here = tf.pad(begun, [[0, 0], [1, 0]], constant_values=1.0) - tf.pad(begun, [[0, 0], [0, 1]])
        here = here[:, None, :]
        knots = tf.pad(slopes, [[0, 0], [1, 1]], constant_values=1.0)
        table = tf.concat([starts, sizes, tf.stack([knots[:, :-1], knots[:, 1:]], axis=1)], axis=1)
        at = _Bin(*tf.unstack(tf.reduce_sum(table * here, axis=-1), axis=-1))
        share, mean = (value - at.x) / at.width, at.height / at.width
        rest = 1.0 - share
        mixed, squared, rest_squared = share * rest, tf.square(share), tf.square(rest)
        bend = at.slope + at.next_slope - 2.0 * mean
        below = mean + bend * mixed
        ratio = (mean * squared + at.slope * mixed) / below
        above = at.next_slope * squared + 2.0 * mean * mixed + at.slope * rest_squared
        z = at.z + at.height * ratio
        log_slope = 2.0 * tf.math.log(mean) + tf.math.log(above) - 2.0 * tf.math.log(below)
        outside = tf.abs(x) >= bound

        def gradient(of_z: tf.Tensor, of_log_slope: tf.Tensor) -> tuple:
            zeros = tf.zeros_like(x)
            of_ratio_below = tf.where(outside, zeros, of_z) * at.height / below
            of_inside = tf.where(outside, zeros, of_log_slope)
            of_above = of_inside / above
            # The gradient with respect to the denominator, from both results.
            of_below = -of_ratio_below * ratio - 2.0 * of_inside / below
            turn = rest - share
            of_share = (
                of_ratio_below * (2.0 * mean * share + at.slope * turn)
                + of_below * bend * turn
                + of_above * 2.0 * (at.next_slope * share + mean * turn - at.slope * rest)
            )
            of_mean = (
                of_ratio_below * squared
                + of_below * (1.0 - 2.0 * mixed)
                + 2.0 * of_above * mixed
                + 2.0 * of_inside / mean
            )
            of_value = of_share / at.width
            inside_z = tf.where(outside, zeros, of_z)
            of_bin = _Bin(
                x=-of_value,
                z=inside_z,
                width=-(of_value * share + of_mean * mean / at.width),
                height=inside_z * ratio + of_mean / at.width,
                slope=(of_ratio_below + of_below) * mixed + of_above * rest_squared,
                next_slope=of_below * mixed + of_above * squared,
            )
            of_table = tf.stack(of_bin, axis=-1)[:, :, None] * here
            of_sizes = of_table[:, 2:4] + tf.cumsum(of_table[:, :2], axis=-1, exclusive=True, reverse=True)
            of_slopes = of_table[:, 4, 1:] + of_table[:, 5, :-1]
            return tf.where(outside, of_z, of_value), of_sizes, of_slopes

        return (tf.where(outside, x, z), tf.where(outside, tf.zeros_like(x), log_slope)), gradient

    return to_noise(x, sizes, slopes)


class RationalQuadraticSpline(OwnBijector):
    """Maps noise z to data x and back, elementwise: a spline on [-bound, bound], the identity outside.

    Args:
        widths: Sizes of the bins on the data side, `[..., K]`; they sum to 2 * bound.
        heights: Sizes of the bins on the noise side, `[..., K]`; they sum to 2 * bound.
        slopes: Slopes dz/dx at the inner knots, `[..., K - 1]`; at both ends the slope is 1.
        bound: The spline acts on [-bound, bound].

    Unlike `tfb.RationalQuadraticSpline`, it finds a value's bin once for both the image and the
    log-determinant, and its direction without a square root is the one to the noise, which training uses. A
    flow's first step comes two to four times sooner, and each step takes about two thirds of the time.
    """

    def __init__(self, widths: tf.Tensor, heights: tf.Tensor, slopes: tf.Tensor, bound: float) -> None:
        self._widths, self._heights, self._slopes = widths, heights, slopes
        self._bound, self._of_data, self._of_noise = bound, Memory(), Memory()
        super().__init__(0, dtype=widths.dtype)

    @classmethod
    def _is_increasing(cls) -> bool:
        return True

    def _located(self, value: tf.Tensor, sizes: tf.Tensor) -> tuple[tf.Tensor, _Bin]:
        """The value clipped to the interval, and its bin; `sizes` are the bins' sizes on the value's side."""
        value = tf.clip_by_value(value, -self._bound, self._bound)
        first_x, first_z = (
            tf.cumsum(each, axis=-1, exclusive=True) - self._bound for each in (self._widths, self._heights)
        )
        starts = first_x if sizes is self._widths else first_z
        # `here` is 1 for the last bin that begins at or before the value.
        begun = tf.cast(value[..., None] >= starts[..., 1:], value.dtype)
        ones = tf.ones_like(begun[..., :1])
        here = tf.concat([ones, begun], axis=-1) - tf.concat([begun, tf.zeros_like(ones)], axis=-1)
        end = tf.ones_like(self._slopes[..., :1])
        table = tf.stack(
            [
                first_x,
                first_z,
                self._widths,
                self._heights,
                tf.concat([end, self._slopes], axis=-1),
                tf.concat([self._slopes, end], axis=-1),
            ]
        )
        return value, _Bin(*tf.unstack(tf.reduce_sum(table * here, axis=-1)))

    def _log_slope(self, share: tf.Tensor, at: _Bin) -> tf.Tensor:
        """Log dz/dx at the fraction `share` of the bin's width."""
        mean, mixed = at.height / at.width, share * (1.0 - share)
        above = at.next_slope * tf.square(share) + 2.0 * mean * mixed + at.slope * tf.square(1.0 - share)
        below = mean + (at.slope + at.next_slope - 2.0 * mean) * mixed
        return 2.0 * tf.math.log(mean) + tf.math.log(above) - 2.0 * tf.math.log(below)

    def _to_noise(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The noise z and log dz/dx."""
        value, at = self._located(x, self._widths)
        share = (value - at.x) / at.width
        mean, mixed = at.height / at.width, share * (1.0 - share)
        above = at.height * (mean * tf.square(share) + at.slope * mixed)
        z = at.z + above / (mean + (at.slope + at.next_slope - 2.0 * mean) * mixed)
        outside = tf.abs(x) >= self._bound
        return tf.where(outside, x, z), tf.where(outside, tf.zeros_like(x), self._log_slope(share, at))

    def _to_data(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The data x and log dz/dx."""
        value, at = self._located(z, self._heights)
        mean, above = at.height / at.width, value - at.z
        bend = above * (at.slope + at.next_slope - 2.0 * mean)
        a = at.height * (mean - at.slope) + bend
        b = at.height * at.slope - bend
        c = -mean * above
        # Of the two forms of the quadratic's solution, this one has no cancellation.
        root = tf.sqrt(tf.maximum(tf.square(b) - 4.0 * a * c, 0.0))
        share = tf.clip_by_value(2.0 * c / (-b - root), 0.0, 1.0)
        outside = tf.abs(z) >= self._bound
        x = tf.where(outside, z, at.x + share * at.width)
        return x, tf.where(outside, tf.zeros_like(x), self._log_slope(share, at))

    def _at_noise(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._of_noise.recall(z, lambda: self._to_data(z))

    def _at_data(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._of_data.recall(x, lambda: self._to_noise(x))

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        return self._at_noise(x)[0]

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        return self._at_data(y)[0]

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        return -self._at_noise(x)[1]

    def _inverse_log_det_jacobian(self, y: tf.Tensor) -> tf.Tensor:
        return self._at_data(y)[1]
