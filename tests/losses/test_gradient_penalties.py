"""Penalties on gradients: closed forms for linear and quadratic critics, and differentiation through them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import MinibatchStddev
from keras_genmod.losses import gradient_penalty, input_gradient_norm, squared_gradient_penalty

X = tf.constant([[1.0, 2.0], [-3.0, 0.5], [0.0, 0.0]])


def linear(*slopes):
    return lambda x: tf.linalg.matvec(x, tf.constant(slopes))


@pytest.mark.parametrize("slopes,expected", [((0.6, 0.8), 0.0), ((3.0, 4.0), 16.0), ((0.0, 0.0), 1.0)])
def test_the_gradient_penalty_of_a_linear_critic(slopes, expected):
    """(|w| - 1)^2 wherever it is measured: 0 for a slope of one."""
    mix = tf.constant([0.0, 0.3, 1.0])
    np.testing.assert_allclose(gradient_penalty(linear(*slopes), X, -X, mix), [expected] * 3, atol=1e-6)


def test_it_is_measured_between_the_examples():
    """The gradient of |x|^2 / 2 is x, so the norm tells the place."""
    real, fake = tf.constant([[4.0, 0.0]]), tf.constant([[0.0, 0.0]])
    for mix in (0.0, 0.25, 1.0):
        value = gradient_penalty(lambda x: tf.reduce_sum(x**2, 1) / 2, real, fake, tf.constant([mix]))
        assert float(value[0]) == pytest.approx((4.0 * mix - 1.0) ** 2, abs=1e-6)


def test_another_target():
    value = gradient_penalty(linear(3.0, 4.0), X, X, tf.ones(3), target=5.0)
    np.testing.assert_allclose(value, 0.0, atol=1e-10)


def test_r1_of_a_quadratic_critic_is_half_the_squared_slope():
    logits, penalty = squared_gradient_penalty(lambda x: tf.reduce_sum(x**2, 1) / 2, X)
    np.testing.assert_allclose(penalty, np.sum(X.numpy() ** 2, 1) / 2)
    np.testing.assert_allclose(logits, np.sum(X.numpy() ** 2, 1) / 2)


def test_images_count_every_pixel():
    images = tf.ones([2, 3, 3, 2])
    _, norm = input_gradient_norm(lambda x: 2.0 * tf.reduce_sum(x, [1, 2, 3]), images)
    np.testing.assert_allclose(norm, 2.0 * np.sqrt(18.0), rtol=1e-6)


def test_weights_get_the_gradient_of_the_penalty():
    """d/dw of (|w| - 1)^2 = 2 (|w| - 1) w / |w|, and of |w|^2 / 2 it is w."""
    w = tf.Variable([3.0, 4.0])
    for function, expected in (
        (lambda: gradient_penalty(lambda x: tf.linalg.matvec(x, w), X, -X, tf.ones(3))[0], [4.8, 6.4]),
        (lambda: squared_gradient_penalty(lambda x: tf.linalg.matvec(x, w), X)[1][0], [3.0, 4.0]),
    ):
        with tf.GradientTape() as tape:
            value = function()
        np.testing.assert_allclose(tape.gradient(value, w), expected, rtol=1e-5)


def test_a_flat_critic_gives_finite_gradients():
    w = tf.Variable([0.0, 0.0])
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(gradient_penalty(lambda x: tf.linalg.matvec(x, w), X, -X, tf.ones(3)))
    assert np.all(np.isfinite(tape.gradient(value, w)))


# ---- examples that see each other -------------------------------------------------------------------


def seeing_the_batch():
    """A critic whose hidden layers have a statistic of the batch between them."""
    layers = [
        keras.layers.Dense(5, "tanh"),
        MinibatchStddev(),
        keras.layers.Dense(4, "tanh"),
        keras.layers.Dense(1),
    ]
    network = keras.Sequential([keras.Input((2,)), *layers])
    generator = np.random.default_rng(0)
    for weight in network.trainable_weights:
        weight.assign(generator.normal(size=weight.shape))
    return network, lambda x: network(x, training=True)[:, 0]


def own_gradients(critic, x):
    """Of each logit by its own row: the blocks on the diagonal of the Jacobian."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        logits = critic(x)
    jacobian = tape.jacobian(logits, x, experimental_use_pfor=False)
    return logits, tf.stack([jacobian[i, i] for i in range(x.shape[0])])


ROWS = tf.constant(np.random.default_rng(1).normal(size=(4, 2)), tf.float32)


def test_a_penalty_is_of_each_examples_own_gradient():
    _, critic = seeing_the_batch()
    _, own = own_gradients(critic, ROWS)
    logits, penalty = squared_gradient_penalty(critic, ROWS)
    np.testing.assert_allclose(logits, critic(ROWS), rtol=1e-6)
    np.testing.assert_allclose(penalty, np.sum(np.square(own), axis=1) / 2, rtol=1e-4)
    with tf.GradientTape() as tape:
        tape.watch(ROWS)
        total = tf.reduce_sum(critic(ROWS))
    of_sum = tape.gradient(total, ROWS)
    assert np.abs(of_sum - own).max() > 0.01  # Else a mistake would not show.


@pytest.mark.parametrize("part", ["logits", "penalty"])
def test_weights_see_what_the_penalty_of_an_example_leaves_out(part):
    """Both values of the one pass, by the weights, against gradients through the whole Jacobian."""
    network, critic = seeing_the_batch()
    factors = tf.constant([1.0, -2.0, 0.5, 3.0])
    with tf.GradientTape() as tape:
        logits, penalty = squared_gradient_penalty(critic, ROWS)
        value = tf.reduce_sum(factors * (logits if part == "logits" else penalty))
    actual = tape.gradient(value, network.trainable_weights)
    with tf.GradientTape() as tape:
        logits, own = own_gradients(critic, ROWS)
        penalty = tf.reduce_sum(tf.square(own), axis=1) / 2
        value = tf.reduce_sum(factors * (logits if part == "logits" else penalty))
    expected = tape.gradient(value, network.trainable_weights)
    for one, other in zip(actual, expected, strict=True):
        # The last offset has no part in a gradient.
        one, other = (np.zeros(1) if grad is None else grad for grad in (one, other))
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
