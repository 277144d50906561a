"""Priors over latent variables."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["standard_normal"]

tfd = tfp.distributions


def standard_normal(latent_dim: int) -> tfd.Distribution:
    """The factorised standard normal N(0, I) over `[latent_dim]`, without a batch axis."""
    zeros = tf.zeros([latent_dim])
    return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), reinterpreted_batch_ndims=1)
