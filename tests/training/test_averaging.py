"""The averaged copy of a network: its own weights, every kind of state, and its limit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.bases import GenerativeModel
from keras_genmod.layers import BatchNormalization, Dropout
from keras_genmod.training import AveragedNetwork
from keras_genmod.training.averaging import copy_network


def network():
    x = keras.Input((3,))
    h = Dropout(0.5, seed=4)(BatchNormalization()(keras.layers.Dense(2)(x)))
    return keras.Model(x, h)


def test_a_copy_has_the_weights_and_trains_none():
    original = network()
    copy = copy_network(original)
    for ours, theirs in zip(copy.get_weights(), original.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not copy.trainable_weights
    original.layers[1].kernel.assign(np.ones((3, 2)))
    assert not np.array_equal(copy.layers[1].kernel, original.layers[1].kernel)


def test_floats_are_averaged_and_counters_copied():
    original = network()
    average = AveragedNetwork(original, 0.9)
    before = average.network.get_weights()
    original.set_weights([weight + 2 for weight in original.get_weights()])
    # Step 2: (1 + 2) / (10 + 2) = 1/4 is less than the decay.
    average.update(tf.constant(2, tf.int64))
    for old, now, new in zip(before, average.network.get_weights(), original.get_weights(), strict=True):
        expected = new if old.dtype == np.int64 else 0.25 * old + 0.75 * new
        np.testing.assert_allclose(now, expected, rtol=1e-6)


def test_the_average_of_constant_weights_stays_and_of_a_jump_approaches():
    original = network()
    average = AveragedNetwork(original, 0.9)
    kernel = original.layers[1].kernel
    start = kernel.numpy()
    average.update(tf.constant(10_000, tf.int64))
    np.testing.assert_array_equal(average.network.layers[1].kernel, start)
    kernel.assign(start + 1.0)
    for _ in range(5):
        average.update(tf.constant(10_000, tf.int64))
    np.testing.assert_allclose(average.network.layers[1].kernel, start + 1.0 - 0.9**5, rtol=1e-4)


@pytest.mark.parametrize("decay", [-0.1, 1.5, "much"])
def test_a_decay_that_is_none_is_refused_by_the_name_of_its_argument(decay):
    with pytest.raises((TypeError, ValueError), match=f"`ema_decay`.*{decay}"):
        AveragedNetwork(network(), decay, name="ema_decay")


class Fit(GenerativeModel):
    """Another model than a GAN that has an average: a weight w, trained towards the data by (x - w)^2."""

    def __init__(self, **kwargs):
        super().__init__((1,), **kwargs)
        self.layer = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        self._average = AveragedNetwork(self.layer, 0.5)
        self.averaged_layer = self._average.network

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        return {"error": tf.square(self.layer(tf.ones_like(x)) - x)[:, 0]}

    def advance_state(self, batch, *, seed, shared):
        self._average.update(self.training_steps)


@pytest.mark.parametrize("micro_batches", [1, 4])
def test_a_model_moves_its_average_once_a_step_and_keeps_it_in_its_file(micro_batches, tmp_path):
    """Kernel and bias k = b: their sum s moves by -0.1 * 4 (s - 1) a step, towards data of ones."""
    model = Fit()
    model.compile(keras.optimizers.SGD(0.1), micro_batches=micro_batches)
    x = np.ones((12, 1), "float32")
    model.fit(x, batch_size=4, verbose=0)
    weight = average = 0.0
    for step in range(3):
        weight -= 0.1 * 2 * (2 * weight - 1)
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
    np.testing.assert_allclose(model.layer.get_weights()[0], [[weight]], rtol=1e-5)
    np.testing.assert_allclose(model.averaged_layer.get_weights()[0], [[average]], rtol=1e-5)
    model.evaluate(x, verbose=0)
    np.testing.assert_allclose(model.averaged_layer.get_weights()[0], [[average]], rtol=1e-5)
    model.save_weights(tmp_path / "model.weights.h5")
    other = Fit()
    other.load_weights(tmp_path / "model.weights.h5")
    for ours, theirs in zip(other.averaged_layer.weights, model.averaged_layer.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
