"""The choice of an approximate posterior by its name."""

from __future__ import annotations

from typing import Any

import keras

from keras_genmod.core.checks import describe
from keras_genmod.distributions.head import Head
from keras_genmod.distributions.multivariate_heads import FullCovarianceGaussianHead
from keras_genmod.distributions.real_heads import GaussianHead

__all__ = ["get_posterior_head"]

_POSTERIORS = {
    "diagonal": lambda: GaussianHead("predicted"),
    "full_covariance": FullCovarianceGaussianHead,
}


def get_posterior_head(posterior: Any, latent_dim: int) -> Head:
    """The head of a model's `posterior` argument: a name, a `Head` of real values, or its configuration.

    Raises:
        ValueError: for another name or type, or a head made for another number of latent dimensions.
    """
    if isinstance(posterior, str) and posterior in _POSTERIORS:
        posterior = _POSTERIORS[posterior]()
    elif isinstance(posterior, dict):
        posterior = keras.saving.deserialize_keras_object(posterior)
    if not isinstance(posterior, Head):
        raise ValueError(
            f"`posterior` must be one of {', '.join(map(repr, _POSTERIORS))} or a head of real values such "
            f"as `LowRankGaussianHead(rank=2)`; received {describe(posterior)}."
        )
    posterior.set_event_shape((latent_dim,))
    return posterior
