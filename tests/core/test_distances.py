"""Squared distances of all pairs: sums of squared differences in float64, wherever the vectors lie."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.distances import nearest_rows, squared_distances

# Float64 sums of squared differences of some float32 numbers are right to some units of the last place.
REFERENCE_ERROR = 2.0**-48


def by_differences(x, y, precision=1.0):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return np.sum(precision * np.square(x[:, None] - y), axis=-1)


def places(name, dim=8, seed=0, apart=1e5):
    """Vectors `[40, D]` and `[30, D]` about 0.1 apart, in places where squares multiplied out fail."""
    rng = np.random.default_rng(seed)
    x, y = (0.1 * rng.normal(size=(count, dim)) for count in (40, 30))
    if name == "far from the origin":
        x, y = x + 3e4, y + 3e4
    elif name == "two clusters":
        x[::2] += apart
        y[::2] += apart
    elif name == "far vectors":
        x[0] = y[0] = -1e7
        x[1], y[1] = 1e9, 1e9 + 64.0
    x, y = x.astype("float32"), y.astype("float32")
    # Equal vectors, and some that differ by the last bit.
    x[5:8] = y[5:8]
    x[8] = np.nextafter(y[8], np.float32(np.inf))
    return x, y


PLACES = pytest.mark.parametrize("name", ["origin", "far from the origin", "two clusters", "far vectors"])


def assert_right(distances, exact, tolerance):
    assert distances.dtype == tf.float64
    allowed = np.maximum(tolerance, 2.0**-24 * exact) + REFERENCE_ERROR * exact
    assert np.all(abs(distances - exact) <= allowed)


@PLACES
@pytest.mark.parametrize("tolerance", [0.0, 2.0**-12])
@pytest.mark.parametrize("weighted", [False, True])
def test_distances_are_sums_of_squared_differences(name, tolerance, weighted):
    x, y = places(name)
    precision = np.random.default_rng(1).uniform(0.01, 1e6, y.shape).astype("float32") if weighted else None
    exact = by_differences(x, y, 1.0 if precision is None else precision.astype("float64"))
    assert_right(squared_distances(x, y, precision, tolerance=tolerance), exact, tolerance)


def test_a_far_vector_costs_the_others_nothing():
    """The rounding of its squares, 1e30 * 2^-53, is far above all other distances."""
    x, y = places("origin")
    far = np.concatenate([y, np.full((1, 8), 1e15, "float32")])
    near = squared_distances(x, y, tolerance=1e-9)
    np.testing.assert_allclose(squared_distances(x, far, tolerance=1e-9)[:, :30], near, atol=2e-9)
    ends = squared_distances(far[-1:], far, tolerance=1e-9)
    assert ends[0, -1] == 0.0
    np.testing.assert_allclose(ends[0, :-1], 8e30, rtol=1e-6)


@PLACES
def test_gradients_are_those_of_the_differences(name):
    """Those by the precisions are the coarsest: their error is a sum of 20 roundings of 1e8."""
    x, y = places(name, apart=1e4)
    if name == "far vectors":
        x, y = x[2:], y[2:]
    precision = np.random.default_rng(1).uniform(1.0, 20.0, y.shape)
    # Numbers with which sums of gradients do not vanish.
    weights = np.random.default_rng(2).uniform(0.5, 1.5, (len(x), len(y)))
    inputs = [tf.constant(value, tf.float64) for value in (x, y, precision)]

    def gradients(distances):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = tf.reduce_sum(weights * tf.exp(-0.5 * distances(*inputs)))
        return tape.gradient(value, inputs)

    def exact(x, y, precision):
        return tf.reduce_sum(precision * tf.square(x[:, None] - y), axis=-1)

    own = gradients(lambda *values: squared_distances(*values, tolerance=1e-9))
    for received, expected in zip(own, gradients(exact), strict=True):
        assert np.max(abs(expected.numpy())) > 0.01
        np.testing.assert_allclose(received, expected, rtol=1e-7, atol=20 * 2.0**-50 * 1e8)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graphs_of_any_size_and_xla(jit_compile):
    signature = [tf.TensorSpec([None, 8]), tf.TensorSpec([None, 8])]

    @tf.function(input_signature=signature, jit_compile=jit_compile, autograph=False)
    def both(x, y):
        return squared_distances(x, y, tolerance=2.0**-12), nearest_rows(x, y)

    for name in ("origin", "far from the origin", "two clusters"):
        x, y = places(name)
        distances, nearest = both(x, y)
        exact = by_differences(x, y)
        assert_right(distances, exact, 2.0**-12)
        assert_nearest(nearest, x, y)


def assert_nearest(nearest, x, y):
    """Up to a part of the distance, and what float64 leaves of the sizes of the three vectors."""
    exact, middle = by_differences(x, y), np.median(np.float64(y), axis=0)
    x_sizes, y_sizes = (np.sum(np.square(vectors - middle), axis=1) for vectors in (x, y))
    rows, nearest, best = np.arange(len(x)), np.asarray(nearest), exact.argmin(axis=1)
    rounding = 2.0**-46 * (x_sizes + np.maximum(y_sizes[nearest], y_sizes[best]))
    assert np.all(exact[rows, nearest] <= exact[rows, best] * (1.0 + 2.0**-11) + rounding)


@PLACES
@pytest.mark.parametrize("dim", [1, 2, 64])
def test_the_nearest_row(name, dim):
    x, y = places(name, dim)
    nearest, exact = nearest_rows(x, y), by_differences(x, y)
    assert_nearest(nearest, x, y)
    if name != "far vectors":
        # Rows that the vectors are equal to: no other is taken where they are a few last bits apart.
        apart = np.sort(exact[5:8], axis=1)[:, 1] > 1e-3
        np.testing.assert_array_equal(nearest[5:8][apart], np.arange(5, 8)[apart])


@pytest.mark.parametrize("count", [1, 2, 3, 33, 34])
def test_few_rows(count):
    x, y = places("far from the origin")
    exact = by_differences(x, y[:count])
    assert_right(squared_distances(x, y[:count], tolerance=0.0), exact, 0.0)
    assert_nearest(nearest_rows(x, y[:count]), x, y[:count])
    assert squared_distances(x[:0], y, tolerance=0.0).shape == (0, 30)
    assert nearest_rows(x[:0], y).shape == (0,)


def test_what_is_infinitely_far_is_so():
    """No difference of infinities, which would be no number."""
    x, y = np.float32([[1e30], [np.inf], [0.0]]), np.float32([[0.0], [1e30]])
    distances = squared_distances(x, y, tolerance=1e-3).numpy()
    np.testing.assert_array_equal(np.isinf(distances), [[False] * 2, [True] * 2, [False] * 2])
    assert distances[0, 1] == distances[2, 0] == 0.0
