"""Saving and loading: files appear whole or not at all; one that does not fit or is damaged says so."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.bases.quantizing import Quantizable, check_quantization, check_slots
from keras_genmod.core.checksums import (
    DamagedFileError,
    add_checksum,
    check_archive,
    check_checksum,
    unreadable,
)
from keras_genmod.core.files import (
    UnwritablePathError,
    check_path,
    exists,
    is_remote,
    reading,
    replacing_directory,
    replacing_file,
    working_directory,
)
from keras_genmod.core.keras_noise import seed_generators
from keras_genmod.core.replicas import is_chief
from keras_genmod.core.version import __version__
from keras_genmod.training.progress import RunPosition

__all__ = ["Saveable"]

# Raised when versions before cannot read the files.
_FORMAT = 2

# Of the states of Keras' generators and of the run's position, among a model's own variables in a file.
_GENERATORS, _RUN = "seed_generators", "run_position"

# The files of a model that is saved as a folder.
_FOLDER_CONFIG, _FOLDER_WEIGHTS = "config.json", "model.weights.h5"


class Saveable(Quantizable):
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
            filepath: ends in `.keras`; local, or with a scheme that TensorFlow knows, such as
                "gs://bucket/vae.keras".
            overwrite: whether an existing file is replaced.
            zipped: False writes a local folder instead, whose name has another ending; as in
                `keras.Model.save`.
            **kwargs: as in `keras.Model.save`.

        Raises:
            ValueError: for another ending, a file that exists and is not to be replaced, or quantised parts
                that the file would not bring back.
            OSError: for a place that cannot be written to.
        """
        if not is_chief(self.distribute_strategy):
            return
        path = check_path(filepath)
        check_quantization(self)
        check_slots(self)
        if path.startswith("hf://"):
            super().save(path, overwrite=overwrite, zipped=zipped, **kwargs)
            return
        is_folder = zipped is False and not path.endswith((".h5", ".hdf5"))
        if not path.endswith(".keras") and not is_folder:
            raise ValueError(
                f"`filepath` must end in '.keras'; received {path!r}. HDF5 files cannot hold these models. "
                "For the weights alone use `save_weights('name.weights.h5')`, for a server `export`."
            )
        _check_overwrite(path, overwrite)
        if zipped is False:
            self._save_folder(path, **kwargs)
            return
        name = os.path.basename(path)
        # Where memory is scarce, Keras puts a file of its own beside the one that it writes.
        with replacing_file(path) as temporary, working_directory(temporary.with_name(name)) as folder:
            super().save(folder / name, overwrite=True, zipped=zipped, **kwargs)
            os.replace(folder / name, temporary)

    def _save_folder(self, path: str, **kwargs: Any) -> None:
        if is_remote(path):
            raise UnwritablePathError(
                f"With `zipped=False`, `filepath` must be a local folder, the only kind that Keras loads; "
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
            super().save(temporary, overwrite=True, zipped=False, **kwargs)
            add_checksum(temporary / _FOLDER_WEIGHTS)

    def save_weights(
        self, filepath: str | os.PathLike, overwrite: bool = True, max_shard_size: float | None = None
    ) -> None:
        """Writes the weights, optimizers and state of the noise; as `save`, whole or not at all.

        HDF5 files get a checksum, which `load_weights` compares.

        Args:
            filepath: ends in `.weights.h5` (or `.weights.json` with `max_shard_size`); local, or with a
                scheme that TensorFlow knows.
            overwrite: whether an existing file is replaced.
            max_shard_size: as in `keras.Model.save_weights`.

        Raises:
            ValueError: for another ending, a file that exists and is not to be replaced, or quantised parts
                that the file would not bring back.
            OSError: for a place that cannot be written to.
        """
        if not is_chief(self.distribute_strategy):
            return
        path = check_path(filepath)
        check_quantization(self)
        check_slots(self)
        _check_overwrite(path, overwrite)
        if max_shard_size is not None and path.endswith((".weights.h5", ".weights.json")):
            self._save_parts(path, max_shard_size)
            return
        if not path.endswith(".weights.h5"):
            # Keras' error says which endings there are.
            super().save_weights(path, overwrite=True, max_shard_size=max_shard_size)
            return
        with replacing_file(path) as temporary:
            super().save_weights(temporary, overwrite=True)
            add_checksum(temporary)

    def _save_parts(self, path: str, max_shard_size: float) -> None:
        """Writes weights in parts, without whose index nobody reads them: it goes first and comes last."""
        folder, name = os.path.split(path)
        name = name.removesuffix(".h5").removesuffix(".json") + ".json"
        index = os.path.join(folder, name)
        with contextlib.ExitStack() as stack:
            # Written first, so that a place that cannot be written to says so before the work.
            new_index = stack.enter_context(replacing_file(index))
            parts = stack.enter_context(working_directory(new_index))
            super().save_weights(parts / name, overwrite=True, max_shard_size=max_shard_size)
            if exists(index):
                tf.io.gfile.remove(index)
            for part in _hdf5_files(parts / name):
                add_checksum(part)
                with replacing_file(os.path.join(folder, part.name)) as new_part:
                    shutil.move(part, new_part)
            os.replace(parts / name, new_index)

    def load_weights(self, filepath: str | os.PathLike, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Reads weights; if the file is another model's, everything stays as it was.

        Args:
            filepath: a `.weights.h5` or `.keras` file of the same architecture, or the `.weights.json` of
                weights in parts; local, or with a scheme that TensorFlow knows.
            skip_mismatch, **kwargs: as in `keras.Model.load_weights`.

        Raises:
            ValueError: if the file does not fit.
            DamagedFileError: a `ValueError` and an `OSError`, if the file cannot be read or is damaged; files
                of Keras have no checksum and are taken as they are.
            FileNotFoundError: if there is no such file.
        """
        path = check_path(filepath)
        if not exists(path):
            raise FileNotFoundError(f"There is no file {path!r}.")
        before = [(variable, variable.numpy()) for variable in self._saved_variables()]
        try:
            with _local_weights(path) as local:
                _check_files(local)
                super().load_weights(local, skip_mismatch=skip_mismatch, **kwargs)
        except DamagedFileError:
            raise
        except Exception as error:
            for variable, value in before:
                variable.assign(value)
            if isinstance(error, (OSError, zipfile.BadZipFile, json.JSONDecodeError)):
                raise unreadable(path, error) from error
            raise ValueError(
                f"The file {path!r} does not hold the weights of this "
                f"{type(self).__name__} (event_shape={self.event_shape}); nothing was loaded. "
                "Build the model with the arguments of the saved one, or load a `.keras` file with "
                f"`keras.saving.load_model`. Keras says: {error}"
            ) from error

    def _saved_variables(self) -> list[Any]:
        """All variables whose values files hold: weights, optimizers' slots, states of noise."""
        optimizers = (getattr(self, name) for name in getattr(self, "_optimizer_arguments", {}).values())
        return [*self.variables, *(variable for one in optimizers for variable in one.variables)]

    def save_own_variables(self, store: Any) -> None:
        """Writes the weights that belong to no layer, and the noise of Keras' layers; called by Keras.

        Args:
            store: takes weights by number, and the states of all `keras.random.SeedGenerator`s below the
                model, which Keras writes nowhere.
        """
        super().save_own_variables(store)
        states = [one.state.numpy() for one in seed_generators(self)]
        if states:
            store[_GENERATORS] = np.stack(states)
        if self._run_position is not None:
            store[_RUN] = np.array(self._run_position)

    def load_own_variables(self, store: Any) -> None:
        """Reads the weights that belong to no layer, and the noise of Keras' layers; called by Keras.

        Args:
            store: what `save_own_variables` wrote.
        """
        # Set by Keras while it reads a `.keras` file, and a folder.
        if getattr(store, "archive", None) is not None:
            check_archive(store.archive)
        file = getattr(store, "path_or_io", None)
        if isinstance(file, Path) and file.name == _FOLDER_WEIGHTS and file.is_file():
            check_checksum(file)
        values = {name: store[name] for name in store.keys()}
        run = values.pop(_RUN, None)
        self._run_position = None if run is None else RunPosition(*map(int, run))
        states, generators = values.pop(_GENERATORS, ()), seed_generators(self)
        if len(states) != len(generators):
            raise ValueError(
                f"The file must hold the states of {len(generators)} generators of noise, those of Keras' "
                f"layers below the model; received {len(states)}."
            )
        super().load_own_variables(values)
        for generator, state in zip(generators, states, strict=True):
            generator.state.assign(state)

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


def _check_overwrite(path: str, overwrite: bool) -> None:
    if not overwrite and exists(path):
        raise UnwritablePathError(
            f"`filepath` must not exist; received the existing {path!r}. "
            "Choose another name, or pass `overwrite=True`."
        )


@contextlib.contextmanager
def _local_weights(path: str) -> Iterator[Path]:
    """The local file of saved weights, the parts of an index beside it."""
    with contextlib.ExitStack() as stack:
        local = stack.enter_context(reading(path))
        if is_remote(path):
            for part in _hdf5_files(local):
                if part != local:
                    remote = os.path.join(os.path.dirname(path), part.name)
                    shutil.move(stack.enter_context(reading(remote)), part)
        yield local


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
        # Keras empties the configurations of functional networks while it reads them.
        return keras.saving.deserialize_keras_object(copy.deepcopy(value), custom_objects=custom_objects)
    return value
