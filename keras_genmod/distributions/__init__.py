"""Distributions: heads on networks, priors and divergences."""

import keras_genmod.distributions.row_samplers  # noqa: F401 (registers samplers)
from keras_genmod.distributions.discrete_heads import CategoricalHead, DiscretizedLogisticMixtureHead
from keras_genmod.distributions.discretized_logistic import DiscretizedLogisticMixture
from keras_genmod.distributions.gaussian_mixture import DiagonalGaussianMixture
from keras_genmod.distributions.head import Head
from keras_genmod.distributions.heads import BernoulliHead, ContinuousBernoulliHead, get_head
from keras_genmod.distributions.kl import kl_divergence, kl_per_dimension
from keras_genmod.distributions.low_rank_gaussian import LowRankGaussian
from keras_genmod.distributions.multivariate_heads import FullCovarianceGaussianHead, LowRankGaussianHead
from keras_genmod.distributions.priors import (
    GaussianMixturePrior,
    Prior,
    StandardNormalPrior,
    VampPrior,
    get_prior,
    standard_normal,
)
from keras_genmod.distributions.real_heads import GaussianHead, StudentTHead

__all__ = [
    "BernoulliHead",
    "CategoricalHead",
    "ContinuousBernoulliHead",
    "DiagonalGaussianMixture",
    "DiscretizedLogisticMixture",
    "DiscretizedLogisticMixtureHead",
    "FullCovarianceGaussianHead",
    "GaussianHead",
    "GaussianMixturePrior",
    "Head",
    "LowRankGaussian",
    "LowRankGaussianHead",
    "Prior",
    "StandardNormalPrior",
    "StudentTHead",
    "VampPrior",
    "get_head",
    "get_prior",
    "kl_divergence",
    "kl_per_dimension",
    "standard_normal",
]
