"""MaskedConv2D against a loop over pixels; what its outputs see; the walk a pixel at a time."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import MaskedConv2D

HEIGHT, WIDTH = 4, 5
COLOURS = (0, 1, 2)
GROUPS = {"input_groups": COLOURS, "output_groups": (0, 0, 1, 1, 2, 2)}
KERNELS = [3, (5, 3), (3, 5), (1, 3), (3, 1), 1]
# Mask types and whether vertical, with kernels that have rows above where there is nothing else to see.
WINDOWS = [
    (mask_type, vertical, size)
    for mask_type, vertical, size in itertools.product("AB", [False, True], KERNELS)
    if not (mask_type == "A" and vertical and size in (1, (1, 3)))
]


# ---- also for the tests of the blocks ---------------------------------------------------------------


def image(channels=3, height=HEIGHT, width=WIDTH, rows=2, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, height, width, channels)).astype(np.float32)


def filled(layer, channels=3, seed=1, positive=False, height=HEIGHT, width=WIDTH):
    """The layer built, with random weights, biases too; positive ones let no rectifier die."""
    if not layer.built:
        layer.build((None, height, width, channels))
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        values = rng.uniform(0.05, 0.2, weight.shape) if positive else rng.normal(0, 0.5, weight.shape)
        weight.assign(values)
    return layer


def conditions(kind, height=HEIGHT, width=WIDTH, rows=2, size=2):
    """None, a vector for an image, or one for each of its pixels."""
    shape = {"none": None, "vector": (rows, size), "pixels": (rows, height, width, size)}[kind]
    return None if shape is None else np.random.default_rng(5).normal(size=shape).astype(np.float32)


def walked(layers, x, condition=None):
    """Outputs `[B, H, W, F]` of a stack of raster layers, a pixel at a time, and the last `above`."""
    num_rows, height, width, _ = x.shape
    walkers = [layer.walker(num_rows, width, condition) for layer in layers]
    states = [walker.start() for walker in walkers]
    image, all_above = [], []
    for row in range(height):
        above, contexts = None, []
        for index, walker in enumerate(walkers):
            states[index], context, above = walker.start_row(states[index], row, above)
            contexts.append(context)
        columns = [walker.start_columns() for walker in walkers]
        kept, outputs = [[] for _ in walkers], []
        for column in range(width):
            h = x[:, row, column]
            for index, walker in enumerate(walkers):
                context = tf.nest.map_structure(lambda t, c=column: t[c], contexts[index])
                h, columns[index], keep = walker.step(context, columns[index], h)
                kept[index].append(keep)
            outputs.append(h)
        states = [
            walker.end_row(state, tf.nest.map_structure(lambda *t: tf.stack(t), *keep))
            for walker, state, keep in zip(walkers, states, kept, strict=True)
        ]
        image.append(np.stack(outputs, axis=1))
        all_above.append(above)
    above = None if above is None else np.transpose(np.stack(all_above), [2, 0, 1, 3])
    return np.stack(image, axis=1), above


def jacobian(function, x):
    """d outputs / d inputs of one image: `[H, W, F, H, W, C]`."""
    shape = function(x[:1]).shape[1:]
    size = int(np.prod(shape))
    # One copy of the image for each output, whose row of the Jacobian its gradient is.
    copies = tf.repeat(tf.constant(x[:1]), size, axis=0)
    with tf.GradientTape() as tape:
        tape.watch(copies)
        y = tf.linalg.diag_part(tf.reshape(function(copies), [size, size]))
    return tape.gradient(y, copies).numpy().reshape(*shape, *x.shape[1:])


# ---- the definition -----------------------------------------------------------------------------------


def is_seen(layer, di, dj, channel, feature):
    """Whether the feature sees that channel of the pixel `di` rows down and `dj` columns right."""
    if layer.vertical:
        return di < 0 or (di == 0 and layer.mask_type == "B")
    if di < 0 or (di == 0 and dj < 0):
        return True
    if (di, dj) != (0, 0):
        return False
    ours = layer.output_groups[feature] if layer.output_groups else 0
    theirs = layer.input_groups[channel] if layer.input_groups else 0
    return theirs < ours if layer.mask_type == "A" else theirs <= ours


def window(layer, channels=3):
    """All that is seen: pairs of a place (di, dj, channel, feature) and the weight's."""
    up, side = layer.kernel_size[0] // 2, layer.kernel_size[1] // 2
    for place in itertools.product(
        range(-up, up + 1), range(-side, side + 1), range(channels), range(layer.filters)
    ):
        if is_seen(layer, *place):
            yield place, (place[0] + up, place[1] + side, *place[2:])


