"""Autoregressive networks: their equations, what each output sees, and two ways to generate that agree."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.networks import (
    AutoregressiveNetwork,
    MaskedDenseNetwork,
    NADENetwork,
    generate_naively,
    pixel_cnn,
    pixel_rnn,
)

ROWS, CLASSES = 3, 4
SPECS = {
    "none": ConditionSpec(),
    "classes": ConditionSpec(num_classes=CLASSES),
    "arrays": ConditionSpec(shape=(2, 2)),
}


def filled(network, positive=False):
    """The network with random weights, biases too; positive ones let nothing cancel out or die."""
    rng = np.random.default_rng(1)
    for weight in network.trainable_weights:
        values = rng.uniform(0.05, 0.2, weight.shape) if positive else rng.normal(0, 0.4, weight.shape)
        weight.assign(values)
    return network


def data(network, rows=ROWS):
    return np.random.default_rng(2).normal(size=(rows, *network.event_shape)).astype(np.float32)


def condition_of(network, rows=ROWS):
    rng = np.random.default_rng(3)
    if network.condition.num_classes is not None:
        return rng.integers(CLASSES, size=rows).astype(np.int32)
    if network.condition.shape is not None:
        return rng.normal(size=(rows, *network.condition.shape)).astype(np.float32)
    return None


def encoded(network, condition):
    if network.condition.num_classes is not None:
        return np.eye(CLASSES)[condition]
    return condition.reshape(len(condition), -1)


def jacobian(network, order=None):
    """d raw parameters / d x, `[P, D, D]`, of one random positive x."""
    size, num_params = network.num_variables, network.params_per_dim
    x = tf.constant(np.random.default_rng(4).uniform(0.5, 1.0, [1, *network.event_shape]))
    # One copy for each parameter, whose row of the Jacobian its gradient is.
    copies = tf.repeat(x, num_params * size, axis=0)
    with tf.GradientTape() as tape:
        tape.watch(copies)
        params = tf.reshape(network._by_variable(network(copies, order=order)), [-1, num_params * size])
        y = tf.linalg.diag_part(params)
    found = tape.gradient(y, copies).numpy().reshape(num_params, size, size)
    assert np.isfinite(found).all() and (found >= 0).all()
    return found


# ---- what all share -----------------------------------------------------------------------------------


class Sums(AutoregressiveNetwork):
    """One more than the sum of the variables before, from the last variable to the first."""

    def call(self, x, condition=None, order=None, training=False):
        x = tf.reshape(x, [-1, self.num_variables])
        return tf.reshape(1 + tf.cumsum(x, axis=1, exclusive=True, reverse=True), [-1, *self.event_shape])

    def variables_in_order(self, order=None):
        return tf.range(self.num_variables)[::-1]


def test_generating_naively_by_hand():
    """Each value is its parameter: 1, then 1 + 1, 1 + 1 + 2, ...; with doubled inputs powers of three."""
    network = Sums((2, 2), 1)
    for factor, expected in ((1.0, [[8, 4], [2, 1]]), (2.0, [[27, 9], [3, 1]])):
        x = generate_naively(network, lambda _, p: p[:, 0], 2, standardize=lambda v, f=factor: f * v)
        np.testing.assert_array_equal(x, [expected] * 2)


def test_each_variable_is_emitted_once_in_the_order():
    numbers = []

    def emit(variable, params):
        numbers.append(int(variable))
        return params[:, 0]

    generate_naively(Sums((5,), 1), emit, 1, standardize=tf.identity)
    assert numbers == [4, 3, 2, 1, 0]


def test_parameters_by_variable_and_by_channel_by_hand():
    """Parameter p of channel c stands at p * C + c, and variables are counted as in the flattened event."""
    network = AutoregressiveNetwork((2, 3), 2)
    params = np.array([[[0, 1, 2, 10, 11, 12], [3, 4, 5, 13, 14, 15]]], np.float32)
    by_variable = network._by_variable(tf.constant(params))
    np.testing.assert_array_equal(by_variable, [[[0, 1, 2, 3, 4, 5], [10, 11, 12, 13, 14, 15]]])
    np.testing.assert_array_equal(network._by_channel(by_variable), params)


# ---- MADE ---------------------------------------------------------------------------------------------

MASKED = functools.partial(MaskedDenseNetwork, seed=0)


def masked_by_definition(network, x, condition, order):
    """The network with its masks written out, parameters `[B, P, D]`."""
    size = network.num_variables
    places = np.empty(size, int)
    places[network.orders.numpy()[order]] = np.arange(1, size + 1)
    c = None if condition is None else encoded(network, condition)

    def added(layer):
        return 0.0 if c is None else c @ layer.kernel.numpy()

    x = h = x.reshape(len(x), -1)
    below = places
    for layer, degrees, add in zip(network.layers, network.degrees, network.condition_layers, strict=True):
        own = degrees.numpy()[order]
        kernel = layer.kernel.numpy() * (below[:, None] <= own)
        h, below = np.maximum(h @ kernel + layer.bias.numpy() + added(add), 0.0), own
    y = added(network.output_condition) + np.zeros([len(x), network.params_per_dim * size])
    for layer, inputs, known in ((network.output_layer, h, below), (network.direct, x, places)):
        if layer is not None:
            kernel = layer.kernel.numpy() * (known[:, None] < np.tile(places, network.params_per_dim))
            y += inputs @ kernel + (0.0 if layer.bias is None else layer.bias.numpy())
    return y.reshape(len(x), network.params_per_dim, size)


@pytest.mark.parametrize("spec", ["none", "classes", "arrays"])
@pytest.mark.parametrize(
    "options",
    [
        {"hidden_dims": (), "direct_connections": True},
        {"hidden_dims": (9,)},
        {"hidden_dims": (9, 7), "direct_connections": True, "ordering": "random", "num_orders": 3},
    ],
)
def test_masked_network_is_its_definition(options, spec):
    network = filled(MASKED((2, 3), 2, condition=SPECS[spec], **options))
    x, condition = data(network), condition_of(network)
    for order in range(network.num_orders):
        expected = masked_by_definition(network, x, condition, order)
        for given in (order, tf.constant(order)):
            params = network._by_variable(network(x, condition, order=given))
            np.testing.assert_allclose(params, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(network(x, condition), network(x, condition, order=0))


def earlier(network, order=None):
    """Whether the variable of a column comes before that of a row."""
    place = np.argsort(np.asarray(network.variables_in_order(order)))
    return place[:, None] > place


@pytest.mark.parametrize(
    "options",
    [
        {"hidden_dims": (5,)},
        {"hidden_dims": (11,), "ordering": "random"},
        {"hidden_dims": (10, 12, 10), "ordering": [3, 0, 5, 1, 4, 2]},
        {"hidden_dims": (7, 9), "ordering": "random", "num_orders": 4},
        {"hidden_dims": (), "direct_connections": True, "ordering": "random"},
        {"hidden_dims": (2,), "direct_connections": True, "num_orders": 2},
    ],
)
def test_outputs_see_all_variables_before_theirs_and_no_others(options):
    network = filled(MASKED((2, 3), 2, dtype="float64", **options), positive=True)
    for order in range(network.num_orders):
        found = jacobian(network, order)
        np.testing.assert_array_equal(found != 0, [earlier(network, order)] * 2)


def test_outputs_of_a_narrow_network_see_no_variable_too_many():
    network = filled(MASKED((6,), hidden_dims=(2, 3), num_orders=3, dtype="float64"), positive=True)
    for order in range(3):
        assert not (jacobian(network, order)[0][~earlier(network, order)] != 0).any()


@pytest.mark.parametrize("num_orders", [1, 4])
@pytest.mark.parametrize("units", [1, 3, 5, 7, 20, 23])
def test_degrees_are_spread_evenly(units, num_orders):
    network = MASKED((6,), hidden_dims=(units,), num_orders=num_orders)
    for degrees in network.degrees[0].numpy():
        counts = np.bincount(degrees, minlength=6)
        assert counts[0] == 0 and len(counts) == 6
        assert counts[1:].max() == -(-units // 5) and counts[1:].min() == units // 5


def test_masks_differ_even_where_the_order_does_not():
    network = MASKED((6,), hidden_dims=(20,), num_orders=3)
    for one, other in itertools.combinations(network.degrees[0].numpy(), 2):
        assert (one != other).any()
    np.testing.assert_array_equal(network.orders, [range(6)] * 3)


@pytest.mark.parametrize("network_of", [MASKED, functools.partial(NADENetwork, seed=0)])
def test_orders_are_permutations_that_differ_and_follow_the_seed(network_of):
    network = network_of((12,), ordering="random", num_orders=3)
    np.testing.assert_array_equal(np.sort(network.orders), [range(12)] * 3)
    for one, other in itertools.combinations([range(12), *network.orders.numpy()], 2):
        assert (one != other).any()
    np.testing.assert_array_equal(network_of((12,), ordering="random", num_orders=3).orders, network.orders)
    changed = network_of((12,), ordering="random", num_orders=3, seed=1)
    assert (changed.orders.numpy() != network.orders.numpy()).any()


@pytest.mark.parametrize("network_of", [MASKED, functools.partial(NADENetwork, seed=0)])
def test_a_given_ordering_is_that_of_all_orders(network_of):
    network = network_of((4,), ordering=[2, 0, 3, 1], num_orders=2)
    for order in (None, 0, 1, tf.constant(1)):
        np.testing.assert_array_equal(network.variables_in_order(order), [2, 0, 3, 1])


@pytest.mark.parametrize("options", [{"hidden_dims": (3,)}, {"hidden_dims": (), "direct_connections": True}])
def test_one_variable_alone_depends_on_the_condition_only(options):
    network = filled(MASKED((1,), 2, condition=SPECS["classes"], **options))
    condition = condition_of(network)
    bias = (network.output_layer or network.direct).bias.numpy()
    expected = bias + network.output_condition.kernel.numpy()[condition]
    for x in (data(network), 1e3 * data(network)):
        np.testing.assert_allclose(network(x, condition), expected, rtol=1e-5, atol=1e-6)


# ---- NADE ---------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def shared_by_definition(network, x, condition, order, activation=sigmoid):
    """NADE with a hidden layer of its own for each variable, parameters `[B, P, D]`."""
    size, num_params = network.num_variables, network.params_per_dim
    x = x.reshape(len(x), -1).astype(float)
    c = None if condition is None else encoded(network, condition)
    outputs = network.output_kernel.numpy().reshape(size, num_params, -1)
    y = np.empty([len(x), num_params, size])
    for step, variable in enumerate(order):
        h = np.tile(network.bias.numpy().astype(float), (len(x), 1))
        for j in order[:step]:
            h += np.outer(x[:, j], network.kernel.numpy()[j])
            if network.mask_kernel is not None:
                h += network.mask_kernel.numpy()[j]
        if c is not None:
            h += c @ network.condition_kernel.numpy()
        h = activation(h)
        y[:, :, variable] = h @ outputs[variable].T + network.output_bias.numpy()[variable]
        if c is not None:
            added = (c @ network.output_condition_kernel.numpy()).reshape(-1, size, num_params)
            y[:, :, variable] += added[:, variable]
    return y


@pytest.mark.parametrize(
    ("event_shape", "spec", "mask_inputs"),
    [
        ((61,), "none", True),
        ((4, 5, 3), "classes", False),
        ((28,), "arrays", True),
        ((29,), "none", False),
        ((1,), "arrays", True),
    ],
)
def test_nade_is_its_definition_with_a_hidden_layer_for_each_variable(event_shape, spec, mask_inputs):
    network = NADENetwork(
        event_shape,
        2,
        hidden_dim=5,
        mask_inputs=mask_inputs,
        condition=SPECS[spec],
        ordering="random",
        num_orders=2,
        seed=0,
    )
    filled(network)
    x, condition = data(network), condition_of(network)
    permutation = np.random.default_rng(7).permutation(network.num_variables)
    for given, order in (
        (None, network.orders.numpy()[0]),
        (1, network.orders.numpy()[1]),
        (tf.constant(1), network.orders.numpy()[1]),
        (tf.constant(permutation, "int32"), permutation),
    ):
        params = network._by_variable(network(x, condition, order=given))
        expected = shared_by_definition(network, x, condition, order)
        np.testing.assert_allclose(params, expected, rtol=1e-4, atol=1e-4)


def test_hidden_units_of_nade_have_the_activation_that_is_asked_for():
    network = filled(kg.NADE((5,), hidden_dim=4, activation="relu", seed=0).network)
    x, uniforms = data(network), uniforms_for(network)
    expected = shared_by_definition(network, x, None, range(5), activation=lambda h: np.maximum(h, 0))
    np.testing.assert_allclose(network._by_variable(network(x)), expected, rtol=1e-4, atol=1e-4)
    check(network, generated(network.generate, network, uniforms), uniforms)


def test_a_permutation_of_the_variables_may_be_the_order_of_nade():
    order = tf.constant([2, 0, 1])
    np.testing.assert_array_equal(NADENetwork((3,)).variables_in_order(order), order)


def test_outputs_of_nade_see_all_variables_before_theirs_and_no_others():
    network = NADENetwork((31,), 2, hidden_dim=3, ordering="random", seed=0, dtype="float64")
    found = jacobian(filled(network, positive=True))
    np.testing.assert_array_equal(found != 0, [earlier(network)] * 2)


# ---- PixelCNN and PixelRNN: what is seen --------------------------------------------------------------

HEIGHT, WIDTH = 4, 5
PIXELS = list(itertools.product(range(HEIGHT), range(WIDTH)))


def by_pixels(rule):
    """The matrix of `rule(rows down to the output, columns right to the output)`."""
    return np.array([[rule(r - i, c - j) for i, j in PIXELS] for r, c in PIXELS])


EARLIER = by_pixels(lambda up, left: up > 0 or (up == 0 and left > 0))
WINDOW = by_pixels(lambda up, left: (up == 1 and abs(left) <= 1) or (up == 0 and left == 1))
TRIANGLE = EARLIER & by_pixels(lambda up, left: -up <= left <= up + 1)
SMALL = {"params_per_dim": 2, "first_kernel_size": 3, "seed": 0}
# Builders, and of their later layers what these see of the one below: earlier pixels, and their own.
RASTER = {
    "plain": (functools.partial(pixel_cnn, filters=6, num_blocks=2), [WINDOW] * 2),
    "row": (functools.partial(pixel_rnn, kind="row", units=3), [TRIANGLE]),
    "diagonal": (functools.partial(pixel_rnn, kind="diagonal", units=3, num_layers=2), [EARLIER] * 2),
    # From one corner to the other it takes four windows of 3x3.
    "gated": (functools.partial(pixel_cnn, gated=True, filters=3, num_blocks=3), None),
}


def by_variables(pixels, mask_type, channels):
    """Of earlier pixels a colour sees all colours; of its own those before it, of type "B" itself too."""
    own = np.tri(channels, k=-1 if mask_type == "A" else 0)
    return np.kron(pixels, np.ones([channels, channels])) + np.kron(np.eye(len(pixels)), own)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", RASTER)
def test_a_pixel_sees_all_that_its_layers_reach_and_nothing_that_comes_later(kind, channels):
    builder, later_layers = RASTER[kind]
    network = filled(builder((HEIGHT, WIDTH, channels), dtype="float64", **SMALL), positive=True)
    everything = np.tri(network.num_variables, k=-1, dtype=bool)
    if later_layers is None:
        expected = everything
    else:
        expected = by_variables(WINDOW, "A", channels)
        for pixels in later_layers:
            expected = by_variables(pixels, "B", channels) @ expected
    np.testing.assert_array_equal(jacobian(network) != 0, [expected > 0] * 2)
    assert not ((expected > 0) & ~everything).any()


def test_diagonal_memories_miss_the_last_value_of_the_row_above_only():
    """No feature of its row knows it, and of the features below those in the first layer's window only."""
    builder, _ = RASTER["diagonal"]
    network = filled(builder((HEIGHT, WIDTH, 1), dtype="float64", **SMALL), positive=True)
    missed = np.tri(HEIGHT * WIDTH, k=-1, dtype=bool) & (jacobian(network)[0] == 0)
    expected = np.zeros([HEIGHT, WIDTH, HEIGHT, WIDTH], bool)
    for row in range(1, HEIGHT):
        expected[row, : WIDTH - 2, row - 1, WIDTH - 1] = True
    np.testing.assert_array_equal(missed, expected.reshape(missed.shape))


