"""Endpoints that could not be served are refused when they are made."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.serving import Endpoint
from keras_genmod.serving.endpoints import fit_request

ROWS = tf.TensorSpec([None, 3])


def identity(x):
    return {"x": x}


def test_specs_are_ordered_and_named_after_the_arguments():
    endpoint = Endpoint(identity, {"b": ROWS, "a": tf.TensorSpec([None], tf.int64, name="other")})
    assert endpoint.specs == (
        tf.TensorSpec([None, 3], tf.float32, name="b"),
        tf.TensorSpec([None], tf.int64, name="a"),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": {"x": 1}, "inputs": {"x": ROWS}}, "`function` must be callable"),
        ({"inputs": {}}, "`inputs` must be a non-empty dict"),
        ({"inputs": [ROWS]}, "`inputs` must be a non-empty dict"),
        ({"inputs": {"my x": ROWS}}, "identifiers; received 'my x'"),
        ({"inputs": {"lambda": ROWS}}, "identifiers; received 'lambda'"),
        ({"inputs": {"x": (None, 3)}}, "`x` must be a `tf.TensorSpec`"),
        ({"inputs": {"x": tf.TensorSpec(None)}}, "of known rank"),
        ({"inputs": {"x": tf.TensorSpec([None], tf.bfloat16)}}, "received bfloat16"),
        ({"inputs": {"x": tf.TensorSpec([None], tf.string)}}, "received string"),
        ({"inputs": {"x": tf.TensorSpec([])}}, r"`x` of a batched endpoint .*batched=False"),
        ({"inputs": {"x": tf.TensorSpec([8, 3])}}, r"received \(8, 3\)"),
        ({"inputs": {"x": ROWS, "seed": tf.TensorSpec([None, 2], tf.int64)}}, "must be int32 .*int64"),
        ({"inputs": {"x": ROWS, "seed": tf.TensorSpec([None], tf.int32)}}, r"of shape \[None, 2\]"),
    ],
)
def test_what_cannot_be_served_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Endpoint(**{"function": identity, **arguments})


def test_scalar_arguments_are_allowed_where_there_is_no_batch():
    inputs = {"num_samples": tf.TensorSpec([], tf.int32), "seed": tf.TensorSpec([2], tf.int32)}
    assert not Endpoint(identity, inputs, batched=False).batched


def test_requests_are_converted_within_their_kind_only():
    specs = {"x": ROWS, "n": tf.TensorSpec([], tf.int32)}
    arrays = fit_request("It", specs, {"n": 2, "x": [[1, 2, 3]]})
    np.testing.assert_array_equal(arrays["x"], np.float32([[1, 2, 3]]), strict=True)
    np.testing.assert_array_equal(arrays["n"], np.int32(2), strict=True)
    with pytest.raises(ValueError, match="`n` of type int32 and shape .*received float64"):
        fit_request("It", specs, {"n": 2.5, "x": [[1, 2, 3]]})
    with pytest.raises(ValueError, match=r"received int64 of shape \(3,\)"):
        fit_request("It", specs, {"n": 2, "x": np.int64([1, 2, 3])})
    with pytest.raises(ValueError, match=r"inputs \['n', 'x'\]; received \['x', 'y'\]"):
        fit_request("It", specs, {"x": 0, "y": 0})


def test_numbers_that_a_type_cannot_hold_are_refused():
    specs = {"x": ROWS, "n": tf.TensorSpec([], tf.int32), "u": tf.TensorSpec([None], tf.uint8)}
    fine = {"x": [[np.inf, np.nan, 3e38]], "n": -(2**31), "u": np.uint64([0, 255])}
    arrays = fit_request("It", specs, fine)
    np.testing.assert_array_equal(arrays["x"], np.float32(fine["x"]), strict=True)
    np.testing.assert_array_equal(arrays["n"], np.int32(-(2**31)), strict=True)
    np.testing.assert_array_equal(arrays["u"], np.uint8([0, 255]), strict=True)
    for change, message in [
        ({"n": 2**31}, "It must have the input `n` within the range of int32; received 2147483648"),
        ({"u": np.uint64([3, 256])}, "`u` within the range of uint8; received 256"),
        ({"x": [[0.0, 0.0, -1e39]]}, r"`x` within the range of float32; received -1e\+39"),
    ]:
        with pytest.raises(ValueError, match=message):
            fit_request("It", specs, fine | change)
