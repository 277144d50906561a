"""The clients of `examples/serve.py`: what they send is well-formed, what they return is the answer."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.spaces import ROW_SEEDS, SEED, Space
from keras_genmod.serving import Endpoint, export_saved_model
from tests.serving.stand_in import Models, grpc_server, rest_server

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOISE = np.random.default_rng(3)
X, SCALE = NOISE.normal(size=(5, 3)).astype("float32"), NOISE.uniform(size=(5, 1)).astype("float32")
SEEDS = np.int32([[1, 2], [3, 4], [2**31 - 1, -5]])


@pytest.fixture(scope="module")
def serve():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("serve")


@pytest.fixture(scope="module")
def models(exported, tmp_path_factory):
    """The model of the other tests, and one whose answers JSON has no numbers for."""
    path = tmp_path_factory.mktemp("odd") / "7"
    rows = [Space("x", ())]
    endpoints = {
        "log": Endpoint(lambda x: {"y": tf.math.log(x)}, rows),
        "flip": Endpoint(lambda flag: {"flipped": ~flag}, [Space("flag", (), tf.bool)]),
        "spread": Endpoint(lambda x: {"y": tf.tile(x[:, None], [1, 2**21])}, rows),
    }
    export_saved_model(path, endpoints, "log")
    return Models({"toy": exported.path, "odd": path})


@pytest.fixture(scope="module")
def url(models):
    with rest_server(models) as url:
        yield f"{url}/v1/models"


@pytest.fixture(scope="module")
def address(models):
    pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    with grpc_server(models) as address:
        yield address


def expected_encoding(exported):
    encoded = exported.model(X).numpy()
    return encoded * SCALE, encoded.argmax(-1)


def test_rest_rows_of_several_inputs_and_outputs(serve, url, exported):
    rows = [{"x": x, "scale": scale} for x, scale in zip(X, SCALE, strict=True)]
    z, code = expected_encoding(exported)
    for signature in ("encode", None):
        answer = serve.rest_predict(f"{url}/toy", signature, instances=rows)
        np.testing.assert_allclose([row["z"] for row in answer], z, rtol=1e-5, atol=1e-6)
        assert [row["code"] for row in answer] == code.tolist()
        assert all(isinstance(row["code"], int) for row in answer)


def test_rest_columns_of_several_inputs_and_outputs(serve, url, exported):
    z, code = expected_encoding(exported)
    for model in ("toy", "toy/versions/1", "toy/labels/stable"):
        answer = serve.rest_predict(f"{url}/{model}", "encode", inputs={"x": X, "scale": SCALE})
        assert set(answer) == {"z", "code"}
        np.testing.assert_allclose(answer["z"], z, rtol=1e-5, atol=1e-6)
        assert answer["code"] == code.tolist()


def test_rest_forms_of_one_input_and_output(serve, url):
    noise = [tf.random.stateless_normal([4], seed).numpy() for seed in SEEDS]
    for form in (
        {"instances": [{"seed": seed} for seed in SEEDS]},
        {"instances": SEEDS},
        {"inputs": {"seed": SEEDS}},
        {"inputs": SEEDS},
    ):
        answer = serve.rest_predict(f"{url}/toy", "sample_rows", **form)
        np.testing.assert_allclose(answer, noise, rtol=1e-6)


def test_rest_scalars_go_in_columns(serve, url):
    noise = tf.random.stateless_normal([6, 4], [1, 2])
    for num_samples in (6, np.int32(6)):
        answer = serve.rest_predict(
            f"{url}/toy", "sample", inputs={"num_samples": num_samples, "seed": [1, 2]}
        )
        np.testing.assert_allclose(answer, noise, rtol=1e-6)


def test_rest_infinities_and_booleans(serve, url):
    answer = serve.rest_predict(f"{url}/odd", None, inputs={"x": [0.0, -1.0, np.inf, 1]})
    np.testing.assert_array_equal(answer, [-np.inf, np.nan, np.inf, 0.0])
    answer = serve.rest_predict(f"{url}/odd/versions/7", "flip", instances=np.array([True, False]))
    assert answer == [False, True]


@pytest.mark.parametrize(
    ("model", "signature", "form", "message"),
    [
        ("nobody", "encode", {"inputs": {}}, "(?s)answered 404.*Servable not found"),
        ("toy/versions/2", "encode", {"inputs": {}}, "(?s)answered 404.*Servable not found"),
        ("toy/labels/canary", "encode", {"inputs": {}}, "(?s)answered 404.*Servable not found"),
        ("toy", "draw", {"inputs": {}}, "answered 400.*draw.* not found"),
        ("toy", "encode", {"inputs": {"x": X}}, r"Missing named input: \['scale'\]"),
        ("toy", "encode", {"instances": X}, "expecting list of objects"),
        ("toy", "encode", {"instances": [{"x": X[0]}]}, "keys must be equal to: scale,x"),
        ("toy", "sample_rows", {"inputs": {"seed": [[1.0, 2.0]]}}, "1.0 is not of expected type: int32"),
        ("toy", "sample_rows", {"inputs": {"seed": [[1, 2], [3]]}}, "Encountered list at unexpected size"),
        ("toy", "sample_rows", {"instances": []}, "Excepting 'instances' to be"),
    ],
)
def test_rest_errors_of_the_server_are_told(model, signature, form, message, serve, url):
    with pytest.raises(RuntimeError, match=message):
        serve.rest_predict(f"{url}/{model}", signature, **form)


def test_rest_takes_rows_or_columns(serve, url):
    for form in ({}, {"instances": SEEDS, "inputs": SEEDS}):
        with pytest.raises(ValueError, match="one of `instances` and `inputs`"):
            serve.rest_predict(f"{url}/toy", "sample_rows", **form)


def test_grpc_answers_are_exact(serve, address, models, exported):
    z, code = expected_encoding(exported)
    for arguments in ({}, {"label": "stable"}):
        answer = serve.grpc_predict(address, "toy", "encode", {"x": X, "scale": SCALE}, **arguments)
        np.testing.assert_allclose(answer["z"], z, rtol=1e-5, atol=1e-6, strict=True)
        np.testing.assert_array_equal(answer["code"], code, strict=True)
    scalars = {"num_samples": np.int32(6), "seed": np.int32([1, 2])}
    answer = serve.grpc_predict(address, "toy", "sample", scalars)
    same = models.signature("toy", "sample")(**{name: tf.constant(value) for name, value in scalars.items()})
    np.testing.assert_array_equal(answer["x"], same["x"], strict=True)


def test_grpc_takes_the_default_signature_and_answers_above_4_mb(serve, address):
    x = np.float32([1.0, 0.0])
    answer = serve.grpc_predict(address, "odd", "", {"x": x})
    np.testing.assert_array_equal(answer["y"], np.float32([0.0, -np.inf]), strict=True)
    answer = serve.grpc_predict(address, "odd", "spread", {"x": x})
    assert answer["y"].nbytes == 2**24
    np.testing.assert_array_equal(answer["y"][:, -1], x)


@pytest.mark.parametrize(
    ("model", "inputs", "arguments", "message"),
    [
        ("nobody", {"seed": SEEDS}, {}, "(?s)NOT_FOUND.*Servable not found"),
        ("toy", {"seed": SEEDS}, {"label": "canary"}, "(?s)NOT_FOUND.*Servable not found"),
        ("toy", {"seeds": SEEDS}, {}, "(?s)INVALID_ARGUMENT.*input size does not match"),
        ("toy", {"seed": np.float32(SEEDS)}, {}, "(?s)INVALID_ARGUMENT.*seed to be int32 but float32"),
    ],
)
def test_grpc_errors_of_the_server_are_told(model, inputs, arguments, message, serve, address):
    import grpc

    with pytest.raises(grpc.RpcError, match=message):
        serve.grpc_predict(address, model, "sample_rows", inputs, **arguments)


def export_toy_digits(path):
    """The signatures of a VAE of digits that the example asks, quickly made."""
    x = Space("x", (8, 8, 1))

    def noise(seed):
        return tf.map_fn(
            lambda row: tf.random.stateless_normal([8, 8, 1], row), seed, fn_output_signature=tf.float32
        )

    endpoints = {
        "encode": Endpoint(lambda x: {"z": tf.reduce_sum(x, axis=[2, 3]) / 3.0}, [x]),
        "sample_rows": Endpoint(lambda seed: {"x": noise(seed)}, [ROW_SEEDS]),
        "log_prob": Endpoint(
            lambda x, seed: {"log_prob": tf.reduce_sum(x * noise(seed), axis=[1, 2, 3])},
            [x, ROW_SEEDS],
        ),
        "sample": Endpoint(
            lambda num_samples, seed: {"x": tf.random.stateless_normal([num_samples, 8, 8, 1], seed)},
            [Space("num_samples", (), tf.int32, batched=False), SEED],
            batched=False,
        ),
    }
    export_saved_model(path, endpoints, "encode")


def test_the_example_asks_a_running_server(serve, tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    differences = []

    def compare(*arguments):
        differences.append(plain_compare(*arguments))

    plain_compare = serve.compare
    monkeypatch.setattr(serve, "compare", compare)
    monkeypatch.chdir(tmp_path)
    export_toy_digits(serve.VERSION)
    models = Models({"digits": serve.VERSION})
    with rest_server(models) as rest, grpc_server(models) as grpc:
        serve.ask(rest, grpc)
    # Another process, perhaps with another number of threads: floats to rounding.
    assert len(differences) == 6 and max(differences) < 1e-5
    assert capsys.readouterr().out.count("largest difference") == 6