def by_loops(layer, x, condition=None):
    """The convolution, one product after the other."""
    kernel = layer.kernel.numpy()
    y = np.zeros([*x.shape[:3], layer.filters])
    for r, c in itertools.product(range(x.shape[1]), range(x.shape[2])):
        for (di, dj, channel, feature), weight in window(layer, x.shape[-1]):
            if 0 <= r + di < x.shape[1] and 0 <= c + dj < x.shape[2]:
                y[:, r, c, feature] += kernel[weight] * x[:, r + di, c + dj, channel]
    if layer.use_bias:
        y += layer.bias.numpy()
    if condition is not None:
        own = condition if condition.ndim == 4 else condition[:, None, None]
        y += own @ layer.condition_kernel.numpy()
    return y


@pytest.mark.parametrize(("mask_type", "vertical", "size"), WINDOWS)
def test_outputs_are_those_of_a_loop_over_pixels(mask_type, vertical, size):
    layer = filled(MaskedConv2D(4, size, mask_type, vertical=vertical))
    np.testing.assert_allclose(layer(image()), by_loops(layer, image()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["none", "vector", "pixels"])
@pytest.mark.parametrize("size", [(5, 3), 1])
@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_groups_and_conditions_enter_as_in_the_loop(mask_type, size, kind):
    condition = conditions(kind)
    size_of = None if condition is None else 2
    layer = filled(MaskedConv2D(6, size, mask_type, condition_size=size_of, use_bias=size == 1, **GROUPS))
    expected = by_loops(layer, image(), condition)
    np.testing.assert_allclose(layer(image(), condition), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["vector", "pixels"])
@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_conditions_enter_a_vertical_layer_as_in_the_loop(mask_type, kind):
    layer = filled(MaskedConv2D(4, 3, mask_type, vertical=True, condition_size=2))
    expected = by_loops(layer, image(), conditions(kind))
    np.testing.assert_allclose(layer(image(), conditions(kind)), expected, rtol=1e-4, atol=1e-5)


def test_a_convolution_by_hand():
    """Ones everywhere: type A counts the four earlier neighbours there are, type B the pixel too."""
    x = np.ones([1, 2, 3, 1], np.float32)
    counts = np.array([[0, 1, 1], [2, 4, 3]])
    for mask_type, own in (("A", 0), ("B", 1)):
        layer = MaskedConv2D(1, 3, mask_type, kernel_initializer="ones")
        np.testing.assert_array_equal(np.asarray(layer(x))[0, ..., 0], counts + own)


# ---- what is seen -------------------------------------------------------------------------------------


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("mask_type", "vertical", "size"), [w for w in WINDOWS if w[2] in (3, (5, 3), 1)])
def test_an_output_sees_its_window_and_nothing_else(mask_type, vertical, size, grouped):
    groups = GROUPS if grouped and not vertical else {}
    layer = filled(MaskedConv2D(6, size, mask_type, vertical=vertical, **groups))
    expected = np.zeros([HEIGHT, WIDTH, 6, HEIGHT, WIDTH, 3], bool)
    for r, c in itertools.product(range(HEIGHT), range(WIDTH)):
        for (di, dj, channel, feature), _ in window(layer):
            if 0 <= r + di < HEIGHT and 0 <= c + dj < WIDTH:
                expected[r, c, feature, r + di, c + dj, channel] = True
    np.testing.assert_array_equal(jacobian(layer, image()) != 0, expected)


def test_an_output_of_type_a_without_groups_does_not_see_its_own_pixel():
    seen = jacobian(filled(MaskedConv2D(4, 3, "A")), image()) != 0
    for r, c in itertools.product(range(HEIGHT), range(WIDTH)):
        assert not seen[r, c, :, r, c].any()


@pytest.mark.parametrize(
    ("mask_type", "expected"),
    [("A", [[0, 0, 0], [1, 0, 0], [1, 1, 0]]), ("B", [[1, 0, 0], [1, 1, 0], [1, 1, 1]])],
)
def test_within_a_pixel_green_sees_red_and_blue_sees_both(mask_type, expected):
    layer = filled(MaskedConv2D(3, 1, mask_type, input_groups=COLOURS, output_groups=COLOURS))
    seen = jacobian(layer, image()) != 0
    for r, c in itertools.product(range(HEIGHT), range(WIDTH)):
        np.testing.assert_array_equal(seen[r, c, :, r, c], expected)


