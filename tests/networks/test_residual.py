"""Residual networks: sizes and weights by hand, the blocks' formula; the rest is in test_builders.py."""

import keras
import numpy as np
import pytest

from keras_genmod.networks import residual_decoder, residual_encoder
from tests.networks.test_builders import data


@pytest.mark.parametrize(
    ("side", "halvings", "small"),
    [
        ((28, 28), 2, (7, 7)),
        ((8, 4), 1, (4, 2)),
        # Rounded up: 9, 5, 3, 2 and 5, 3, 2, 1.
        ((9, 5), 3, (2, 1)),
        ((7, 10), 2, (2, 3)),
        ((1, 1), 2, (1, 1)),
    ],
)
def test_images_of_any_size_come_back_whole(side, halvings, small):
    encoder = residual_encoder((*side, 2), 5, filters=4, halvings=halvings, num_blocks=1)
    decoder = residual_decoder((*small, 5), (*side, 2), filters=4, halvings=halvings, num_blocks=1)
    x = np.ones([2, *side, 2], np.float32)
    z = encoder(x)
    assert z.shape == (2, *small, 5)
    assert decoder(z).shape == x.shape


def test_number_of_parameters_by_hand():
    """Kernels of 4x4 to halve and double, then 3x3, blocks of 3x3 to half and 1x1 back."""
    block = (9 * 6 * 3 + 3) + (3 * 6 + 6)
    encoder = residual_encoder((8, 8, 2), 5, filters=6, halvings=2, num_blocks=3)
    assert encoder.count_params() == (
        (16 * 2 * 6 + 6) + (16 * 6 * 6 + 6) + (9 * 6 * 6 + 6) + 3 * block + (6 * 5 + 5)
    )  # fmt: skip
    decoder = residual_decoder((2, 2, 5), (8, 8, 2), filters=6, halvings=2, num_blocks=3)
    assert decoder.count_params() == (
        (9 * 5 * 6 + 6) + 3 * block + (16 * 6 * 6 + 6) + (16 * 6 * 2 + 2)
    )  # fmt: skip
    # A block has one channel at least.
    single = residual_encoder((2, 2, 1), 1, filters=1, halvings=1, num_blocks=1)
    assert single.count_params() == (16 + 1) + (9 + 1) + (9 + 1) + (1 + 1) + (1 + 1)
    # Three classes beside the two channels.
    conditional = residual_encoder((8, 8, 2), 5, filters=6, halvings=1, num_blocks=0, num_classes=3)
    assert conditional.count_params() == (16 * 5 * 6 + 6) + (9 * 6 * 6 + 6) + (6 * 5 + 5)


@pytest.mark.parametrize(
    ("make", "before", "after"),
    [
        (residual_encoder, ["down_0", "down_1"], []),
        (lambda shape, size, **kwargs: residual_decoder(shape, (1, 1, size), **kwargs), [], ["up_0"]),
    ],
    ids=["encoder", "decoder"],
)
def test_a_network_of_one_pixel_is_the_formula(make, before, after):
    """Blocks h + W relu(V relu(h)); of each padded kernel the entry that stands on the pixel."""
    network = make((1, 1, 2), 3, filters=4, halvings=2, num_blocks=2, seed=0)
    rng = np.random.default_rng(1)
    network.set_weights([rng.normal(size=weight.shape) for weight in network.weights])

    def relu(x):
        return np.maximum(x, 0)

    def linear(name, x):
        layer = network.get_layer(name)
        kernel, bias = layer.get_weights()
        middle = {1: 0, 3: 1, 4: 1}[len(kernel)]
        kernel = kernel[middle, middle]
        return x @ (kernel.T if isinstance(layer, keras.layers.Conv2DTranspose) else kernel) + bias

    x = data(network)
    h = x[:, 0, 0]
    for name in before:
        h = relu(linear(name, h))
    h = linear("first", h)
    for index in range(2):
        h = h + linear(f"block_{index}_1x1", relu(linear(f"block_{index}_3x3", relu(h))))
    h = relu(h)
    for name in after:
        h = relu(linear(name, h))
    np.testing.assert_allclose(network(x)[:, 0, 0], linear("outputs", h), rtol=1e-4, atol=1e-4)


def test_features_see_the_image_where_they_stand():
    """A pixel of one corner does not reach the features of the other."""
    network = residual_encoder((32, 32, 1), 3, filters=4, num_blocks=1, seed=0)
    x = data(network, 1)
    before = np.asarray(network(x))
    x[0, 31, 31] += 3.0
    changed = np.abs(network(x) - before)[0].max(axis=-1)
    assert changed[7, 7] > 1e-3 and changed[:4].max() == changed[:, :4].max() == 0


def test_sides_that_do_not_fit_are_refused():
    words = (
        r"`input_shape` must have the sides \(2, 3\), which 2 halvings of \(7, 10\) give; received \(2, 2\)"
    )
    with pytest.raises(ValueError, match=words):
        residual_decoder((2, 2, 4), (7, 10, 1))
    with pytest.raises(ValueError, match=r"the sides \(4, 4\), which 1 halvings of \(8, 8\) give"):
        residual_decoder((2, 2, 4), (8, 8, 1), halvings=1)


@pytest.mark.parametrize("name", ["filters", "halvings", "num_blocks"])
def test_other_sizes_are_refused(name):
    for value in (-1, 1.5, None, (4, 4)) if name == "num_blocks" else (0, 1.5, None, (4, 4)):
        with pytest.raises(ValueError, match=f"`{name}` must be an integer of at least .*received"):
            residual_encoder((8, 8, 1), 3, **{name: value})
        with pytest.raises(ValueError, match=f"`{name}` must be an integer of at least .*received"):
            residual_decoder((2, 2, 3), (8, 8, 1), **{name: value})


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="`input_shape` must have 3 axes"):
        residual_encoder((28, 28), 3)
    with pytest.raises(ValueError, match="`output_channels` must be an integer of at least 1"):
        residual_encoder((28, 28, 1), 0)
    with pytest.raises(ValueError, match="`input_shape` must have 3 axes"):
        residual_decoder((49,), (28, 28, 1))
    with pytest.raises(ValueError, match="`output_shape` must have 3 axes"):
        residual_decoder((7, 7, 3), (784,))
