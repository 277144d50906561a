"""Mixtures of simple densities, trained by expectation maximisation, and kernel density estimation."""

from keras_genmod.models.mixtures.bernoulli_mixture import BernoulliMixture
from keras_genmod.models.mixtures.gaussian_mixture import GaussianMixture
from keras_genmod.models.mixtures.kernel_density import KernelDensity

__all__ = ["BernoulliMixture", "GaussianMixture", "KernelDensity"]
