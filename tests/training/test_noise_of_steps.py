"""The noise of training is new for every example, step, micro-batch and replica; read off the weights."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.bases import AdversarialModel, GenerativeModel
from keras_genmod.training import Player

NUM_EXAMPLES = 8


class Weight(keras.layers.Layer):
    """One weight for each example."""

    def __init__(self):
        super().__init__()
        self.values = self.add_weight(shape=(NUM_EXAMPLES,), initializer="zeros")


def noise_times_weight(layer, x, seed):
    """A term whose gradient is the example's noise, in the place of the example."""
    noise = tf.random.stateless_normal([tf.shape(x)[0]], seed)
    return -NUM_EXAMPLES * noise * tf.gather(layer.values, tf.cast(x[:, 0], tf.int32))


class Noise(GenerativeModel):
    """A model whose weights sum up the noise that the steps drew for each example."""

    def __init__(self, **kwargs):
        super().__init__((1,), **kwargs)
        self.layer = Weight()

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        return {"noise": noise_times_weight(self.layer, x, seed)}


EXAMPLES = np.arange(NUM_EXAMPLES, dtype="float32")[:, None]


def drawn(model, num_steps=1):
    """The noise of each step and example, found by steps of length 1 from the weights."""
    noise, before = [], model.layer.values.numpy()
    for _ in range(num_steps):
        model.fit(EXAMPLES, batch_size=NUM_EXAMPLES, shuffle=False, verbose=0)
        after = model.layer.values.numpy()
        noise.append(after - before)
        before = after
    return np.array(noise)


@pytest.mark.parametrize(
    ("replicated", "micro_batches"),
    # Parts of equal and of unequal sizes.
    [(False, 2), (True, 1), (True, 3)],
)
def test_no_number_is_drawn_twice(strategy, replicated, micro_batches):
    with strategy.scope() if replicated else contextlib.nullcontext():
        model = Noise(seed=0)
        model.compile(keras.optimizers.SGD(1.0), micro_batches=micro_batches)
    noise = drawn(model, num_steps=2)
    assert np.all(noise != 0.0)
    # Differences of float32 sums give the noise back to some roundings; normal numbers lie farther apart.
    gaps = np.diff(np.sort(noise.ravel()))
    assert np.all(gaps > 1e-5)


def test_the_seed_decides_and_evaluation_does_not():
    def noise(seed, evaluate=False):
        model = Noise(seed=seed)
        model.compile(keras.optimizers.SGD(1.0))
        first = drawn(model)
        if evaluate:
            model.evaluate(EXAMPLES, verbose=0)
        return np.concatenate([first, drawn(model)])

    plain = noise(0)
    np.testing.assert_array_equal(plain, noise(0, evaluate=True))
    assert np.all(plain != noise(1))


def test_evaluation_repeats_its_noise_and_gives_each_batch_its_own():
    model = Noise(seed=0)
    model.compile(keras.optimizers.SGD(1.0))
    model.layer.values.assign(np.ones(NUM_EXAMPLES))
    halves = np.repeat(EXAMPLES[:2], [4, 4], axis=0)

    def loss(x, batch_size):
        return model.evaluate(x, batch_size=batch_size, return_dict=True, verbose=0)["loss"]

    assert loss(halves, 4) == loss(halves, 4)
    # Two batches of the same noise would have the mean of one.
    assert abs(loss(halves, 4) - loss(halves[:4], 4)) > 1e-3


class Rounds(AdversarialModel):
    """A discriminator that is updated several times a step; its weights sum up the noise of the rounds."""

    def __init__(self, **kwargs):
        super().__init__((1,), **kwargs)
        self.layer, self.other = Weight(), Weight()

    def players(self):
        def terms(layer):
            def loss_terms(x, *, condition, training, seed):
                return {"noise": noise_times_weight(layer, x, seed)}

            return loss_terms

        rounds = self.discriminator_steps
        return (
            Player(
                "discriminator",
                (self.layer,),
                terms(self.layer),
                updates_per_step=rounds,
                optimizer="discriminator_optimizer",
            ),
            Player("generator", (self.other,), terms(self.other), optimizer="generator_optimizer"),
        )


def test_rounds_of_a_player_have_noise_of_their_own():
    model = Rounds(seed=0)
    model.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0), discriminator_steps=2)
    both = drawn(model)[0]
    # The generator plays the last round, with its noise; the first round's is the rest.
    last = model.other.values.numpy()
    assert np.all(np.abs(both - 2 * last) > 1e-4)
    assert np.all(np.abs(both - last) > 1e-4)
