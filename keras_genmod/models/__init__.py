"""The models, one folder a family."""

from keras_genmod.models.adversarial import DCGAN, GAN, WGAN_GP
from keras_genmod.models.autoencoders import Autoencoder
from keras_genmod.models.variational import VAE

__all__ = ["DCGAN", "GAN", "VAE", "WGAN_GP", "Autoencoder"]
