"""The minibatch standard deviation: by hand, and row-wise outside training."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import MinibatchStddev


def test_the_mean_of_the_deviations_over_the_batch():
    x = np.array([[0, 1, 5], [4, 1, 7]], "float32") / np.float32(
        np.sqrt(2)
    )  # deviations 2, 0, 1 (over B - 1)
    layer = MinibatchStddev(momentum=0.75)
    y = layer(x, training=True).numpy()
    np.testing.assert_array_equal(y[:, :3], x)
    np.testing.assert_allclose(y[:, 3], 1.0, atol=1e-3)
    y = layer(4.0 * x, training=True).numpy()
    np.testing.assert_allclose(y[:, 3], 4.0, rtol=1e-3)
    # 1, then 0.75 * 1 + 0.25 * 1, then 0.75 * 1 + 0.25 * 4.
    assert float(layer.moving_stddev) == pytest.approx(1.75, rel=1e-3)


def test_one_row_sees_the_moving_average_and_leaves_it():
    layer = MinibatchStddev()
    layer(np.random.default_rng(0).normal(size=(6, 3)).astype("float32"), training=True)
    moving = layer.moving_stddev.numpy()
    y = layer(np.ones((1, 3), "float32"), training=True)
    np.testing.assert_array_equal(y, [[1.0, 1.0, 1.0, moving]])
    assert layer.moving_stddev.numpy() == moving


def test_outside_training_rows_do_not_see_each_other():
    layer = MinibatchStddev()
    x = np.random.default_rng(0).normal(size=(6, 2, 2, 3)).astype("float32")
    layer(x, training=True)
    together = layer(x).numpy()
    assert together.shape == (6, 2, 2, 4)
    for row in range(6):
        np.testing.assert_array_equal(layer(x[row : row + 1])[0], together[row])


def test_a_collapsed_batch_has_finite_gradients():
    layer = MinibatchStddev()
    x = tf.ones([4, 3])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(layer(x, training=True))
    assert np.all(np.isfinite(tape.gradient(y, x)))
