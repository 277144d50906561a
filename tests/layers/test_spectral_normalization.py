"""Spectral normalisation: the applied kernel, its gradient and its update, against singular values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import SpectralNormalization


def dense(kernel, bias=None):
    """The layer over a dense one with this kernel."""
    rows, columns = kernel.shape
    layer = SpectralNormalization(keras.layers.Dense(columns, use_bias=bias is not None))
    layer.build((None, rows))
    layer.layer.set_weights([kernel] if bias is None else [kernel, bias])
    return layer


def matrix(rows, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype("float32")


@pytest.mark.parametrize(
    "inner,shape",
    [
        (lambda: keras.layers.Dense(7), (None, 40)),
        (lambda: keras.layers.Dense(40), (None, 7)),
        (lambda: keras.layers.Dense(1), (None, 9)),
        (lambda: keras.layers.Conv2D(5, 3), (None, 8, 8, 2)),
        (lambda: keras.layers.Embedding(4, 6), (None,)),
    ],
)
def test_at_the_start_the_direction_is_the_singular_vector(inner, shape):
    layer = SpectralNormalization(inner())
    layer.build(shape)
    kernel = layer.layer.weights[0].numpy()
    kernel = kernel.reshape(-1, kernel.shape[-1])
    # A float32 eigenvector of a matrix of a few rows.
    norm = np.linalg.norm(kernel @ layer.direction.numpy())
    assert norm == pytest.approx(np.linalg.norm(kernel, 2), rel=1e-5)


def test_a_call_divides_the_kernel_and_changes_nothing():
    kernel, bias = matrix(6, 4), np.float32([1, 2, 3, 4])
    layer = SpectralNormalization(keras.layers.Dense(4))
    layer.build((None, 6))
    layer.layer.set_weights([kernel, bias])
    direction = matrix(1, 4, seed=2)[0]
    layer.direction.assign(direction)  # Of any length, as an average of directions is.
    sigma = np.linalg.norm(kernel @ direction) / np.linalg.norm(direction)
    x = matrix(5, 6, seed=1)
    before = layer.get_weights()
    for training in (True, False, True):
        np.testing.assert_allclose(
            layer(x, training=training), x @ kernel / sigma + bias, rtol=1e-5, atol=1e-5
        )
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_convolution_is_divided_by_the_norm_of_its_reshaped_kernel():
    layer = SpectralNormalization(keras.layers.Conv2D(5, 3, use_bias=False))
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    y = layer(x)
    sigma = np.linalg.norm(layer.layer.kernel.numpy().reshape(-1, 5), 2)
    np.testing.assert_allclose(y, layer.layer(x) / sigma, rtol=1e-4, atol=1e-5)


def test_an_embedding_is_divided_by_the_norm_of_its_table():
    layer = SpectralNormalization(keras.layers.Embedding(4, 6))
    layer.build((None,))
    table = layer.layer.embeddings.numpy()
    y = layer(tf.constant([3, 0, 3]))
    np.testing.assert_allclose(y, table[[3, 0, 3]] / np.linalg.norm(table, 2), rtol=1e-4, atol=1e-6)


def test_the_gradient_is_that_of_the_normalised_kernel():
    r"""$(G - \langle G, W / s \rangle v u^T) / s$ with the gradient G by W / s and $s = v^T W u$."""
    layer = dense(matrix(6, 4))
    layer.direction.assign(matrix(1, 4, seed=2)[0])
    kernel, u = np.float64(layer.layer.kernel), np.float64(layer.direction)
    u /= np.linalg.norm(u)
    sigma = np.linalg.norm(kernel @ u)
    v = kernel @ u / sigma
    x, factors = matrix(5, 6, seed=1), matrix(5, 4, seed=3)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(factors * layer(x, training=True))
    gradient = tape.gradient(value, layer.layer.kernel.value)
    by_normalised = x.T.astype("float64") @ factors
    radial = np.sum(by_normalised * kernel) / sigma * np.outer(v, u)
    np.testing.assert_allclose(gradient, (by_normalised - radial) / sigma, rtol=1e-4, atol=1e-4)


def test_an_update_is_one_step_of_the_power_method():
    layer = dense(matrix(6, 4))
    layer.direction.assign(matrix(1, 4, seed=2)[0])
    kernel, u = np.float64(layer.layer.kernel), np.float64(layer.direction)
    layer.update()
    new = kernel.T @ kernel @ u
    np.testing.assert_allclose(layer.direction, new / np.linalg.norm(new), rtol=1e-5, atol=1e-6)
    for _ in range(200):
        layer.update()
    _, values, right = np.linalg.svd(kernel)
    # The error shrinks by the squared ratio of the two largest singular values.
    error = (values[1] / values[0]) ** 400 + 1e-5
    assert abs(right[0] @ layer.direction.numpy()) == pytest.approx(1.0, abs=error)


def test_weights_given_from_outside_reach_the_layer():
    """As in `stateless_call`: values of a scope around the call, of the kernel and of all others."""
    kernel, bias = matrix(6, 4), np.float32([1, 2, 3, 4])
    layer = SpectralNormalization(keras.layers.Dense(4))
    layer.build((None, 6))
    x = matrix(5, 6, seed=1)
    values = [tf.constant(3.0 * kernel), tf.constant(bias)]
    with keras.StatelessScope(list(zip(layer.layer.trainable_variables, values, strict=True))):
        y = layer(x)
    sigma = np.linalg.norm(3.0 * kernel @ layer.direction.numpy())
    np.testing.assert_allclose(y, 3.0 * x @ kernel / sigma + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy,bits", [("mixed_float16", 11), ("mixed_bfloat16", 8)])
def test_half_precision_rounds_the_kernel_and_not_the_norm(policy, bits):
    layer = SpectralNormalization(keras.layers.Dense(4, use_bias=False, dtype=policy), dtype=policy)
    identity = np.eye(6, dtype="float32")
    applied = np.float64(tf.cast(layer(identity), tf.float32))
    # Two roundings of each entry, of at most 1: errors of 24 entries add up to a norm of sqrt(24) at most.
    assert np.linalg.norm(applied, 2) == pytest.approx(1.0, abs=2 * np.sqrt(24) * 2.0**-bits)


def test_a_kernel_of_zeros_gives_finite_gradients():
    layer = dense(np.zeros((3, 2), "float32"))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(layer(tf.ones([4, 3])))
    assert np.all(np.isfinite(tape.gradient(value, layer.layer.kernel.value)))
    layer.update()
    assert np.all(np.isfinite(layer.direction))


def test_a_configuration_keeps_the_layer():
    layer = dense(matrix(6, 4))
    copy = SpectralNormalization.from_config(layer.get_config())
    copy.build((None, 6))
    copy.set_weights(layer.get_weights())
    x = matrix(5, 6, seed=1)
    np.testing.assert_array_equal(copy(x), layer(x))


def test_a_layer_without_a_kernel_is_refused():
    layer = SpectralNormalization(keras.layers.LayerNormalization(name="norm"))
    with pytest.raises(ValueError, match=r"must have a kernel.*received the LayerNormalization 'norm'"):
        layer.build((None, 3))
