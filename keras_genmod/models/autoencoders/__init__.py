"""Autoencoders."""

from keras_genmod.models.autoencoders.autoencoder import Autoencoder

__all__ = ["Autoencoder"]
