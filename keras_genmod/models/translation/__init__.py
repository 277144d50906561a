"""Translation: pictures of one domain turned into pictures of another."""

from keras_genmod.models.translation.cycle_gan import CycleGAN
from keras_genmod.models.translation.pix2pix import Pix2Pix
from keras_genmod.models.translation.super_resolution import SuperResolution

__all__ = ["CycleGAN", "Pix2Pix", "SuperResolution"]
