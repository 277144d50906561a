"""Adversarial networks: a generator and a discriminator trained against each other."""

from keras_genmod.models.adversarial.dcgan import DCGAN
from keras_genmod.models.adversarial.gan import GAN
from keras_genmod.models.adversarial.wgan_gp import WGAN_GP

__all__ = ["DCGAN", "GAN", "WGAN_GP"]
