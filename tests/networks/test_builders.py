"""Builders: sizes by hand, weights that follow the seed, linear outputs, conditions that count."""

import itertools

import keras
import numpy as np
import pytest

from keras_genmod.networks import (
    conv_decoder,
    conv_encoder,
    dense_network,
    residual_decoder,
    residual_encoder,
)

VECTOR, IMAGE = (5,), (6, 6, 1)
SMALL = {
    "dense": lambda **kwargs: dense_network(VECTOR, (3,), hidden_dims=(8, 8), **kwargs),
    "conv_encoder": lambda **kwargs: conv_encoder(IMAGE, (3,), filters=(4, 4), hidden_dim=8, **kwargs),
    "conv_decoder": lambda **kwargs: conv_decoder(VECTOR, (6, 6, 2), filters=(4, 4), hidden_dim=8, **kwargs),
    "residual_encoder": lambda **kwargs: residual_encoder(IMAGE, 3, filters=4, num_blocks=1, **kwargs),
    "residual_decoder": lambda **kwargs: residual_decoder(
        (2, 2, 3), (6, 6, 2), filters=4, num_blocks=1, **kwargs
    ),
}
BUILDERS = pytest.mark.parametrize("kind", SMALL)


def data(network, rows=4):
    shape = (network.inputs or network.input)[0].shape[1:]
    return np.random.default_rng(0).normal(size=(rows, *shape)).astype(np.float32)


def kernels(network):
    return [weight.numpy() for weight in network.trainable_weights if weight.name == "kernel"]


# ---- sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [(7, 5), (28, 28), (9, 9), (1, 1), (8, 3)])
def test_images_of_any_size_come_back_whole(side):
    encoder = conv_encoder((*side, 2), (3, 2), filters=(4, 5, 6), hidden_dim=8)
    decoder = conv_decoder((3, 2), (*side, 2), filters=(6, 5, 4), hidden_dim=8)
    x = np.ones([2, *side, 2], np.float32)
    z = encoder(x)
    assert z.shape == (2, 3, 2)
    assert decoder(z).shape == x.shape


def test_number_of_parameters_by_hand():
    dense = dense_network((4, 3), (2, 5), hidden_dims=(7,), num_classes=6)
    assert dense.count_params() == (12 + 6) * 7 + 7 + 7 * 10 + 10
    # 7x5 to 4x3 to 2x2; the condition's 3 numbers stand beside each pixel's 2.
    encoder = conv_encoder((7, 5, 2), (9,), filters=(4, 6), hidden_dim=8, condition_shape=(3,))
    assert encoder.count_params() == (
        (9 * 5 * 4 + 4) + (9 * 4 * 6 + 6) + (2 * 2 * 6 * 8 + 8) + (8 * 9 + 9)
    )  # fmt: skip
    decoder = conv_decoder((5,), (7, 5, 2), filters=(6, 4), hidden_dim=8)
    assert decoder.count_params() == (
        (5 * 8 + 8) + (8 * 2 * 2 * 6 + 2 * 2 * 6) + (9 * 6 * 4 + 4) + (9 * 4 * 2 + 2)
    )  # fmt: skip


def test_dense_network_is_the_formula():
    network = dense_network((3,), (2,), hidden_dims=(4,))
    w1, b1, w2, b2 = (np.random.default_rng(1).normal(size=w.shape) for w in network.weights)
    network.set_weights([w1, b1, w2, b2])
    x = data(network)
    np.testing.assert_allclose(network(x), np.maximum(x @ w1 + b1, 0) @ w2 + b2, rtol=1e-5, atol=1e-6)


def test_activation_is_that_of_the_argument():
    network = dense_network((3,), (2,), hidden_dims=(4,), activation="tanh")
    w1, b1, w2, b2 = network.get_weights()
    x = data(network)
    np.testing.assert_allclose(network(x), np.tanh(x @ w1 + b1) @ w2 + b2, rtol=1e-5, atol=1e-6)


def test_no_hidden_layer_is_a_linear_map():
    network = dense_network((3,), (2,), hidden_dims=())
    kernel, bias = network.get_weights()
    x = data(network)
    np.testing.assert_allclose(network(x), x @ kernel + bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sizes", [8, (8, 0), (8.5,), None])
def test_other_sizes_are_refused(sizes):
    words = "must be a tuple of positive integers.*received"
    with pytest.raises(ValueError, match=f"`hidden_dims` {words}"):
        dense_network((3,), (2,), hidden_dims=sizes)
    with pytest.raises(ValueError, match=f"`filters` {words}"):
        conv_encoder(IMAGE, (2,), filters=sizes)
    with pytest.raises(ValueError, match=f"`filters` {words}"):
        conv_decoder((2,), IMAGE, filters=sizes)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="`input_shape` must have 3 axes"):
        conv_encoder((28, 28), (2,))
    with pytest.raises(ValueError, match="`output_shape` must have 3 axes"):
        conv_decoder((2,), (784,))
    with pytest.raises(ValueError, match="`filters` .*1 or more"):
        conv_decoder((2,), IMAGE, filters=())
    with pytest.raises(ValueError, match="`hidden_dim` must be an integer"):
        conv_encoder(IMAGE, (2,), hidden_dim=0)


