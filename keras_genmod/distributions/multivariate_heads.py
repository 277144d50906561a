"""The heads for real values that depend on each other, which give multivariate normal distributions."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import check_event_shape, check_integer
from keras_genmod.core.precision import as_real
from keras_genmod.core.registration import register
from keras_genmod.distributions.head import Head
from keras_genmod.distributions.low_rank_gaussian import LowRankGaussian
from keras_genmod.distributions.real_heads import positive, scales_problem

__all__ = ["FullCovarianceGaussianHead", "LowRankGaussianHead"]

tfd = tfp.distributions
tfb = tfp.bijectors


@register
class FullCovarianceGaussianHead(Head):
    r"""A normal vector with any covariance: $N(\mu, L L^T)$, $L = diag(s) \, U$, U unit lower triangular.

    Args:
        event_shape: `(size,)`. Images have too many pairs of values (see `LowRankGaussianHead`).

    The network gives `size` means and `size * (size + 1) / 2` entries of a triangle (in the order of
    `tfp.math.fill_triangular`): those below the diagonal are the entries of $U$, the diagonal gives $s$ by
    softplus(raw + log(e - 1)) + 1e-5. Raw zeros give the standard normal distribution. A small $s_i$ makes
    the whole row i small, so that one number makes dimension i precise; with free entries of $L$, posteriors
    learn more slowly.

    Cost: size^2 operations for each density.

    Example:
        >>> FullCovarianceGaussianHead(event_shape=(3,)).params_size
        9
    """

    def set_event_shape(self, event_shape: Any) -> None:
        """Fixes the size of the vector."""
        event_shape = check_event_shape(event_shape)
        if len(event_shape) != 1:
            raise ValueError(
                f"A full covariance is for vectors, event_shape=(size,); received {event_shape}. "
                "Use `LowRankGaussianHead` for images."
            )
        super().set_event_shape(event_shape)

    @property
    def params_shape(self) -> tuple[int, ...]:
        """Shape of the means and the entries of the triangle of one event."""
        (size,) = self.event_shape
        return (size + size * (size + 1) // 2,)

    def bounds_problem(self, low: float, high: float) -> str:
        """Explains bounded raw scales and covariances, which must be able to take any value."""
        return scales_problem(self, low, high)

    def distribution(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        """Normal distributions with the means and triangles `params`."""
        (size,) = self.event_shape
        loc, triangle = tf.split(as_real(params), [size, -1], axis=-1)
        raw = tfp.math.fill_triangular(triangle)
        scale = positive(tf.linalg.diag_part(raw))
        unit = tf.linalg.set_diag(raw, tf.ones_like(scale))
        return tfd.MultivariateNormalTriL(loc, scale[..., None] * unit)


@register
class LowRankGaussianHead(Head):
    r"""Normal values whose covariance is a diagonal plus a matrix of low rank: $N(\mu, D + U U^T)$.

    $D$ is diagonal and $U$ has `rank` columns. Each column is one way in which the whole event may vary, such
    as all pixels growing lighter together.

    Args:
        rank: Number of columns of $U$.
        event_shape: Shape of one event.

    The network gives `2 + rank` numbers for each dimension: the mean, the raw variance (softplus as in
    `GaussianHead`), and the row of $U$.

    Cost: size * rank^2 operations in float64 for each density. It is right to 1e-3 nats for any loadings up
    to 3000 / sqrt(size), however small the variances, and larger ones with them (see `LowRankGaussian`).

    Reference: Stochastic Segmentation Networks, Monteiro et al., 2020 (the parameterisation, for images).

    Example:
        >>> LowRankGaussianHead(rank=5, event_shape=(4, 4, 1)).params_shape
        (4, 4, 7)
    """

    def __init__(self, rank: int = 10, *, event_shape: Any = None, **kwargs) -> None:
        self.rank = check_integer("rank", rank)
        super().__init__(event_shape=event_shape, **kwargs)

    @property
    def params_per_dim(self) -> int:
        """2 + rank: a mean, a raw variance, and a row of the low-rank factor."""
        return 2 + self.rank

    def bounds_problem(self, low: float, high: float) -> str:
        """Explains bounded raw scales and covariances, which must be able to take any value."""
        return scales_problem(self, low, high)

    def distribution(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        """Normal distributions with means, variances and factors `params`."""
        size = math.prod(self.event_shape)
        parts = self._split_dims(as_real(params))
        parts = tf.reshape(parts, [tf.shape(parts)[0], size, self.params_per_dim])
        loc, raw, factor = tf.split(parts, [1, 1, self.rank], axis=-1)
        flat = LowRankGaussian(loc[..., 0], positive(raw[..., 0]), factor)
        if len(self.event_shape) == 1:
            return flat
        return tfd.TransformedDistribution(flat, tfb.Reshape(self.event_shape, (size,)))

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "rank": self.rank}
