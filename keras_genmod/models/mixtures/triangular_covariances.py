r"""Covariances with correlations, of which the scale is a Cholesky factor: full and tied ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.models.mixtures.covariances import LOG_2PI, ROUNDING, Covariance, Densities

__all__ = ["FullCovariance", "TiedCovariance"]

tfd = tfp.distributions


class _Triangular(Covariance):
    """What full and tied covariances share."""

    @property
    def free_shape(self) -> tuple[int, ...]:
        """The entries of the triangles in one vector each."""
        return (*self.scale_shape[:-2], self.size * (self.size + 1) // 2)

    def scale_of(self, covariances: tf.Tensor, regularization: Any = 0.0) -> tf.Tensor:
        """The Cholesky factors."""
        diagonal = tf.linalg.diag_part(covariances)
        return tf.linalg.cholesky(tf.linalg.set_diag(covariances, diagonal + regularization))

    def covariances_of(self, scale: tf.Tensor) -> tf.Tensor:
        """The products of the factors."""
        return tf.matmul(scale, scale, transpose_b=True)

    def least_variance(self, scale: tf.Tensor) -> tf.Tensor:
        """The smallest square on the diagonals."""
        return tf.reduce_min(tf.square(tf.linalg.diag_part(scale)))

    def from_free(self, free: tf.Tensor, positive: Callable) -> tf.Tensor:
        """Scales times a unit triangle: one number makes a whole row small."""
        raw = tfp.math.fill_triangular(free)
        diagonal = positive(tf.linalg.diag_part(raw))
        return diagonal[..., None] * tf.linalg.set_diag(raw, tf.ones_like(diagonal))

    def to_free(self, scale: tf.Tensor, inverse: Callable) -> tf.Tensor:
        """The unit triangle, and the free numbers of the scales on its diagonal."""
        diagonal = tf.linalg.diag_part(scale)
        return tfp.math.fill_triangular_inverse(
            tf.linalg.set_diag(scale / diagonal[..., None], inverse(diagonal))
        )

    def rounding(self, counts: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """As for variances, from the trace."""
        return ROUNDING * tf.math.divide_no_nan(tf.linalg.trace(second), counts)[:, None]

    def _whitening(self, scale: tf.Tensor) -> tf.Tensor:
        """Inverses of the factors: the matrices that make the components' coordinates independent."""
        eye = tf.eye(self.size, batch_shape=scale.shape[:-2], dtype=scale.dtype)
        return tf.linalg.triangular_solve(scale, eye)

    def _constant(self, scale: tf.Tensor) -> tf.Tensor:
        log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(scale)), axis=-1)
        return -log_det - 0.5 * self.size * LOG_2PI


class FullCovariance(_Triangular):
    """A covariance of its own for each component: a density takes D^2 products."""

    name = "full"

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """`[K, D, D]`."""
        return (self.num_components, self.size, self.size)

    def temporary(self) -> int:
        """The whitened point of each component."""
        return self.num_components * self.size

    def densities(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """One product with the whitening matrices of all components."""
        whitening, constant = self._whitening(scale), self._constant(scale)
        offsets = tf.reshape(tf.linalg.matvec(whitening, means), [-1])
        whitening = tf.reshape(whitening, [-1, self.size])

        def log_densities(x: tf.Tensor) -> tf.Tensor:
            squares = tf.math.squared_difference(tf.matmul(x, whitening, transpose_b=True), offsets)
            squares = tf.reshape(squares, [-1, self.num_components, self.size])
            return constant - 0.5 * tf.reduce_sum(squares, axis=-1)

        return log_densities

    def second_moments(self, x: tf.Tensor, responsibilities: tf.Tensor) -> tf.Tensor:
        """Sums of products, `[K, D, D]`."""
        weighted = tf.reshape(responsibilities[:, :, None] * x[:, None, :], [-1, self.temporary()])
        return tf.reshape(tf.matmul(weighted, x, transpose_a=True), self.scale_shape)

    def covariances(self, counts: tf.Tensor, means: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Mean products less products of means."""
        products = tf.math.divide_no_nan(second, counts[:, None, None])
        return products - means[:, :, None] * means[:, None, :]

    def moments_of(self, shares: tf.Tensor, means: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
        """Covariances and products of means."""
        return shares[:, None, None] * (covariances + means[:, :, None] * means[:, None, :])

    def moved(self, noise: tf.Tensor, which: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """One component after the other: a matrix for each row would fill the memory."""

        def body(number: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            own = tf.matmul(noise, scale[number], transpose_b=True)
            return number + 1, tf.where((which == number)[:, None], own, total)

        count = self.num_components
        return tf.while_loop(
            lambda number, _: number < count, body, (0, tf.zeros_like(noise)), maximum_iterations=count
        )[1]

    def from_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        """The same for all."""
        return tf.tile(pooled[None], [self.num_components, 1, 1])

    def distribution(self, logits: tf.Tensor, means: tf.Tensor, scale: tf.Tensor) -> tfd.Distribution:
        """The mixture."""
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), tfd.MultivariateNormalTriL(means, scale))


class TiedCovariance(_Triangular):
    """One covariance for all components: the boundaries between them are planes."""

    name = "tied"

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """`[D, D]`."""
        return (self.size, self.size)

    def temporary(self) -> int:
        """The differences of each component."""
        return self.num_components * self.size

    def densities(self, means: tf.Tensor, scale: tf.Tensor) -> Densities:
        """Squared differences of whitened points and means."""
        whitening, constant = self._whitening(scale), self._constant(scale)
        means = tf.matmul(means, whitening, transpose_b=True)

        def log_densities(x: tf.Tensor) -> tf.Tensor:
            white = tf.matmul(x, whitening, transpose_b=True)
            squares = tf.math.squared_difference(white[:, None, :], means)
            return constant - 0.5 * tf.reduce_sum(squares, axis=-1)

        return log_densities

    def second_moments(self, x: tf.Tensor, responsibilities: tf.Tensor) -> tf.Tensor:
        """The sum of products, `[D, D]`, each point by its weight."""
        return tf.matmul(x * tf.reduce_sum(responsibilities, axis=1, keepdims=True), x, transpose_a=True)

    def covariances(self, counts: tf.Tensor, means: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """The mean product less the means' share of it."""
        of_means = tf.matmul(counts[:, None] * means, means, transpose_a=True)
        return (second - of_means) / tf.reduce_sum(counts)

    def moments_of(self, shares: tf.Tensor, means: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
        """The covariance and the means' share."""
        return covariances + tf.matmul(shares[:, None] * means, means, transpose_a=True)

    def moved(self, noise: tf.Tensor, which: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """One product."""
        return tf.matmul(noise, scale, transpose_b=True)

    def from_pooled(self, pooled: tf.Tensor) -> tf.Tensor:
        """It is of this kind."""
        return pooled

    def kept(self, empty: tf.Tensor, old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        """The new covariance, which is that of all components."""
        return new

    def rounding(self, counts: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """As for full covariances, `[1]`."""
        return ROUNDING * tf.linalg.trace(second)[None] / tf.reduce_sum(counts)

    def distribution(self, logits: tf.Tensor, means: tf.Tensor, scale: tf.Tensor) -> tfd.Distribution:
        """The mixture."""
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), tfd.MultivariateNormalTriL(means, scale))
