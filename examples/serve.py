"""A model behind TensorFlow Serving, and its clients: `python examples/serve.py`.

Trains a small variational autoencoder on scikit-learn's handwritten digits, exports it with warm-up
records, checks the export, writes the server's configuration and prints the command that starts a server
in a container. All files go to `serve_output/`. Needs `pip install keras_genmod[serving]`.

With the server running, `python examples/serve.py ask` sends it requests over REST and over gRPC and
compares the answers with the export's own. `rest_predict` needs nothing but Python's standard library,
and `grpc_predict` TensorFlow and `tensorflow-serving-api`: a client needs no `keras_genmod`.
"""

import quiet_start  # isort: skip

import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_genmod as kg

OUTPUT = Path("serve_output")
VERSION = OUTPUT / "models" / "digits" / "1"


def rest_predict(url, signature, *, instances=None, inputs=None, timeout=30.0):
    """Sends a request to a server over REST.

    A request may be given in rows or in columns. `instances` is a list with one dict, input name -> value,
    for each row; `inputs` is one dict, input name -> array. A signature that is not row-wise needs `inputs`.

    Args:
        url: The model, such as "http://localhost:8501/v1/models/digits"; `/versions/1` or
            `/labels/stable` may follow.
        signature: The signature's name, or None for the default one.
        instances: The rows, or None.
        inputs: The columns, or None.
        timeout: Seconds.

    Returns:
        A list of rows for `instances`, columns for `inputs`: bare values if the signature has one output,
        dicts by output name if it has several.
    """
    if (instances is None) == (inputs is None):
        raise ValueError("Give one of `instances` and `inputs`: a server refuses requests with both or none.")
    body = {"instances": instances} if inputs is None else {"inputs": inputs}
    if signature is not None:
        body["signature_name"] = signature
    data = json.dumps(body, default=lambda array: array.tolist()).encode()
    request = urllib.request.Request(f"{url}:predict", data)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"The server answered {error.code}: {error.read().decode()}") from None
    return answer["outputs" if instances is None else "predictions"]


def grpc_predict(address, model, signature, inputs, *, label=None, timeout=30.0):
    """Sends a request to a server over gRPC, which transfers arrays as bytes: faster than REST, and exact.

    Args:
        address: Host and port, such as "localhost:8500".
        model: The model's name.
        signature: The signature's name, or "" for the default one.
        inputs: Input name -> array, of exactly the dtype that the signature takes.
        label: Label of the version to use; by default the latest version.
        timeout: Seconds.

    Returns:
        Output name -> array.
    """
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if label is not None:
        request.model_spec.version_label = label
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    # By default a client refuses answers above 4 MB; a thousand 28x28 float32 pictures take 3 MB.
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request, timeout=timeout)
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def prepare():
    """Trains, exports and checks a model, and writes the files that a server needs."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    digits = kg.data.load("digits")
    train = kg.data.binarize(digits["train"] / 16)
    print(f"1. Train on {len(train):,} digits", flush=True)
    model = kg.VAE((8, 8, 1), latent_dim=8, seed=1)
    model.compile(keras.optimizers.Adam(2e-3))
    model.fit(train, batch_size=16, epochs=10, verbose=0)

    model.export(VERSION)
    differences = kg.serving.verify(VERSION)
    print(f"2. Exported to {VERSION}; largest difference from the model {max(differences.values()):.1e}")

    warmed = kg.serving.write_warmup(VERSION)
    print(f"3. Warm-up records, each answered by the export: {', '.join(warmed)}")

    config = OUTPUT / "models" / "models.config"
    kg.serving.write_models_config(
        config,
        {"digits": VERSION.parent},
        versions={"digits": [1]},
        labels={"digits": {"stable": 1}},
        mounted_at="/models",
    )
    print(f"4. {config}:\n{config.read_text()}")

    print(
        "5. Start a server, REST on port 8501 and gRPC on port 8500:\n\n"
        f"docker run --rm -p 8500:8500 -p 8501:8501 -v '{config.parent.resolve()}:/models:ro' \\\n"
        "    tensorflow/serving --model_config_file=/models/models.config \\\n"
        "    --allow_version_labels_for_unavailable_models=true\n"
    )
    body = {"signature_name": "sample_rows", "instances": [{"seed": [1, 2]}, {"seed": [3, 4]}]}
    print(
        "6. Ask it:\n\npython examples/serve.py ask\n"
        f"curl -d '{json.dumps(body)}' http://localhost:8501/v1/models/digits/labels/stable:predict"
    )


def ask(rest="http://localhost:8501", grpc="localhost:8500"):
    """Sends requests of every form to a running server and compares with the export's own answers."""
    x = kg.data.binarize(kg.data.load("digits")["test"][:3] / 16)
    seeds = np.int32([[1, 2], [3, 4], [5, 6]])
    encoded, sampled, drawn, scored = kg.serving.run(
        VERSION,
        [
            ("encode", {"x": x}),
            ("sample_rows", {"seed": seeds}),
            ("sample", {"num_samples": 2, "seed": [0, 7]}),
            ("log_prob", {"x": x, "seed": seeds}),
        ],
    )
    digits = f"{rest}/v1/models/digits"
    pictures, log_probs = [{"x": picture} for picture in x], []
    for picture, seed in zip(x, seeds, strict=True):
        log_probs.append({"x": picture, "seed": seed})
    compare("REST, rows", rest_predict(digits, "encode", instances=pictures), encoded)
    compare("REST, rows of two inputs", rest_predict(digits, "log_prob", instances=log_probs), scored)
    compare("REST, columns", rest_predict(digits, "sample_rows", inputs={"seed": seeds}), sampled)
    scalars = {"num_samples": 2, "seed": [0, 7]}
    compare("REST, a label", rest_predict(f"{digits}/labels/stable", "sample", inputs=scalars), drawn)
    compare("gRPC, a label", grpc_predict(grpc, "digits", "encode", {"x": x}, label="stable"), encoded)
    scalars = {name: np.int32(value) for name, value in scalars.items()}
    compare("gRPC, scalars", grpc_predict(grpc, "digits", "sample", scalars), drawn)


def compare(what, received, expected):
    if not isinstance(received, dict):  # over REST, the name of the one output is left out
        received = dict.fromkeys(expected, received)
    difference = max(np.abs(np.asarray(received[name]) - expected[name]).max() for name in expected)
    print(f"  {what}: largest difference from the export {difference:.1e}")
    return difference


if __name__ == "__main__":
    if sys.argv[1:] == ["ask"]:
        ask()
    else:
        prepare()
        print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")
