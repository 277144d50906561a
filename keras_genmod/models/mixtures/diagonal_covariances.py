"""Covariances without correlations, whose scale is a standard deviation: diagonal and spherical ones."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.distributions.gaussian_mixture import DiagonalGaussianMixture
from keras_genmod.models.mixtures.covariances import LOG_2PI, Covariance, Densities

__all__ = ["DiagonalCovariance", "SphericalCovariance"]


class DiagonalCovariance(Covariance):
    """A variance for each component and dimension; a density takes two matrix products."""

    name = "diagonal"

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """Shape of the scale and of the covariances: `[K, D]`."""
        return (self.num_components, self.size)

    def temporary(self) -> int:
        """Size of a point's largest temporary array: its squares, or its densities."""
        return max(self.num_components, self.size)

    def _deviations(self, scale: tf.Tensor) -> tf.Tensor:
        return tf.broadcast_to(tf.reshape(scale, [self.num_components, -1]), [self.num_components, self.size])

    def _folded(self, values: tf.Tensor) -> tf.Tensor:
        """Values per dimension `[..., D]`, combined as the structure's variances combine them."""
        return values

    def squared_lengths(self, points: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Squared lengths `[K]` of one point per component `[K, D]`, in the component's deviations."""
        return tf.reduce_sum(tf.square(points / self._deviations(scale)), axis=1)

    def log_normalizer(self, scale: tf.Tensor) -> tf.Tensor:
        """The log-densities at the means, `[K]`."""
        log_scale = tf.math.log(self._deviations(scale))
        return -0.5 * self.size * LOG_2PI - tf.reduce_sum(log_scale, axis=1)

    def distances_about_centre(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """The function from points to squared distances `[B, K]` in deviations, by expanded squares.

        Points and means are taken relative to a nearby centre.
        """
        precision = 1.0 / tf.square(self._deviations(scale))
        squares_of_means = tf.reduce_sum(precision * tf.square(means), axis=1)

        def distances(x: tf.Tensor) -> tf.Tensor:
            squares = tf.matmul(tf.square(x), precision, transpose_b=True) + squares_of_means
            return squares - 2.0 * tf.matmul(x, precision * means, transpose_b=True)

        return distances

    def distances_by_differences(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """The same by differences, one component at a time, since all differences would fill the memory."""
        precision = 1.0 / tf.square(self._deviations(scale))
        return lambda x: _squared_distances(x, means, precision)

    def moments_about_centre(
        self, x: tf.Tensor, responsibilities: tf.Tensor, means: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums of differences and of their squares, by expanded squares about a nearby centre."""
        sums = tf.matmul(responsibilities, x, transpose_a=True)
        around = sums - tf.reduce_sum(responsibilities, axis=0)[:, None] * means
        squares = tf.matmul(responsibilities, self._folded(tf.square(x)), transpose_a=True)
        return around, squares - self._folded(means * (sums + around))

    def moments_by_differences(
        self, x: tf.Tensor, responsibilities: tf.Tensor, means: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The same by differences, one component at a time."""
        sums, squares = _sums_of_differences(x, responsibilities, means)
        return sums, self._folded(squares)

    def recentred(self, counts: tf.Tensor, shift: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The second moments after the means moved by a shift `[K, D]` to where the sums are 0."""
        return second - counts[:, None] * tf.square(shift)

    def covariances(self, counts: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The covariances from second moments."""
        return tf.math.divide_no_nan(second, counts[:, None])

    def moments_of(self, shares: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
        """The expected second moments of one point under a mixture with these parameters."""
        return shares[:, None] * covariances

    def variances(self, covariances: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
        """The covariances' variances plus squares per dimension `[K, D]`."""
        return covariances + squares

    def moved(self, noise: tf.Tensor, which: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Standard normal noise `[B, D]`, scaled to the covariance of each row's component `[B]`."""
        return noise * tf.gather(tf.reshape(scale, [self.num_components, -1]), which)

    def from_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        """The diagonal of one covariance matrix `[D, D]`, for all components."""
        return tf.tile(tf.linalg.diag_part(pooled)[None], [self.num_components, 1])

    def distribution(
        self, logits: tf.Tensor, means: tf.Tensor, scale: tf.Tensor
    ) -> tfp.distributions.Distribution:
        """The mixture."""
        return DiagonalGaussianMixture(logits, means, self._deviations(scale))


class SphericalCovariance(DiagonalCovariance):
    """One variance per component."""

    name = "spherical"

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """Shape of the scale and of the covariances: `[K]`."""
        return (self.num_components,)

    def _folded(self, values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(values, axis=-1, keepdims=True)

    def recentred(self, counts: tf.Tensor, shift: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """As for diagonal covariances, but with squared lengths."""
        return second - counts * tf.reduce_sum(tf.square(shift), axis=1)

    def covariances(self, counts: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The variances averaged over dimensions."""
        return tf.math.divide_no_nan(second, counts) / self.size

    def moments_of(self, shares: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
        """The variances summed over dimensions."""
        return shares * self.size * covariances

    def variances(self, covariances: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
        """The variances plus the largest square of all dimensions."""
        return covariances + tf.reduce_max(squares, axis=1)

    def from_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        """The mean variance of the pooled covariance, for all components."""
        return tf.fill([self.num_components], tf.linalg.trace(pooled) / self.size)


def _sums_of_differences(x: tf.Tensor, weights: tf.Tensor, means: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums `[K, D]`, weighted by `[B, K]`, of the points' differences from each mean and of their squares."""

    def one(own: tuple) -> tuple[tf.Tensor, tf.Tensor]:
        around, weight = x - own[0], own[1]
        return tuple(tf.linalg.matvec(part, weight, transpose_a=True) for part in (around, tf.square(around)))

    return tf.map_fn(one, (means, tf.transpose(weights)), fn_output_signature=(x.dtype, x.dtype))


@tf.custom_gradient
def _squared_distances(x: tf.Tensor, means: tf.Tensor, precision: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """Squared distances `[B, K]` of points from each mean, weighted by the dimensions' precisions `[K, D]`.

    The gradient is written by hand, because the loop's own gradient would store all differences and does not
    compile with XLA.
    """

    def one(own: tuple) -> tf.Tensor:
        return tf.linalg.matvec(tf.math.squared_difference(x, own[0]), own[1])

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        sums, squares = _sums_of_differences(x, upstream, means)
        by_x = x * tf.matmul(upstream, precision) - tf.matmul(upstream, precision * means)
        return 2.0 * by_x, -2.0 * precision * sums, squares

    return tf.transpose(tf.map_fn(one, (means, precision), fn_output_signature=x.dtype)), gradient
