"""Saving and loading: files appear whole or not at all; one that does not fit or is damaged is refused."""

from __future__ import annotations

import copy
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.bases.quantizing import Quantizable, check_quantization, check_slots
from keras_genmod.bases.saved_files import (
    check_overwrite,
    check_weights,
    is_weights_of_folder,
    local_weights,
    write_folder,
    write_parts,
)
from keras_genmod.core.checksums import (
    DamagedFileError,
    add_checksum,
    check_archive,
    check_checksum,
    unreadable,
)
from keras_genmod.core.files import check_path, exists, replacing_file, working_directory
from keras_genmod.core.keras_noise import seed_generators
from keras_genmod.core.replicas import is_chief
from keras_genmod.core.version import __version__
from keras_genmod.training.progress import RunPosition

__all__ = ["Saveable"]

# Raised when versions before cannot read the files.
_FORMAT = 2

# Names, in a file's store of the model's own variables, of the states of Keras' generators and of the run's
# position.
_GENERATORS, _RUN = "seed_generators", "run_position"

if TYPE_CHECKING:

    class _KerasSaving:
        """What `Saveable` extends of `keras.Model`."""

        def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None: ...
        def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None: ...
        def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None: ...
        def save_own_variables(self, store: Any) -> None: ...
        def load_own_variables(self, store: Any) -> None: ...
        def get_config(self) -> dict: ...

else:
    _KerasSaving = object


