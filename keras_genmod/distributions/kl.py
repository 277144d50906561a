"""Kullback-Leibler divergences between posterior and prior, in nats."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["kl_divergence", "kl_per_dimension"]

tfd = tfp.distributions


def kl_divergence(q: tfd.Distribution, p: tfd.Distribution) -> tf.Tensor:
    r"""$KL(q \| p) = E_q[\log q(z) - \log p(z)]$, analytic, `[B]` nats.

    Raises:
        NotImplementedError: from TensorFlow Probability, where it has no formula for the two types.
    """
    return tfd.kl_divergence(q, p)


def kl_per_dimension(q: tfd.Independent, p: tfd.Independent) -> tf.Tensor:
    """The divergence of each dimension of two factorised distributions, `[B, *event]` nats."""
    return tfd.kl_divergence(q.distribution, p.distribution)
