"""Promises of every bijection: invertible, and its log-determinant is the Jacobian's."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod import bijectors
from keras_genmod.bijectors.bijection import build_chain
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.testing.arithmetic import UNIT, rounding_spread

B = bijectors
CONDITION = ConditionSpec(shape=(2,))
SMALL = {"network_options": {"hidden_dims": (7,), "filters": 3, "num_blocks": 1, "activation": "tanh"}}

# Name -> function of the options of a layer, and shape of the data.
BIJECTIONS = {
    "additive coupling": (lambda **o: B.Coupling(transform="additive", **SMALL, **o), (5,)),
    "affine coupling": (lambda **o: B.Coupling(swap=True, **SMALL, **o), (5,)),
    "spline coupling": (
        lambda **o: B.Coupling(transform=B.SplineTransform(5, 3.0), **SMALL, **o),
        (4,),
    ),
    "array mask": (lambda **o: B.Coupling([1, 0, 0, 1, 0], **SMALL, **o), (5,)),
    "half of an image": (lambda **o: B.Coupling("half", **SMALL, **o), (2, 3, 1)),
    "checkerboard": (lambda **o: B.Coupling("checkerboard", **SMALL, **o), (3, 2, 1)),
    "swapped checkerboard": (
        lambda **o: B.Coupling("checkerboard", swap=True, transform="spline", **SMALL, **o),
        (2, 2, 2),
    ),
    "channel coupling": (lambda **o: B.Coupling("channel", **SMALL, **o), (2, 2, 3)),
    "autoregressive": (lambda **o: B.MaskedAutoregressive((9,), activation="tanh", **o), (4,)),
    "autoregressive image": (
        lambda **o: B.MaskedAutoregressive((9, 8), ordering="random", activation="tanh", **o),
        (2, 2, 2),
    ),
    "autoregressive splines": (
        lambda **o: B.MaskedAutoregressive(
            (9,), ordering="reverse", activation="tanh", transform="spline", **o
        ),
        (3,),
    ),
    "inverse autoregressive": (lambda **o: B.InverseAutoregressive((9,), activation="tanh", **o), (4,)),
    "actnorm": (lambda **o: B.ActNorm(**o), (2, 2, 3)),
    "permutation": (lambda **o: B.Permutation("random", **o), (5,)),
    "convolution": (lambda **o: B.InvertibleConvolution(**o), (2, 3, 3)),
    "dense matrix": (lambda **o: B.InvertibleConvolution(**o), (4,)),
    "squeeze": (lambda **o: B.Squeeze(**o), (4, 2, 2)),
    "split": (
        lambda **o: B.Split([B.Coupling("checkerboard", **SMALL, **o), B.ActNorm(**o)], **o),
        (2, 2, 3),
    ),
    "logit": (lambda **o: B.Logit(0.05, low=-3.0, high=5.0, **o), (3,)),
}
every_bijection = pytest.mark.parametrize("name", BIJECTIONS)


def made(name, dtype="float64", condition=None, seed=1):
    """A bijection with weights that are not those of the start."""
    build, shape = BIJECTIONS[name]
    layer = build(dtype=dtype)
    layer.set_shapes(shape, condition=condition, seed=seed)
    generator = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(weight + 0.4 * generator.normal(size=weight.shape))
    return layer, shape


def data(shape, dtype="float64", rows=4, seed=0):
    return np.random.default_rng(seed).uniform(-2.5, 2.5, (rows, *shape)).astype(dtype)


def jacobian_log_det(function, x, condition=None):
    """The log-determinant of a function of one row, by automatic differentiation, for each row."""
    rows, size = len(x), int(np.prod(x.shape[1:]))
    # A copy of a row for each of its outputs, whose gradient is that row of the Jacobian.
    copies = tf.repeat(tf.convert_to_tensor(x), size, axis=0)
    with tf.GradientTape() as tape:
        tape.watch(copies)
        y = function(copies, None if condition is None else np.repeat(condition, size, axis=0))
        y = tf.linalg.diag_part(tf.reshape(y, [rows, size, size]))
    jacobian = tf.reshape(tape.gradient(y, copies), [rows, size, size])
    return np.linalg.slogdet(jacobian.numpy()).logabsdet


def float32_tolerances(name, layer, x, z):
    """What rounding to float32 may do to a bijection, found in float64.

    Of the data made of z, of the log-determinant at x, and of that at z.
    """
    exact, _ = made(name)
    exact.set_weights(layer.get_weights())
    x, z = (tf.Variable(np.asarray(value, "float64")) for value in (x, z))

    @tf.function(autograph=False)
    def answers():
        bijector = exact.bijector()
        there, back = tf.identity(x), tf.identity(z)
        results = [
            bijector.forward(back),
            bijector.inverse_log_det_jacobian(there, event_ndims=len(x.shape) - 1),
            bijector.forward_log_det_jacobian(back, event_ndims=len(z.shape) - 1),
        ]
        return [tf.reshape(result, [-1]) for result in results]

    unit = UNIT["float32"]
    exactly = answers()
    ends = np.cumsum([len(part) for part in exactly])[:-1]
    variables = [x, z, *exact.trainable_weights]
    spreads = np.split(rounding_spread(lambda: np.concatenate(answers()), variables, unit), ends)
    # Each of some ten layers of operations adds errors like those of its inputs; the largest of many is four
    # times the usual one.
    return [
        4 * 10**0.5 * spread.max() + 10 * unit * np.abs(part).max()
        for spread, part in zip(spreads, exactly, strict=True)
    ]


# Of bijections that compute alike, one is tried in single precision.
LIKE_OTHERS = (
    "array mask",
    "half of an image",
    "checkerboard",
    "swapped checkerboard",
    "channel coupling",
    "autoregressive image",
    "convolution",
    "permutation",
    "squeeze",
)


@pytest.mark.parametrize(
    ("dtype", "conditional", "name"),
    [
        *(("float64", True, name) for name in BIJECTIONS),
        *(
            pytest.param("float32", False, name, marks=[pytest.mark.slow] * (name in LIKE_OTHERS))
            for name in BIJECTIONS
        ),
    ],
)
def test_inverse_and_log_determinant(name, dtype, conditional):
    layer, shape = made(name, dtype, CONDITION if conditional else None)
    condition = np.random.default_rng(5).normal(size=(4, 2)).astype(dtype) if conditional else None
    x = data(shape, dtype)
    there = layer.bijector(condition)
    z = there.inverse(x)
    of_data, of_log_det, of_forward = [1e-8] * 3
    if dtype == "float32":
        of_data, of_log_det, of_forward = float32_tolerances(name, layer, x, z)
    assert z.shape == (4, *layer.output_shape)
    # Another bijector: this one remembers the way.
    back = layer.bijector(condition)
    np.testing.assert_allclose(back.forward(tf.identity(z)), x, atol=of_data)
    ndims = len(shape)
    log_det = jacobian_log_det(lambda x, c: layer.bijector(c).inverse(x), x, condition)
    np.testing.assert_allclose(there.inverse_log_det_jacobian(x, event_ndims=ndims), log_det, atol=of_log_det)
    if dtype == "float64":
        # The short way that training goes.
        short, short_log_det = layer.to_noise(
            tf.constant(x), None if condition is None else tf.constant(condition)
        )
        np.testing.assert_allclose(short, z, atol=1e-11)
        np.testing.assert_allclose(np.broadcast_to(short_log_det, [4]), log_det, atol=of_log_det)
    noise_ndims = len(layer.output_shape)
    forward = jacobian_log_det(lambda z, c: layer.bijector(c).forward(z), z, condition)
    np.testing.assert_allclose(forward, -log_det, atol=of_forward + of_log_det)
    known = back.forward_log_det_jacobian(tf.identity(z), event_ndims=noise_ndims)
    np.testing.assert_allclose(known, forward, atol=2 * of_forward)


@every_bijection
def test_one_bijector_asked_both_ways_about_one_tensor(name):
    """What it remembers of a tensor as data it does not take for what it is as noise."""
    layer, shape = made(name)
    if layer.output_shape != shape:
        return
    x = tf.constant(data(shape))
    one = layer.bijector()
    asked = [one.inverse(x), one.forward(x), one.inverse_log_det_jacobian(x, event_ndims=len(shape))]
    fresh = [
        layer.bijector().inverse(x),
        layer.bijector().forward(x),
        layer.bijector().inverse_log_det_jacobian(x, event_ndims=len(shape)),
    ]
    for a, b in zip(asked, fresh, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@every_bijection
def test_leading_axes_and_their_conditions(name):
    layer, shape = made(name, condition=CONDITION)
    condition = np.random.default_rng(5).normal(size=(4, 2))
    x = data(shape, rows=12).reshape(3, 4, *shape)
    whole = layer.bijector(condition)
    z, log_det = whole.inverse(x), whole.inverse_log_det_jacobian(x, event_ndims=len(shape))
    for row in range(3):
        one = layer.bijector(condition)
        np.testing.assert_allclose(z[row], one.inverse(x[row]), atol=1e-12)
        expected = one.inverse_log_det_jacobian(x[row], event_ndims=len(shape))
        np.testing.assert_allclose(np.broadcast_to(log_det, (3, 4))[row], expected, atol=1e-12)
    np.testing.assert_allclose(layer.bijector(condition).forward(z), x, atol=1e-8)


@every_bijection
def test_configuration_and_weights_give_the_same_map(name):
    layer, shape = made(name, "float32")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    copy = keras.saving.deserialize_keras_object(config)
    copy.set_shapes(shape, seed=99)
    assert [w.shape for w in copy.weights] == [w.shape for w in layer.weights]
    copy.set_weights(layer.get_weights())
    x = data(shape, "float32")
    np.testing.assert_array_equal(copy.bijector().inverse(x), layer.bijector().inverse(x))


@every_bijection
def test_the_seed_decides_the_start(name):
    build, shape = BIJECTIONS[name]
    weights = []
    for seed in (1, 1, 2):
        layer = build()
        layer.set_shapes(shape, seed=seed)
        weights.append([w.numpy() for w in layer.weights])
    for a, b in zip(*weights[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    drawn = [w for w in weights[0] if np.unique(w).size > 2]
    if drawn and name != "split":
        assert any(not np.array_equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))


@pytest.mark.parametrize(
    "name", [name for name in BIJECTIONS if "coupling" in name or "autoregressive" in name]
)
def test_fresh_ones_change_nothing(name):
    build, shape = BIJECTIONS[name]
    layer = build()
    layer.set_shapes(shape, seed=0)
    x = data(shape, "float32")
    np.testing.assert_allclose(layer.bijector().inverse(x), x, atol=1e-5)


def counted():
    """A coupling's bijector, the shape of its data, and a list that each call of its network prolongs."""
    layer, shape = made("affine coupling", "float32")
    calls = []
    network = layer.network

    class Counted(keras.layers.Layer):
        def call(self, inputs, training=False):
            calls.append(1)
            return network(inputs, training=training)

    layer.network = Counted()
    return layer.bijector(), shape, calls


