"""The models, one folder a family."""

from keras_genmod.models.adversarial import DCGAN, GAN, WGAN_GP
from keras_genmod.models.autoencoders import Autoencoder
from keras_genmod.models.autoregressive import FVSBN, MADE, NADE, PixelCNN, PixelRNN
from keras_genmod.models.variational import VAE

__all__ = ["DCGAN", "FVSBN", "GAN", "MADE", "NADE", "VAE", "WGAN_GP", "Autoencoder", "PixelCNN", "PixelRNN"]
