"""The process that stands for a model server: no Python TensorFlow, no XLA, the numbers of the model."""

import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod import serving
from keras_genmod.core.spaces import Space
from keras_genmod.serving import Endpoint, export_saved_model, runner

VALUES = {
    tf.float32: [-np.inf, -0.1, 0.0, np.nan, 3.4e38],
    tf.float64: [-1e300, 0.1, np.inf],
    tf.bool: [True, False, True],
    tf.int8: [-128, 127],
    tf.int16: [-32768, 32767],
    tf.int32: [-(2**31), 2**31 - 1],
    tf.int64: [-(2**63), 2**63 - 1],
    tf.uint8: [0, 255],
    tf.uint16: [0, 65535],
    tf.uint32: [0, 2**32 - 1],
    tf.uint64: [0, 2**64 - 1],
}


def test_answers_are_those_of_the_model_in_memory(exported):
    noise = np.random.default_rng(1)
    x, scale = noise.normal(size=(7, 3)), noise.uniform(size=(7, 1))
    encoded, default, rows, drawn = serving.run(
        exported.path,
        [
            ("encode", {"x": x, "scale": scale}),
            ("serving_default", {"scale": scale, "x": x}),
            ("sample_rows", {"seed": [[1, 2], [3, 4]]}),
            ("sample", {"num_samples": 5, "seed": [6, 7]}),
        ],
    )
    z = exported.model(np.float32(x)).numpy() * np.float32(scale)
    np.testing.assert_allclose(encoded["z"], z, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(
        encoded["code"], exported.model(np.float32(x)).numpy().argmax(-1), strict=True
    )
    np.testing.assert_array_equal(default["z"], encoded["z"])
    for row, seed in zip(rows["x"], [[1, 2], [3, 4]], strict=True):
        np.testing.assert_allclose(row, tf.random.stateless_normal([4], seed), rtol=1e-6)
    np.testing.assert_allclose(drawn["x"], tf.random.stateless_normal([5, 4], [6, 7]), rtol=1e-6)


def test_all_types_scalars_and_empty_batches_pass_through(tmp_path):
    names = {dtype.name: values for dtype, values in VALUES.items()}
    rows = Endpoint(
        lambda *tensors: dict(zip(names, map(tf.identity, tensors), strict=True)),
        [Space(dtype.name, (), dtype) for dtype in VALUES],
        batched=False,
    )
    scalar = Endpoint(lambda n: {"n": n + 1}, [Space("n", (), tf.int64, batched=False)], batched=False)
    export_saved_model(tmp_path / "1", {"rows": rows, "scalar": scalar}, "rows")
    given = {name: np.array(values, name) for name, values in names.items()}
    empty = {name: np.zeros([0], name) for name in names}
    full_answer, empty_answer, scalar_answer = serving.run(
        tmp_path / "1", [("rows", given), ("rows", empty), ("scalar", {"n": 41})]
    )
    for name in names:
        np.testing.assert_array_equal(full_answer[name], given[name], strict=True)
        np.testing.assert_array_equal(empty_answer[name], empty[name], strict=True)
    np.testing.assert_array_equal(scalar_answer["n"], np.int64(42), strict=True)


def test_the_process_imports_neither_tensorflow_nor_this_package(exported, monkeypatch):
    log = []

    def run(command, **options):
        process = subprocess_run([command[0], "-X", "importtime", *command[1:]], **options)
        log.extend(line.rpartition("|")[2].strip() for line in process.stderr.splitlines())
        return process

    subprocess_run = subprocess.run
    monkeypatch.setattr(runner.subprocess, "run", run)
    serving.call(exported.path, "sample", {"num_samples": 1, "seed": [1, 2]})
    assert "numpy" in log
    assert not {name.partition(".")[0] for name in log} & {"tensorflow", "keras", "keras_genmod"}


def test_a_function_that_must_be_compiled_fails_here_though_python_runs_it(tmp_path):
    module = tf.Module()
    compiled = tf.function(lambda x: 2.0 * x, jit_compile=True, autograph=False)
    module.f = tf.function(lambda x: {"y": compiled(x)}, [tf.TensorSpec([None], name="x")], autograph=False)
    tf.saved_model.save(module, tmp_path, signatures={"f": module.f})
    assert tf.saved_model.load(tmp_path).signatures["f"](x=tf.constant([1.5]))["y"].numpy() == [3.0]
    with pytest.raises(
        RuntimeError, match="(?s)Signature `f` .request 0. failed: .*XLA compilation disabled"
    ):
        serving.call(tmp_path, "f", {"x": [1.5]})


def test_errors_of_tensorflow_come_back_as_text(exported, tmp_path):
    endpoint = Endpoint(lambda x: {"y": tf.linalg.inv(x)}, [Space("x", (2, 2))])
    export_saved_model(tmp_path / "1", {"inverse": endpoint}, "inverse")
    requests = [("inverse", {"x": np.eye(2)[None]}), ("inverse", {"x": np.zeros([1, 2, 2])})]
    with pytest.raises(RuntimeError, match="(?s)`inverse` .request 1. failed: .*not invertible"):
        serving.run(tmp_path / "1", requests)
    path = shutil.copytree(exported.path, tmp_path / "torn")
    next(path.glob("variables/*.data-*")).unlink()
    with pytest.raises(RuntimeError, match="(?s)code 1:.*Loading failed: .*variables.data"):
        serving.call(path, "sample", {"num_samples": 1, "seed": [1, 2]})


def test_requests_that_do_not_fit_are_refused_before_the_process_starts(exported, monkeypatch):
    monkeypatch.setattr(runner.subprocess, "run", lambda *_, **__: pytest.fail("A process was started."))
    with pytest.raises(
        ValueError, match="one of encode, sample, sample_rows, serving_default; received 'draw'"
    ):
        serving.call(exported.path, "draw", {})
    with pytest.raises(ValueError, match=r"inputs \['num_samples', 'seed'\]; received \['seed'\]"):
        serving.call(exported.path, "sample", {"seed": [1, 2]})
    with pytest.raises(ValueError, match=r"`seed` of type int32 and shape \(2,\)"):
        serving.call(exported.path, "sample", {"num_samples": 1, "seed": [1, 2, 3]})


def test_a_folder_that_is_no_saved_model_is_refused(exported, tmp_path):
    for path in (exported.path.parent, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match="must be the folder of a SavedModel"):
            serving.call(path, "encode", {})
    (tmp_path / "saved_model.pb").write_bytes(b"torn")
    with pytest.raises(ValueError, match="DecodeError"):
        serving.call(tmp_path, "encode", {})
