"""Default networks: each builder returns a built `keras.Model`, for densities an `AutoregressiveNetwork`."""

from keras_genmod.networks.activations import output_range
from keras_genmod.networks.autoregressive import AutoregressiveNetwork, generate_naively
from keras_genmod.networks.convolutional import conv_decoder, conv_encoder
from keras_genmod.networks.coupling import coupling_network
from keras_genmod.networks.defaults import (
    check_network,
    check_rank,
    default_decoder,
    default_encoder,
)
from keras_genmod.networks.dense import dense_network
from keras_genmod.networks.discriminators import conv_discriminator, dense_discriminator
from keras_genmod.networks.generators import conv_generator, dense_generator
from keras_genmod.networks.masked_dense import MaskedDenseNetwork
from keras_genmod.networks.nade import NADENetwork
from keras_genmod.networks.patch_critic import patch_critic, receptive_field
from keras_genmod.networks.pixel_networks import pixel_cnn, pixel_rnn
from keras_genmod.networks.raster import RasterNetwork
from keras_genmod.networks.residual import residual_decoder, residual_encoder
from keras_genmod.networks.residual_translator import residual_translator
from keras_genmod.networks.subpixel_generator import subpixel_generator
from keras_genmod.networks.unet import unet

__all__ = [
    "AutoregressiveNetwork",
    "MaskedDenseNetwork",
    "NADENetwork",
    "RasterNetwork",
    "check_network",
    "check_rank",
    "conv_decoder",
    "conv_discriminator",
    "conv_encoder",
    "conv_generator",
    "coupling_network",
    "default_decoder",
    "default_encoder",
    "dense_discriminator",
    "dense_generator",
    "dense_network",
    "generate_naively",
    "output_range",
    "patch_critic",
    "pixel_cnn",
    "pixel_rnn",
    "receptive_field",
    "residual_decoder",
    "residual_encoder",
    "residual_translator",
    "subpixel_generator",
    "unet",
]
