"""MaskedDense: the product by its definition, connections that are truly cut, refused masks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import MaskedDense

MASK = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1], [1, 1, 0]])
X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def filled(layer, seed=1):
    """The layer with weights, its bias too, that are not zero."""
    if not layer.built:
        layer.build((None, 4))
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=weight.shape).astype(np.float32) for weight in layer.weights])
    return layer


@pytest.mark.parametrize(
    ("activation", "function"), [(None, lambda y: y), ("tanh", np.tanh), ("relu", lambda y: np.maximum(y, 0))]
)
@pytest.mark.parametrize("use_bias", [True, False])
def test_outputs_are_the_masked_product_the_bias_and_the_activation(activation, function, use_bias):
    layer = filled(MaskedDense(3, kernel_mask=MASK, activation=activation, use_bias=use_bias))
    kernel = layer.kernel.numpy()
    bias = layer.bias.numpy() if use_bias else 0.0
    assert len(layer.weights) == 1 + use_bias
    np.testing.assert_allclose(layer(X), function(X @ (kernel * MASK) + bias), rtol=1e-5, atol=1e-6)


def test_calls_do_not_change_the_kernel():
    layer = filled(MaskedDense(3, kernel_mask=MASK))
    before = layer.kernel.numpy()
    layer(X)
    layer(X, kernel_mask=MASK == 0)
    np.testing.assert_array_equal(layer.kernel, before)


def test_cut_connections_get_no_gradient_and_the_others_get_theirs():
    layer = filled(MaskedDense(3, kernel_mask=MASK))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(X))
    gradient = tape.gradient(loss, layer.kernel.value)
    np.testing.assert_allclose(gradient, X.sum(axis=0)[:, None] * MASK, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [1e6, np.inf, np.nan])
def test_weights_of_cut_connections_do_not_matter(value):
    layer = filled(MaskedDense(3, kernel_mask=MASK))
    expected = layer(X).numpy()
    layer.kernel.assign(np.where(MASK, layer.kernel.numpy(), value))
    np.testing.assert_array_equal(layer(X), expected)


def test_a_mask_of_the_call_takes_the_place_of_the_layers_own():
    other = np.array([[0, 1, 0], [1, 1, 1], [1, 0, 0], [0, 0, 1]], bool)
    with_mask, without = filled(MaskedDense(3, kernel_mask=MASK)), filled(MaskedDense(3))
    kernel, bias = with_mask.get_weights()
    for layer in (with_mask, without):
        np.testing.assert_allclose(layer(X, kernel_mask=other), X @ (kernel * other) + bias, 1e-5, 1e-6)
    # And for that call alone.
    np.testing.assert_allclose(with_mask(X), X @ (kernel * MASK) + bias, 1e-5, 1e-6)


def test_masks_that_change_from_step_to_step_need_one_graph_only():
    layer = filled(MaskedDense(3))
    kernel, bias = layer.get_weights()
    outputs = tf.function(lambda mask: layer(X, kernel_mask=mask))
    for mask in (MASK == 1, MASK == 0):
        np.testing.assert_allclose(outputs(tf.constant(mask)), X @ (kernel * mask) + bias, 1e-5, 1e-6)
    assert outputs.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("mask", [MASK, None])
def test_configuration_gives_the_layer_back(mask):
    layer = filled(MaskedDense(3, kernel_mask=mask, activation="tanh", kernel_initializer="he_normal"))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(copy.kernel_initializer, keras.initializers.HeNormal)
    copy.set_weights(layer.get_weights())
    own = None if mask is not None else MASK == 1
    np.testing.assert_array_equal(copy(X, kernel_mask=own), layer(X, kernel_mask=own))
    if mask is None:
        with pytest.raises(ValueError, match="has no mask"):
            copy(X)


def test_announced_shape_is_the_shape_of_the_result():
    layer = MaskedDense(3, kernel_mask=MASK)
    assert layer.compute_output_shape((None, 4)) == (None, *layer(X).shape[1:])


@pytest.mark.parametrize("mask", [np.ones([4, 2]), np.ones(3), np.ones([2, 4, 3]), np.ones([3, 4])])
def test_a_mask_without_a_column_for_each_unit_is_refused(mask):
    with pytest.raises(ValueError, match=r"must be zeros and ones of shape \[inputs, 3\].*one column"):
        MaskedDense(3, kernel_mask=mask)


@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan])
def test_a_mask_with_other_values_than_0_and_1_is_refused(value):
    with pytest.raises(ValueError, match="zeros and ones"):
        MaskedDense(3, kernel_mask=np.where(MASK, value, 0))


def test_a_mask_without_a_row_for_each_input_is_refused():
    with pytest.raises(ValueError, match="one row for each of 5 inputs; received 4 rows"):
        MaskedDense(3, kernel_mask=MASK).build((None, 5))


def test_a_layer_without_any_mask_says_where_to_give_one():
    with pytest.raises(ValueError, match="has no mask.*`kernel_mask=`"):
        MaskedDense(3)(X)
