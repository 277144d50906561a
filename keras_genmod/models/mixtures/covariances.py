r"""The base of covariance structures: densities, sufficient statistics and new covariances of components.

A structure has no parameters of its own. It computes with the means $\mu_k$ `[K, D]` and the scale: the lower
triangular $L_k$ with $\Sigma_k = L_k L_k^T$, or standard deviations. Moments are taken about each component's
own mean, so that a narrow component keeps its precision however far it is from the others or from zero.

Matrix products are several times faster than forming differences, but expanded squares,
$(x - \mu)^2 = x^2 - 2 x \mu + \mu^2$, lose the digits by which the terms exceed the result. So squares are
expanded about the centre of all means, and only if the means are near enough to it to lose nothing; otherwise
the differences from each mean are formed first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = [
    "LOG_2PI",
    "ROUNDING",
    "Covariance",
    "Densities",
    "Moments",
    "is_positive",
]

LOG_2PI = math.log(2.0 * math.pi)
# In float64 a variance below this fraction of the second moment is mere rounding error, and so is a standard
# deviation below this fraction of the mean.
ROUNDING = 1e-13
# Squares are expanded while each mean's squared distance from the centre, in units of its own variance, is at
# most this. Terms of that size have a relative rounding error of 1e-16, which makes about 1e-6 nats.
_FARTHEST = 1e10
# A variance below this fraction of expanded squares is mere rounding error: about 50 roundings.
_ROUNDING_OF_SQUARES = 1e-14

Densities = Callable[[tf.Tensor], tf.Tensor]
Moments = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def is_positive(covariances: np.ndarray, *, as_matrices: bool) -> bool:
    """Whether variances are positive, or matrices `[..., D, D]` symmetric and positive definite."""
    if not as_matrices:
        return bool(np.all(covariances > 0.0))
    # Other packages may sum float32 products, so their matrices are symmetric only up to rounding.
    rounding = 1e-6 * np.max(np.abs(covariances))
    symmetric = np.allclose(covariances, np.swapaxes(covariances, -1, -2), atol=rounding)
    return symmetric and bool(np.all(np.linalg.eigvalsh(covariances) > 0.0))


class Covariance:
    """Base of the covariance structures of K components with D dimensions.

    The methods defined here suit scales that are standard deviations. A structure also defines those that are
    only declared here; `DiagonalCovariance` documents them. `temporary` is the number of values of the
    largest temporary array per point.

    Args:
        num_components, size: K and D.
    """

    name: str

    if TYPE_CHECKING:

        @property
        def scale_shape(self) -> tuple[int, ...]: ...
        def temporary(self) -> int: ...
        def squared_lengths(self, points: tf.Tensor, scale: tf.Tensor) -> tf.Tensor: ...
        def log_normalizer(self, scale: tf.Tensor) -> tf.Tensor: ...
        def distances_about_centre(self, means: tf.Tensor, scale: tf.Tensor) -> Densities: ...
        def distances_by_differences(self, means: tf.Tensor, scale: tf.Tensor) -> Densities: ...
        def moments_about_centre(
            self, x: tf.Tensor, responsibilities: tf.Tensor, means: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]: ...
        def moments_by_differences(
            self, x: tf.Tensor, responsibilities: tf.Tensor, means: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]: ...
        def recentred(self, counts: tf.Tensor, shift: tf.Tensor, second: tf.Tensor) -> tf.Tensor: ...
        def covariances(self, counts: tf.Tensor, second: tf.Tensor) -> tf.Tensor: ...
        def moments_of(self, shares: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor: ...
        def variances(self, covariances: tf.Tensor, squares: tf.Tensor) -> tf.Tensor: ...
        def moved(self, noise: tf.Tensor, which: tf.Tensor, scale: tf.Tensor) -> tf.Tensor: ...
        def from_pooled(self, pooled: tf.Tensor) -> tf.Tensor: ...
        def distribution(
            self, logits: tf.Tensor, means: tf.Tensor, scale: tf.Tensor
        ) -> tfp.distributions.Distribution: ...

    def __init__(self, num_components: int, size: int) -> None:
        self.num_components, self.size = num_components, size

    @property
    def free_shape(self) -> tuple[int, ...]:
        """Shape of the unconstrained parameters that gradients train."""
        return self.scale_shape

    def kept(self, empty: tf.Tensor, old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        """The new values, or the old ones for the components `[K]` that are empty."""
        return tf.where(tf.reshape(empty, [-1] + [1] * (len(self.scale_shape) - 1)), old, new)

    def scale_of(self, covariances: tf.Tensor, regularization: Any = 0.0) -> tf.Tensor:
        """The scale of covariances, with the regularization added to the variances."""
        return tf.sqrt(tf.maximum(covariances, 0.0) + regularization)

    def covariances_of(self, scale: tf.Tensor) -> tf.Tensor:
        """The covariances of a scale."""
        return tf.square(scale)

    def extents(self, scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Variances of each dimension, given the dimensions before it and marginal; `[K, D]` or `[1, D]`."""
        variances = tf.reshape(tf.square(scale), [self.num_components, -1])
        return variances, variances

    def from_free(self, free: tf.Tensor, positive: Callable) -> tf.Tensor:
        """The scale from unconstrained parameters; `positive` maps any number to a number above 0."""
        return positive(free)

    def to_free(self, scale: tf.Tensor, inverse: Callable) -> tf.Tensor:
        """The unconstrained parameters of a scale; `inverse` is the inverse of `positive`."""
        return inverse(scale)

    def centre_of(self, means: tf.Tensor, scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The centre of the means `[D]`, and whether squares about it may be expanded."""
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

        The moments are the sums of the differences from the mean, `[K, D]`, and the sums of their squares or
        products, `scale_shape`.
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
        """The largest variances that may be mere rounding error.

        Args:
            counts: Counts of the components, `[K]`.
            second: Second moments about the means.
            means, scale: Parameters with which the moments were computed.
        """
        centre, expands = self.centre_of(means, scale)
        squares = tf.square(ROUNDING * means)
        squares += tf.where(expands, _ROUNDING_OF_SQUARES * tf.square(means - centre), 0.0)
        return self.variances(ROUNDING * self.covariances(counts, second), squares)