def test_each_network_runs_once_for_image_and_log_determinant():
    bijector, shape, calls = counted()
    x = tf.constant(data(shape, "float32"))
    z = bijector.inverse(x)
    bijector.inverse_log_det_jacobian(x, event_ndims=1)
    bijector.forward_log_det_jacobian(z, event_ndims=1)
    assert len(calls) == 1


def test_a_chain_gives_every_bijection_another_seed():
    layers = [B.InvertibleConvolution(), B.InvertibleConvolution()]
    assert build_chain(layers, (4,), seed=3) == (4,)
    assert not np.allclose(layers[0].lower.numpy(), layers[1].lower.numpy())


def test_the_network_runs_once_on_the_way_to_the_data_too():
    bijector, shape, calls = counted()
    x = bijector.forward(tf.constant(data(shape, "float32")))
    bijector.inverse_log_det_jacobian(x, event_ndims=1)
    assert len(calls) == 1


def test_a_permutation_by_hand():
    layer = B.Permutation([2, 0, 3, 1])
    layer.set_shapes((4,))
    noise = layer.bijector().inverse(np.array([[10.0, 11.0, 12.0, 13.0]], "float32"))
    np.testing.assert_array_equal(noise, [[12.0, 10.0, 13.0, 11.0]])


def test_a_fresh_convolution_is_a_rotation_whatever_the_order_of_its_pivots():
    orders = set()
    for seed in range(8):
        layer = B.InvertibleConvolution(dtype="float64")
        layer.set_shapes((5,), seed=seed)
        matrix = layer.bijector().inverse(np.eye(5)).numpy()
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(5), atol=1e-12)
        np.testing.assert_allclose(layer.bijector().forward(matrix), np.eye(5), atol=1e-12)
        order = layer.permutation.numpy()
        orders.add(np.array_equal(order[order], np.arange(5)))
    # Some orders are not their own inverses.
    assert False in orders


def test_a_constant_channel_keeps_its_scale():
    layer = B.ActNorm()
    layer.set_shapes((2,))
    x = np.array([[1.0, 5.0], [3.0, 5.0]], "float32")
    np.testing.assert_allclose(layer.initialize(tf.constant(x)), [[-1.0, 0.0], [1.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(layer.bijector().inverse(x + [0.0, 1.0]), [[-1.0, 1.0], [1.0, 1.0]], atol=1e-6)


def test_a_split_starts_what_is_inside_it():
    inner = B.ActNorm()
    layer = B.Split([inner])
    layer.set_shapes((2, 1, 2))
    x = np.array([[[[1.0, 7.0]], [[3.0, 8.0]]]], "float32")
    assert layer.needs_data()
    np.testing.assert_allclose(layer.initialize(tf.constant(x)), [[-1.0, 1.0, 7.0, 8.0]], atol=1e-6)
    assert not layer.needs_data()
    np.testing.assert_allclose(layer.bijector().inverse(x), [[-1.0, 1.0, 7.0, 8.0]], atol=1e-6)
