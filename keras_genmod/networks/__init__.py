"""Default networks; each builder returns a built `keras.Model`."""

from keras_genmod.networks.convolutional import conv_decoder, conv_encoder
from keras_genmod.networks.defaults import (
    check_network,
    check_rank,
    default_decoder,
    default_encoder,
    output_range,
)
from keras_genmod.networks.dense import dense_network
from keras_genmod.networks.discriminators import conv_discriminator, dense_discriminator
from keras_genmod.networks.generators import conv_generator, dense_generator

__all__ = [
    "check_network",
    "check_rank",
    "conv_decoder",
    "conv_discriminator",
    "conv_encoder",
    "conv_generator",
    "default_decoder",
    "default_encoder",
    "dense_discriminator",
    "dense_generator",
    "dense_network",
    "output_range",
]
