"""A program that queries a SavedModel through TensorFlow's C API, as a model server would.

`runner` starts it as `python -I c_api_script.py <request folder> <folder of numpy>`. It imports neither this
package nor Python TensorFlow, so a signature that needs either fails here as it would on a server. XLA is
switched off, as model servers do by default.

The request folder contains `request.json` (the libraries, the SavedModel, the tensors of each request) and
`inputs.npz`; the program writes the answers to `outputs.npz`. Arrays are named `<request number>/<name>`.
A TensorFlow error ends the program and prints its message to stderr.
"""

# Import these before the TensorFlow libraries load: those contain a TLS library of their own, and Python's
# TLS modules crash if they are loaded later, because they then call into that library.
import hashlib  # noqa: F401
import ssl  # noqa: F401

# isort: split
import ctypes
import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.append(sys.argv[2])  # isolated mode hides user installations of NumPy

import numpy as np

__all__ = ["main"]

# The values of `TF_DataType` in tf_datatype.h.
DTYPES = {
    1: np.float32,
    2: np.float64,
    3: np.int32,
    4: np.uint8,
    5: np.int16,
    6: np.int8,
    9: np.int64,
    10: np.bool_,
    17: np.uint16,
    22: np.uint32,
    23: np.uint64,
}
DTYPE_NUMBERS = {np.dtype(dtype): number for number, dtype in DTYPES.items()}

# `ConfigProto(allow_soft_placement=True)`, as in a model server: a missing device is no error.
SESSION_CONFIG = b"\x38\x01"

POINTER = ctypes.c_void_p


class Output(ctypes.Structure):
    """`TF_Output`: one output of one operation of a graph."""

    _fields_ = [("operation", POINTER), ("index", ctypes.c_int)]


# Function -> result type, argument types.
FUNCTIONS = {
    "TF_NewStatus": (POINTER, []),
    "TF_GetCode": (ctypes.c_int, [POINTER]),
    "TF_Message": (ctypes.c_char_p, [POINTER]),
    "TF_NewGraph": (POINTER, []),
    "TF_NewSessionOptions": (POINTER, []),
    "TF_SetConfig": (None, [POINTER, ctypes.c_char_p, ctypes.c_size_t, POINTER]),
    "TF_LoadSessionFromSavedModel": (
        POINTER,
        [
            POINTER,
            POINTER,
            ctypes.c_char_p,
            ctypes.POINTER(ctypes.c_char_p),
            ctypes.c_int,
            POINTER,
            POINTER,
            POINTER,
        ],
    ),
    "TF_GraphOperationByName": (POINTER, [POINTER, ctypes.c_char_p]),
    "TF_SessionRun": (
        None,
        [POINTER, POINTER]
        + [ctypes.POINTER(Output), ctypes.POINTER(POINTER), ctypes.c_int] * 2
        + [POINTER, ctypes.c_int, POINTER, POINTER],
    ),
    "TF_AllocateTensor": (
        POINTER,
        [ctypes.c_int, ctypes.POINTER(ctypes.c_int64), ctypes.c_int, ctypes.c_size_t],
    ),
    "TF_DeleteTensor": (None, [POINTER]),
    "TF_TensorType": (ctypes.c_int, [POINTER]),
    "TF_NumDims": (ctypes.c_int, [POINTER]),
    "TF_Dim": (ctypes.c_int64, [POINTER, ctypes.c_int]),
    "TF_TensorByteSize": (ctypes.c_size_t, [POINTER]),
    "TF_TensorData": (POINTER, [POINTER]),
}


class SavedModel:
    """A SavedModel in a session that uses nothing but the C API."""

    def __init__(self, libraries: list[str], path: str):
        for library in libraries:
            self.tf = ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
        self.tf._ZN10tensorflow21DisableXlaCompilationEv()
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(self.tf, name)
            function.restype, function.argtypes = result, arguments
        self.status = self.tf.TF_NewStatus()
        self.graph = self.tf.TF_NewGraph()
        options = self.tf.TF_NewSessionOptions()
        self.tf.TF_SetConfig(options, SESSION_CONFIG, len(SESSION_CONFIG), self.status)
        self._check("The session's options")
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = self.tf.TF_LoadSessionFromSavedModel(
            options, None, path.encode(), tags, 1, self.graph, None, self.status
        )
        self._check("Loading")

    def run(
        self, what: str, inputs: dict[str, str], arrays: dict[str, np.ndarray], outputs: dict[str, str]
    ) -> dict[str, np.ndarray]:
        """Answers one request; `inputs` and `outputs` map names to graph tensors such as `encode_x:0`."""
        feeds = (POINTER * len(inputs))(*(self._to_tensor(arrays[name]) for name in inputs))
        fetches = (POINTER * len(outputs))()
        self.tf.TF_SessionRun(
            self.session,
            None,
            *(self._graph_outputs(list(inputs.values())), feeds, len(feeds)),
            *(self._graph_outputs(list(outputs.values())), fetches, len(fetches)),
            *(None, 0, None, self.status),
        )
        self._check(what)
        answer = {name: self._to_array(tensor) for name, tensor in zip(outputs, fetches, strict=True)}
        for tensor in (*feeds, *fetches):
            self.tf.TF_DeleteTensor(tensor)
        return answer

    def _check(self, what: str) -> None:
        if self.tf.TF_GetCode(self.status):
            raise SystemExit(f"{what} failed: {self.tf.TF_Message(self.status).decode(errors='replace')}")

    def _graph_outputs(self, tensors: list[str]) -> ctypes.Array:
        outputs = (Output * len(tensors))()
        for output, tensor in zip(outputs, tensors, strict=True):
            operation, _, index = tensor.rpartition(":")
            output.operation = self.tf.TF_GraphOperationByName(self.graph, operation.encode())
            output.index = int(index)
        return outputs

    def _to_tensor(self, array: np.ndarray) -> int:
        array = np.asarray(array, order="C")
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = self.tf.TF_AllocateTensor(DTYPE_NUMBERS[array.dtype], shape, array.ndim, array.nbytes)
        if array.nbytes:
            ctypes.memmove(self.tf.TF_TensorData(tensor), array.ctypes.data, array.nbytes)
        return tensor

    def _to_array(self, tensor: int) -> np.ndarray:
        number = self.tf.TF_TensorType(tensor)
        if number not in DTYPES:
            raise SystemExit(
                f"Outputs must have one of the TF_DataTypes {sorted(DTYPES)}; received {number}. Cast the "
                "output in the model."
            )
        array: np.ndarray = np.empty(
            [self.tf.TF_Dim(tensor, axis) for axis in range(self.tf.TF_NumDims(tensor))], DTYPES[number]
        )
        if array.nbytes:
            ctypes.memmove(array.ctypes.data, self.tf.TF_TensorData(tensor), array.nbytes)
        return array


def main(folder: Path) -> None:
    """Answers the requests in `folder`."""
    request = json.loads((folder / "request.json").read_text())
    model = SavedModel(request["libraries"], request["path"])
    answers: dict[str, Any] = {}
    with np.load(folder / "inputs.npz", allow_pickle=False) as arrays:
        for number, (signature, inputs, outputs) in enumerate(request["requests"]):
            given = {name: arrays[f"{number}/{name}"] for name in inputs}
            answer = model.run(f"Signature `{signature}` (request {number})", inputs, given, outputs)
            answers |= {f"{number}/{name}": array for name, array in answer.items()}
    np.savez(folder / "outputs.npz", **answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
