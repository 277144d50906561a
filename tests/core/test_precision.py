"""What a model computes beside its networks: in float32, or in float64 throughout."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.precision import as_real, real_dtype


def test_half_precision_is_promoted_and_double_stays():
    for policy in ("float32", "bfloat16", "mixed_float16", "mixed_bfloat16"):
        assert real_dtype(policy) == tf.float32
    assert real_dtype("float64") == tf.float64
    assert as_real(tf.constant(1.0, tf.bfloat16)).dtype == tf.float32
    assert as_real(np.float64(1 / 3)).numpy() == 1 / 3


@pytest.mark.parametrize("policy", ["argument", "global"])
def test_a_density_in_float64_keeps_its_digits(policy):
    """A standard normal flow far from the origin, where a density in float32 has no digits left."""
    if policy == "global":
        keras.config.set_dtype_policy("float64")
    flow = kg.RealNVP((4,), num_layers=2, seed=0, **({"dtype": "float64"} if policy == "argument" else {}))
    x = np.array([[1e4 + 1 / 3, -1e4, 1 / 7, 3.0]])
    expected = -0.5 * np.sum(x**2) - 2 * np.log(2 * np.pi)
    assert flow.log_prob(x).dtype == tf.float64
    np.testing.assert_allclose(flow.log_prob(x), [expected], rtol=1e-14)
    assert flow.sample(2, seed=1).dtype == tf.float64


def test_training_data_of_a_model_in_float64_are_not_rounded():
    """The mean of data of size 1e9 that differ in the unit."""
    model = kg.GaussianMixture((1,), num_components=1, dtype="float64")
    x = 1e9 + np.arange(4.0)[:, None]
    model.compile()
    model.fit(x, epochs=2, verbose=0)
    np.testing.assert_allclose(model.means(), [[1e9 + 1.5]], rtol=1e-12)


def test_default_networks_do_not_round():
    """Inputs, reshapes and croppings follow the network's dtype, not the global one."""
    x = np.random.default_rng(0).normal(size=(4, 6, 5, 2))
    for model in (
        kg.VAE((6, 5, 2), latent_dim=3, likelihood="gaussian", seed=0, dtype="float64"),
        kg.Autoencoder((6, 5, 2), latent_dim=3, likelihood="gaussian", seed=0, dtype="float64"),
    ):
        # A step of 1e-9 is below the rounding of float32, and its slope is that of a larger one.
        small, large = ((model(x + step) - model(x)) / step for step in (1e-9, 1e-6))
        np.testing.assert_allclose(small, large, atol=1e-4 * np.abs(large).max())
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.warns(UserWarning, match="`decoder`.*float32 in a model of float64.*dtype='float64'"):
        kg.Autoencoder((2,), latent_dim=3, decoder=network, likelihood="gaussian", dtype="float64")


def test_parts_of_another_precision_are_refused():
    prior = kg.distributions.GaussianMixturePrior(2, dtype="float64")
    with pytest.raises(ValueError, match=r"dtype of the model.*float32; received one of float64.*float32"):
        kg.VAE((4,), latent_dim=2, prior=prior)
    prior = kg.distributions.GaussianMixturePrior(2)
    kg.VAE((4,), latent_dim=2, prior=prior)
    with pytest.raises(ValueError, match=r"float64; received one of float32"):
        kg.VAE((4,), latent_dim=2, prior=prior, dtype="float64")
