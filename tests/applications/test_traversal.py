"""A traversal moves the dimension that was asked for, to the values that were asked for, and no other."""

import keras
import numpy as np
import pytest

from keras_genmod import Autoencoder
from keras_genmod.applications import traverse


@pytest.fixture(scope="module")
def model():
    """An autoencoder with the identity for both networks: the event is the latent vector."""
    identity = keras.layers.Dense(3, use_bias=False, name="identity")
    x = keras.Input((3,))
    network = keras.Model(x, identity(x))
    identity.set_weights([np.eye(3, dtype="float32")])
    return Autoencoder((3,), latent_dim=3, encoder=network, decoder=network, likelihood="gaussian")


def test_only_the_asked_dimension_moves(model):
    x = np.array([1.0, 2.0, 3.0], np.float32)
    result = traverse(model, x, dims=[2, 0], values=[-5.0, 7.0])
    expected = [[[1, 2, -5], [1, 2, 7]], [[-5, 2, 3], [7, 2, 3]]]
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(traverse(model, z=x, dims=[-1, 0], values=[-5.0, 7.0]), expected)


def test_it_starts_from_the_mean_of_the_prior_and_moves_all_dimensions(model):
    result = traverse(model)
    expected = np.zeros((3, 7, 3))
    for dim in range(3):
        expected[dim, :, dim] = [-3, -2, -1, 0, 1, 2, 3]
    np.testing.assert_array_equal(result, expected)


def test_integers_are_values_too(model):
    np.testing.assert_array_equal(traverse(model, dims=[1], values=range(2)), [[[0, 0, 0], [0, 1, 0]]])


def test_errors_say_what_to_do(model):
    with pytest.raises(ValueError, match=r"one example of shape \(3,\); received \(1, 3\).*x\[0\]"):
        traverse(model, np.zeros((1, 3)))
    with pytest.raises(ValueError, match="`x` or `z`, not both"):
        traverse(model, np.zeros(3), z=np.zeros(3))
    with pytest.raises(ValueError, match=r"received shape \(2, 3\).*z\[0\]"):
        traverse(model, z=np.zeros((2, 3)))
    for dims in ([3], [-4], [], [0.5]):
        with pytest.raises(ValueError, match="`dims` must be"):
            traverse(model, dims=dims)
    with pytest.raises(ValueError, match="`values` must be a list"):
        traverse(model, values=[])
    with pytest.raises(TypeError, match="`decode` or `generator`; received a Dense"):
        traverse(keras.layers.Dense(1))
