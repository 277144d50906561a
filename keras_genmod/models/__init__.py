"""The models, one folder a family."""

from keras_genmod.models.adversarial import DCGAN, GAN, WGAN_GP
from keras_genmod.models.autoencoders import Autoencoder
from keras_genmod.models.autoregressive import FVSBN, MADE, NADE, PixelCNN, PixelRNN
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
    "IWAE",
    "MADE",
    "NADE",
    "VAE",
    "VQVAE",
    "WAE",
    "WGAN_GP",
    "Autoencoder",
    "BetaTCVAE",
    "FactorVAE",
    "InfoVAE",
    "PixelCNN",
    "PixelRNN",
]
