"""Draws from TensorFlow's global seed are repeatable, though the suite seldom lets it forget functions."""

import keras
import numpy as np
import pytest
import tensorflow as tf


def _compiled(op_seed):
    function = tf.function(lambda: tf.random.normal([3], seed=op_seed))
    function()
    return function


DRAWS = {
    "without a seed": lambda: lambda: tf.random.normal([3]),
    "with a seed of its own": lambda: lambda: tf.random.normal([3], seed=5),
    "in a function": lambda: _compiled(None),
    "in a function with a seed of its own": lambda: _compiled(5),
    "of an order": lambda: lambda: list(tf.data.Dataset.range(9).shuffle(9).as_numpy_iterator()),
    "of Keras": lambda: lambda: keras.random.normal([3]),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_repeats_the_draws_after_it(name):
    draw = DRAWS[name]()
    runs = []
    for _ in range(3):
        keras.utils.set_random_seed(0)
        runs.append([np.asarray(draw()) for _ in range(2)])
    np.testing.assert_array_equal(runs[1], runs[0])
    np.testing.assert_array_equal(runs[2], runs[0])
    assert not np.array_equal(runs[0][0], runs[0][1])


def test_the_seed_counts_that_was_set_last():
    """Between two seeds without a draw TensorFlow keeps what it has prepared; the seed is the later one."""
    draws = []
    for seeds in [(1,), (2, 1), (1, 2)]:
        for seed in seeds:
            tf.random.set_seed(seed)
        draws.append(tf.random.normal([3]).numpy())
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
