"""The averaged copy of a network: its own weights, every kind of state, and its limit."""

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.layers import BatchNormalization, Dropout
from keras_genmod.training.averaging import copy_network, update_average


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
    original, copy = network(), None
    copy = copy_network(original)
    before = copy.get_weights()
    original.set_weights([weight + 2 for weight in original.get_weights()])
    # Step 2: (1 + 2) / (10 + 2) = 1/4 is less than the decay.
    update_average(copy, original, 0.9, tf.constant(2, tf.int64))
    for old, now, new in zip(before, copy.get_weights(), original.get_weights(), strict=True):
        expected = new if old.dtype == np.int64 else 0.25 * old + 0.75 * new
        np.testing.assert_allclose(now, expected, rtol=1e-6)


def test_the_average_of_constant_weights_stays_and_of_a_jump_approaches():
    original = network()
    copy = copy_network(original)
    kernel = original.layers[1].kernel
    start = kernel.numpy()
    update_average(copy, original, 0.9, tf.constant(10_000, tf.int64))
    np.testing.assert_array_equal(copy.layers[1].kernel, start)
    kernel.assign(start + 1.0)
    for _ in range(5):
        update_average(copy, original, 0.9, tf.constant(10_000, tf.int64))
    np.testing.assert_allclose(copy.layers[1].kernel, start + 1.0 - 0.9**5, rtol=1e-4)
