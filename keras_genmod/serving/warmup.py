"""Warm-up records: requests that a model server asks itself before it gives a version to clients.

The first request to a signature is slow, because TensorFlow prepares the graph then (it prunes, places and
optimises it for these inputs and outputs). TensorFlow Serving pays this while it loads a version if the
version brings requests along, in the file `assets.extra/tf_serving_warmup_requests`: a TFRecord of
`PredictionLog` messages, at most 1000. A request that fails there fails the loading, so a record is written
only after the export answered it.

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

# Of the server: one more, and the version does not load.
_MAX_RECORDS = 1000


def write_warmup(
    path: str | os.PathLike, requests: Iterable[tuple[str, Mapping[str, Any]]] | None = None
) -> list[str]:
    """Write warm-up records into an export, after the export answered each of them.

    What is asked is what the records say, read back from their bytes, in a process without Python
    TensorFlow (see `run`). The records then appear under their name all at once. A server that has loaded
    the version already does not look at them.

    By default each row-wise signature gets its recorded example as a request, and `serving_default` that
    of the signature behind it. Signatures that are not row-wise, such as `sample(num_samples, seed)`,
    are left out: a server started with `--enable_batching` refuses scalars, and would refuse the version
    with such a record. Give `requests` to warm them up on a server that does not batch.

    Args:
        path: The version folder that `export` wrote, such as "serving/vae/1"; with a scheme, it is copied to
            a local disk to be asked.
        requests: Pairs of a signature's name and its inputs (name -> array), 1 to 1000, typical of what
            clients ask. Rows beyond the server's `max_batch_size` fail there if it batches.

    Returns:
        The signature of each record, in order.

    Raises:
        ImportError: The package `tensorflow-serving-api` is not installed.
        ValueError: `path` is no export, a request does not fit its signature, or there are too many or none.
        RuntimeError: The export does not answer a request; with TensorFlow's message. In all these cases
            nothing is written, and an earlier file stays.

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
            f"`requests` must hold 1 to {_MAX_RECORDS} requests, the most that a model server takes; "
            f"received {len(requests)}. A few for each signature are enough."
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
    """The module with the `PredictionLog` message, of an optional package."""
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError as error:
        raise ImportError(
            "Warm-up records need the package tensorflow-serving-api, which is not installed. "
            "Install it: pip install keras_genmod[serving]."
        ) from error
    return prediction_log_pb2


def _recorded_requests(path: str | os.PathLike) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The examples of the row-wise signatures, and of the default under both its names."""
    examples = [example for example in read_examples(path) if example.batched]
    if not examples:
        raise ValueError(
            f"`path` must be an export with a row-wise signature; received {os.fspath(path)!r}, which has "
            "none. Give `requests`; a server that batches refuses signatures of scalars."
        )
    requests = [(example.signature, example.inputs) for example in examples]
    return requests + [("serving_default", example.inputs) for example in examples if example.default]


def _serialize(prediction_log: ModuleType, signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    log = prediction_log.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature  # the model is the one that brings the record
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return log.SerializeToString(deterministic=True)


def _parse(prediction_log: ModuleType, record: bytes) -> tuple[str, dict[str, np.ndarray]]:
    request = prediction_log.PredictionLog.FromString(record).predict_log.request
    inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    return request.model_spec.signature_name, inputs
