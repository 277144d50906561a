"""Warm-up records: requests that a model server runs before it offers a version to clients.

The first request to a signature is slow, because TensorFlow then prunes, places and optimises the graph for
these inputs and outputs. TensorFlow Serving does this while it loads a version if the version contains
requests in `assets.extra/tf_serving_warmup_requests`, a TFRecord file of at most 1000 `PredictionLog`
messages. If one of these requests fails, the version does not load; so a record is written only after the
export has answered it.

Reference: TensorFlow Serving's guide "SavedModel Warmup".
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.core.files import check_path, reading, replacing_file
from keras_genmod.serving.examples import read_examples
from keras_genmod.serving.runner import fit_requests, run

__all__ = ["import_prediction_log", "write_warmup"]

_FILE = Path("assets.extra", "tf_serving_warmup_requests")

# The server's limit: with one record more the version does not load.
_MAX_RECORDS = 1000


def write_warmup(
    path: str | os.PathLike, requests: Iterable[tuple[str, Mapping[str, Any]]] | None = None
) -> list[str]:
    """Writes warm-up records into an export after the export has answered each of them.

    The requests are read back from the records' bytes and run in a process without Python TensorFlow (see
    `run`). Then the file appears in one step, never half-written. A server that has already loaded the
    version does not read it.

    By default each row-wise signature gets its recorded example as a request, and `serving_default` gets the
    example of the signature that it stands for. Signatures that are not row-wise, such as
    `sample(num_samples, seed)`, are left out: a server started with `--enable_batching` refuses scalar
    inputs, and would not load a version with such a record. To warm them up on a server without batching,
    pass `requests`.

    Args:
        path: The version folder that `export` wrote, such as "serving/vae/1"; a remote one (`gs://...`) is
            copied to a local disk to answer the requests.
        requests: 1 to 1000 pairs of a signature's name and its inputs (name -> array), typical of the
            clients' requests. If the server batches, requests of more than `max_batch_size` rows fail there.

    Returns:
        The signature of each record, in order.

    Raises:
        ImportError: If the package `tensorflow-serving-api` is not installed.
        ValueError: If `path` is not an export, a request does not fit its signature, or there are no or too
            many requests.
        RuntimeError: If the export does not answer a request; includes TensorFlow's message. In all these
            cases nothing is written, and an earlier file stays.

    Cost: that of `run`: starting a process and loading, then one run per record.

    Example:
        >>> write_warmup("serving/digits/1")  # doctest: +SKIP
        ['reconstruct', 'encode', 'decode', 'sample_rows', 'log_prob', 'anomaly_score', 'serving_default']
        >>> write_warmup("serving/digits/1", [("encode", {"x": digits[:32]})])  # doctest: +SKIP
        ['encode']
    """
    prediction_log = import_prediction_log()
    requests = _recorded_requests(path) if requests is None else list(requests)
    if not 1 <= len(requests) <= _MAX_RECORDS:
        raise ValueError(
            f"`requests` must contain 1 to {_MAX_RECORDS} requests, the most that a model server accepts; "
            f"received {len(requests)}. A few per signature are enough."
        )
    with reading(path) as local:
        records = [_serialize(prediction_log, *request) for request in fit_requests(local, requests)]
        run(local, [_parse(prediction_log, record) for record in records])
    with replacing_file(os.path.join(check_path(path), _FILE)) as temporary:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for record in records:
                writer.write(record)
    return [signature for signature, _ in requests]


def import_prediction_log() -> ModuleType:
    """Imports the module with the `PredictionLog` message, which is in an optional package."""
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError as error:
        raise ImportError(
            "Warm-up records need the package tensorflow-serving-api, which is not installed. "
            "Install it: pip install keras_genmod[serving]."
        ) from error
    return prediction_log_pb2


def _recorded_requests(path: str | os.PathLike) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The examples of the row-wise signatures; the default signature's example under both its names."""
    examples = [example for example in read_examples(path) if example.batched]
    if not examples:
        raise ValueError(
            f"`path` must be an export with a row-wise signature; received {os.fspath(path)!r}, which has "
            "none. Give `requests`, and serve without batching, which refuses scalar inputs."
        )
    requests = [(example.signature, example.inputs) for example in examples]
    return requests + [("serving_default", example.inputs) for example in examples if example.default]


def _serialize(prediction_log: ModuleType, signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    log = prediction_log.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature  # the model is the one whose export has the record
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return log.SerializeToString(deterministic=True)


def _parse(prediction_log: ModuleType, record: bytes) -> tuple[str, dict[str, np.ndarray]]:
    request = prediction_log.PredictionLog.FromString(record).predict_log.request
    inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    return request.model_spec.signature_name, inputs
