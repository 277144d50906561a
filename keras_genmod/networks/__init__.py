"""Default networks; each builder returns a built `keras.Model`."""

from keras_genmod.networks.convolutional import conv_decoder, conv_encoder
from keras_genmod.networks.defaults import check_network, default_decoder, default_encoder
from keras_genmod.networks.dense import dense_network

__all__ = [
    "check_network",
    "conv_decoder",
    "conv_encoder",
    "default_decoder",
    "default_encoder",
    "dense_network",
]
