"""Networks between pictures: skips, receptive fields, sizes, noise, and enlargement."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import NO_NOISE, BicubicUpsampling
from keras_genmod.networks import (
    patch_critic,
    receptive_field,
    residual_translator,
    subpixel_generator,
    unet,
)


def gradient_extent(network, side):
    """Rows of the input that one output in the middle depends on."""
    x = tf.Variable(tf.random.stateless_uniform([1, side, side, 1], [0, 1], dtype=tf.float64))
    with tf.GradientTape() as tape:
        logits = network(x)
        middle = logits.shape[1] // 2
        logit = logits[0, middle, middle, 0]
    rows = np.flatnonzero(np.abs(tape.gradient(logit, x)[0, ..., 0]).sum(axis=1))
    return rows[-1] - rows[0] + 1


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("field", [1, 16, 34, 70])
def test_a_logit_depends_on_as_many_pixels_as_stated(field):
    side = 8 if field == 1 else 2 * field + 4 - 2 * field % 4
    network = patch_critic((side, side, 1), receptive_field=field, filters=2, normalization="none", seed=0)
    assert receptive_field(network) == field
    assert gradient_extent(network, side) == field


@pytest.mark.parametrize("field", [142, 286])
def test_large_fields_are_counted(field):
    assert receptive_field(patch_critic((64, 64, 1), receptive_field=field, filters=1)) == field


def test_a_field_that_no_critic_has_is_refused():
    with pytest.raises(ValueError, match=r"one of \[1, 16, 34, 70, 142, 286\]"):
        patch_critic((64, 64, 3), receptive_field=64)


def test_networks_whose_field_cannot_be_read_are_refused():
    with pytest.raises(TypeError, match="functional or sequential"):
        receptive_field(keras.layers.Dense(1))
    with pytest.raises(ValueError, match="do not enlarge"):
        receptive_field(unet((16, 16, 1), (16, 16, 1), filters=1))


def test_a_critic_of_pairs_depends_on_both():
    network = patch_critic((16, 16, 3), source_shape=(8, 8), source_classes=3, receptive_field=16, filters=2)
    x = tf.random.stateless_normal([1, 16, 16, 3], [0, 1])
    zeros, ones = tf.zeros([1, 8, 8], tf.int32), tf.ones([1, 8, 8], tf.int32)
    assert [tensor.name for tensor in network.inputs] == ["x", "source"]
    assert np.any(network([x, zeros]) != network([x, ones]))
    assert np.any(network([x, zeros]) != network([-x, zeros]))
    with pytest.raises(ValueError, match="times or divided by one integer"):
        patch_critic((16, 16, 3), source_shape=(12, 16, 1), receptive_field=16)


def without(layer, channels):
    """Lets a transposed convolution see none of some input channels."""
    kernel, *bias = layer.get_weights()
    kernel[..., channels] = 0.0
    layer.set_weights([kernel, *bias])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("level", [0, 1, 2])
def test_each_skip_carries_the_picture_by_itself(level):
    """With the way through the inside and all other skips cut, the output still depends on the input."""
    options = {"filters": 2, "normalization": "none", "initial_stddev": None, "seed": 1}
    network = unet((32, 32, 1), (32, 32, 1), **options)
    x = tf.random.stateless_normal([1, 32, 32, 1], [0, 1], dtype=tf.float64)

    def reach():
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = network(x)
        return float(tf.reduce_max(tf.abs(tape.gradient(output, x))))

    without(network.get_layer(f"up_{level}"), slice(None))
    for outer in range(level):
        after = network.get_layer(f"up_{outer - 1}" if outer else "outputs")
        without(after, slice(network.get_layer(f"up_{outer}").filters, None))
    assert reach() > 0
    after = network.get_layer(f"up_{level - 1}" if level else "outputs")
    without(after, slice(network.get_layer(f"up_{level}").filters, None))
    assert reach() == 0


def test_the_depth_must_divide_the_sides():
    with pytest.raises(ValueError, match=r"multiples of 32.*\(64, 96\).*depth=2"):
        unet((60, 100, 3), (60, 100, 3), depth=5)
    with pytest.raises(ValueError, match="even sides"):
        unet((61, 64, 3), (61, 64, 3))
    with pytest.raises(ValueError, match="height and width"):
        unet((32, 32, 3), (64, 64, 3))
    with pytest.raises(ValueError, match="inner layers"):
        unet((4, 4, 1), (4, 4, 1), dropout=0.5)


@pytest.mark.parametrize(("side", "depth"), [(4, 1), (64, 5), (96, 5), (256, 7), (48, 4)])
def test_the_default_depth_leaves_two_pixels_at_least(side, depth):
    network = unet((side, side, 1), (side, side, 1), filters=1)
    assert (
        sum(layer.name.startswith("down_") and "_" not in layer.name[5:] for layer in network.layers) == depth
    )


def test_noise_comes_from_the_seed_alone():
    network = unet((8, 8, 1), (8, 8, 1), filters=2, dropout=0.5, initial_stddev=None, seed=0)
    x = tf.random.stateless_normal([2, 8, 8, 1], [0, 1])
    seeds = tf.constant([[0, 1], [0, 2]])
    first, second = network([x, seeds]), network([x, seeds], training=True)
    np.testing.assert_array_equal(first, second)
    assert np.any(first != network([x, seeds + 1]))
    quiet = tf.fill([2, 2], NO_NOISE)
    assert np.any(first != network([x, quiet]))


@pytest.mark.parametrize(
    ("source", "target"), [((8, 8, 1), (16, 16, 2)), ((16, 16, 2), (8, 8, 1)), ((8, 16, 3), (8, 16, 3))]
)
def test_a_residual_translator_reaches_other_sizes(source, target):
    network = residual_translator(source, target, filters=2, num_blocks=1)
    assert network(tf.zeros([1, *source])).shape == (1, *target)


def test_sizes_that_no_doubling_gives_are_refused():
    with pytest.raises(ValueError, match="one power of two"):
        residual_translator((8, 8, 1), (12, 12, 1))
    with pytest.raises(ValueError, match="one power of two"):
        residual_translator((8, 8, 1), (8, 16, 1))
    with pytest.raises(ValueError, match="`halvings` must divide"):
        residual_translator((10, 10, 1), (10, 10, 1))
    with pytest.raises(ValueError, match="at least 2x2"):
        residual_translator((4, 4, 1), (4, 4, 1))


def test_a_small_picture_is_seen_through_small_kernels():
    def outer(side, **options):
        network = residual_translator((side, side, 1), (side, side, 1), filters=1, num_blocks=0, **options)
        return [network.get_layer(name).kernel_size[0] for name in ("first", "outputs")]

    assert outer(16) == [3, 3] and outer(32) == [7, 7] and outer(16, kernel_size=5) == [5, 5]
    with pytest.raises(ValueError, match="must be odd.*Take 3 or 5"):
        outer(16, kernel_size=4)


def test_nine_blocks_from_sides_of_256_on():
    def blocks(side):
        network = residual_translator((side, side, 1), (side, side, 1), filters=1)
        return sum(isinstance(layer, keras.layers.Add) for layer in network.layers)

    assert (blocks(128), blocks(256)) == (6, 9)


def test_an_untrained_generator_enlarges_bicubically_and_any_size():
    network = subpixel_generator((None, None, 2), 4, filters=4, num_blocks=1)
    for shape in ([1, 5, 7, 2], [2, 8, 4, 2]):
        x = tf.random.stateless_uniform(shape, [0, 1])
        np.testing.assert_array_equal(network(x), BicubicUpsampling(4)(x))


def test_an_enlargement_is_local():
    """A pixel changes what lies within its reach alone, so that large pictures may be cut apart."""
    network = subpixel_generator((None, None, 1), 2, filters=2, num_blocks=1, seed=0)
    detail = network.get_layer("detail")
    detail.set_weights([np.ones_like(weight) for weight in detail.get_weights()])
    x = tf.random.stateless_uniform([1, 40, 8, 1], [0, 1]).numpy()
    other = x.copy()
    other[0, 0] += 1.0
    changed = np.abs(network(x) - network(other)).max(axis=(0, 2, 3))
    # Five 3x3 convolutions of the small picture, one of the large: 6 pixels of 40.
    assert np.all(changed[2 * 6 + 2 :] == 0) and changed[0] > 0


@pytest.mark.parametrize("scale", [1, 3, True, "2"])
def test_other_scales_are_refused(scale):
    with pytest.raises(ValueError, match="2 or 4"):
        subpixel_generator((8, 8, 1), scale)
