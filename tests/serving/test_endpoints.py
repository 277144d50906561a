"""Endpoints that could not be served are refused when they are made; each knows a request that it takes."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.checks import ValueRange
from keras_genmod.core.spaces import ROW_SEEDS, SEED, Space
from keras_genmod.serving import Endpoint
from keras_genmod.serving.endpoints import fit_request

ROWS = tf.TensorSpec([None, 3])
X = Space("x", (3,))
ONE = Space("n", (), tf.int32, batched=False)


def identity(x):
    return {"x": x}


def test_specs_are_ordered_and_named_after_the_arguments():
    endpoint = Endpoint(identity, [Space("b", (3,)), Space("a", (), tf.int64)])
    assert endpoint.names == ("b", "a")
    assert endpoint.specs == (
        tf.TensorSpec([None, 3], tf.float32, name="b"),
        tf.TensorSpec([None], tf.int64, name="a"),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": {"x": 1}, "inputs": [X]}, "`function` must be callable"),
        ({"inputs": []}, "`inputs` must be a non-empty list of `Space`s"),
        ({"inputs": X}, "`inputs` must be a non-empty list of `Space`s"),
        ({"inputs": [ROWS]}, "`inputs` must be a non-empty list of `Space`s"),
        ({"inputs": [X, X]}, r"names of `inputs` must differ; received \['x', 'x'\]"),
        ({"inputs": [Space("lambda", (3,))]}, "identifiers; received 'lambda'"),
        ({"inputs": [Space("x", (3,), tf.bfloat16)]}, "received bfloat16"),
        ({"inputs": [X, ONE]}, r"`n` of a batched endpoint .*batched=False"),
        ({"inputs": [X, Space("seed", (2,), tf.int64)]}, "must be int32 .*int64"),
        ({"inputs": [X, Space("seed", (), tf.int32)]}, r"of shape \[None, 2\]"),
        ({"inputs": [X], "example": {"z": 1}}, r"of the inputs \['x'\]; received \['z'\] too"),
        ({"inputs": [X], "example": {"x": [1.0, 2.0]}}, r"`x` must have shape \[batch, 3\]; received \(2,\)"),
    ],
)
def test_what_cannot_be_served_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Endpoint(**{"function": identity, **arguments})


def test_scalar_arguments_are_allowed_where_there_is_no_batch():
    assert not Endpoint(identity, [ONE, SEED, X], batched=False).batched


def test_the_example_request_lies_in_the_spaces():
    """A denoiser with an integer time, which once got a time of 1826701614."""
    time = Space("t", (), tf.int32, ValueRange(0, 999))
    mask = Space("mask", (3,), tf.float32, ValueRange(0, 1, integer=True))
    endpoint = Endpoint(identity, [X, time, mask, ROW_SEEDS])
    for rows in (2, 3, 50):
        request = endpoint.request(rows)
        assert list(request) == ["x", "t", "mask", "seed"]
        assert {len(array) for array in request.values()} == {rows}
        for space in endpoint.inputs:
            space.check(request[space.name])
        assert request["t"].min() >= 0 and request["t"].max() <= 999
        assert set(np.unique(request["mask"])) <= {0.0, 1.0}
        # Types are those of the signature: nothing is converted.
        fitted = fit_request("It", {spec.name: spec for spec in endpoint.specs}, request)
        for name, array in request.items():
            np.testing.assert_array_equal(fitted[name], array, strict=True)


def test_an_endpoint_may_replace_a_part_of_its_example():
    endpoint = Endpoint(identity, [ONE, X], batched=False, example={"n": 4})
    request = endpoint.request(4)
    np.testing.assert_array_equal(request["n"], np.int32(4), strict=True)
    np.testing.assert_array_equal(request["x"], X.example(4), strict=True)


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
