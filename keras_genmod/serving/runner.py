"""Queries an export as a model server would: in a process of its own, without Python TensorFlow.

That process runs `c_api_script`. This module uses Python TensorFlow to read each signature's input and output
tensors from the SavedModel.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from keras_genmod.core.files import reading
from keras_genmod.serving import c_api_script
from keras_genmod.serving.endpoints import fit_request

__all__ = ["call", "fit_requests", "run"]


@dataclasses.dataclass(frozen=True)
class _Signature:
    inputs: dict[str, tf.TensorSpec]  # the spec's name is the tensor's name in the graph
    outputs: dict[str, str]


def call(path: str | os.PathLike, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Sends one request to one signature of the SavedModel at `path`; see `run`."""
    (answer,) = run(path, [(signature, inputs)])
    return answer


def run(
    path: str | os.PathLike, requests: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[dict[str, np.ndarray]]:
    """Sends requests to a SavedModel as a model server would.

    A new process loads it through the C API of the installed TensorFlow, without Python TensorFlow, without
    this package and with XLA switched off. It computes on the CPU, because a training process often occupies
    the GPU's memory.

    Args:
        path: The folder that contains `saved_model.pb`; a remote path (`gs://...`) is copied to a local disk.
        requests: Pairs of a signature's name and its inputs (name -> array).

    Returns:
        For each request, output name -> array.

    Raises:
        ValueError: If `path` is not a SavedModel, or a request does not fit its signature.
        RuntimeError: If the SavedModel does not load, or a signature fails; includes TensorFlow's message.

    Cost: starting the process and loading, about a second for a small model; then one run per request.
    """
    calls: list[tuple[str, dict[str, str], dict[str, str]]] = []
    arrays: dict[str, Any] = {}
    with reading(path) as local:
        signatures = _read_signatures(local)
        for number, (name, given) in enumerate(_fit_requests(signatures, requests)):
            signature = signatures[name]
            arrays |= {f"{number}/{key}": array for key, array in given.items()}
            inputs = {key: spec.name for key, spec in signature.inputs.items()}
            calls.append((name, inputs, signature.outputs))
        answers = _run_script(local, calls, arrays)
    return [
        {output: answers[f"{number}/{output}"] for output in outputs}
        for number, (_, _, outputs) in enumerate(calls)
    ]


def fit_requests(
    path: str | os.PathLike, requests: Iterable[tuple[str, Mapping[str, Any]]]
) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The requests with their inputs converted to the signatures' dtypes; raises the errors of `run`."""
    return _fit_requests(_read_signatures(path), requests)


def _fit_requests(
    signatures: Mapping[str, _Signature], requests: Iterable[tuple[str, Mapping[str, Any]]]
) -> list[tuple[str, dict[str, np.ndarray]]]:
    fitted = []
    for request in requests:
        if not isinstance(request, Sequence) or len(request) != 2 or not isinstance(request[1], Mapping):
            raise ValueError(
                "A request must be a pair of a signature's name and its inputs, name -> array; "
                f"received {request!r}. Write `('encode', {{'x': x}})`."
            )
        name, inputs = request
        if name not in signatures:
            raise ValueError(
                f"The signature must be one of {', '.join(sorted(signatures))}; received {name!r}. "
                "Choose one of these, or export a model that has it."
            )
        fitted.append((name, fit_request(f"A request to `{name}`", signatures[name].inputs, inputs)))
    return fitted


def _run_script(path: str | os.PathLike, calls: list, arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = {"libraries": _libraries(), "path": os.path.abspath(path), "requests": calls}
        (folder / "request.json").write_text(json.dumps(request))
        np.savez(folder / "inputs.npz", **arrays)
        # -I: modules come neither from paths in the environment nor from the working folder.
        command = [sys.executable, "-I", c_api_script.__file__, name, str(Path(np.__file__).parents[1])]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
        process = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
        if process.returncode:
            raise RuntimeError(
                f"The export at {os.fspath(path)!r} must answer without Python TensorFlow and without XLA; "
                f"the process that ran it ended with code {process.returncode}:\n{process.stderr.strip()}"
            )
        with np.load(folder / "outputs.npz", allow_pickle=False) as answers:
            return dict(answers)


def _libraries() -> list[str]:
    """The shared libraries of the installed TensorFlow, in the order in which they load."""
    folder = Path(tf.sysconfig.get_lib())
    libraries = []
    for stem in ("libtensorflow_framework", "libtensorflow_cc"):
        found = sorted([*folder.glob(f"{stem}.so.*"), *folder.glob(f"{stem}.*.dylib")])
        if not found:
            raise RuntimeError(
                f"TensorFlow must be installed with its shared libraries; received {str(folder)!r} without "
                f"{stem}. Install the `tensorflow` package for Linux or macOS."
            )
        libraries.append(str(found[0]))
    return libraries


def _read_signatures(path: str | os.PathLike) -> dict[str, _Signature]:
    file = Path(path) / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(file.read_bytes())
    except (OSError, DecodeError) as error:
        raise ValueError(
            f"`path` must be the folder of a SavedModel, with a readable `saved_model.pb`; received "
            f"{os.fspath(path)!r} ({type(error).__name__}). Pass the version folder, such as 'serving/vae/1'."
        ) from error
    return {
        name: _Signature(
            {key: _spec(info) for key, info in definition.inputs.items()},
            {key: info.name for key, info in definition.outputs.items()},
        )
        for graph in saved_model.meta_graphs
        if "serve" in graph.meta_info_def.tags
        for name, definition in graph.signature_def.items()
        if not name.startswith("__")  # TensorFlow's own, such as `__saved_model_init_op`
    }


def _spec(info: Any) -> tf.TensorSpec:
    return tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.DType(info.dtype), info.name)
