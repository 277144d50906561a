"""A space accepts what lies in it and nothing else, and its example lies in it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.checks import ValueRange
from keras_genmod.core.spaces import ROW_SEEDS, SEED, Space

SPACES = {
    "any reals": Space("x", (2, 3)),
    "float64": Space("x", (3,), tf.float64),
    "half precision": Space("x", (3,), tf.float16, ValueRange(0.0, 0.1)),
    "pixels": Space("x", (4, 4, 1), tf.float32, ValueRange(-1.0, 1.0)),
    "a narrow range far from 0": Space("x", (50,), tf.float32, ValueRange(999.9, 1000.1)),
    "below 0": Space("x", (50,), tf.float32, ValueRange(-7.0, -5.5)),
    "one value": Space("x", (2,), tf.float32, ValueRange(0.1, 0.1)),
    "one value after rounding": Space("x", (2,), tf.float32, ValueRange(1.0, 1.0 + 1e-9)),
    "at least 5": Space("x", (50,), tf.float32, ValueRange(low=5.0)),
    "at most -5": Space("x", (50,), tf.float32, ValueRange(high=-5.0)),
    "grey levels as reals": Space("x", (50,), tf.float32, ValueRange(0, 255, integer=True)),
    "grey levels as bytes": Space("x", (50,), tf.uint8),
    "fractions as ends": Space("x", (50,), tf.float32, ValueRange(0.5, 2.5, integer=True)),
    "time": Space("t", (), tf.int32, ValueRange(0, 999)),
    "two classes": Space("condition", (), tf.int32, ValueRange(0, 1)),
    "integers from 3": Space("x", (50,), tf.int64, ValueRange(low=3)),
    "largest integers": Space("x", (50,), tf.uint64, ValueRange(2**63 - 3, 2**63 - 1)),
    "small bytes": Space("x", (50,), tf.int8, ValueRange(low=120)),
    "flags": Space("flag", (50,), tf.bool),
    "one flag a row": Space("flag", (), tf.bool),
    "seeds": ROW_SEEDS,
    "one seed": SEED,
    "one number": Space("num_samples", (), tf.int32, ValueRange(1, 9), batched=False),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_example_lies_in_the_space(space):
    for rows in (1, 2, 3, 40):
        example = space.example(rows)
        space.check(example)
        assert example.dtype == space.dtype.as_numpy_dtype
        assert space.spec().is_compatible_with(tf.constant(example))
        assert len(example) == rows if space.batched else example.shape == space.shape
        np.testing.assert_array_equal(example, space.example(rows), strict=True)
        # By hand too, apart from the space's own check.
        for end, holds in (
            (space.value_range.low, np.greater_equal),
            (space.value_range.high, np.less_equal),
        ):
            if np.isfinite(end):
                assert np.all(holds(example, np.asarray(end).astype(example.dtype)))
        if space.value_range.integer:
            assert np.all(example == np.round(example))


@pytest.mark.parametrize("name", [name for name, space in SPACES.items() if space.batched])
def test_rows_of_an_example_differ(name):
    for rows in (2, 3):
        example = SPACES[name].example(rows)
        assert bool(np.all(example == example[:1])) == name.startswith("one value")


def test_examples_reach_over_a_range_with_two_ends():
    """Of 4000 uniform times, none lies in the first or last tenth with probability 0.9^4000."""
    times = Space("t", (4000,), tf.int32, ValueRange(0, 999)).example(1)
    assert times.min() < 100 and times.max() > 899
    # Uniform: mean 499.5 with a standard error of 289 / sqrt(4000), five of which are 23.
    assert abs(times.mean() - 499.5) < 23


def test_examples_without_an_end_stay_near_0():
    assert np.abs(Space("x", (4000,)).example(1)).max() <= 1
    assert np.abs(ROW_SEEDS.example(4000)).max() <= 100
    values = Space("x", (4000,), tf.float32, ValueRange(low=5.0)).example(1)
    assert values.min() >= 5 and values.max() <= 6


def test_inputs_of_one_request_differ():
    assert np.any(Space("x", (5,)).example() != Space("mask", (5,)).example())


@pytest.mark.parametrize(
    ("space", "value", "message"),
    [
        ("pixels", np.zeros((2, 4, 4)), r"`x` must have shape \[batch, 4, 4, 1\]; received \(2, 4, 4\)"),
        ("pixels", np.full((2, 4, 4, 1), 1.5), r"`x` must hold values in \[-1, 1\]; .* from 1.5 to 1.5"),
        ("pixels", np.full((2, 4, 4, 1), np.nan), "`x` must hold finite values; received 32 NaN"),
        ("pixels", np.zeros((0, 4, 4, 1)), "`x` has no examples"),
        ("at least 5", np.full((1, 50), 4.0), "`x` must hold values of at least 5; received values from 4.0"),
        ("at most -5", np.full((1, 50), 4.0), "`x` must hold values of at most -5; received values from 4.0"),
        ("time", np.array([0, 1000]), r"`t` must hold integers in \[0, 999\]; .* from 0 to 1000"),
        ("time", np.array([0, -1]), "from -1 to 0"),
        ("time", np.array([0.0, 0.5]), r"integers in \[0, 999\]; received fractions"),
        ("grey levels as bytes", np.full((1, 50), 256), r"integers in \[0, 255\]; received values from 256"),
        ("flags", np.full((1, 50), 2), r"integers in \[0, 1\]; received values from 2"),
        ("any reals", np.full((1, 2, 3), 1e39), r"values in \[-3.40282e\+38, 3.40282e\+38\]; .* from 1e\+39"),
        ("half precision", np.full((1, 3), 70000), r"values in \[0, 0.1\]"),
        ("one number", np.array([1, 2]), r"`num_samples` must have shape \(\), without a batch; .*\(2,\)"),
        ("one number", 10, r"integers in \[1, 9\]; received values from 10"),
        ("one seed", np.zeros((3, 2), int), r"must have shape \(2,\), without a batch; .*\(3, 2\)"),
    ],
)
def test_what_lies_outside_is_refused(space, value, message):
    with pytest.raises(ValueError, match=message):
        SPACES[space].check(value)


def test_what_is_no_array_of_numbers_is_refused():
    with pytest.raises(TypeError, match=r"`t` must be an array or tensor of shape \[batch\].*np.asarray"):
        SPACES["time"].check([1, 2])
    with pytest.raises(TypeError, match="`t` must hold numbers; received dtype <U1"):
        SPACES["time"].check(np.array(["a"]))


def test_what_lies_inside_is_accepted_whatever_its_dtype():
    SPACES["time"].check(np.array([0.0, 999.0]))
    SPACES["any reals"].check(np.full((1, 2, 3), 3e38))
    SPACES["float64"].check(np.full((1, 3), 1e300))
    SPACES["grey levels as reals"].check(np.full((1, 50), 255, np.uint8))
    SPACES["flags"].check(np.ones((1, 50), bool))
    SPACES["flags"].check(tf.ones((1, 50)))
    ROW_SEEDS.check(np.array([[-(2**31), 2**31 - 1]]))


def test_a_symbolic_tensor_is_checked_for_its_shape():
    space = SPACES["time"]
    checked = []

    @tf.function(autograph=False)
    def graph(t):
        space.check(t)
        checked.append(t.shape)
        return t

    graph.get_concrete_function(tf.TensorSpec([None], tf.int32))
    assert len(checked) == 1
    with pytest.raises(ValueError, match=r"`t` must have shape \[batch\]"):
        graph.get_concrete_function(tf.TensorSpec([None, 1], tf.int32))


def test_the_entry_of_a_signature():
    assert SPACES["time"].spec() == tf.TensorSpec([None], tf.int32, name="t")
    assert SPACES["pixels"].spec() == tf.TensorSpec([None, 4, 4, 1], tf.float32, name="x")
    assert SEED.spec() == tf.TensorSpec([2], tf.int32, name="seed")
    symbolic = SPACES["time"].keras_input()
    assert (symbolic.shape, symbolic.dtype, symbolic.name) == ((None,), "int32", "t")


def test_equal_arguments_make_equal_spaces():
    assert Space("x", [3], "float32") == Space("x", (3,), tf.float32)
    assert Space("x", (3,)) != Space("z", (3,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        SEED.name = "x"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "my x"}, ValueError, "identifier, such as 'x'; received 'my x'"),
        ({"shape": (0,)}, ValueError, "`shape` must be a tuple of positive integers"),
        ({"dtype": tf.string}, TypeError, "space `x` must be real, integer or boolean; received string"),
        ({"dtype": tf.complex64}, TypeError, "received complex64"),
        ({"value_range": ValueRange(1.0, 0.0)}, ValueError, r"range values in \[1, 0\], which leaves none"),
        ({"value_range": ValueRange(0.2, 0.8, integer=True)}, ValueError, "which leaves none"),
        ({"dtype": tf.uint8, "value_range": ValueRange(low=256)}, ValueError, "dtype uint8 .*leaves none"),
        ({"dtype": tf.bool, "value_range": ValueRange(2, 3)}, ValueError, "leaves none"),
    ],
)
def test_impossible_spaces_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Space(**{"name": "x", "shape": (3,), **arguments})
