"""Distributions: heads on networks, priors, divergences."""

from keras_genmod.distributions.heads import (
    BernoulliHead,
    ContinuousBernoulliHead,
    GaussianHead,
    Head,
    get_head,
)
from keras_genmod.distributions.kl import kl_divergence, kl_per_dimension
from keras_genmod.distributions.priors import standard_normal

__all__ = [
    "BernoulliHead",
    "ContinuousBernoulliHead",
    "GaussianHead",
    "Head",
    "get_head",
    "kl_divergence",
    "kl_per_dimension",
    "standard_normal",
]