# ---- conditions ---------------------------------------------------------------------------------------

EVENT = (3, 2, 3)
KINDS = {
    "made": lambda shape=EVENT, **options: MASKED(
        shape, hidden_dims=(9, 20), direct_connections=True, **options
    ),
    "nade": lambda shape=EVENT, **options: NADENetwork(shape, hidden_dim=5, seed=0, **options),
    "plain": lambda shape=EVENT, **options: pixel_cnn(
        shape, filters=6, num_blocks=1, first_kernel_size=5, seed=0, **options
    ),
    "gated": lambda shape=EVENT, **options: pixel_cnn(
        shape, filters=3, num_blocks=1, first_kernel_size=5, gated=True, seed=0, **options
    ),
    "row": lambda shape=EVENT, **options: pixel_rnn(
        shape, kind="row", units=3, first_kernel_size=3, seed=0, **options
    ),
    "diagonal": lambda shape=EVENT, **options: pixel_rnn(
        shape, kind="diagonal", units=3, first_kernel_size=3, seed=0, **options
    ),
}
IMAGES = ("plain", "gated", "row", "diagonal")


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_is_the_vector_with_a_one_at_its_place(kind):
    by_class = filled(KINDS[kind](condition=SPECS["classes"]))
    by_vector = filled(KINDS[kind](condition=ConditionSpec(shape=(CLASSES,))))
    x, classes = data(by_class), condition_of(by_class)
    expected = by_vector(x, np.eye(CLASSES, dtype=np.float32)[classes])
    np.testing.assert_allclose(by_class(x, classes), expected, rtol=1e-5, atol=1e-6)
    other = by_class(x, (classes + 1) % CLASSES)
    assert np.abs(other - expected).max(axis=(1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize("kind", IMAGES)
def test_a_condition_that_is_the_same_at_each_pixel_is_one_for_the_image(kind):
    for_image = filled(KINDS[kind](condition=ConditionSpec(shape=(2,))))
    for_pixels = filled(KINDS[kind](condition=ConditionSpec(shape=(*EVENT[:2], 2))))
    x, condition = data(for_image), condition_of(for_image)
    repeated = np.broadcast_to(condition[:, None, None], [ROWS, *EVENT[:2], 2])
    np.testing.assert_allclose(for_pixels(x, repeated), for_image(x, condition), rtol=1e-5, atol=1e-5)
    # Where they differ, a pixel hears its own, and none of the rows below.
    changed = repeated.copy()
    changed[:, 0, 0] += 1.0
    moved = np.abs(for_pixels(x, changed) - for_pixels(x, repeated)).max(axis=-1)
    assert moved[:, 0, 0].min() > 1e-3
    assert moved[:, 1:].max() > 1e-4
    changed = repeated.copy()
    changed[:, 1:] += 1.0
    first_rows = [for_pixels(x, condition)[:, 0] for condition in (changed, repeated)]
    np.testing.assert_allclose(*first_rows, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_follow_the_seed(kind):
    def kernels(**options):
        weights = KINDS[kind](condition=SPECS["classes"]).trainable_weights
        return [weight.numpy() for weight in weights if weight.numpy().any()]

    one, same = kernels(), kernels()
    assert len(one) >= 4
    for ours, theirs in zip(one, same, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # No two of them start from the same numbers.
    assert len({float(kernel.std()) for kernel in one}) == len(one)


# ---- generating ---------------------------------------------------------------------------------------


def standardize(values):
    return 1.7 * values - 0.4


def uniforms_for(network, rows=ROWS):
    shape = (network.num_variables, rows)
    return np.random.default_rng(8).uniform(size=shape).astype(np.float32)


def emit_from(network, uniforms):
    """Binary values for one parameter a variable; real ones from a location and a scale for two."""

    def binary(variable, params):
        return tf.cast(uniforms[variable] < tf.sigmoid(params[:, 0]), tf.float32)

    def real(variable, params):
        return params[:, 0] + tf.exp(0.5 * tf.tanh(params[:, 1])) * (uniforms[variable] - 0.5)

    return binary if network.params_per_dim == 1 else real


def generated(generate, network, uniforms, condition=None, order=None):
    uniforms = tf.convert_to_tensor(uniforms)
    num_rows = uniforms.shape[1] or tf.shape(uniforms)[1]
    emit = emit_from(network, uniforms)
    return generate(emit, num_rows, standardize=standardize, condition=condition, order=order)


def check(network, x, uniforms, condition=None, order=None):
    """That x is what the naive way makes, to the last bit where it is binary, and does vary."""
    naive = functools.partial(generate_naively, network)
    expected = generated(naive, network, uniforms, condition, order).numpy()
    assert x.dtype == tf.float32 and x.shape == (uniforms.shape[1], *network.event_shape)
    assert expected.std() > 0.1
    if network.params_per_dim == 1:
        np.testing.assert_array_equal(x, expected)
    else:
        np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "params_per_dim", "spec"),
    [
        ({"hidden_dims": (), "direct_connections": True}, 1, "classes"),
        ({"hidden_dims": (13,)}, 2, "arrays"),
        ({"hidden_dims": (3,), "ordering": "random"}, 1, "none"),
        ({"hidden_dims": (13, 7), "ordering": "random", "num_orders": 3}, 1, "classes"),
        ({"hidden_dims": (4, 13), "direct_connections": True, "num_orders": 2}, 2, "arrays"),
    ],
)
def test_masked_network_generates_what_the_naive_way_does(options, params_per_dim, spec):
    network = filled(MASKED((2, 3), params_per_dim, condition=SPECS[spec], activation="tanh", **options))
    uniforms, condition = uniforms_for(network), condition_of(network)
    for order in {None, network.num_orders - 1}:
        x = generated(network.generate, network, uniforms, condition, order)
        check(network, x, uniforms, condition, order)


@pytest.mark.parametrize("options", [{"hidden_dims": (3,)}, {"hidden_dims": (), "direct_connections": True}])
def test_masked_network_generates_one_variable_alone(options):
    network = filled(MASKED((1,), 2, **options))
    uniforms = uniforms_for(network)
    check(network, generated(network.generate, network, uniforms), uniforms)


@pytest.mark.parametrize(
    ("mask_inputs", "params_per_dim", "spec"),
    [(False, 1, "none"), (True, 1, "classes"), (True, 2, "arrays")],
)
def test_nade_generates_what_the_naive_way_does(mask_inputs, params_per_dim, spec):
    options = {"ordering": "random", "num_orders": 2, "mask_inputs": mask_inputs, "seed": 0}
    network = filled(NADENetwork((2, 3), params_per_dim, hidden_dim=5, condition=SPECS[spec], **options))
    uniforms, condition = uniforms_for(network), condition_of(network)
    for order in (None, 1, tf.constant([4, 2, 0, 1, 5, 3])):
        x = generated(network.generate, network, uniforms, condition, order)
        check(network, x, uniforms, condition, order)


@pytest.mark.parametrize(
    ("channels", "params_per_dim", "spec"),
    [(1, 1, "classes"), (1, 2, "pixels"), (3, 2, "arrays")],
)
@pytest.mark.parametrize("kind", IMAGES)
def test_image_networks_generate_what_the_naive_way_does(kind, channels, params_per_dim, spec):
    shape = (3, 4 if channels == 1 else 2, channels)
    condition_spec = SPECS.get(spec, ConditionSpec(shape=(*shape[:2], 2)))
    network = filled(KINDS[kind](shape, params_per_dim=params_per_dim, condition=condition_spec))
    uniforms, condition = uniforms_for(network), condition_of(network)
    check(network, generated(network.generate, network, uniforms, condition), uniforms, condition)


@pytest.mark.parametrize("shape", [(1, 3, 1), (3, 1, 2), (1, 1, 1)])
@pytest.mark.parametrize("kind", IMAGES)
def test_images_of_one_row_or_column_are_generated_too(kind, shape):
    network = filled(KINDS[kind](shape, params_per_dim=2))
    uniforms = uniforms_for(network)
    check(network, generated(network.generate, network, uniforms), uniforms)


# Samples of models with the other networks are compiled by XLA in tests/models/autoregressive. These two have
# no other graph among the default tests, as the gated and the diagonal network have.
COMPILED = ("plain", "row")


@pytest.mark.parametrize(
    ("kind", "jit_compile"),
    [
        *(pytest.param(kind, False, marks=[pytest.mark.slow] * (kind in COMPILED)) for kind in KINDS),
        *(pytest.param(kind, True, marks=[pytest.mark.slow] * (kind not in COMPILED)) for kind in KINDS),
    ],
)
def test_one_graph_generates_any_number_of_rows(kind, jit_compile):
    options = {"ordering": "random", "num_orders": 2} if kind in ("made", "nade") else {}
    network = filled(KINDS[kind]((2, 3, 2), params_per_dim=2, condition=SPECS["classes"], **options))
    # As where a mixture is drawn from, its number is a tensor.
    order = tf.constant(1) if options else None

    @tf.function(
        input_signature=[
            tf.TensorSpec([network.num_variables, None]),
            tf.TensorSpec([None], tf.int32),
        ],
        jit_compile=jit_compile,
    )
    def graph(uniforms, condition):
        return generated(network.generate, network, uniforms, condition, order)

    uniforms, condition = uniforms_for(network, 5), condition_of(network, 5)
    whole = graph(uniforms, condition)
    check(network, whole, uniforms, condition, order)
    if not jit_compile:
        part = graph(uniforms[:, :2], condition[:2])
        np.testing.assert_allclose(part, whole[:2], rtol=1e-5, atol=1e-5)


def test_the_naive_way_is_one_graph_too():
    network = filled(NADENetwork((6,), hidden_dim=5, seed=0))
    naive = functools.partial(generate_naively, network)
    graph = tf.function(lambda uniforms: generated(naive, network, uniforms))
    signature = tf.TensorSpec([network.num_variables, None])
    uniforms = uniforms_for(network)
    check(network, graph.get_concrete_function(signature)(tf.constant(uniforms)), uniforms)
