"""Saving and loading: files appear whole or not at all; one that does not fit or is damaged says so."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_genmod.core.checksums import DamagedFileError, add_checksum, check_archive, check_checksum
from keras_genmod.core.files import replacing_file
from keras_genmod.core.replicas import is_chief
from keras_genmod.core.version import __version__

__all__ = ["Saveable"]

# Raised when versions before cannot read the files. Format 1 holds no position in the data.
_FORMAT = 2


class Saveable:
    """The part of `GenerativeModel` that deals with files."""

    def save(
        self,
        filepath: str | os.PathLike,
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Writes one `.keras` file: networks, weights, optimizers with their slots, state of the noise.

        The file is written under a temporary name and renamed. In a multi-worker run only the chief
        writes.

        Args:
            filepath: ends in `.keras`.
            overwrite: whether an existing file is replaced.
            zipped, **kwargs: as in `keras.Model.save`.

        Raises:
            ValueError: for another ending, or a file that exists and is not to be replaced.
            OSError: for a folder that cannot be written.
        """
        if not is_chief(self.distribute_strategy):
            return
        path = Path(filepath)
        is_folder = zipped is False and path.suffix not in (".h5", ".hdf5")
        if path.suffix != ".keras" and not is_folder and "://" not in os.fspath(filepath):
            raise ValueError(
                f"`filepath` must end in '.keras'; received {os.fspath(filepath)!r}. HDF5 files cannot hold "
                "these models. For the weights alone use `save_weights('name.weights.h5')`, for a server "
                "`export`."
            )
        if zipped is False or "://" in os.fspath(filepath):
            super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            return
        _check_overwrite(path, overwrite)
        with replacing_file(path) as temporary:
            super().save(temporary, overwrite=True, zipped=zipped, **kwargs)

    def save_weights(
        self, filepath: str | os.PathLike, overwrite: bool = True, max_shard_size: float | None = None
    ) -> None:
        """Writes the weights, optimizers and state of the noise; as `save`, whole or not at all.

        HDF5 files get a checksum, which `load_weights` compares.

        Args:
            filepath: ends in `.weights.h5` (or `.weights.json` with `max_shard_size`).
            overwrite: whether an existing file is replaced.
            max_shard_size: as in `keras.Model.save_weights`.

        Raises:
            ValueError: for another ending, or a file that exists and is not to be replaced.
        """
        if not is_chief(self.distribute_strategy):
            return
        path = Path(filepath)
        if "://" not in os.fspath(filepath):
            _check_overwrite(path, overwrite)
        if not path.name.endswith(".weights.h5") or max_shard_size is not None:
            super().save_weights(filepath, overwrite=True, max_shard_size=max_shard_size)
            for part in _hdf5_files(path.with_suffix(".json")):
                add_checksum(part)
            return
        with replacing_file(path) as temporary:
            super().save_weights(temporary, overwrite=True)
            add_checksum(temporary)

    def load_weights(self, filepath: str | os.PathLike, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Reads weights; if the file is another model's, the weights stay as they were.

        Args:
            filepath: a `.weights.h5` or `.keras` file of the same architecture.
            skip_mismatch, **kwargs: as in `keras.Model.load_weights`.

        Raises:
            ValueError: if the file does not fit, cannot be read or is damaged; files of Keras have no
                checksum and are taken as they are.
            FileNotFoundError: if there is no such file.
        """
        if not os.path.exists(filepath):
            raise FileNotFoundError(f"There is no file {os.fspath(filepath)!r}.")
        before = [(variable, variable.numpy()) for variable in self.variables]
        try:
            _check_files(Path(filepath))
            super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)
        except DamagedFileError:
            raise
        except Exception as error:
            for variable, value in before:
                variable.assign(value)
            raise ValueError(
                f"The file {os.fspath(filepath)!r} does not hold the weights of this "
                f"{type(self).__name__} (event_shape={self.event_shape}); nothing was loaded. "
                "Build the model with the arguments of the saved one, or load a `.keras` file with "
                f"`keras.saving.load_model`. Keras says: {error}"
            ) from error

    def load_own_variables(self, store: Any) -> None:
        """Reads the weights that belong to no layer; called by Keras.

        Args:
            store: the weights of a file by number.
        """
        # Set by Keras while it reads a `.keras` file.
        if getattr(store, "archive", None) is not None:
            check_archive(store.archive)
        own = [*self._trainable_variables, *self._non_trainable_variables]
        if len(store.keys()) == len(own) - 1:
            values = [store[str(number)] for number in range(len(own) - 1)]
            values.insert([v is self._data_position for v in own].index(True), np.zeros(3, "int64"))
            store = {str(number): value for number, value in enumerate(values)}
        super().load_own_variables(store)

    def get_config(self) -> dict:
        """What every file says of its writer."""
        return {
            **super().get_config(),
            "format": {"class": type(self).__name__, "number": _FORMAT, "version": __version__},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Any:
        """The model of a configuration.

        Raises:
            ValueError: for a configuration of another class or of a newer format.
        """
        config = dict(config)
        written = config.pop("format", None)
        if not isinstance(written, Mapping) or not {"class", "number", "version"} <= set(written):
            raise ValueError(
                f"Expected the configuration of a {cls.__name__} as `get_config` gives it; received "
                f"the keys {sorted(config)}. Build the model with its constructor instead."
            )
        if written["class"] != cls.__name__:
            raise ValueError(
                f"Expected the configuration of a {cls.__name__}; received that of a "
                f"{written['class']}. Load the file with `keras.saving.load_model`, which finds the class."
            )
        if written["number"] > _FORMAT:
            raise ValueError(
                f"The file is of format {written['number']}, written by keras_genmod "
                f"{written['version']}; this version, {__version__}, reads formats up to {_FORMAT}. "
                "Upgrade keras_genmod."
            )
        config = {name: _deserialize(value, custom_objects) for name, value in config.items()}
        try:
            return cls(**config)
        except TypeError as error:
            raise ValueError(
                f"The configuration does not fit {cls.__name__} of keras_genmod {__version__} (it was "
                f"written by {written['version']}): {error}"
            ) from error


def _check_overwrite(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise ValueError(
            f"`filepath` must not exist; received the existing {str(path)!r}. "
            "Choose another name, or pass `overwrite=True`."
        )


def _hdf5_files(path: Path) -> list[Path]:
    """The HDF5 files of saved weights: the file itself, or the parts that an index lists."""
    if path.name.endswith(".weights.h5"):
        return [path]
    if not path.name.endswith(".weights.json"):
        return []
    parts = keras.tree.flatten(json.loads(path.read_text())["weight_map"])
    return [path.with_name(name) for name in sorted(set(parts))]


def _check_files(path: Path) -> None:
    """Compares the files of saved weights with their checksums."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            check_archive(archive)
    for part in _hdf5_files(path):
        check_checksum(part)


def _deserialize(value: Any, custom_objects: Any) -> Any:
    if isinstance(value, Mapping) and "class_name" in value and "config" in value:
        return keras.saving.deserialize_keras_object(dict(value), custom_objects=custom_objects)
    return value
