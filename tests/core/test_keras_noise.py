"""The noise of Keras' own layers differs between replicas, and is on one device what Keras makes it."""

import keras
import numpy as np
import tensorflow as tf

from keras_genmod import VAE
from keras_genmod.core.keras_noise import seed_generators, separate_replicas


def network():
    x = keras.Input((50,))
    inner = keras.Sequential([keras.Input((50,)), keras.layers.GaussianNoise(1.0, seed=2)])
    y = keras.layers.Dropout(0.5, seed=1)(x)
    return keras.Model(x, inner(inner(y)))


def test_each_generator_once_also_of_layers_below_layers():
    model = network()
    dropout, noise = model.layers[1], model.layers[2].layers[0]
    found = seed_generators(model)
    assert {id(one) for one in found} == {id(dropout.seed_generator), id(noise.seed_generator)}
    assert len(found) == 2
    assert seed_generators(keras.layers.Dense(3)) == []


def test_on_one_device_the_numbers_are_those_of_keras():
    ours, theirs = network(), network()
    separate_replicas(seed_generators(ours))
    for _ in range(2):
        x = tf.ones([2, 50])
        np.testing.assert_array_equal(ours(x, training=True), theirs(x, training=True))


def test_replicas_draw_different_noise_and_their_states_stay_equal(strategy):
    with strategy.scope():
        model = network()
        separate_replicas(seed_generators(model))

    @tf.function
    def draw():
        return strategy.run(lambda: model(tf.zeros([4, 50]), training=True))

    first, second = (value.numpy() for value in draw().values)
    # 200 sums of two standard normal numbers: equal ones correlate at 1, independent ones at 0 +- 0.07.
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.35
    for generator in seed_generators(model):
        states = [value.numpy() for value in generator.state.value.values]
        np.testing.assert_array_equal(states[0], states[1])
        assert states[0][1] == (2 if states[0][0] == 2 else 1)


def test_compiled_models_see_to_it(strategy):
    with strategy.scope():
        model = VAE((50,), latent_dim=25, encoder=network(), likelihood="gaussian", seed=0)
        model.compile()

    @tf.function
    def draw():
        return strategy.run(lambda: model.encoder(tf.zeros([4, 50]), training=True))

    first, second = (value.numpy() for value in draw().values)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.35