class Saveable(Quantizable, _KerasSaving):
    """The part of `GenerativeModel` that writes and reads files."""

    event_shape: tuple[int, ...]
    distribute_strategy: tf.distribute.Strategy
    variables: list[keras.Variable]
    _run_position: RunPosition | None

    def save(
        self,
        filepath: str | os.PathLike,
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Writes one `.keras` file: networks, weights, optimizers with their slots, state of the noise.

        The file is written under a temporary name and then renamed. In a multi-worker run only the chief
        writes.

        Args:
            filepath: Ends in `.keras`; local, or with a scheme that TensorFlow knows, such as
                "gs://bucket/vae.keras".
            overwrite: Whether an existing file is replaced.
            zipped: False writes a local folder instead, whose name has another ending; see
                `keras.Model.save`.
            **kwargs: As in `keras.Model.save`.

        Raises:
            ValueError: For another ending, an existing file without `overwrite`, or quantised parts that
                could not be loaded from the file.
            OSError: For a place that cannot be written to.
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
        check_overwrite(path, overwrite)
        if zipped is False:
            keras_save = super().save
            write_folder(path, lambda folder: keras_save(folder, overwrite=True, zipped=False, **kwargs))
            return
        name = os.path.basename(path)
        # Where memory is scarce, Keras writes a temporary file beside the file: both get a folder.
        with replacing_file(path) as temporary, working_directory(temporary.with_name(name)) as folder:
            super().save(folder / name, overwrite=True, zipped=zipped, **kwargs)
            os.replace(folder / name, temporary)

    def save_weights(
        self, filepath: str | os.PathLike, overwrite: bool = True, max_shard_size: float | None = None
    ) -> None:
        """Writes the weights, optimizers and state of the noise, whole or not at all.

        HDF5 files get a checksum, which `load_weights` compares.

        Args:
            filepath: Ends in `.weights.h5` (or `.weights.json` with `max_shard_size`); local, or with a
                scheme that TensorFlow knows.
            overwrite: Whether an existing file is replaced.
            max_shard_size: As in `keras.Model.save_weights`.

        Raises:
            ValueError: For another ending, an existing file without `overwrite`, or quantised parts that
                could not be loaded from the file.
            OSError: For a place that cannot be written to.
        """
        if not is_chief(self.distribute_strategy):
            return
        path = check_path(filepath)
        check_quantization(self)
        check_slots(self)
        check_overwrite(path, overwrite)
        if max_shard_size is not None and path.endswith((".weights.h5", ".weights.json")):
            keras_save = super().save_weights
            write_parts(path, lambda index: keras_save(index, overwrite=True, max_shard_size=max_shard_size))
            return
        if not path.endswith(".weights.h5"):
            # Keras' error says which endings there are.
            super().save_weights(path, overwrite=True, max_shard_size=max_shard_size)
            return
        with replacing_file(path) as temporary:
            super().save_weights(temporary, overwrite=True)
            add_checksum(temporary)

    def load_weights(self, filepath: str | os.PathLike, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Reads weights. A file that does not fit this model changes nothing.

        Args:
            filepath: A `.weights.h5` or `.keras` file of the same architecture, or the `.weights.json` of
                weights in parts; local, or with a scheme that TensorFlow knows.
            skip_mismatch, **kwargs: As in `keras.Model.load_weights`.

        Raises:
            ValueError: If the file does not fit.
            DamagedFileError: If the file is damaged or cannot be read; it is a `ValueError` and an `OSError`.
                Files that Keras alone has written have no checksum to compare.
            FileNotFoundError: If there is no such file.
        """
        path = check_path(filepath)
        if not exists(path):
            raise FileNotFoundError(f"There is no file {path!r}.")
        before = [(variable, variable.numpy()) for variable in self._saved_variables()]
        try:
            with local_weights(path) as local:
                check_weights(local)
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
        """All variables that files hold: weights, optimizers' slots, states of noise."""
        optimizers = (getattr(self, name) for name in getattr(self, "_optimizer_arguments", {}).values())
        return [*self.variables, *(variable for one in optimizers for variable in one.variables)]

    def save_own_variables(self, store: Any) -> None:
        """Writes the weights that belong to no layer, and the noise of Keras' layers; Keras calls it.

        Args:
            store: A mapping. The weights are written under their numbers, and besides the states of all
                `keras.random.SeedGenerator`s below the model, which Keras does not save.
        """
        super().save_own_variables(store)
        states = [one.state.numpy() for one in seed_generators(self)]
        if states:
            store[_GENERATORS] = np.stack(states)
        if self._run_position is not None:
            store[_RUN] = np.array(self._run_position)

    def load_own_variables(self, store: Any) -> None:
        """Reads the weights that belong to no layer, and the noise of Keras' layers; Keras calls it.

        Args:
            store: What `save_own_variables` wrote.
        """
        # Keras sets one of these while it reads a `.keras` file or a folder.
        if getattr(store, "archive", None) is not None:
            check_archive(store.archive)
        file = getattr(store, "path_or_io", None)
        if isinstance(file, Path) and is_weights_of_folder(file):
            check_checksum(file)
        values = {name: store[name] for name in store.keys()}
        run = values.pop(_RUN, None)
        self._run_position = None if run is None else RunPosition(*map(int, run))
        states, generators = values.pop(_GENERATORS, ()), seed_generators(self)
        if len(states) != len(generators):
            raise ValueError(
                f"The file must hold the states of {len(generators)} generators of noise, one for each of "
                f"Keras' layers with noise in this model; received {len(states)}. Build the model with the "
                "networks of the saved one."
            )
        super().load_own_variables(values)
        for generator, state in zip(generators, states, strict=True):
            generator.state.assign(state)

    def get_config(self) -> dict:
        """The constructor arguments, and the format that the configuration is written in."""
        return {
            **super().get_config(),
            "format": {"class": type(self).__name__, "number": _FORMAT, "version": __version__},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Any:
        """The model of a configuration.

        Args:
            config: What `get_config` gave.
            custom_objects: Classes by name that Keras does not know, as in `keras.saving`.

        Raises:
            ValueError: For a configuration of another class or of a newer format.
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


def _deserialize(value: Any, custom_objects: Any) -> Any:
    if isinstance(value, Mapping) and "class_name" in value and "config" in value:
        # Keras empties the configurations of functional networks while it reads them.
        return keras.saving.deserialize_keras_object(copy.deepcopy(value), custom_objects=custom_objects)
    return value
