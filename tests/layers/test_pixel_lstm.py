"""Recurrent layers of PixelRNN against loops over pixels; what they see; the walk a pixel at a time."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import DiagonalBiLSTM, MaskedConv2D, PixelLSTMBlock, RowLSTM
from keras_genmod.layers.diagonal_lstm import _skewed, _straight
from tests.layers.test_masked_conv import by_loops, conditions, filled, image, jacobian, walked

UNITS = 3
COLOURS = (0, 1, 2)
KINDS = pytest.mark.parametrize("kind", [RowLSTM, DiagonalBiLSTM])
CONDITIONS = pytest.mark.parametrize("condition_kind", ["none", "vector", "pixels"])
SIDES = pytest.mark.parametrize(("height", "width"), [(4, 6), (6, 4), (3, 3), (4, 1), (1, 4), (1, 1), (2, 5)])


def layer_of(kind, condition_kind="none", grouped=False, **options):
    groups = {"input_groups": COLOURS, "groups": COLOURS} if grouped else {}
    size = None if condition_kind == "none" else 2
    return filled(kind(UNITS, condition_size=size, **groups, **options))


# ---- equations ----------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell(gates, c):
    o, f, i, g = np.split(gates, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def row_by_loops(layer, x, condition):
    heard = layer.recurrent_kernel.numpy()[0]
    told = by_loops(layer.input_to_state, x, condition)
    h, c = np.zeros([2, *x.shape[:3], UNITS])
    for row, column in itertools.product(range(x.shape[1]), range(x.shape[2])):
        gates, memory = told[:, row, column], 0.0
        if row > 0:
            memory = c[:, row - 1, column]
            for tap in range(3):
                if 0 <= column + tap - 1 < x.shape[2]:
                    gates = gates + h[:, row - 1, column + tap - 1] @ heard[tap]
        h[:, row, column], c[:, row, column] = cell(gates, memory)
    return h


def one_diagonal_by_loops(told, kernel, step):
    """One direction: `step` is 1 for the memory from the left, -1 for that from the right."""
    beside, above = kernel[:UNITS], kernel[UNITS:]
    _, height, width, _ = told.shape
    h, c = np.zeros([2, *told.shape[:3], UNITS])
    for row in range(height):
        for column in range(width)[::step]:
            gates, memory = told[:, row, column], 0.0
            if 0 <= column - step < width:
                gates = gates + h[:, row, column - step] @ beside
                memory = c[:, row, column - step]
            if row > 0:
                gates = gates + h[:, row - 1, column] @ above
            h[:, row, column], c[:, row, column] = cell(gates, memory)
    return h


def diagonal_by_loops(layer, x, condition):
    left, right = np.split(by_loops(layer.input_to_state, x, condition), 2, axis=-1)
    kernels = layer.recurrent_kernel.numpy()
    y = one_diagonal_by_loops(left, kernels[0], 1)
    y[:, 1:] += one_diagonal_by_loops(right, kernels[1], -1)[:, :-1]
    return y


BY_LOOPS = {RowLSTM: row_by_loops, DiagonalBiLSTM: diagonal_by_loops}


@KINDS
@SIDES
def test_states_are_those_of_a_loop_over_pixels(kind, height, width):
    x, layer = image(height=height, width=width), layer_of(kind)
    np.testing.assert_allclose(layer(x), BY_LOOPS[kind](layer, x, None), rtol=1e-4, atol=1e-5)


@KINDS
@CONDITIONS
@pytest.mark.parametrize("grouped", [False, True])
def test_conditions_and_groups_enter_the_gates_as_in_the_loop(kind, condition_kind, grouped):
    condition, layer = conditions(condition_kind), layer_of(kind, condition_kind, grouped)
    expected = BY_LOOPS[kind](layer, image(), condition)
    np.testing.assert_allclose(layer(image(), condition), expected, rtol=1e-4, atol=1e-5)


def test_a_block_adds_the_widened_states_to_its_input():
    block = block_of(RowLSTM)
    expected = image() + by_loops(block.widen, row_by_loops(block.memory, image(), None))
    np.testing.assert_allclose(block(image()), expected, rtol=1e-4, atol=1e-5)


def block_of(kind, condition_kind="none"):
    size = None if condition_kind == "none" else 2
    return filled(PixelLSTMBlock(kind(UNITS, condition_size=size), MaskedConv2D(3, 1, condition_size=size)))


# ---- skewing ------------------------------------------------------------------------------------------


def test_skewing_by_hand():
    x = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32)[None, ..., None]
    expected = [[1, 2, 3, 0, 0], [0, 4, 5, 6, 0], [0, 0, 7, 8, 9]]
    np.testing.assert_array_equal(np.asarray(_skewed(tf.constant(x)))[0, ..., 0], expected)


@SIDES
def test_straightening_undoes_skewing(height, width):
    x = image(height=height, width=width)
    skewed = _skewed(tf.constant(x)).numpy()
    for row in range(height):
        np.testing.assert_array_equal(skewed[:, row, row : row + width], x[:, row])
    # Nothing else was added.
    assert np.count_nonzero(skewed) == x.size
    np.testing.assert_array_equal(_straight(tf.constant(skewed), width), x)


# ---- what is seen -------------------------------------------------------------------------------------


def pixels_seen(layers, height, width):
    """Which pixels an output pixel depends on, `[H, W, H, W]`; positive weights let nothing cancel out."""
    x = np.random.default_rng(3).uniform(0.5, 1.0, [1, height, width, 1])
    channels = 1
    for layer in layers:
        filled(layer, channels, positive=True, height=height, width=width)
        channels = UNITS

    def outputs(x):
        for layer in layers:
            x = layer(x)
        return tf.reduce_sum(x, axis=-1, keepdims=True)

    found = jacobian(outputs, x)[:, :, 0, ..., 0]
    assert np.isfinite(found).all() and (found >= 0).all()
    return found > 0


@pytest.mark.parametrize(("height", "width"), [(4, 6), (6, 4), (5, 1), (1, 5)])
def test_two_memories_over_diagonals_see_all_that_came_before(height, width):
    seen = pixels_seen([DiagonalBiLSTM(UNITS, dtype="float64")], height, width)
    seen = seen.reshape(height * width, height * width)
    np.testing.assert_array_equal(seen, np.tri(height * width, dtype=bool))


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(5, 7), (6, 4)])
def test_memories_over_rows_see_a_triangle_above_and_one_pixel_to_the_left_a_layer(num_layers, height, width):
    seen = pixels_seen([RowLSTM(UNITS, dtype="float64") for _ in range(num_layers)], height, width)
    # One layer: a pixel's own input and the one to its left, and what its three neighbours above saw.
    one = np.zeros([height, width, height, width], bool)
    for r, c in itertools.product(range(height), range(width)):
        one[r, c, r, max(0, c - 1) : c + 1] = True
        if r > 0:
            one[r, c] |= one[r - 1, max(0, c - 1) : c + 2].any(axis=0)
    matrix = one.reshape(height * width, -1).astype(int)
    expected = np.linalg.matrix_power(matrix, num_layers) > 0
    np.testing.assert_array_equal(seen.reshape(expected.shape), expected)
    # The same in closed form.
    for r, c, i, j in itertools.product(range(height), range(width), range(height), range(width)):
        assert seen[r, c, i, j] == (i <= r and -(r - i) - num_layers <= j - c <= r - i)


@KINDS
def test_groups_let_a_colour_see_up_to_itself_of_its_own_pixel(kind):
    x = image(height=3, width=3)
    seen = jacobian(layer_of(kind, grouped=True), x) != 0
    for r, c in itertools.product(range(3), range(3)):
        np.testing.assert_array_equal(seen[r, c, :, r, c], np.tri(3, dtype=bool))
        # Of the pixel before or above, every colour sees every other.
        assert c == 0 or seen[r, c, :, r, c - 1].all()
        assert r == 0 or seen[r, c, :, r - 1, c].all()


# ---- a pixel at a time --------------------------------------------------------------------------------


@KINDS
@CONDITIONS
@pytest.mark.parametrize("grouped", [False, True])
def test_a_walk_gives_the_outputs_of_a_call(kind, condition_kind, grouped):
    condition, layer = conditions(condition_kind), layer_of(kind, condition_kind, grouped)
    expected = layer(image(), condition)
    np.testing.assert_allclose(walked([layer], image(), condition)[0], expected, rtol=1e-5, atol=1e-5)


@KINDS
@CONDITIONS
def test_a_walk_through_a_block_gives_the_outputs_of_a_call(kind, condition_kind):
    condition, block = conditions(condition_kind), block_of(kind, condition_kind)
    expected = block(image(), condition)
    np.testing.assert_allclose(walked([block], image(), condition)[0], expected, rtol=1e-5, atol=1e-5)


@KINDS
@pytest.mark.parametrize(("height", "width"), [(6, 4), (4, 1), (1, 4)])
def test_images_of_any_sides_are_walked_through(kind, height, width):
    x, layer = image(height=height, width=width), layer_of(kind)
    np.testing.assert_allclose(walked([layer], x)[0], layer(x), rtol=1e-5, atol=1e-5)


# ---- configuration ------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("condition_kind", ["none", "vector"])
def test_configurations_give_the_layers_back(kind, condition_kind):
    condition = conditions(condition_kind)
    for layer in (layer_of(kind, condition_kind, grouped=True), block_of(kind, condition_kind)):
        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        copy.set_weights(layer.get_weights())
        np.testing.assert_array_equal(copy(image(), condition), layer(image(), condition))
        assert layer.compute_output_shape(image().shape) == tuple(copy(image(), condition).shape)


@KINDS
def test_initialisers_are_kept_by_the_configuration(kind):
    layer = kind(UNITS, kernel_initializer="ones", recurrent_initializer="zeros")
    copy = kind.from_config(layer.get_config())
    copy.build((None, 3, 3, 2))
    np.testing.assert_array_equal(copy.input_to_state.kernel, np.ones(copy.input_to_state.kernel.shape))
    np.testing.assert_array_equal(copy.recurrent_kernel, np.zeros(copy.recurrent_kernel.shape))
