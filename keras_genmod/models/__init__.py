"""The models, one folder a family."""

from keras_genmod.models.adversarial import DCGAN, GAN, WGAN_GP
from keras_genmod.models.autoencoders import Autoencoder
from keras_genmod.models.autoregressive import FVSBN, MADE, NADE, PixelCNN, PixelRNN
from keras_genmod.models.flows import IAF, MAF, NICE, Glow, NeuralSplineFlow, NormalizingFlow, RealNVP
from keras_genmod.models.mixtures import BernoulliMixture, GaussianMixture, KernelDensity
from keras_genmod.models.variational import (
    DIPVAE,
    IWAE,
    VAE,
    VQVAE,
    WAE,
    BetaTCVAE,
    FactorVAE,
    InfoVAE,
)

__all__ = [
    "DCGAN",
    "DIPVAE",
    "FVSBN",
    "GAN",
    "IAF",
    "IWAE",
    "MADE",
    "MAF",
    "NADE",
    "NICE",
    "VAE",
    "VQVAE",
    "WAE",
    "WGAN_GP",
    "Autoencoder",
    "BernoulliMixture",
    "BetaTCVAE",
    "FactorVAE",
    "GaussianMixture",
    "Glow",
    "InfoVAE",
    "KernelDensity",
    "NeuralSplineFlow",
    "NormalizingFlow",
    "PixelCNN",
    "PixelRNN",
    "RealNVP",
]
