r"""Kinds of covariances of normal components: densities, sufficient statistics, new covariances.

A kind holds no numbers. It works on the means $\mu_k$ `[K, D]` and the scale: the lower triangular $L_k$ with
$\Sigma_k = L_k L_k^T$, or standard deviations. Points are given about an origin near the means, so that
products of sums lose few digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.distributions.gaussian_mixture import DiagonalGaussianMixture

__all__ = ["LOG_2PI", "ROUNDING", "Covariance", "Densities", "DiagonalCovariance", "SphericalCovariance"]

tfd = tfp.distributions

LOG_2PI = math.log(2.0 * math.pi)
# Below this share of the second moment a variance is rounding, in float64.
ROUNDING = 1e-13

Densities = Callable[[tf.Tensor], tf.Tensor]


class Covariance:
    """Base of the kinds, for K components of D dimensions: what those by standard deviations share.

    A kind writes, beside what is here: `scale_shape`, `temporary` (numbers of the largest temporary array
    for each point), `densities`, `second_moments`, `covariances`, `moments_of`, `moved`, `from_pooled` and
    `distribution`; see `DiagonalCovariance`.

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

    def least_variance(self, scale: tf.Tensor) -> tf.Tensor:
        """The smallest variance of a dimension, given those before it."""
        return tf.reduce_min(tf.square(scale))

    def from_free(self, free: tf.Tensor, positive: Callable) -> tf.Tensor:
        """The scale of free numbers; `positive` is a function from any number to one above 0."""
        return positive(free)

    def to_free(self, scale: tf.Tensor, inverse: Callable) -> tf.Tensor:
        """The free numbers of a scale; `inverse` is the inverse of `positive`."""
        return inverse(scale)


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

    def densities(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """The function from points `[B, D]` to `log N(x; mu_k, Sigma_k)`, `[B, K]`: products of matrices."""
        scale = tf.broadcast_to(tf.reshape(scale, [self.num_components, -1]), tf.shape(means))
        precision = 1.0 / tf.square(scale)
        constant = -0.5 * self.size * LOG_2PI - tf.reduce_sum(
            tf.math.log(scale) + 0.5 * precision * tf.square(means), axis=1
        )

        def log_densities(x: tf.Tensor) -> tf.Tensor:
            linear = tf.matmul(x, precision * means, transpose_b=True)
            return constant + linear - 0.5 * tf.matmul(tf.square(x), precision, transpose_b=True)

        return log_densities

    def second_moments(self, x: tf.Tensor, responsibilities: tf.Tensor) -> tf.Tensor:
        """Sums of squares of points, weighted by responsibilities `[B, K]`: `[K, D]`."""
        return tf.matmul(responsibilities, tf.square(x), transpose_a=True)

    def covariances(self, counts: tf.Tensor, means: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The covariances of largest likelihood: mean squares less squares of means."""
        return tf.math.divide_no_nan(second, counts[:, None]) - tf.square(means)

    def moments_of(self, shares: tf.Tensor, means: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
        """The second moments that a mixture with these parameters expects of one point."""
        return shares[:, None] * (covariances + tf.square(means))

    def moved(self, noise: tf.Tensor, which: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Standard normal noise `[B, D]` with the covariance of each row's component `[B]`."""
        return noise * tf.gather(tf.reshape(scale, [self.num_components, -1]), which)

    def rounding(self, counts: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The variances that rounding of the second moments may feign."""
        return ROUNDING * tf.math.divide_no_nan(second, counts[:, None])

    def from_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        """The diagonal of one covariance `[D, D]` for all."""
        return tf.tile(tf.linalg.diag_part(pooled)[None], [self.num_components, 1])

    def distribution(self, logits: tf.Tensor, means: tf.Tensor, scale: tf.Tensor) -> tfd.Distribution:
        """The mixture."""
        scale = tf.reshape(scale, [self.num_components, -1])
        return DiagonalGaussianMixture(logits, means, tf.broadcast_to(scale, means.shape))


class SphericalCovariance(DiagonalCovariance):
    """One variance for each component."""

    name = "spherical"

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """`[K]`."""
        return (self.num_components,)

    def second_moments(self, x: tf.Tensor, responsibilities: tf.Tensor) -> tf.Tensor:
        """Sums of squared lengths, `[K]`."""
        return tf.linalg.matvec(responsibilities, tf.reduce_sum(tf.square(x), axis=1), transpose_a=True)

    def covariances(self, counts: tf.Tensor, means: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The mean over dimensions of the variances."""
        lengths = tf.reduce_sum(tf.square(means), axis=1)
        return (tf.math.divide_no_nan(second, counts) - lengths) / self.size

    def moments_of(self, shares: tf.Tensor, means: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
        """Variances of all dimensions and squared lengths of means."""
        return shares * (self.size * covariances + tf.reduce_sum(tf.square(means), axis=1))

    def from_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        """Its mean variance for all."""
        return tf.fill([self.num_components], tf.linalg.trace(pooled) / self.size)

    def rounding(self, counts: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """As for diagonal covariances."""
        return ROUNDING * tf.math.divide_no_nan(second, counts)
