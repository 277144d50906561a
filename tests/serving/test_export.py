"""An export holds the endpoints under their names, and appears whole or not at all."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.spaces import Space
from keras_genmod.serving import Endpoint, call, export_saved_model, verify, write_models_config
from keras_genmod.serving.examples import read_examples

ROOT = Path(__file__).resolve().parents[2]
X = (Space("x", (3,)),)

# The recording of examples comes after the SavedModel is written: it stops there.
KILLED = """
import sys, time
from keras_genmod.core.spaces import Space
from keras_genmod.serving import Endpoint, export_saved_model
traced = []
def double(x):
    traced.append(x)
    # The first trace makes the signature, the next one computes the example's answer.
    if len(traced) == 2:
        print("recording", flush=True)
        time.sleep(600)
    return {"y": 2.0 * x}
endpoint = Endpoint(double, [Space("x", (3,))])
examples = {"double": {"x": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}}
export_saved_model(sys.argv[1], {"double": endpoint}, "double", examples=examples)
"""


def times(factor):
    return Endpoint(lambda x: {"y": factor * x}, X)


def test_signatures_keep_names_types_and_a_free_batch(exported):
    loaded = tf.saved_model.load(exported.path)
    assert set(loaded.signatures) == {"encode", "sample", "sample_rows", "serving_default"}
    for name in ("encode", "serving_default"):
        assert loaded.signatures[name].structured_input_signature[1] == {
            "x": tf.TensorSpec([None, 3], name="x"),
            "scale": tf.TensorSpec([None, 1], name="scale"),
        }
        assert loaded.signatures[name].structured_outputs == {
            "z": tf.TensorSpec([None, 2], name="z"),
            "code": tf.TensorSpec([None], tf.int64, name="code"),
        }
    assert set(loaded.signatures["sample"].structured_input_signature[1]) == {"num_samples", "seed"}


def test_arguments_and_the_default_keep_their_places_whatever_the_alphabet(tmp_path):
    endpoint = Endpoint(lambda x, a: {"y": x - 2.0 * a}, (*X, Space("a", (3,))))
    # The default is neither the first by name nor the first that is given.
    export_saved_model(tmp_path / "1", {"double": times(2.0), "minus": endpoint}, "minus")
    loaded = tf.saved_model.load(tmp_path / "1")
    x, a = tf.fill([2, 3], 5.0), tf.fill([2, 3], 1.0)
    np.testing.assert_array_equal(loaded.signatures["minus"](x=x, a=a)["y"], np.full([2, 3], 3.0))
    default = loaded.signatures["serving_default"](x=x, a=a)["y"]
    np.testing.assert_array_equal(default, np.full([2, 3], 3.0))
    np.testing.assert_array_equal(loaded.minus(x, a)["y"], np.full([2, 3], 3.0))
    np.testing.assert_array_equal(loaded.minus(a=a, x=x)["y"], np.full([2, 3], 3.0))


def test_examples_are_the_answers_of_the_model_in_memory(exported):
    examples = {example.signature: example for example in read_examples(exported.path)}
    assert {name: example.batched for name, example in examples.items()} == {
        "encode": True,
        "sample_rows": True,
        "sample": False,
    }
    x, scale = (np.float32(exported.examples["encode"][name]) for name in ("x", "scale"))
    np.testing.assert_array_equal(examples["encode"].inputs["x"], x, strict=True)
    z = exported.model(x).numpy() * scale
    # Computed as a graph, which may add in another order.
    np.testing.assert_allclose(examples["encode"].outputs["z"], z, rtol=1e-5, atol=1e-7, strict=True)
    noise = tf.random.stateless_normal([6, 4], [1, 2]).numpy()
    np.testing.assert_array_equal(examples["sample"].outputs["x"], noise, strict=True)


def test_half_precision_is_answered_in_float32(tmp_path):
    endpoint = Endpoint(lambda x: {"a": tf.cast(x, tf.bfloat16), "b": tf.cast(x, tf.float16)}, X)
    examples = {"half": {"x": np.full([2, 3], 1.0 + 2.0**-7)}}
    export_saved_model(tmp_path / "1", {"half": endpoint}, "half", examples=examples)
    (recorded,) = read_examples(tmp_path / "1")
    for name in ("a", "b"):
        np.testing.assert_array_equal(recorded.outputs[name], np.float32(examples["half"]["x"]), strict=True)
    # A server gives what was recorded.
    assert verify(tmp_path / "1") == {"half": 0.0}


def test_lookup_tables_travel_with_a_tracked_layer(tmp_path):
    lookup = keras.layers.IntegerLookup(vocabulary=[10, 20, 30])
    lookup.build([None])
    endpoint = Endpoint(lambda label: {"y": lookup(label)}, [Space("label", (), tf.int64)])
    export_saved_model(tmp_path / "1", {"look_up": endpoint}, "look_up", lookup)
    answer = call(tmp_path / "1", "look_up", {"label": [20, 7, 10]})
    np.testing.assert_array_equal(answer["y"], [2, 0, 1])


def test_a_model_of_two_replicas_is_exported_like_any_other(strategy, tmp_path):
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    endpoint = Endpoint(lambda x: {"y": model(x)}, X)
    examples = {"call": {"x": np.arange(6.0).reshape(2, 3)}}
    export_saved_model(tmp_path / "1", {"call": endpoint}, "call", model, examples=examples)
    assert verify(tmp_path / "1")["call"] < 1e-5


def test_the_export_is_quiet_unless_asked(tmp_path, capsys, caplog):
    caplog.set_level(logging.INFO, "tensorflow")
    for verbose in (False, True):
        export_saved_model(tmp_path / f"{verbose}", {"double": times(2.0)}, "double", verbose=verbose)
        assert ("Assets written" in caplog.text) == verbose
        printed = f"Saved '{tmp_path}/True': signatures double; default double.\n"
        assert capsys.readouterr().out == (printed if verbose else "")
    assert tf.get_logger().level == logging.INFO


def test_existing_export_is_replaced_only_on_request(tmp_path):
    def ask():
        return float(tf.saved_model.load(tmp_path / "1").times(tf.ones([1, 3]))["y"][0, 0])

    export_saved_model(tmp_path / "1", {"times": times(2.0)}, "times")
    with pytest.raises(ValueError, match="overwrite=True"):
        export_saved_model(tmp_path / "1", {"times": times(3.0)}, "times")
    assert ask() == 2.0
    export_saved_model(tmp_path / "1", {"times": times(3.0)}, "times", overwrite=True)
    assert ask() == 3.0
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_overwrite_spares_folders_that_hold_something_else(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ValueError, match="holds other files"):
        export_saved_model(tmp_path, {"double": times(2.0)}, "double", overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filepath": "-1"}, "non-negative integer; received '-1'"),
        ({"endpoints": {}}, "`endpoints`, which is empty"),
        ({"default": "encode"}, "one of 'double'; received 'encode'"),
        ({"endpoints": {"double": lambda x: x}}, "Wrap the function"),
        ({"endpoints": {"double": times(2.0), "variables": times(2.0)}}, "received 'variables'"),
        ({"endpoints": {"double": times(2.0), "serving_default": times(2.0)}}, "received 'serving_default'"),
        ({"endpoints": {"double": times(2.0), "2x": times(2.0)}}, "received '2x'"),
        ({"endpoints": {"double": Endpoint(lambda x: x, X)}}, "`double` must return a non-empty dict"),
        ({"endpoints": {"double": Endpoint(lambda x: {"a b": x}, X)}}, "Python identifiers"),
        (
            {"endpoints": {"double": Endpoint(lambda x: {"y": tf.reduce_sum(x)}, X)}},
            "`y` of `double` .*front",
        ),
        (
            {"endpoints": {"double": Endpoint(lambda x: {"y": tf.ones([1, 3])}, X)}},
            r"received shape \(1, 3\)",
        ),
        (
            {"endpoints": {"double": Endpoint(lambda x: {"y": tf.cast(x, tf.complex64)}, X)}},
            "received complex64",
        ),
        ({"examples": {}}, r"every endpoint, \['double'\]; received \[\]"),
        ({"examples": {"double": {"z": np.ones([2, 3])}}}, r"inputs \['x'\]; received \['z'\]"),
        ({"examples": {"double": {"x": np.ones([2, 4])}}}, r"received float64 of shape \(2, 4\)"),
        ({"examples": {"double": {"x": np.ones([1, 3])}}}, "One row cannot show"),
    ],
)
def test_bad_arguments_are_refused_and_leave_nothing_behind(arguments, message, tmp_path):
    arguments = {"filepath": "1", "endpoints": {"double": times(2.0)}, "default": "double", **arguments}
    arguments["filepath"] = tmp_path / "model" / arguments["filepath"]
    with pytest.raises(ValueError, match=message):
        export_saved_model(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_example_leaves_nothing_behind(tmp_path):
    endpoint = Endpoint(lambda x: {"y": tf.linalg.inv(x)}, [Space("x", (2, 2))])
    with pytest.raises(tf.errors.InvalidArgumentError, match="not invertible"):
        export_saved_model(
            tmp_path / "1", {"inverse": endpoint}, "inverse", examples={"inverse": {"x": np.zeros([2, 2, 2])}}
        )
    assert list(tmp_path.iterdir()) == []


def test_killed_export_leaves_nothing_under_the_final_name(tmp_path):
    target = tmp_path / "double" / "1"
    command = [sys.executable, "-c", KILLED, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        assert process.stdout.readline() == b"recording\n"
        (leftover,) = target.parent.iterdir()
        assert (leftover / "saved_model.pb").is_file()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert os.listdir(target.parent) == [leftover.name] and leftover != target
    export_saved_model(target, {"double": times(2.0)}, "double")
    assert os.listdir(target.parent) == ["1"]


def test_an_export_behind_a_scheme_is_one_like_any_other(tmp_path, monkeypatch):
    """TensorFlow's file system in memory is the bucket."""
    monkeypatch.chdir(tmp_path)
    path = f"ram://{tmp_path.name}/double/3"
    weight = tf.Variable(2.0)
    endpoint = Endpoint(lambda x: {"y": weight * x}, X)
    examples = {"double": {"x": np.ones([2, 3], "float32")}}
    export_saved_model(path, {"double": endpoint}, "double", examples=examples)
    assert verify(path) == {"double": 0.0}
    loaded = tf.saved_model.load(path)
    np.testing.assert_array_equal(loaded.signatures["double"](x=tf.ones([1, 3]))["y"], [[2.0, 2.0, 2.0]])
    with pytest.raises(ValueError, match="next version"):
        export_saved_model(path, {"double": endpoint}, "double", overwrite=True)
    write_models_config("models.config", {"double": f"ram://{tmp_path.name}/double"})
    assert f'base_path: "ram://{tmp_path.name}/double"' in (tmp_path / "models.config").read_text()
    with pytest.raises(ValueError, match="`mounted_at`.*must be local"):
        write_models_config(f"{path}/../models.config", {"double": tmp_path}, mounted_at="/models")
    assert [file.name for file in tmp_path.iterdir()] == ["models.config"]
