r"""Kinds of covariances of normal components: densities, sufficient statistics, new covariances.

A kind holds no numbers. It works on the means $\mu_k$ `[K, D]` and the scale: the lower triangular $L_k$ with
$\Sigma_k = L_k L_k^T$, or standard deviations. Moments are taken about each component's own mean, so that a
narrow component keeps its digits however far from the others, or from zero, it lies.

Products of matrices are several times faster than differences, but squares that are multiplied out,
$(x - \mu)^2 = x^2 - 2 x \mu + \mu^2$, lose the digits by which the terms exceed the result. They are taken
about the centre of all means, and only while the means are so near to it that nothing is lost; otherwise the
differences from each mean are formed first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.distributions.gaussian_mixture import DiagonalGaussianMixture

__all__ = [
    "LOG_2PI",
    "ROUNDING",
    "Covariance",
    "Densities",
    "DiagonalCovariance",
    "Moments",
    "SphericalCovariance",
]

tfd = tfp.distributions

LOG_2PI = math.log(2.0 * math.pi)
# Below this share of the second moment a variance is rounding, in float64; and so is a standard deviation
# below this share of the mean.
ROUNDING = 1e-13
# Squared distance of a mean from the centre, in its own deviations, up to which squares are multiplied out.
# Terms of that size are rounded to 1e-16 of themselves, which leaves some 1e-6 nats.
_FARTHEST = 1e10
# Share of squares that are multiplied out below which a variance is rounding: some 50 roundings.
_ROUNDING_OF_SQUARES = 1e-14

Densities = Callable[[tf.Tensor], tf.Tensor]
Moments = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Covariance:
    """Base of the kinds, for K components of D dimensions: what those by standard deviations share.

    A kind writes, beside what is here: `scale_shape`, `temporary` (numbers of the largest temporary array
    for each point), `squared_lengths`, `log_normalizer`, the two `distances`, the two `moments`, `recentred`,
    `covariances`, `moments_of`, `variances`, `moved`, `from_pooled` and `distribution`; see
    `DiagonalCovariance`.

    Args:
        num_components, size: K and D.
    """

    name: str
    scale_shape: tuple[int, ...]

    def __init__(self, num_components: int, size: int) -> None:
        self.num_components, self.size = num_components, size

    @property
    def free_shape(self) -> tuple[int, ...]:
        """Shape of the free numbers that training by gradients moves."""
        return self.scale_shape

    def kept(self, empty: tf.Tensor, old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        """The new values, the old ones where a component `[K]` is empty."""
        return tf.where(tf.reshape(empty, [-1] + [1] * (len(self.scale_shape) - 1)), old, new)

    def scale_of(self, covariances: tf.Tensor, regularization: Any = 0.0) -> tf.Tensor:
        """The scale of covariances, with the regularization added to the variances."""
        return tf.sqrt(tf.maximum(covariances, 0.0) + regularization)

    def covariances_of(self, scale: tf.Tensor) -> tf.Tensor:
        """The covariances of a scale."""
        return tf.square(scale)

    def extents(self, scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Variances of each dimension, given those before it and by itself; `[K, D]`, or that of one row."""
        variances = tf.reshape(tf.square(scale), [self.num_components, -1])
        return variances, variances

    def from_free(self, free: tf.Tensor, positive: Callable) -> tf.Tensor:
        """The scale of free numbers; `positive` is a function from any number to one above 0."""
        return positive(free)

    def to_free(self, scale: tf.Tensor, inverse: Callable) -> tf.Tensor:
        """The free numbers of a scale; `inverse` is the inverse of `positive`."""
        return inverse(scale)

    def centre_of(self, means: tf.Tensor, scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The centre of the means `[D]`, and whether squares about it may be multiplied out."""
        centre = tf.stop_gradient(tf.reduce_mean(means, axis=0))
        lengths = self.squared_lengths(means - centre, scale)
        return centre, tf.reduce_max(lengths) <= _FARTHEST

    def densities(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """The function from points `[B, D]` to `log N(x; mu_k, Sigma_k)`, `[B, K]`."""
        centre, expands = self.centre_of(means, scale)
        constant = self.log_normalizer(scale)
        about_centre = self.distances_about_centre(means - centre, scale)
        by_differences = self.distances_by_differences(means, scale)
        return lambda x: (
            constant - 0.5 * tf.cond(expands, lambda: about_centre(x - centre), lambda: by_differences(x))
        )

    def moments(self, means: tf.Tensor, scale: tf.Tensor) -> Moments:
        """The function from points and responsibilities `[B, K]` to moments about each component's mean.

        These are the sums of the differences from the mean, `[K, D]`, and of their squares or products,
        `scale_shape`.
        """
        centre, expands = self.centre_of(means, scale)

        def moments(x: tf.Tensor, responsibilities: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            sums, second = tf.cond(
                expands,
                lambda: self.moments_about_centre(x - centre, responsibilities, means - centre),
                lambda: self.moments_by_differences(x, responsibilities, means),
            )
            return tf.ensure_shape(sums, means.shape), tf.reshape(second, self.scale_shape)

        return moments

    def rounding(self, counts: tf.Tensor, second: tf.Tensor, means: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """The variances that rounding may feign.

        Args:
            counts: `[K]`.
            second: second moments about the means.
            means, scale: of the densities and moments.
        """
        centre, expands = self.centre_of(means, scale)
        squares = tf.square(ROUNDING * means)
        squares += tf.where(expands, _ROUNDING_OF_SQUARES * tf.square(means - centre), 0.0)
        return self.variances(ROUNDING * self.covariances(counts, second), squares)


class DiagonalCovariance(Covariance):
    """Variances of its own for each component and dimension: a density takes two products of matrices."""

    name = "diagonal"

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """Shape of the scale and of the covariances: `[K, D]`."""
        return (self.num_components, self.size)

    def temporary(self) -> int:
        """The point's square, or its densities."""
        return max(self.num_components, self.size)

    def _deviations(self, scale: tf.Tensor) -> tf.Tensor:
        return tf.broadcast_to(tf.reshape(scale, [self.num_components, -1]), [self.num_components, self.size])

    def _folded(self, values: tf.Tensor) -> tf.Tensor:
        """Values of the dimensions `[..., D]`, as one variance is made of them."""
        return values

    def squared_lengths(self, points: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Squared lengths of a point for each component `[K, D]` in its deviations, `[K]`."""
        return tf.reduce_sum(tf.square(points / self._deviations(scale)), axis=1)

    def log_normalizer(self, scale: tf.Tensor) -> tf.Tensor:
        """The log-densities of the means, `[K]`."""
        log_scale = tf.math.log(self._deviations(scale))
        return -0.5 * self.size * LOG_2PI - tf.reduce_sum(log_scale, axis=1)

    def distances_about_centre(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """The function from points to squared distances in deviations, `[B, K]`: all about a near centre."""
        precision = 1.0 / tf.square(self._deviations(scale))
        squares_of_means = tf.reduce_sum(precision * tf.square(means), axis=1)

        def distances(x: tf.Tensor) -> tf.Tensor:
            squares = tf.matmul(tf.square(x), precision, transpose_b=True) + squares_of_means
            return squares - 2.0 * tf.matmul(x, precision * means, transpose_b=True)

        return distances

    def distances_by_differences(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """The same, one component after the other: the differences of all would fill the memory."""
        precision = 1.0 / tf.square(self._deviations(scale))
        return lambda x: _squared_distances(x, means, precision)

    def moments_about_centre(
        self, x: tf.Tensor, responsibilities: tf.Tensor, means: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums of differences and of their squares, multiplied out: points and means about a near centre."""
        sums = tf.matmul(responsibilities, x, transpose_a=True)
        around = sums - tf.reduce_sum(responsibilities, axis=0)[:, None] * means
        squares = tf.matmul(responsibilities, self._folded(tf.square(x)), transpose_a=True)
        return around, squares - self._folded(means * (sums + around))

    def moments_by_differences(
        self, x: tf.Tensor, responsibilities: tf.Tensor, means: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The same from the differences, one component after the other."""
        sums, squares = _sums_of_differences(x, responsibilities, means)
        return sums, self._folded(squares)

    def recentred(self, counts: tf.Tensor, shift: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The second moments about means that moved by a shift `[K, D]` to where sums are 0."""
        return second - counts[:, None] * tf.square(shift)

    def covariances(self, counts: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The covariances of second moments."""
        return tf.math.divide_no_nan(second, counts[:, None])

    def moments_of(self, shares: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
        """The second moments that a mixture with these parameters expects of one point."""
        return shares[:, None] * covariances

    def variances(self, covariances: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
        """The variances of covariances, and squares of the dimensions `[K, D]` added to them."""
        return covariances + squares

    def moved(self, noise: tf.Tensor, which: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Standard normal noise `[B, D]` with the covariance of each row's component `[B]`."""
        return noise * tf.gather(tf.reshape(scale, [self.num_components, -1]), which)

    def from_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        """The diagonal of one covariance `[D, D]` for all."""
        return tf.tile(tf.linalg.diag_part(pooled)[None], [self.num_components, 1])

    def distribution(self, logits: tf.Tensor, means: tf.Tensor, scale: tf.Tensor) -> tfd.Distribution:
        """The mixture."""
        return DiagonalGaussianMixture(logits, means, self._deviations(scale))


class SphericalCovariance(DiagonalCovariance):
    """One variance for each component."""

    name = "spherical"

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """`[K]`."""
        return (self.num_components,)

    def _folded(self, values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(values, axis=-1, keepdims=True)

    def recentred(self, counts: tf.Tensor, shift: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """As for diagonal covariances, of squared lengths."""
        return second - counts * tf.reduce_sum(tf.square(shift), axis=1)

    def covariances(self, counts: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The mean over dimensions of the variances."""
        return tf.math.divide_no_nan(second, counts) / self.size

    def moments_of(self, shares: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
        """Variances of all dimensions."""
        return shares * self.size * covariances

    def variances(self, covariances: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
        """With the largest square of all dimensions."""
        return covariances + tf.reduce_max(squares, axis=1)

    def from_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        """Its mean variance for all."""
        return tf.fill([self.num_components], tf.linalg.trace(pooled) / self.size)


def _sums_of_differences(x: tf.Tensor, weights: tf.Tensor, means: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums of the points' differences from each mean and of their squares, `[K, D]`, by weights `[B, K]`."""

    def one(own: tuple) -> tuple[tf.Tensor, tf.Tensor]:
        around, weight = x - own[0], own[1]
        return tuple(tf.linalg.matvec(part, weight, transpose_a=True) for part in (around, tf.square(around)))

    return tf.map_fn(one, (means, tf.transpose(weights)), fn_output_signature=(x.dtype, x.dtype))


@tf.custom_gradient
def _squared_distances(x: tf.Tensor, means: tf.Tensor, precision: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """Squared distances `[B, K]` of points from each mean, times the precisions of the dimensions `[K, D]`.

    The gradient is written out: that of the loop would keep all differences, and has no place in XLA.
    """

    def one(own: tuple) -> tf.Tensor:
        return tf.linalg.matvec(tf.math.squared_difference(x, own[0]), own[1])

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        sums, squares = _sums_of_differences(x, upstream, means)
        by_x = x * tf.matmul(upstream, precision) - tf.matmul(upstream, precision * means)
        return 2.0 * by_x, -2.0 * precision * sums, squares

    return tf.transpose(tf.map_fn(one, (means, precision), fn_output_signature=x.dtype)), gradient
