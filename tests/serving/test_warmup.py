"""Warm-up records: what was answered is written, as it was asked, whole; anything else leaves no trace."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod import serving
from keras_genmod.core.spaces import Space
from keras_genmod.serving import Endpoint, export_saved_model, runner, warmup, write_warmup
from keras_genmod.serving.examples import read_examples
from tests.serving.test_runner import VALUES

FILE = "assets.extra/tf_serving_warmup_requests"


@pytest.fixture
def prediction_log():
    return pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")


@pytest.fixture
def path(exported, tmp_path):
    return shutil.copytree(exported.path, tmp_path / "1")


@pytest.fixture
def no_process(monkeypatch):
    monkeypatch.setattr(runner.subprocess, "run", lambda *_, **__: pytest.fail("A process was started."))


def read(path, prediction_log):
    """What a server finds: signature and inputs of each record."""
    requests = []
    for record in tf.data.TFRecordDataset(str(path / FILE)):
        log = prediction_log.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        requests.append((request.model_spec.signature_name, inputs))
    return requests


def contents(folder):
    """Every file below a folder, hidden ones too, with its bytes."""
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_file_holds_the_given_requests_in_their_signatures_types(prediction_log, exported, path):
    noise = np.random.default_rng(1)
    x, scale = noise.normal(size=(7, 3)), noise.uniform(size=(7, 1))
    requests = [
        ("encode", {"x": x, "scale": scale}),
        ("serving_default", {"scale": scale[:1], "x": x[:1]}),
        ("sample", {"num_samples": 5, "seed": [6, 7]}),
        ("encode", {"x": x[:2], "scale": scale[:2]}),
    ]
    assert write_warmup(path, iter(requests)) == ["encode", "serving_default", "sample", "encode"]
    records = read(path, prediction_log)
    assert [signature for signature, _ in records] == [signature for signature, _ in requests]
    dtypes = {"x": np.float32, "scale": np.float32, "num_samples": np.int32, "seed": np.int32}
    for (_, recorded), (_, given) in zip(records, requests, strict=True):
        assert set(recorded) == set(given)
        for name, value in given.items():
            np.testing.assert_array_equal(recorded[name], np.asarray(value, dtypes[name]), strict=True)
    encoded, default, drawn, _ = serving.run(path, records)
    z = exported.model(np.float32(x)).numpy() * np.float32(scale)
    np.testing.assert_allclose(encoded["z"], z, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(default["z"], z[:1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(drawn["x"], tf.random.stateless_normal([5, 4], [6, 7]), rtol=1e-6)


def test_by_default_the_row_wise_examples_are_asked_and_the_default_signature_too(prediction_log, path):
    assert write_warmup(path) == ["sample_rows", "encode", "serving_default"]
    examples = {example.signature: example for example in read_examples(path)}
    examples["serving_default"] = examples["encode"]
    records = read(path, prediction_log)
    assert [signature for signature, _ in records] == ["sample_rows", "encode", "serving_default"]
    for (signature, inputs), answer in zip(records, serving.run(path, records), strict=True):
        for name, value in examples[signature].inputs.items():
            np.testing.assert_array_equal(inputs[name], value, strict=True)
        for name, value in examples[signature].outputs.items():
            np.testing.assert_allclose(answer[name], value, rtol=1e-5, atol=1e-5, strict=True)
    # The server reads what comes after the SavedModel too: it is still the one that was exported.
    assert set(serving.verify(path)) == {"encode", "sample", "sample_rows"}


def test_all_types_scalars_and_empty_batches_are_recorded(prediction_log, tmp_path):
    names = {dtype.name: values for dtype, values in VALUES.items()}
    rows = Endpoint(
        lambda *tensors: dict(zip(names, map(tf.identity, tensors), strict=True)),
        [Space(dtype.name, (), dtype) for dtype in VALUES],
        batched=False,
    )
    scalars = Endpoint(
        lambda *tensors: dict(zip(names, map(tf.identity, tensors), strict=True)),
        [Space(dtype.name, (), dtype, batched=False) for dtype in VALUES],
        batched=False,
    )
    export_saved_model(tmp_path / "1", {"rows": rows, "scalars": scalars}, "rows")
    given = [
        ("rows", {name: np.array(values, name) for name, values in names.items()}),
        ("rows", {name: np.zeros([0], name) for name in names}),
        ("scalars", {name: np.array(values[0], name) for name, values in names.items()}),
    ]
    write_warmup(tmp_path / "1", given)
    for (_, recorded), (_, inputs) in zip(read(tmp_path / "1", prediction_log), given, strict=True):
        for name in names:
            np.testing.assert_array_equal(recorded[name], inputs[name], strict=True)


SEEDS = {"seed": [[1, 2]]}


@pytest.mark.parametrize("earlier", [False, True], ids=["first", "again"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (("encode", {"x": np.ones([2, 4]), "scale": np.ones([2, 1])}), r"received float64 of shape \(2, 4\)"),
        (("sample", {"num_samples": [1], "seed": [1, 2]}), r"`num_samples` of type int32 and shape \(\)"),
        (("sample_rows", {"seed": [[0.5, 1.0]]}), "`seed` of type int32 .*received float64"),
        (("sample_rows", {"seed": [["a", "b"]]}), "`seed` of type int32 .*received <U1"),
        (("sample_rows", {"seed": [[2**31, 1]]}), "within the range of int32; received 2147483648"),
        (("encode", {"x": [[1e39, 0, 0]], "scale": [[1]]}), "within the range of float32; received 1e.39"),
        (("sample_rows", {"seeds": [[1, 2]]}), r"inputs \['seed'\]; received \['seeds'\]"),
        (("sample_rows", {**SEEDS, "x": 1}), r"inputs \['seed'\]; received \['seed', 'x'\]"),
        (("draw", SEEDS), "signature must be one of .*received 'draw'"),
        (("__saved_model_init_op", {}), "signature must be one of .*received '__saved_model_init_op'"),
        ("sample_rows", "must be a pair .*received 'sample_rows'"),
        (("sample_rows", [[1, 2]]), r"must be a pair .*received \('sample_rows', \[\[1, 2\]\]\)"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_before_anything_is_written(
    bad, message, earlier, prediction_log, path, no_process
):
    if earlier:
        (path / FILE).write_bytes(b"earlier")
    before = contents(path)
    with pytest.raises(ValueError, match=message):
        write_warmup(path, [("sample_rows", SEEDS), bad, ("sample_rows", SEEDS)])
    assert contents(path) == before


@pytest.mark.parametrize("number", [0, 1001])
def test_a_server_takes_up_to_a_thousand_records(number, prediction_log, path, no_process):
    before = contents(path)
    with pytest.raises(ValueError, match=f"contain 1 to 1000 requests.*received {number}"):
        write_warmup(path, [("sample_rows", SEEDS)] * number)
    assert contents(path) == before


def test_a_thousand_records_are_written(prediction_log, path):
    write_warmup(path, [("sample_rows", {"seed": [[0, number]]}) for number in range(1000)])
    assert [inputs["seed"][0, 1] for _, inputs in read(path, prediction_log)] == list(range(1000))


def test_a_request_that_the_export_does_not_answer_is_refused(prediction_log, tmp_path):
    def draw(num_samples):
        with tf.control_dependencies([tf.debugging.Assert(num_samples <= 8, ["At most 8:", num_samples])]):
            return {"x": tf.random.stateless_normal([num_samples, 2], [1, 2])}

    endpoint = Endpoint(draw, [Space("num_samples", (), tf.int32, batched=False)], batched=False)
    export_saved_model(tmp_path / "1", {"draw": endpoint}, "draw")
    before = contents(tmp_path)
    requests = [("draw", {"num_samples": 8}), ("draw", {"num_samples": 9})]
    with pytest.raises(RuntimeError, match="(?s)`draw` .request 1. failed: .*At most 8:"):
        write_warmup(tmp_path / "1", requests)
    assert contents(tmp_path) == before and os.listdir(tmp_path / "1").count("assets.extra") == 0
    assert write_warmup(tmp_path / "1", requests[:1]) == ["draw"]


def test_what_is_asked_is_what_the_records_say(prediction_log, path, monkeypatch):
    def forget_an_input(prediction_log, signature, inputs):
        return serialize(prediction_log, signature, {"x": inputs["x"]})

    serialize = warmup._serialize
    monkeypatch.setattr(warmup, "_serialize", forget_an_input)
    before = contents(path)
    with pytest.raises(ValueError, match=r"inputs \['scale', 'x'\]; received \['x'\]"):
        write_warmup(path, [("encode", {"x": np.ones([2, 3]), "scale": np.ones([2, 1])})])
    assert contents(path) == before


@pytest.mark.parametrize("earlier", [False, True], ids=["first", "again"])
def test_an_interrupted_write_leaves_nothing(earlier, prediction_log, path, monkeypatch):
    class Interrupted(tf.io.TFRecordWriter):
        def write(self, record):
            super().write(record)
            self.flush()
            raise KeyboardInterrupt

    if earlier:
        write_warmup(path)
    before = contents(path)
    monkeypatch.setattr(tf.io, "TFRecordWriter", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_warmup(path, [("sample_rows", SEEDS)] * 2)
    assert contents(path) == before


def test_an_export_appears_together_with_its_records(prediction_log, tmp_path):
    def export(path, **options):
        endpoints = {
            "double": Endpoint(lambda x: {"y": 2.0 * x}, [Space("x", (3,))]),
            "inverse": Endpoint(lambda a: {"b": tf.linalg.inv(a)}, [Space("a", (2, 2))]),
        }
        export_saved_model(path, endpoints, "inverse", warmup=True, **options)

    with pytest.raises(ValueError, match="`warmup` needs requests"):
        export(tmp_path / "1")
    assert os.listdir(tmp_path) == []
    examples = {"double": {"x": np.ones([2, 3])}, "inverse": {"a": np.stack([np.eye(2), 2 * np.eye(2)])}}
    export(tmp_path / "1", examples=examples)
    assert os.listdir(tmp_path) == ["1"]
    records = read(tmp_path / "1", prediction_log)
    assert [signature for signature, _ in records] == ["double", "inverse", "serving_default"]
    np.testing.assert_array_equal(records[2][1]["a"], np.float32(examples["inverse"]["a"]), strict=True)


def test_an_export_whose_records_fail_does_not_appear(prediction_log, tmp_path):
    endpoint = Endpoint(lambda n: {"n": n + 1}, [Space("n", (), tf.int64, batched=False)], batched=False)
    with pytest.raises(ValueError, match="row-wise signature.*Give `requests`"):
        export_saved_model(
            tmp_path / "1", {"count": endpoint}, "count", examples={"count": {"n": 1}}, warmup=True
        )
    assert os.listdir(tmp_path) == []


def test_without_the_package_the_error_says_what_to_install(exported, path, monkeypatch, no_process):
    for name in ("tensorflow_serving", "tensorflow_serving.apis"):
        monkeypatch.setitem(sys.modules, name, None)
    before = contents(path)
    with pytest.raises(ImportError, match=r"pip install keras_genmod\[serving\]"):
        write_warmup(path)
    with pytest.raises(ImportError, match=r"pip install keras_genmod\[serving\]"):
        export_saved_model(
            path.parent / "2", exported.endpoints, "encode", examples=exported.examples, warmup=True
        )
    assert contents(path.parent) == before


def test_an_export_without_examples_or_a_folder_without_an_export_is_refused(prediction_log, path, tmp_path):
    shutil.rmtree(path / "assets.extra")
    with pytest.raises(ValueError, match="recorded examples"):
        write_warmup(path)
    with pytest.raises(ValueError, match="must be the folder of a SavedModel"):
        write_warmup(tmp_path, [("sample_rows", SEEDS)])


def test_records_go_behind_a_scheme(prediction_log, exported, tmp_path):
    """TensorFlow's file system in memory is the bucket; the export's files go there one by one."""
    bucket = f"ram://{tmp_path.name}/1"
    for file in Path(exported.path).rglob("*"):
        if file.is_file():
            target = f"{bucket}/{file.relative_to(exported.path)}"
            tf.io.gfile.makedirs(os.path.dirname(target))
            tf.io.gfile.copy(str(file), target)
    names = write_warmup(bucket)
    assert names == ["sample_rows", "encode", "serving_default"]
    tf.io.gfile.copy(f"{bucket}/{FILE}", str(tmp_path / "records"))
    assert sum(1 for _ in tf.data.TFRecordDataset(str(tmp_path / "records"))) == 3
