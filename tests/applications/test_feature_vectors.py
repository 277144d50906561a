"""Features are what the model computes of each example, whatever stands beside it."""

import keras
import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod.applications import features

X = (np.random.default_rng(0).random((9, 6)) < 0.5).astype("float32")


def started_mixture():
    model = kg.BernoulliMixture((6,), num_components=2, seed=0)
    model.initialize(X)
    return model


MODELS = {
    "vae": lambda: kg.VAE((6,), latent_dim=3, seed=0),
    "autoencoder": lambda: kg.Autoencoder((6,), latent_dim=3, seed=0),
    "vq_vae": lambda: kg.VQVAE((6,), num_codes=4, code_dim=2, num_latents=3, seed=0),
    "flow": lambda: kg.RealNVP((6,), num_layers=2, network_options={"hidden_dims": (4,)}, seed=0),
    "gan": lambda: kg.GAN((6,), latent_dim=2, seed=0),
    "mixture": started_mixture,
    "keras": lambda: keras.Sequential([keras.Input((6,)), keras.layers.Reshape((2, 3))]),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_row_does_not_depend_on_its_batch(name):
    model = MODELS[name]()
    whole = features(model, X)
    assert whole.dtype == np.float32 and whole.ndim == 2 and len(whole) == 9
    assert len(np.unique(whole.round(4), axis=0)) > 1
    np.testing.assert_allclose(features(model, X, batch_size=4), whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(features(model, X[[4, 2]]), whole[[4, 2]], rtol=1e-5, atol=1e-6)


def test_they_are_codes_vectors_of_codes_or_responsibilities():
    vae, vq, mixture = (MODELS[name]() for name in ("vae", "vq_vae", "mixture"))
    np.testing.assert_array_equal(features(vae, X), vae.encode(X))
    vectors = vq.codebook().numpy()[vq.encode(X).numpy()]
    np.testing.assert_array_equal(features(vq, X), vectors.reshape(9, -1))
    np.testing.assert_allclose(features(mixture, X).sum(axis=1), 1.0, rtol=1e-5)
    extractor = kg.metrics.FeatureExtractor(keras.layers.Flatten(), name="pixels")
    np.testing.assert_array_equal(features(extractor, X.reshape(9, 2, 3, 1)), X)


def test_a_conditional_model_takes_conditions():
    model = kg.VAE((6,), latent_dim=2, num_classes=3, seed=0)
    one, other = features(model, X, np.arange(9) % 3), features(model, X, 0)
    np.testing.assert_allclose(one[::3], other[::3], rtol=1e-5, atol=1e-6)
    assert np.all(np.abs(one - other)[1::3].max(axis=1) > 0)


def test_a_model_without_features_is_told_which_have_some():
    with pytest.raises(TypeError, match=r"`encode`: autoencoders.*`features`: adversarial models"):
        features(kg.MADE((6,), hidden_dims=(8,), seed=0), X)
    with pytest.raises(ValueError, match="Features must be finite; .* hold 54 NaN"):
        features(keras.layers.Identity(), np.full((9, 6), np.nan, "float32"))
