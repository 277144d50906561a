"""The models, one folder a family."""

from keras_genmod.models.autoencoders import Autoencoder
from keras_genmod.models.variational import VAE

__all__ = ["VAE", "Autoencoder"]
