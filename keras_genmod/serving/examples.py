"""Examples that travel with an export: requests, and what the model in memory answered.

They lie in `assets.extra/`, the folder of a SavedModel for files of other tools, which servers ignore.
`serving.verify` asks the export the same questions again.
"""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_genmod.core.files import check_path, exists, reading

__all__ = ["Example", "read_examples", "write_examples"]

_FILE = Path("assets.extra", "keras_genmod_examples.npz")
_FLAGS = ("batched", "default")


@dataclasses.dataclass(frozen=True)
class Example:
    """One request and its answer.

    Args:
        signature: The name of the signature.
        batched: Whether the signature is row-wise.
        inputs: Input name -> array.
        outputs: Output name -> array, computed by the model in memory.
        default: Whether the signature is also named `serving_default`.
    """

    signature: str
    batched: bool
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    default: bool = False


def write_examples(path: str | os.PathLike, examples: Iterable[Example]) -> None:
    """Write `examples`, one per signature, into the SavedModel at `path`."""
    arrays: dict[str, Any] = {}
    for example in examples:
        for flag in _FLAGS:
            arrays[f"{example.signature}/{flag}"] = np.asarray(getattr(example, flag))
        for role in ("inputs", "outputs"):
            for name, value in getattr(example, role).items():
                arrays[f"{example.signature}/{role}/{name}"] = value
    file = Path(path) / _FILE
    file.parent.mkdir(exist_ok=True)
    np.savez_compressed(file, **arrays)


def read_examples(path: str | os.PathLike) -> list[Example]:
    """Read the examples of the SavedModel at `path`.

    Raises:
        ValueError: It has none.
    """
    file = os.path.join(check_path(path), _FILE)
    if not exists(file):
        raise ValueError(
            f"`path` must be an export with recorded examples; received {os.fspath(path)!r}, which has no "
            f"`{_FILE}`. Give the version folder, such as 'serving/vae/1', of an export made with `examples`."
        )
    examples: dict[str, dict[str, Any]] = {}
    with reading(file) as local, np.load(local, allow_pickle=False) as arrays:
        for key, value in arrays.items():
            signature, role, *name = key.split("/")
            example = examples.setdefault(signature, {"inputs": {}, "outputs": {}})
            if role in _FLAGS:
                example[role] = bool(value)
            else:
                example[role][name[0]] = value
    return [Example(signature, **fields) for signature, fields in examples.items()]
