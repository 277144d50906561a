"""Small models that the tests of figures share; none is trained."""

import keras
import numpy as np

from keras_genmod import VAE, Autoencoder
from keras_genmod.networks import dense_network

SHAPE = (4, 4, 1)
X = np.random.default_rng(0).integers(0, 2, (5, *SHAPE)).astype("float32")


def small_vae(**options):
    """A VAE of 4x4 images with three latents."""
    conditions = {"num_classes": options.get("num_classes")}
    return VAE(
        SHAPE,
        latent_dim=3,
        encoder=dense_network(SHAPE, (6,), hidden_dims=(8,), seed=0, name="encoder", **conditions),
        decoder=dense_network((3,), SHAPE, hidden_dims=(8,), seed=1, name="decoder", **conditions),
        seed=0,
        **options,
    )


def scaling_autoencoder(scales, likelihood="gaussian"):
    """An autoencoder whose code is the example times `scales`, and whose decoder is the identity."""
    size = len(scales)
    networks = []
    for name, factors in (("encoder", scales), ("decoder", [1.0] * size)):
        layer = keras.layers.Dense(size, use_bias=False)
        x = keras.Input((size,))
        networks.append(keras.Model(x, layer(x), name=name))
        layer.set_weights([np.diag(factors).astype("float32")])
    encoder, decoder = networks
    return Autoencoder((size,), latent_dim=size, encoder=encoder, decoder=decoder, likelihood=likelihood)
