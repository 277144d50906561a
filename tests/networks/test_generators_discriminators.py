"""Default generators and discriminators: hand-counted weights, options, and the range of an output."""

import keras
import numpy as np
import pytest

from keras_genmod.layers import ConditionalBatchNormalization, Dropout, MinibatchStddev, SpectralNormalization
from keras_genmod.networks import (
    conv_discriminator,
    conv_generator,
    dense_discriminator,
    dense_generator,
    output_range,
)


def names(network, kind):
    return [layer.name for layer in network.layers if isinstance(layer, kind)]


@pytest.mark.parametrize(
    "network,count",
    [
        # (2 + 1) 5 + (5 + 1) 3
        (dense_generator((2,), (3,), hidden_dims=(5,)), 33),
        # Without a bias before normalisation, which has four numbers a channel: 2 * 5 + 20 + (5 + 1) 3.
        (dense_generator((2,), (3,), hidden_dims=(5,), batch_norm=True), 48),
        # A table of 2 * 5 numbers for each of 4 classes, moving statistics, no class at the input.
        (
            dense_generator(
                (2,), (3,), hidden_dims=(5,), batch_norm=True, num_classes=4, conditioning="batch_norm"
            ),
            2 * 5 + 10 + 40 + 18,
        ),
        # 2 * (4 * 4 * 6) + 24, then kernels 4x4 from 6 to 1 and a bias.
        (conv_generator((2,), (8, 8, 1), filters=(6,)), 2 * 96 + 24 + 96 + 1),
        # (3 + 1) 5 + 5 + 1
        (dense_discriminator((3,), hidden_dims=(5,)), 26),
        # The condition of 2 classes beside the input: (5 + 1) 5 + 6; or a projection: 26 + 2 * 5.
        (dense_discriminator((3,), hidden_dims=(5,), num_classes=2), 36),
        (dense_discriminator((3,), hidden_dims=(5,), num_classes=2, conditioning="projection"), 36),
        # One channel more, and the moving average of it.
        (dense_discriminator((3,), hidden_dims=(5,), minibatch_stddev=True), 26 + 5 + 1),
        # A vector as large as each layer's outputs.
        (dense_discriminator((3,), hidden_dims=(5,), spectral_norm=True), 26 + 5 + 1),
        # 16 * 6 + 6 and 4 * 4 * 6 + 1
        (conv_discriminator((8, 8, 1), filters=(6,)), 102 + 97),
    ],
)
def test_numbers_of_weights_by_hand(network, count):
    assert network.count_params() == count


@pytest.mark.parametrize(
    "side,halvings", [((4, 4), 1), ((8, 8), 1), ((14, 9), 1), ((28, 28), 2), ((32, 20), 3), ((64, 64), 4)]
)
def test_images_are_halved_until_their_sides_are_7_or_less(side, halvings):
    discriminator = conv_discriminator((*side, 1))
    convolutions = [layer for layer in discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [64 * 2**i for i in range(halvings)]
    generator = conv_generator((5,), (*side, 1))
    transposed = [layer for layer in generator.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert len(transposed) == halvings
    assert generator.output_shape == (None, *side, 1)


def test_a_seed_gives_weights_and_no_two_layers_alike():
    builders = [
        lambda seed: dense_discriminator((4,), hidden_dims=(4, 4), seed=seed),
        lambda seed: dense_generator((4,), (4,), hidden_dims=(4, 4), seed=seed),
        lambda seed: conv_generator((4,), (8, 8, 1), filters=(4, 4), seed=seed, initial_stddev=0.1),
        lambda seed: conv_discriminator((8, 8, 4), filters=(4, 4), seed=seed),
    ]
    for build in builders:
        first, again, other = (build(seed).get_weights() for seed in (3, 3, 4))
        for one, two in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, two)
        random = [(one, two) for one, two in zip(first, other, strict=True) if one.ndim > 1]
        assert all(not np.array_equal(one, two) for one, two in random)
        values = np.concatenate([one.ravel()[:4] for one, _ in random])
        assert len(np.unique(values)) == len(values)


def test_options_sit_where_they_say():
    network = dense_discriminator(
        (3,), hidden_dims=(5, 6), dropout=0.3, minibatch_stddev=True, spectral_norm=True, seed=1
    )
    order = [layer.name for layer in network.layers]
    assert order.index("minibatch_stddev") + 1 == order.index("hidden_1_norm")
    assert names(network, MinibatchStddev) == ["minibatch_stddev"]
    assert names(network, SpectralNormalization) == [
        "hidden_0_norm",
        "hidden_1_norm",
        "logits_norm",
    ]
    assert names(network, Dropout) == ["dropout_0", "dropout_1"]
    assert len({layer.seed for layer in network.layers if isinstance(layer, Dropout)}) == 2
    conditional = conv_generator((2,), (8, 8, 1), num_classes=3, conditioning="batch_norm")
    assert names(conditional, ConditionalBatchNormalization) == names(
        conditional, (ConditionalBatchNormalization, keras.layers.BatchNormalization)
    )


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "linear", "relu"])
def test_the_range_of_an_output_is_that_of_its_last_activation(activation):
    bounds = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}.get(activation, (-np.inf, np.inf))
    x = keras.Input((4,))
    h = keras.layers.Dense(9, activation=activation)(x)
    image = keras.layers.Cropping2D(1)(keras.layers.Reshape((3, 3, 1))(h))
    inner = keras.Model(x, image)
    for network in (
        inner,
        keras.Sequential([keras.Input((4,)), inner, keras.layers.Flatten()]),
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), keras.layers.Activation(activation)]),
    ):
        accepted = output_range(network)
        assert (accepted.low, accepted.high) == bounds
