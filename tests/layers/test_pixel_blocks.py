"""Blocks of PixelCNN: their equations, what stacks of them see, the walk a pixel at a time."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import GatedPixelBlock, MaskedConv2D, PixelResidualBlock
from tests.layers.test_masked_conv import by_loops, conditions, filled, image, jacobian, walked

SIDE = 7
FILTERS = 6
HIDDEN, COLOURS = (0, 0, 1, 1, 2, 2), (0, 1, 2)
CONDITIONS = pytest.mark.parametrize("kind", ["none", "vector", "pixels"])
GROUPED = pytest.mark.parametrize("grouped", [False, True])


def residual(kind="none", grouped=False, **options):
    size = None if kind == "none" else 2
    groups = HIDDEN if grouped else None
    return PixelResidualBlock(FILTERS, condition_size=size, groups=groups, **options)


def gated_pair(kind="none", grouped=False):
    """The first two blocks of a gated network, with random weights."""
    options = {
        "condition_size": None if kind == "none" else 2,
        "groups": HIDDEN if grouped else None,
        "input_groups": COLOURS if grouped else None,
    }
    first = filled(GatedPixelBlock(FILTERS, 5, "A", **options), channels=3)
    return first, filled(GatedPixelBlock(FILTERS, 3, "B", **options), channels=2 * FILTERS, seed=2)


def applied(layers, x, condition=None):
    for layer in layers:
        x = layer(x, condition)
    return x


# ---- equations ----------------------------------------------------------------------------------------


@CONDITIONS
@GROUPED
def test_residual_block_is_its_equation(kind, grouped):
    x, condition = image(FILTERS), conditions(kind)
    block = filled(residual(kind, grouped), channels=FILTERS)
    h = x
    for conv, filters in ((block.narrow, FILTERS // 2), (block.window, FILTERS // 2), (block.widen, FILTERS)):
        assert conv.filters == filters and conv.mask_type == "B"
        h = by_loops(conv, np.maximum(h, 0), condition)
    np.testing.assert_allclose(block(x, condition), x + h, rtol=1e-4, atol=1e-5)


def gated(x):
    features, gates = np.split(x, 2, axis=-1)
    return np.tanh(features) / (1 + np.exp(-gates))


@CONDITIONS
@GROUPED
def test_gated_blocks_are_their_equations(kind, grouped):
    condition = conditions(kind)
    first, second = gated_pair(kind, grouped)
    stacks = first(image(), condition)
    lower = np.split(stacks.numpy(), 2, axis=-1)
    # Without a residual connection in the first block.
    for block, (v, h), residual, result in (
        (first, (image(), image()), 0.0, stacks),
        (second, lower, lower[1], second(stacks, condition)),
    ):
        vertical = by_loops(block.vertical, v, condition)
        across = by_loops(block.across, vertical, condition)
        horizontal = gated(by_loops(block.horizontal, h, condition) + across)
        horizontal = residual + by_loops(block.out, horizontal, condition)
        expected = np.concatenate([gated(vertical), horizontal], axis=-1)
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, FILTERS])
def test_first_gated_block_adds_no_image_to_its_features_even_where_that_would_fit(channels):
    x = image(channels)
    block = filled(GatedPixelBlock(FILTERS, 3, "A"), channels=channels)
    across = by_loops(block.across, by_loops(block.vertical, x))
    expected = by_loops(block.out, gated(by_loops(block.horizontal, x) + across))
    np.testing.assert_allclose(block(x)[..., FILTERS:], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(walked([block], x)[0], expected, rtol=1e-4, atol=1e-5)


def test_initialisers_go_to_the_kernels_in_their_order():
    ones, zeros = keras.initializers.Ones(), keras.initializers.Zeros()
    block = PixelResidualBlock(4, kernel_initializers=[ones, zeros, ones])
    block.build((None, 4, 4, 4))
    for conv, value in ((block.narrow, 1), (block.window, 0), (block.widen, 1)):
        np.testing.assert_array_equal(conv.kernel, np.full(conv.kernel.shape, value))


# ---- what is seen -------------------------------------------------------------------------------------


def pixels_seen(layers, channels=1, last=slice(None)):
    """Which pixels `[H * W]` an output pixel depends on; positive weights let nothing cancel out."""
    x = np.random.default_rng(3).uniform(0.5, 1.0, [1, SIDE, SIDE, channels])
    for layer in layers:
        filled(layer, channels, positive=True, height=SIDE, width=SIDE)
        channels = layer.compute_output_shape((None, SIDE, SIDE, channels))[-1]
    found = jacobian(lambda x: tf.reduce_sum(applied(layers, x)[..., last], -1, keepdims=True), x)
    assert np.isfinite(found).all() and (found >= 0).all()
    return (found != 0).any(axis=(2, 5)).reshape(SIDE**2, SIDE**2)


def by_pixels(rule):
    """The matrix of `rule(rows down to the output, columns right to the output)`."""
    places = list(itertools.product(range(SIDE), range(SIDE)))
    return np.array([[rule(r - i, c - j) for i, j in places] for r, c in places])


def window(mask_type):
    """Which pixels a 3x3 kernel sees."""
    own = mask_type == "B"
    return by_pixels(lambda up, left: (up == 1 and abs(left) <= 1) or (up == 0 and 1 - own <= left <= 1))


EARLIER = by_pixels(lambda up, left: up > 0 or (up == 0 and left > 0))


@pytest.mark.parametrize("num_blocks", [0, 1, 2])
def test_residual_blocks_see_what_their_windows_add_up_to(num_blocks):
    layers = [MaskedConv2D(2, 3, "A", dtype="float64")]
    layers += [PixelResidualBlock(2, 3, dtype="float64") for _ in range(num_blocks)]
    expected = window("A").astype(int)
    for _ in range(num_blocks):
        expected = window("B").astype(int) @ expected
    np.testing.assert_array_equal(pixels_seen(layers), expected > 0)


def test_however_many_residual_blocks_leave_a_blind_spot_to_the_right_above():
    layers = [MaskedConv2D(2, 3, "A", dtype="float64")]
    layers += [PixelResidualBlock(2, 3, dtype="float64") for _ in range(6)]
    seen = pixels_seen(layers)
    # Each window climbs a row and goes one column to the right at most.
    np.testing.assert_array_equal(seen, EARLIER & by_pixels(lambda up, left: up >= -left))
    assert (EARLIER & ~seen).any()


def test_gated_blocks_see_all_that_came_before_and_nothing_else():
    """From a corner to the opposite one it takes six windows of 3x3, and here are six."""
    layers = [GatedPixelBlock(2, 3, "A", dtype="float64")]
    layers += [GatedPixelBlock(2, 3, "B", dtype="float64") for _ in range(5)]
    np.testing.assert_array_equal(pixels_seen(layers, last=slice(2, None)), EARLIER)
    rows_above = by_pixels(lambda up, left: up > 0)
    np.testing.assert_array_equal(pixels_seen(layers, last=slice(0, 2)), rows_above)


def test_gated_blocks_with_fewer_windows_see_as_far_as_these_reach():
    layers = [GatedPixelBlock(2, 3, "A", dtype="float64"), GatedPixelBlock(2, 3, "B", dtype="float64")]
    within = by_pixels(lambda up, left: up <= 2 and abs(left) <= 2)
    np.testing.assert_array_equal(pixels_seen(layers, last=slice(2, None)), EARLIER & within)


@pytest.mark.parametrize("kind", ["residual", "gated"])
def test_groups_let_a_colour_see_the_earlier_ones_of_its_pixel_only(kind):
    x = image(height=3, width=3)
    if kind == "gated":
        layers, last = gated_pair(grouped=True), slice(FILTERS, None)
    else:
        conv = MaskedConv2D(FILTERS, 3, "A", input_groups=COLOURS, output_groups=HIDDEN)
        layers, last = [filled(conv), filled(residual(grouped=True), FILTERS, positive=True)], slice(None)
    found = jacobian(lambda x: applied(layers, x)[..., last], x) != 0
    for r, c in itertools.product(range(3), range(3)):
        expected = np.array(HIDDEN)[:, None] > np.array(COLOURS)
        np.testing.assert_array_equal(found[r, c, :, r, c], expected)
        # Of the pixel before, every colour sees every other.
        assert c == 0 or found[r, c, :, r, c - 1].all()


# ---- a pixel at a time --------------------------------------------------------------------------------


@CONDITIONS
@GROUPED
def test_a_walk_through_a_residual_block_gives_the_outputs_of_a_call(kind, grouped):
    x, condition = image(FILTERS), conditions(kind)
    block = filled(residual(kind, grouped, kernel_size=5), channels=FILTERS)
    np.testing.assert_allclose(walked([block], x, condition)[0], block(x, condition), rtol=1e-5, atol=1e-5)


@CONDITIONS
@GROUPED
@pytest.mark.parametrize("num_blocks", [1, 2])
def test_a_walk_through_gated_blocks_gives_both_stacks_of_a_call(kind, grouped, num_blocks):
    condition = conditions(kind)
    blocks = gated_pair(kind, grouped)[:num_blocks]
    vertical, horizontal = np.split(applied(blocks, image(), condition), 2, axis=-1)
    outputs, above = walked(blocks, image(), condition)
    np.testing.assert_allclose(outputs, horizontal, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(above, vertical, rtol=1e-5, atol=1e-5)


# ---- configuration ------------------------------------------------------------------------------------


@CONDITIONS
@GROUPED
def test_configurations_give_the_blocks_back(kind, grouped):
    condition = conditions(kind)
    first, second = gated_pair(kind, grouped)
    stacks = first(image(), condition)
    block = filled(residual(kind, grouped), channels=FILTERS)
    for layer, x in ((first, image()), (second, stacks), (block, stacks[..., :FILTERS])):
        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        copy.set_weights(layer.get_weights())
        np.testing.assert_array_equal(copy(x, condition), layer(x, condition))
        assert layer.compute_output_shape(x.shape) == tuple(copy(x, condition).shape)
