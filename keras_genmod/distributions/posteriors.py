"""The choice of an approximate posterior by its name, and the latent code that stands for it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import ValueRange
from keras_genmod.core.noise import is_flow
from keras_genmod.core.precision import set_real_dtype
from keras_genmod.core.registration import resolve
from keras_genmod.distributions.head import Head
from keras_genmod.distributions.multivariate_heads import FullCovarianceGaussianHead
from keras_genmod.distributions.real_heads import GaussianHead

__all__ = ["centre", "get_posterior_head"]

tfd = tfp.distributions

_POSTERIORS = {
    "diagonal": lambda: GaussianHead("predicted"),
    "full_covariance": FullCovarianceGaussianHead,
}


def get_posterior_head(posterior: Any, latent_dim: int, dtype: tf.DType = tf.float32) -> Head:
    """Returns the head of a `posterior` argument: a name, a `Head` of real values, or its configuration.

    Raises:
        ValueError: For another name or type, a head of other values, or one made for another number of
            latent dimensions.
    """
    other = "a head of real values such as `LowRankGaussianHead(rank=2)`"
    head = resolve("posterior", posterior, _POSTERIORS, Head, other)
    if head.value_range != ValueRange():
        raise ValueError(
            f"`posterior` must be {other}; received a {type(head).__name__}, of {head.value_range}."
        )
    if head.event_shape is None:
        set_real_dtype(head, dtype)
    head.set_event_shape((latent_dim,))
    return head


def centre(posterior: tfp.distributions.Distribution) -> tf.Tensor:
    """The mean of a posterior, `[B, latent_dim]`.

    The mean of a flow has no closed form; the image of its base's mean takes its place.
    """
    if is_flow(posterior):
        return posterior.bijector.forward(posterior.distribution.mean())
    return posterior.mean()
