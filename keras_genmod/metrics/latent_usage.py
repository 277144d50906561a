"""Usage of the latent dimensions, which makes posterior collapse visible."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_integer, check_number
from keras_genmod.core.registration import register
from keras_genmod.metrics.means import TransientMetric

__all__ = ["LatentUsage", "active_units"]


def active_units(means: Any, threshold: float = 0.01) -> int:
    r"""Number of latent dimensions whose posterior mean varies with the data.

    A unit $u$ is active if $\operatorname{Var}_x(E_{q(z|x)}[z_u]) >$ `threshold`.

    Args:
        means: Posterior means `[N, latent_dim]` of a data set.
        threshold: A unit is active if its variance exceeds this.

    Raises:
        ValueError: If `means` is not `[N, latent_dim]`, or the threshold is negative.

    Reference: Importance Weighted Autoencoders, Burda, Grosse and Salakhutdinov, 2016.
    """
    threshold = check_number("threshold", threshold, minimum=0.0)
    means = np.asarray(means, np.float64)
    if means.ndim != 2:
        raise ValueError(
            f"`means` must have shape [N, latent_dim]; received {means.shape}. "
            "Pass the codes of a data set, as `encode` returns them."
        )
    return int(np.count_nonzero(np.var(means, axis=0) > threshold))


@register
class LatentUsage(TransientMetric):
    """Streams the number of active units, and the KL divergence and variance of every latent dimension.

    `result()` is the number of active units, as in `active_units`. `kl_per_latent()` and
    `variance_per_latent()` are vectors, so they do not appear in the logs.

    Args:
        latent_dim: Number of latent dimensions.
        threshold: A unit is active if the variance of its posterior mean exceeds this.
    """

    def __init__(
        self, latent_dim: int, threshold: float = 0.01, name: str = "active_units", **kwargs
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.latent_dim = check_integer("latent_dim", latent_dim)
        self.threshold = check_number("threshold", threshold, minimum=0.0)
        # Rows: the sum of the means, that of their squares, that of the divergences, the number of examples.
        self.sums = self.add_variable((4, latent_dim), "zeros", dtype="float64", name="sums")

    def update_state(self, means: tf.Tensor, kl: tf.Tensor | None = None) -> None:
        """Adds a batch.

        Args:
            means: Posterior means `[B, latent_dim]`.
            kl: KL divergence of each dimension from the prior `[B, latent_dim]`, nats. None if the divergence
                is not a sum over dimensions.
        """
        # In float64 from the start, because a variance is a small difference of large squares.
        means = tf.cast(means, tf.float64)
        kl = means * np.nan if kl is None else tf.cast(kl, tf.float64)
        rows = [
            tf.reduce_sum(means, axis=0),
            tf.reduce_sum(tf.square(means), axis=0),
            tf.reduce_sum(kl, axis=0),
            tf.fill([self.latent_dim], tf.cast(tf.shape(means)[0], tf.float64)),
        ]
        self.sums.assign_add(tf.stack(rows))

    def _moments(self) -> tuple[tf.Tensor, tf.Tensor]:
        sums = tf.convert_to_tensor(self.sums)
        mean, square, kl = tf.unstack(tf.math.divide_no_nan(sums[:3], sums[3]))
        return square - tf.square(mean), kl

    def variance_per_latent(self) -> np.ndarray:
        """Variance of the posterior mean over the data, `[latent_dim]`."""
        return self._moments()[0].numpy()

    def kl_per_latent(self) -> np.ndarray:
        """Mean KL divergence of each dimension from the prior, `[latent_dim]` nats.

        NaN if the divergence is not a sum over dimensions.
        """
        return self._moments()[1].numpy()

    def result(self) -> tf.Tensor:
        """Number of active units, float32."""
        return tf.reduce_sum(tf.cast(self._moments()[0] > self.threshold, tf.float32))

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "threshold": self.threshold,
        }
