"""Small models with weights that make every input matter."""

import numpy as np

import keras_genmod as kg
from keras_genmod.networks import dense_network


def with_random_weights(model, stddev=0.5):
    """The model with all weights drawn anew."""
    generator = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(stddev * generator.normal(size=weight.shape).astype("float32"))
    return model


def vae(latent_dim=3, **options):
    """A VAE of pictures of 4 x 4 pixels; conditional ones take classes or arrays."""
    conditions = {name: options[name] for name in ("num_classes", "condition_shape") if name in options}
    encoder = dense_network((16,), (2 * latent_dim,), hidden_dims=(8,), seed=3, **conditions)
    decoder = dense_network((latent_dim,), (16,), hidden_dims=(8,), seed=4, **conditions)
    model = kg.VAE((16,), latent_dim=latent_dim, encoder=encoder, decoder=decoder, seed=0, **options)
    return with_random_weights(model)


def made(**options):
    """A MADE of binary pictures of 4 x 4 pixels."""
    return with_random_weights(kg.MADE((16,), hidden_dims=(12,), seed=0, **options))


def mixture():
    """Two Gaussians in the plane, at -2 and 2 on the first axis."""
    model = kg.GaussianMixture((2,), num_components=2, covariance="spherical", seed=0)
    model.set_parameters(mixing_weights=[0.5, 0.5], means=[[-2.0, 0.0], [2.0, 0.0]], covariances=[0.25, 0.25])
    return model


def pictures(number=6, seed=0):
    """Binary pictures `[number, 16]`."""
    return np.random.default_rng(seed).integers(0, 2, (number, 16)).astype("float32")
