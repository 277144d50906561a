r"""Normal distributions whose covariance is diagonal but for a few directions: $N(\mu, D + U U^T)$.

With $r = D^{-1/2} (x - \mu)$, $A = D^{-1/2} U$ and $C = I + A^T A$,

$$ (x - \mu)^T (D + U U^T)^{-1} (x - \mu) = \lVert r - A a \rVert^2 + \lVert a \rVert^2,
   \quad a = C^{-1} A^T r, \qquad \det (D + U U^T) = \det D \, \det C $$

The usual form, $\lVert r \rVert^2 - r^T A C^{-1} A^T r$, is a difference of large numbers where the
directions carry most of the variance. Here it is a sum, which is least at $a$, so that only the square of an
error in $a$ enters.
"""

from __future__ import annotations

import math

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["LowRankGaussian"]

tfd = tfp.distributions


class LowRankGaussian(tfp.distributions.MultivariateNormalDiagPlusLowRankCovariance):
    r"""A `tfd.MultivariateNormalDiagPlusLowRankCovariance` whose densities stay right for large factors.

    Densities and the entropy are computed in float64. Their error stays below 1e-3 nats as long as the
    variances along the directions, the sums of squares of the columns of $A$, stay below 1e12. Beyond, the
    Cholesky factor of $C$ loses its digits, and from about 1e16 on it may not exist: then densities are NaN.

    Args:
        loc: Means $\mu$, `[..., size]`.
        cov_diag_factor: Diagonal of $D$, variances above 0, `[..., size]`.
        cov_perturb_factor: $U$, `[..., size, rank]`.

    Cost: size * rank^2 operations for each covariance, and size * rank for each point, in float64.

    Example:
        >>> normal = LowRankGaussian([0.0, 0.0], [1.0, 1.0], [[1.0], [0.0]])
        >>> float(normal.log_prob([2.0, 0.0]))  # log N(2; 0, 2) + log N(0; 0, 1)
        -3.184...
    """

    def _scaled(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Standard deviations of D, $A$, the Cholesky factor of $C$, half the log-determinant; in float64."""
        deviation = tf.sqrt(tf.cast(self.cov_diag_factor, tf.float64))
        factor = tf.cast(self.cov_perturb_factor, tf.float64) / deviation[..., None]
        square = tf.matmul(factor, factor, transpose_a=True)
        root = tf.linalg.cholesky(square + tf.eye(tf.shape(square)[-1], dtype=tf.float64))
        half_log_det = tf.reduce_sum(tf.math.log(deviation), axis=-1)
        half_log_det += tf.reduce_sum(tf.math.log(tf.linalg.diag_part(root)), axis=-1)
        return deviation, factor, root, half_log_det

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        deviation, factor, root, half_log_det = self._scaled()
        x = tf.cast(x, tf.float64)
        if self.loc is not None:
            x -= tf.cast(self.loc, tf.float64)
        residual = x / deviation
        products = tf.linalg.matvec(factor, residual, transpose_a=True)[..., None]
        half = tf.linalg.triangular_solve(root, products)
        weights = tf.linalg.triangular_solve(root, half, adjoint=True)[..., 0]
        rest = residual - tf.linalg.matvec(factor, weights)
        squares = tf.reduce_sum(tf.square(rest), axis=-1) + tf.reduce_sum(tf.square(weights), axis=-1)
        size = tf.cast(tf.shape(factor)[-2], tf.float64)
        return tf.cast(-0.5 * (squares + size * math.log(2.0 * math.pi)) - half_log_det, self.dtype)

    def _entropy(self) -> tf.Tensor:
        *_, half_log_det = self._scaled()
        size = tf.cast(self.event_shape_tensor()[-1], tf.float64)
        entropy = half_log_det + 0.5 * size * math.log(2.0 * math.pi * math.e)
        return tf.broadcast_to(tf.cast(entropy, self.dtype), self.batch_shape_tensor())
