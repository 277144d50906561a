"""The check of an export passes for a good one and names what is wrong with a bad one."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.spaces import Space
from keras_genmod.serving import Endpoint, export_saved_model, verify
from keras_genmod.serving.examples import read_examples, write_examples
from keras_genmod.serving.verify import _difference


def export(path, function, example, **options):
    inputs = [Space(name, np.shape(value)[1:]) for name, value in example.items()]
    endpoint = Endpoint(function, inputs, **options)
    export_saved_model(path, {"wrong": endpoint}, "wrong", examples={"wrong": example})


def test_a_good_export_passes_with_its_differences(exported):
    differences = verify(exported.path)
    assert set(differences) == {"encode", "sample", "sample_rows"}
    # A few roundings of numbers of order one.
    assert max(differences.values()) < 1e-6


@pytest.mark.parametrize(
    ("signature", "output", "change", "received"),
    [
        ("encode", "z", 0.5, "0.5"),
        pytest.param("sample", "x", 1e-3, "0.001", marks=pytest.mark.slow),
        ("encode", "code", 1, "1"),
    ],
)
def test_a_changed_number_is_found(signature, output, change, received, exported, tmp_path):
    path = shutil.copytree(exported.path, tmp_path / "1")
    examples = read_examples(path)
    for example in examples:
        if example.signature == signature:
            example.outputs[output][1] += change
    write_examples(path, examples)
    message = f"Output `{output}` of signature `{signature}` must .*difference of {received}"
    # Integers must be the same whatever the tolerance.
    tolerances = {"rtol": 9.0, "atol": 9.0} if output == "code" else {}
    with pytest.raises(ValueError, match=message):
        verify(path, **tolerances)
    if output != "code":
        assert verify(path, atol=2.0 * change)[signature] == pytest.approx(change, rel=1e-3)


def test_weights_of_another_training_are_found(tmp_path):
    weight = tf.Variable(2.0)
    for version in ("1", "2"):
        export(tmp_path / version, lambda x: {"y": x * weight}, {"x": np.ones([2, 2])})
        assert verify(tmp_path / version) == {"wrong": 0.0}
        weight.assign_add(1.0)
    shutil.copytree(tmp_path / "2" / "variables", tmp_path / "1" / "variables", dirs_exist_ok=True)
    with pytest.raises(ValueError, match="must equal what the model in memory answered.*difference of 1 "):
        verify(tmp_path / "1")


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: {"y": x - tf.reduce_mean(x, axis=0)}, id="batch mean"),
        pytest.param(
            lambda x: {"y": x + tf.cast(tf.range(tf.shape(x)[0]), tf.float32)[:, None]},
            id="row number",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda x: {"y": x + tf.random.stateless_normal(tf.shape(x), [1, 2])},
            id="one seed for the batch",
            marks=pytest.mark.slow,
        ),
        pytest.param(lambda x: {"y": tf.reverse(x, [0])}, id="reversed rows"),
    ],
)
def test_mixed_rows_are_found(function, tmp_path):
    export(tmp_path / "1", function, {"x": np.random.default_rng(0).normal(size=(3, 2))})
    with pytest.raises(
        ValueError, match=r"Output `y` of signature `wrong` for row \d alone .*influence one another"
    ):
        verify(tmp_path / "1")


def test_mixed_rows_are_allowed_where_there_is_no_batch(tmp_path):
    example = {"x": np.random.default_rng(0).normal(size=(3, 2))}
    export(tmp_path / "1", lambda x: {"y": x - tf.reduce_mean(x, axis=0)}, example, batched=False)
    assert verify(tmp_path / "1")["wrong"] < 1e-6


def test_an_endpoint_that_answers_by_python_state_is_found(tmp_path):
    calls = []

    def function(x):
        calls.append(x)
        return {"y": x + float(len(calls))}

    export(tmp_path / "1", function, {"x": np.zeros([2, 2])})
    with pytest.raises(ValueError, match="must equal what the model in memory answered.*difference of"):
        verify(tmp_path / "1")


def test_infinite_and_undefined_numbers_count_as_equal_to_themselves_only():
    def check(received, expected):
        return _difference(np.float32(received), np.float32(expected), 1e-5, 1e-5, "It must hold", "")

    assert check([np.inf, -np.inf, np.nan, 1.0], [np.inf, -np.inf, np.nan, 1.0]) == 0.0
    for received, expected in [(np.nan, 1.0), (1.0, np.nan), (1.0, np.inf), (np.inf, 1.0), (np.inf, -np.inf)]:
        with pytest.raises(ValueError, match="difference of (inf|1.79)"):
            check([received], [expected])


def test_other_shapes_and_types_are_found():
    for received in (np.zeros([2, 1], "float32"), np.zeros([2], "float64")):
        with pytest.raises(ValueError, match=r"float32 of shape \(2,\); received"):
            _difference(received, np.zeros([2], "float32"), 1.0, 1.0, "It must hold", "")


def test_an_export_without_all_outputs_is_found(exported, tmp_path):
    path = shutil.copytree(exported.path, tmp_path / "1")
    examples = [
        dataclasses.replace(example, outputs=example.outputs | {"more": np.zeros([3])})
        for example in read_examples(path)
    ]
    write_examples(path, examples)
    with pytest.raises(ValueError, match=r"must give the outputs \[.*'more'.*\]; received"):
        verify(path)


def test_a_folder_without_examples_is_refused(exported, tmp_path):
    path = shutil.copytree(exported.path, tmp_path / "1")
    shutil.rmtree(path / "assets.extra")
    with pytest.raises(ValueError, match="recorded examples.*made with `examples`"):
        verify(path)
    with pytest.raises(ValueError, match="version folder"):
        verify(tmp_path)
