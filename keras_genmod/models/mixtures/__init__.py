"""Mixtures: sums of simple densities, trained by expectation maximisation; kernel density estimates."""

from keras_genmod.models.mixtures.bernoulli_mixture import BernoulliMixture
from keras_genmod.models.mixtures.gaussian_mixture import GaussianMixture
from keras_genmod.models.mixtures.kernel_density import KernelDensity

__all__ = ["BernoulliMixture", "GaussianMixture", "KernelDensity"]