def test_masked_weights_do_not_matter_and_get_no_gradient():
    layer = filled(MaskedConv2D(6, 3, "A", **GROUPS))
    with tf.GradientTape() as tape:
        y = layer(image())
    gradient = tape.gradient(y, layer.kernel.value).numpy()
    cut = np.ones(layer.kernel.shape, bool)
    for _, weight in window(layer):
        cut[weight] = False
    np.testing.assert_array_equal(gradient == 0, cut)
    layer.kernel.assign(np.where(cut, 1e6, layer.kernel.numpy()))
    np.testing.assert_array_equal(layer(image()), y)


def test_only_the_upper_half_of_the_kernel_exists_as_weights():
    for mask_type, vertical, rows in (("A", False, 3), ("B", False, 3), ("A", True, 2), ("B", True, 3)):
        layer = filled(MaskedConv2D(4, (5, 3), mask_type, vertical=vertical))
        assert layer.kernel.shape == (rows, 3, 3, 4)


# ---- a pixel at a time --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["none", "vector", "pixels"])
@pytest.mark.parametrize("size", KERNELS)
@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_a_walk_gives_the_outputs_of_a_call(mask_type, size, kind):
    condition = conditions(kind)
    groups = GROUPS if size in (3, 1) else {}
    layer = filled(MaskedConv2D(6, size, mask_type, condition_size=None if kind == "none" else 2, **groups))
    expected = layer(image(), condition)
    np.testing.assert_allclose(walked([layer], image(), condition)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(3, 1), (1, 3)])
def test_images_of_one_row_or_column_are_walked_and_convolved_alike(height, width):
    x = image(height=height, width=width)
    layer = filled(MaskedConv2D(4, 5, "A"))
    np.testing.assert_allclose(layer(x), by_loops(layer, x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(walked([layer], x)[0], layer(x), rtol=1e-5, atol=1e-5)


# ---- arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((6, (5, 3), "A"), {"condition_size": 2, **GROUPS}),
        ((4, 3, "B"), {"vertical": True, "use_bias": False}),
    ],
)
def test_configuration_gives_the_layer_back(arguments, options):
    condition = conditions("vector") if "condition_size" in options else None
    layer = filled(MaskedConv2D(*arguments, kernel_initializer="he_normal", name="conv", **options))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.name == "conv" and isinstance(copy.kernel_initializer, keras.initializers.HeNormal)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(image(), condition), layer(image(), condition))


def test_announced_shape_is_the_shape_of_the_result():
    for mask_type, vertical, size in WINDOWS:
        layer = MaskedConv2D(4, size, mask_type, vertical=vertical)
        assert layer.compute_output_shape(image().shape) == tuple(layer(image()).shape)


@pytest.mark.parametrize("size", [2, (3, 4), (4, 3), 0, -1, (3, 3, 3)])
def test_a_kernel_without_a_centre_is_refused(size):
    with pytest.raises(ValueError, match="`kernel_size` must be an odd positive integer or a pair"):
        MaskedConv2D(4, size)


@pytest.mark.parametrize("mask_type", ["C", "a", None])
def test_a_mask_type_other_than_a_and_b_is_refused(mask_type):
    with pytest.raises(ValueError, match="`mask_type`"):
        MaskedConv2D(4, 3, mask_type)


@pytest.mark.parametrize("groups", [{"input_groups": COLOURS}, {"output_groups": (0, 0, 1, 1)}])
def test_groups_of_one_side_alone_are_refused(groups):
    with pytest.raises(ValueError, match="must be given together.*Give both or neither"):
        MaskedConv2D(4, 3, **groups)


def test_groups_that_do_not_fit_the_channels_are_refused():
    with pytest.raises(ValueError, match="each of 4 filters; received 6"):
        MaskedConv2D(4, 3, **GROUPS)
    with pytest.raises(ValueError, match="each of 2 input channels; received 3"):
        MaskedConv2D(6, 3, **GROUPS).build((None, HEIGHT, WIDTH, 2))


def test_a_vertical_layer_of_type_a_needs_rows_above():
    with pytest.raises(ValueError, match="needs a kernel of 3 rows or more"):
        MaskedConv2D(4, (1, 3), "A", vertical=True).build((None, HEIGHT, WIDTH, 3))
