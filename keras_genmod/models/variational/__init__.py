"""Variational autoencoders."""

from keras_genmod.models.variational.vae import VAE

__all__ = ["VAE"]
