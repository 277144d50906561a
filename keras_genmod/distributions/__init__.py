"""Distributions: heads on networks, priors, divergences."""

from keras_genmod.distributions.discretized_logistic import DiscretizedLogisticMixture
from keras_genmod.distributions.head import Head
from keras_genmod.distributions.heads import BernoulliHead, ContinuousBernoulliHead, GaussianHead, get_head
from keras_genmod.distributions.kl import kl_divergence, kl_per_dimension
from keras_genmod.distributions.priors import standard_normal
from keras_genmod.distributions.whole_number_heads import CategoricalHead, DiscretizedLogisticMixtureHead

__all__ = [
    "BernoulliHead",
    "CategoricalHead",
    "ContinuousBernoulliHead",
    "DiscretizedLogisticMixture",
    "DiscretizedLogisticMixtureHead",
    "GaussianHead",
    "Head",
    "get_head",
    "kl_divergence",
    "kl_per_dimension",
    "standard_normal",
]
