"""Checks say what was expected, what was received and what to do; and let through what is right."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod import VAE
from keras_genmod.core.checks import (
    ValueRange,
    as_array,
    check_choice,
    check_event_shape,
    check_integer,
    check_integers,
    check_number,
    check_rows,
    check_shape_tuple,
    describe,
)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.int32(3)])
def test_integers_of_every_kind_become_int(value):
    result = check_integer("latent_dim", value)
    assert type(result) is int and result == 3


@pytest.mark.parametrize("value", [True, np.True_, 3.0, np.float32(3), "3", None, 0, -1, np.array([3])])
def test_what_is_no_positive_integer_is_refused(value):
    with pytest.raises(ValueError, match="`latent_dim` must be an integer of at least 1; received "):
        check_integer("latent_dim", value)


def test_least_integer_is_accepted():
    assert check_integer("n", 2, minimum=2) == 2
    with pytest.raises(ValueError, match="at least 2; received 1"):
        check_integer("n", 1, minimum=2)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int16(1), Fraction(1, 2)])
def test_numbers_of_every_kind_become_float(value):
    result = check_number("rate", value, minimum=0.5, maximum=1)
    assert type(result) is float and result == float(value)


@pytest.mark.parametrize("value", [True, "0.5", None, 1j, np.array([0.5]), np.nan, np.inf, -np.inf])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError, match="`rate` must be a finite number; received "):
        check_number("rate", value)


@pytest.mark.parametrize(
    ("bounds", "value", "words"),
    [
        ({"minimum": 0.0}, -0.1, "at least 0; received -0.1"),
        ({"maximum": 1.0}, 1.5, "finite number at most 1; received 1.5"),
        ({"minimum": 0.0, "maximum": 1.0}, 2, "at least 0 and at most 1; received 2"),
        ({"above": 0.0}, 0, "above 0; received 0"),
        ({"above": 0.0, "maximum": 1.0}, -1, "above 0 and at most 1; received -1"),
    ],
)
def test_error_names_the_bounds(bounds, value, words):
    with pytest.raises(ValueError, match=words):
        check_number("rate", value, **bounds)


def test_bounds_are_inclusive_but_for_above():
    assert check_number("x", 0, minimum=0.0) == 0.0
    assert check_number("x", 1, above=0.0, maximum=1.0) == 1.0


def test_choice():
    assert check_choice("loss", "mse", ["mse", "mae"]) == "mse"
    for value in ("MSE", None, np.array(["mse", "mse"]), ["mse"]):
        with pytest.raises(ValueError, match="`loss` must be one of 'mse', 'mae'; received "):
            check_choice("loss", value, ["mse", "mae"])


@pytest.mark.parametrize("kind", [tuple, list, np.array, tf.TensorShape])
def test_shapes_of_every_kind_become_tuples_of_int(kind):
    shape = check_event_shape(kind([28, 28, 1]))
    assert shape == (28, 28, 1)
    assert type(shape) is tuple and all(type(side) is int for side in shape)


@pytest.mark.parametrize("value", [784, (None, 784), (0,), (-1, 3), (28.0, 28.0), "28", (True,), None])
def test_what_is_no_shape_is_refused(value):
    with pytest.raises(ValueError, match="tuple of positive integers without the batch axis.*received "):
        check_event_shape(value)


def test_event_shape_of_a_scalar_is_refused_with_advice():
    with pytest.raises(ValueError, match=r"at least one axis.*received \(\). For scalar data use \(1,\)"):
        check_event_shape(())


def test_rank_is_checked_where_it_matters():
    assert check_shape_tuple("s", (5,), ranks=(1, 3)) == (5,)
    with pytest.raises(ValueError, match=r"`s` must have 1 or 3 axes .*received \(5, 5\)"):
        check_shape_tuple("s", (5, 5), ranks=(1, 3))


@pytest.mark.parametrize(
    ("shape", "row_shape", "advice"),
    [
        ((28, 28, 1), (28, 28, 1), r"one example: add the batch axis with `x\[None\]`"),
        ((100, 784), (28, 28, 1), r"`x.reshape\(-1, 28, 28, 1\)`"),
        ((100, 28, 28), (28, 28, 1), r"`x.reshape\(-1, 28, 28, 1\)`"),
        ((100, 28, 28, 1), (784,), r"`x.reshape\(-1, 784\)`"),
        ((784,), (28, 28, 1), r"one example .*`x.reshape\(1, 28, 28, 1\)`"),
        ((100, 3, 32, 32), (32, 32, 3), r"channels last: `np.moveaxis\(x, 1, -1\)`"),
        ((100, 7, 5, 1), (5, 7, 1), "another order: use `np.transpose"),
        ((100, 32, 32, 3), (28, 28, 1), "Pass data of that shape, or build the model for this one"),
        ((3, 32, 32), (32, 32, 3), "Pass data of that shape"),
        ((), (5,), "Pass data of that shape"),
    ],
)
def test_wrong_shapes_get_advice_that_fits(shape, row_shape, advice):
    with pytest.raises(ValueError, match=advice) as error:
        check_rows("x", np.zeros(shape), row_shape)
    wanted = ", ".join(["batch", *map(str, row_shape)])
    assert f"`x` must have shape [{wanted}]; received {shape}" in str(error.value)


def test_advice_repairs_the_data():
    """What the errors say to do gives the picture back, not a scrambled one."""
    image = np.arange(4 * 5 * 3).reshape(4, 5, 3)
    x = np.stack([image, image + 100])
    moved = np.moveaxis(np.moveaxis(x, -1, 1), 1, -1)
    flat = x.reshape(2, -1).reshape(-1, 4, 5, 3)
    for repaired in (moved, flat):
        check_rows("x", repaired, (4, 5, 3))
        np.testing.assert_array_equal(repaired, x)


def test_right_shapes_pass_and_no_rows_do_not():
    check_rows("x", np.zeros((1, 5)), (5,))
    check_rows("x", tf.zeros((2, 3, 4)), (3, 4))
    check_rows("labels", np.zeros(3), ())
    with pytest.raises(ValueError, match=r"`x` has no examples: received shape \(0, 5\)"):
        check_rows("x", np.zeros((0, 5)), (5,))


def test_a_list_is_no_array():
    with pytest.raises(TypeError, match=r"`x` must be an array or tensor of shape \[batch, 2\].*np.asarray"):
        check_rows("x", [[0.0, 1.0]], (2,))


def test_shapes_of_a_graph_are_checked_as_far_as_they_are_known():
    def check(shape):
        tf.function(lambda x: check_rows("x", x, (3,))).get_concrete_function(tf.TensorSpec(shape))

    for shape in (None, (None, None), (None, 3), (7, 3)):
        check(shape)
    for shape in ((None, 4), (None,), (None, 3, 1)):
        with pytest.raises(ValueError, match=r"`x` must have shape \[batch, 3\]"):
            check(shape)


@pytest.mark.parametrize(
    "value",
    [
        np.array([0.0, 1.0], np.float16),
        np.array([0.0, 1.0], np.float64),
        np.array([0.0, 1.0], ml_dtypes.bfloat16),
        np.array([0, 1], np.uint8),
        np.array([0, 1], np.int64),
        np.array([False, True]),
    ],
    ids=lambda value: value.dtype.name,
)
@pytest.mark.parametrize("integer", [False, True])
def test_numbers_of_every_dtype_inside_the_range_pass(value, integer):
    ValueRange(0, 1, integer=integer).check("x", value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_and_counted(dtype, bad):
    value = np.array([0.5, bad, 0.25, bad], np.float32).astype(dtype)
    with pytest.raises(ValueError, match="finite values; received 2 NaN or infinite ones. Remove"):
        ValueRange().check("x", value)


@pytest.mark.parametrize(
    ("value", "received"),
    [
        (np.array([0.0, 255.0], np.float32), "from 0.0 to 255.0"),
        (np.array([0, 255], np.uint8), "from 0 to 255"),
        (np.array([-0.25, 1.0], np.float64), "from -0.25 to 1.0"),
        (np.array([0.0, 2.0], ml_dtypes.bfloat16), "from 0 to 2"),
        # A message that rounds would say that 1 is not in [0, 1].
        (np.array([0.0, 1.0000001], np.float32), "from 0.0 to 1.0000001"),
    ],
)
def test_values_outside_are_refused_with_the_model_s_advice(value, received):
    accepted = ValueRange(0.0, 1.0, advice="Divide by 255.")
    with pytest.raises(ValueError) as error:
        accepted.check("x", value)
    assert str(error.value) == f"`x` must hold values in [0, 1]; received values {received}. Divide by 255."


def test_booleans_outside_are_refused_too():
    with pytest.raises(ValueError, match="received values from False to True"):
        ValueRange(1, 2).check("x", np.array([False, True]))


def test_fractions_are_refused_where_integers_are_wanted():
    pixels = ValueRange(0, 255, integer=True)
    pixels.check("x", np.array([0.0, 3.0, 255.0]))
    for dtype in (np.float32, ml_dtypes.bfloat16):
        with pytest.raises(ValueError, match=r"integers in \[0, 255\]; received fractions"):
            pixels.check("x", np.array([0.0, 0.5], np.float32).astype(dtype))
    with pytest.raises(ValueError, match="must hold integers; received fractions"):
        ValueRange(integer=True).check("x", np.array([0.5]))


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("x", np.array(["a", "b"]), r"`x.astype\('float32'\)`"),
        ("condition", np.array(["a", "b"]), r"`np.unique\(condition, return_inverse=True\)\[1\]`"),
        ("x", np.array([1, None], object), r"`x.astype\('float32'\)`"),
        ("x", np.array([1j]), r"`np.stack\(\[x.real, x.imag\], axis=-1\)`"),
        ("x", np.array(["2020"], "M8[D]"), r"`x.astype\('float32'\)`"),
    ],
)
def test_what_holds_no_numbers_is_refused(name, value, advice):
    with pytest.raises(TypeError, match=f"`{name}` must hold numbers; received dtype .*{advice}"):
        ValueRange().check(name, value)


def test_descriptions_are_short_and_keep_the_value_of_a_number():
    assert describe(np.zeros((2, 3), np.float32)) == "ndarray of shape (2, 3) and dtype float32"
    assert describe(tf.zeros((2,))) == "EagerTensor of shape (2,) and dtype float32"
    assert describe(tf.TensorSpec(None)) == "TensorSpec of shape unknown and dtype float32"
    assert "2.5" in describe(np.float32(2.5))
    assert describe(np.float32) == "<class 'numpy.float32'>"
    assert describe("mse") == "'mse'"
    assert len(describe(list(range(1000)))) < 90


def test_tuples_of_integers():
    assert check_integers("filters", [np.int64(64), 32]) == (64, 32)
    assert check_integers("hidden_dims", ()) == ()
    for value in (64, (64, 0), (64.0,), "64", None, (True,)):
        with pytest.raises(ValueError, match=r"`filters` must be a tuple of positive integers, such as"):
            check_integers("filters", value)
    with pytest.raises(ValueError, match=r"positive integers \(1 or more\), .*received \(\)"):
        check_integers("filters", (), min_length=1)


@pytest.mark.parametrize(
    "value",
    [
        tf.data.Dataset.range(3),
        (np.zeros((3, 2)), np.zeros(3)),
        [[1.0], [1.0, 2.0]],
        None,
    ],
    ids=["data set", "pair", "ragged", "nothing"],
)
def test_what_holds_no_rows_is_refused(value):
    with pytest.raises(TypeError, match="`x` must be one array .*Of a data set pass .*`condition`"):
        as_array("x", value)
    with pytest.raises(TypeError, match="`x` must be one array "):
        VAE((2,), latent_dim=1).encode(value)
    np.testing.assert_array_equal(as_array("x", [[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]]))
