"""Covariances with correlations, whose scale is a Cholesky factor: full and tied ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.models.mixtures.covariances import LOG_2PI, Covariance, Densities

__all__ = ["FullCovariance", "TiedCovariance"]

tfd = tfp.distributions


class _Triangular(Covariance):
    """What full and tied covariances share."""

    @property
    def free_shape(self) -> tuple[int, ...]:
        """Each triangle's entries as one vector."""
        return (*self.scale_shape[:-2], self.size * (self.size + 1) // 2)

    def scale_of(self, covariances: tf.Tensor, regularization: Any = 0.0) -> tf.Tensor:
        """The Cholesky factors."""
        diagonal = tf.linalg.diag_part(covariances)
        return tf.linalg.cholesky(tf.linalg.set_diag(covariances, diagonal + regularization))

    def covariances_of(self, scale: tf.Tensor) -> tf.Tensor:
        """The products of the factors."""
        return tf.matmul(scale, scale, transpose_b=True)

    def extents(self, scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The squared diagonals of the factors, and the variances."""
        given_others = tf.square(tf.linalg.diag_part(scale))
        variances = tf.reduce_sum(tf.square(scale), axis=-1)
        return tuple(tf.reshape(values, [-1, self.size]) for values in (given_others, variances))

    def from_free(self, free: tf.Tensor, positive: Callable) -> tf.Tensor:
        """Positive scales times a unit triangular matrix, so that one number can make a whole row small."""
        raw = tfp.math.fill_triangular(free)
        diagonal = positive(tf.linalg.diag_part(raw))
        return diagonal[..., None] * tf.linalg.set_diag(raw, tf.ones_like(diagonal))

    def to_free(self, scale: tf.Tensor, inverse: Callable) -> tf.Tensor:
        """The unit triangular matrix, with the scales' unconstrained parameters on its diagonal."""
        diagonal = tf.linalg.diag_part(scale)
        return tfp.math.fill_triangular_inverse(
            tf.linalg.set_diag(scale / diagonal[..., None], inverse(diagonal))
        )

    def _whitening(self, scale: tf.Tensor) -> tf.Tensor:
        """The factors' inverses, which whiten the components' points."""
        eye = tf.eye(self.size, batch_shape=scale.shape[:-2], dtype=scale.dtype)
        return tf.linalg.triangular_solve(scale, eye)

    def log_normalizer(self, scale: tf.Tensor) -> tf.Tensor:
        """The log-densities at the means."""
        log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(scale)), axis=-1)
        return -log_det - 0.5 * self.size * LOG_2PI

    def _weighted(
        self, x: tf.Tensor, responsibilities: tf.Tensor, means: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Differences from the means, `[K, B, D]`, unweighted and weighted by the responsibilities."""
        around = x - means[:, None]
        return around, tf.transpose(responsibilities)[:, :, None] * around


class FullCovariance(_Triangular):
    """A covariance matrix for each component; a density takes D^2 products per component."""

    name = "full"

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """Shape of the scale and of the covariances: `[K, D, D]`."""
        return (self.num_components, self.size, self.size)

    def temporary(self) -> int:
        """Size of a point's largest temporary array: its whitened copies for all components."""
        return self.num_components * self.size

    def squared_lengths(self, points: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Squared lengths `[K]` of one point per component, whitened."""
        return tf.reduce_sum(tf.square(tf.linalg.matvec(self._whitening(scale), points)), axis=1)

    def distances_about_centre(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """By one product with the whitening matrices of all components."""
        whitening = self._whitening(scale)
        white_means = tf.reshape(tf.linalg.matvec(whitening, means), [-1])
        whitening = tf.reshape(whitening, [-1, self.size])

        def distances(x: tf.Tensor) -> tf.Tensor:
            squares = tf.math.squared_difference(tf.matmul(x, whitening, transpose_b=True), white_means)
            return tf.reduce_sum(tf.reshape(squares, [-1, self.num_components, self.size]), axis=-1)

        return distances

    def distances_by_differences(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """By one product per component."""
        whitening = self._whitening(scale)

        def distances(x: tf.Tensor) -> tf.Tensor:
            white = tf.matmul(x - means[:, None], whitening, transpose_b=True)
            return tf.transpose(tf.reduce_sum(tf.square(white), axis=-1))

        return distances

    def moments_about_centre(
        self, x: tf.Tensor, responsibilities: tf.Tensor, means: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums of differences and of their products, by expanded products."""
        sums = tf.matmul(responsibilities, x, transpose_a=True)
        around = sums - tf.reduce_sum(responsibilities, axis=0)[:, None] * means
        weighted = tf.reshape(responsibilities[:, :, None] * x[:, None, :], [-1, self.temporary()])
        products = tf.reshape(tf.matmul(weighted, x, transpose_a=True), self.scale_shape)
        of_means = means[:, :, None] * sums[:, None, :] + around[:, :, None] * means[:, None, :]
        return around, products - of_means

    def moments_by_differences(
        self, x: tf.Tensor, responsibilities: tf.Tensor, means: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The same by differences."""
        around, weighted = self._weighted(x, responsibilities, means)
        return tf.reduce_sum(weighted, axis=1), tf.matmul(weighted, around, transpose_a=True)

    def recentred(self, counts: tf.Tensor, shift: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The second moments minus the products of the shifts."""
        return second - counts[:, None, None] * shift[:, :, None] * shift[:, None, :]

    def covariances(self, counts: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The mean products of differences."""
        return tf.math.divide_no_nan(second, counts[:, None, None])

    def moments_of(self, shares: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
        """The covariances weighted by the components' mixing weights."""
        return shares[:, None, None] * covariances

    def variances(self, covariances: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
        """The diagonals of the covariances plus the squares, `[K, D]`."""
        return tf.linalg.diag_part(covariances) + squares

    def moved(self, noise: tf.Tensor, which: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Transforms the noise for one component at a time: one matrix per row would fill the memory."""

        def body(number: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            own = tf.matmul(noise, scale[number], transpose_b=True)
            return number + 1, tf.where((which == number)[:, None], own, total)

        count = self.num_components
        return tf.while_loop(
            lambda number, _: number < count, body, (0, tf.zeros_like(noise)), maximum_iterations=count
        )[1]

    def from_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        """The pooled covariance, for all components."""
        return tf.tile(pooled[None], [self.num_components, 1, 1])

    def distribution(
        self, logits: tf.Tensor, means: tf.Tensor, scale: tf.Tensor
    ) -> tfp.distributions.Distribution:
        """The mixture."""
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), tfd.MultivariateNormalTriL(means, scale))


class TiedCovariance(_Triangular):
    """One covariance matrix for all components; the boundaries between components are planes."""

    name = "tied"

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """Shape of the scale and of the covariance: `[D, D]`."""
        return (self.size, self.size)

    def temporary(self) -> int:
        """Size of a point's largest temporary array: its differences from all means."""
        return self.num_components * self.size

    def squared_lengths(self, points: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Squared lengths `[K]` of one point per component, whitened."""
        return tf.reduce_sum(tf.square(self._whitened(points, self._whitening(scale))), axis=1)

    def _whitened(self, points: tf.Tensor, whitening: tf.Tensor) -> tf.Tensor:
        """Whitens points of any rank by one product."""
        flat = tf.matmul(tf.reshape(points, [-1, self.size]), whitening, transpose_b=True)
        return tf.reshape(flat, tf.shape(points))

    def distances_about_centre(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """By squared differences of whitened points and means."""
        whitening = self._whitening(scale)
        white_means = self._whitened(means, whitening)

        def distances(x: tf.Tensor) -> tf.Tensor:
            white = self._whitened(x, whitening)
            return tf.reduce_sum(tf.math.squared_difference(white[:, None, :], white_means), axis=-1)

        return distances

    def distances_by_differences(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """By squares of whitened differences."""
        whitening = self._whitening(scale)
        return lambda x: tf.reduce_sum(tf.square(self._whitened(x[:, None, :] - means, whitening)), axis=-1)

    def moments_about_centre(
        self, x: tf.Tensor, responsibilities: tf.Tensor, means: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums of differences, and the sum of all their products, by expanded products."""
        sums = tf.matmul(responsibilities, x, transpose_a=True)
        around = sums - tf.reduce_sum(responsibilities, axis=0)[:, None] * means
        weight = tf.reduce_sum(responsibilities, axis=1, keepdims=True)
        of_means = tf.matmul(means, sums, transpose_a=True) + tf.matmul(around, means, transpose_a=True)
        return around, tf.matmul(x * weight, x, transpose_a=True) - of_means

    def moments_by_differences(
        self, x: tf.Tensor, responsibilities: tf.Tensor, means: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The same by differences, at K times the cost."""
        around, weighted = self._weighted(x, responsibilities, means)
        flat = (tf.reshape(part, [-1, self.size]) for part in (weighted, around))
        return tf.reduce_sum(weighted, axis=1), tf.matmul(*flat, transpose_a=True)

    def recentred(self, counts: tf.Tensor, shift: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The second moment minus the products of all shifts."""
        return second - tf.matmul(counts[:, None] * shift, shift, transpose_a=True)

    def covariances(self, counts: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The mean product of differences."""
        return second / tf.reduce_sum(counts)

    def moments_of(self, shares: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
        """The covariance itself, since the mixing weights sum to 1."""
        return covariances

    def variances(self, covariances: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
        """The diagonal of the covariance plus the largest squares of all components, `[D]`."""
        return tf.linalg.diag_part(covariances) + tf.reduce_max(squares, axis=0)

    def moved(self, noise: tf.Tensor, which: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Standard normal noise transformed by one product."""
        return tf.matmul(noise, scale, transpose_b=True)

    def from_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        """The pooled covariance itself."""
        return pooled

    def kept(self, empty: tf.Tensor, old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        """The new covariance, since no component has one of its own."""
        return new

    def distribution(
        self, logits: tf.Tensor, means: tf.Tensor, scale: tf.Tensor
    ) -> tfp.distributions.Distribution:
        """The mixture."""
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), tfd.MultivariateNormalTriL(means, scale))