# ---- weights ----------------------------------------------------------------------------------------


@BUILDERS
def test_weights_are_a_function_of_the_seed(kind):
    first, again, other = (kernels(SMALL[kind](seed=seed)) for seed in (1, 1, 2))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.intersect1d(a, c).size


@BUILDERS
def test_without_a_seed_the_global_one_counts(kind):
    def weights(seed):
        keras.utils.set_random_seed(seed)
        return kernels(SMALL[kind]())

    for a, b, c in zip(weights(1), weights(1), weights(2), strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.intersect1d(a, c).size


@BUILDERS
def test_layers_do_not_start_from_the_same_numbers(kind):
    """Neither equal kernels, nor kernels of which one is the other in another scale."""
    for a, b in itertools.combinations(kernels(SMALL[kind](seed=3)), 2):
        count = min(a.size, b.size)
        correlation = np.corrcoef(a.ravel()[:count], b.ravel()[:count])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(count)


def test_no_two_layers_of_a_network_have_the_same_seed():
    for kind in SMALL:
        layers = [layer for layer in SMALL[kind](seed=3).layers if hasattr(layer, "kernel_initializer")]
        seeds = [layer.kernel_initializer.seed for layer in layers]
        assert len(set(seeds)) == len(seeds) >= (5 if "residual" in kind else 3)


@BUILDERS
def test_last_layer_is_linear(kind):
    """Twice the last kernel is twice the output (its bias starts at 0)."""
    network = SMALL[kind](seed=0)
    x = data(network)
    before = np.asarray(network(x))
    last = network.get_layer("outputs")
    last.kernel.assign(2 * last.kernel)
    np.testing.assert_allclose(network(x), 2 * before, rtol=1e-5, atol=1e-6)
    assert before.min() < 0 < before.max()


# ---- conditions -------------------------------------------------------------------------------------


@BUILDERS
def test_class_changes_the_output(kind):
    network = SMALL[kind](num_classes=3, seed=0)
    x = np.repeat(data(network, 1), 3, axis=0)
    y = np.asarray(network([x, np.arange(3)])).reshape(3, -1)
    for a, b in itertools.combinations(y, 2):
        assert np.abs(a - b).max() > 1e-3
    np.testing.assert_allclose(network([x, np.ones(3)])[1:2], network([x, np.arange(3)])[1:2], rtol=1e-5)


@BUILDERS
def test_array_changes_the_output(kind):
    network = SMALL[kind](condition_shape=(2,), seed=0)
    x = np.repeat(data(network, 1), 2, axis=0)
    y = np.asarray(network([x, np.array([[0.0, 1.0], [1.0, 0.0]])]))
    assert np.abs(y[0] - y[1]).max() > 1e-3


def test_image_condition_is_seen_where_it_stands():
    network = conv_encoder(IMAGE, (3,), filters=(4,), hidden_dim=8, condition_shape=(6, 6, 2), seed=0)
    x, condition = data(network, 1), np.zeros([1, 6, 6, 2], np.float32)
    before = np.asarray(network([x, condition]))
    condition[0, 5, 5, 1] = 3.0
    assert np.abs(network([x, condition]) - before).max() > 1e-3


# ---- precision and files ----------------------------------------------------------------------------


@BUILDERS
@pytest.mark.parametrize("how", ["argument", "global"])
def test_policy_is_that_of_the_argument_or_the_global_one(kind, how):
    if how == "global":
        keras.config.set_dtype_policy("mixed_bfloat16")
    network = SMALL[kind](num_classes=3, **({"dtype": "mixed_bfloat16"} if how == "argument" else {}))
    y = network([data(network), np.zeros(4, np.int32)])
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert {layer.compute_dtype for layer in network.layers if layer.weights} == {"bfloat16"}
    assert {weight.dtype for weight in network.weights} == {"float32"}


@BUILDERS
def test_configuration_gives_the_network_back(kind):
    network = SMALL[kind](num_classes=3, seed=1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(network))
    again.set_weights(network.get_weights())
    inputs = [data(network), np.array([0, 1, 2, 0])]
    np.testing.assert_array_equal(again(inputs), network(inputs))
