"""The files of saved models: whole folders, weights in parts, and their checksums."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import tensorflow as tf

from keras_genmod.core.checksums import add_checksum, check_archive, check_checksum
from keras_genmod.core.files import (
    UnwritablePathError,
    exists,
    is_remote,
    reading,
    replacing_directory,
    replacing_file,
    working_directory,
)

__all__ = [
    "check_overwrite",
    "check_weights",
    "is_weights_of_folder",
    "local_weights",
    "write_folder",
    "write_parts",
]

# The files of a model that is saved as a folder.
_FOLDER_CONFIG, _FOLDER_WEIGHTS = "config.json", "model.weights.h5"


def check_overwrite(path: str, overwrite: bool) -> None:
    """Refuses an existing path that is not to be replaced."""
    if not overwrite and exists(path):
        raise UnwritablePathError(
            f"`filepath` must not exist; received the existing {path!r}. "
            "Choose another name, or pass `overwrite=True`."
        )


def write_folder(path: str, write: Callable[[Path], None]) -> None:
    """Writes a model as a folder, whole or not at all, with a checksum of its weights.

    Args:
        path: The folder; an existing one is replaced if it is empty or holds a saved model.
        write: Writes the files of a folder.

    Raises:
        OSError: For a remote path, or a folder that holds other files.
    """
    if is_remote(path):
        raise UnwritablePathError(
            "With `zipped=False`, `filepath` must be a local folder, the only kind that Keras loads; "
            f"received {path!r}. Save a `.keras` file there, or copy a local folder."
        )
    # A mistyped path must not cost anybody a home folder.
    folder = Path(path)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _FOLDER_CONFIG).is_file():
        raise UnwritablePathError(
            f"`filepath` must be a new folder or hold a saved model; received {path!r}, which holds "
            "other files. Choose another folder, or empty it yourself."
        )
    with replacing_directory(path, overwrite=True) as temporary:
        write(temporary)
        add_checksum(temporary / _FOLDER_WEIGHTS)


def is_weights_of_folder(file: Path) -> bool:
    """Whether a file holds the weights of a model that was saved as a folder."""
    return file.name == _FOLDER_WEIGHTS and file.is_file()


def write_parts(path: str, write: Callable[[Path], None]) -> None:
    """Writes weights in parts.

    Nobody reads the parts without their index. So an old index is removed before new parts are put in place,
    and the new index follows them.

    Args:
        path: Of the index, ending in `.weights.json`, or the same with the ending `.weights.h5`.
        write: Writes the index under a path, and the parts beside it.
    """
    name = os.path.basename(path)
    folder = path.removesuffix(name)
    name = name.removesuffix(".h5").removesuffix(".json") + ".json"
    index = os.path.join(folder, name)
    with contextlib.ExitStack() as stack:
        # Entered first: a place that cannot be written to is refused before the work.
        new_index = stack.enter_context(replacing_file(index))
        parts = stack.enter_context(working_directory(new_index))
        write(parts / name)
        if exists(index):
            tf.io.gfile.remove(index)
        for part in _hdf5_files(parts / name):
            add_checksum(part)
            with replacing_file(os.path.join(folder, part.name)) as new_part:
                shutil.move(part, new_part)
        os.replace(parts / name, new_index)


@contextlib.contextmanager
def local_weights(path: str) -> Iterator[Path]:
    """The local file of saved weights; the parts of an index lie beside it."""
    with contextlib.ExitStack() as stack:
        local = stack.enter_context(reading(path))
        if is_remote(path):
            for part in _hdf5_files(local):
                if part != local:
                    remote = path.removesuffix(os.path.basename(path)) + part.name
                    shutil.move(stack.enter_context(reading(remote)), part)
        yield local


def check_weights(path: Path) -> None:
    """Compares the local files of saved weights with their checksums.

    Raises:
        DamagedFileError: For a file that has changed.
    """
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            check_archive(archive)
    for part in _hdf5_files(path):
        check_checksum(part)


def _hdf5_files(path: Path) -> list[Path]:
    """The HDF5 files of saved weights: the file itself, or the parts that an index lists."""
    if path.name.endswith(".weights.h5"):
        return [path]
    if not path.name.endswith(".weights.json"):
        return []
    parts = keras.tree.flatten(json.loads(path.read_text())["weight_map"])
    return [path.with_name(name) for name in sorted(set(parts))]
