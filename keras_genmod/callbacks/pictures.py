"""The base of callbacks that write one picture at the end of an epoch.

The noise in the pictures is the same at every epoch, so that pictures can be compared, and training's random
streams are not touched. One picture is drawn before the first step, so that a model without the method, a
condition that does not fit or a folder that is not writable ends the run before any work is lost. Later, a
picture that cannot be written causes a warning only.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.applications.latents import check_capability
from keras_genmod.applications.shown import check_shown_range, enlarged_grid, shown_range
from keras_genmod.core.checks import check_integer, describe
from keras_genmod.core.files import UnwritablePathError, check_path, make_writable
from keras_genmod.core.images import write_png
from keras_genmod.core.replicas import is_chief
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.training.arguments import explained

__all__ = ["PictureCallback"]


class PictureCallback(keras.callbacks.Callback):
    """Base of callbacks that write one picture at an epoch's end.

    A subclass names its picture (`kind`) and the attributes that the model must have (`needs`), and defines
    `images`.
    """

    kind = ""
    needs: tuple[str, ...] = ()

    @explained
    def __init__(
        self,
        directory: str | os.PathLike,
        *,
        every_n_epochs: int = 1,
        columns: int | None = None,
        value_range: tuple[float, float] | None = None,
        scale: int | None = None,
        log_dir: str | os.PathLike | None = None,
    ) -> None:
        super().__init__()
        self.directory = _folder("directory", directory)
        self.every_n_epochs = check_integer("every_n_epochs", every_n_epochs)
        self.columns = None if columns is None else check_integer("columns", columns)
        self.value_range = None if value_range is None else check_shown_range(value_range)
        self.scale = None if scale is None else check_integer("scale", scale)
        self.log_dir = None if log_dir is None else _folder("log_dir", log_dir)
        self._writer: Any = None

    def images(self) -> np.ndarray:
        """The images of the picture, `[N, height, width, channels]`."""
        raise TypeError(f"{type(self).__name__} must define `images`.")

    def picture(self) -> np.ndarray:
        """The picture of the current model, uint8 `[height, width, channels]`."""
        value_range = self.value_range or shown_range(self.model)
        images = self.images()
        self.check_images(images.shape[1:])
        return enlarged_grid(images, self.columns, value_range=value_range, scale=self.scale)

    def check_images(self, shape: Sequence[int]) -> None:
        """Refuses examples that are no images.

        Args:
            shape: That of an example.
        """
        if not _is_image_shape(shape):
            raise ValueError(
                f"`{type(self).__name__}` draws images [height, width, 1 or 3], or flat ones of square size;"
                f" received examples of shape {tuple(shape)}. Leave this callback out; `kg.plots` draws two "
                "columns of such examples, `dims=(0, 1)`."
            )

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        for name in self.needs:
            check_capability(model, name, what=f"`{type(self).__name__}`")

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.picture()
        if not is_chief(self.model.distribute_strategy):
            return
        for name, folder in {"directory": self.directory, "log_dir": self.log_dir}.items():
            if folder is not None:
                _check_writable(name, folder)
        if self.log_dir is not None:
            self._writer = tf.summary.create_file_writer(self.log_dir)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if (epoch + 1) % self.every_n_epochs:
            return
        # Only the chief writes, but every worker draws, because reading a metric may need all workers.
        picture = self.picture()
        if not is_chief(self.model.distribute_strategy):
            return
        file = os.path.join(self.directory, f"epoch_{epoch + 1:04d}_{self.kind}.png")
        with _going_on(file):
            write_png(file, picture)
        if self.log_dir is not None:
            with _going_on(self.log_dir):
                self._log(picture, epoch)

    def _log(self, picture: np.ndarray, epoch: int) -> None:
        """Writes a picture for TensorBoard; if the last writer failed, a new one is made."""
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self.log_dir)
        with self._writer.as_default():
            try:
                tf.summary.image(self.kind, picture[None], step=epoch)
                self._writer.flush()
            except tf.errors.OpError:
                # Unless closed, a failed writer would fail again and stay TensorFlow's default writer.
                with contextlib.suppress(tf.errors.OpError):
                    self._writer.close()
                self._writer = None
                raise

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._writer is not None and self.log_dir is not None:
            with _going_on(self.log_dir):
                self._writer.close()
            self._writer = None


def _is_image_shape(shape: Sequence[int]) -> bool:
    """Whether an example is an image, or as many numbers as a square one has pixels."""
    if len(shape) == 1:
        return math.isqrt(shape[0]) ** 2 == shape[0]
    return len(shape) == 3 and shape[-1] in (1, 3)


def _folder(name: str, path: Any) -> str:
    """A folder's path as a string.

    Raises:
        TypeError: For what is no path.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"`{name}` must be the path of a folder; received {describe(path)}. Pass a string, such as "
            "'pictures'."
        )
    return check_path(path)


def _check_writable(name: str, folder: str) -> None:
    try:
        make_writable(folder)
    except UnwritablePathError as error:
        raise ValueError(f"`{name}` must be a folder for pictures. {error}") from error


@contextlib.contextmanager
def _going_on(path: str) -> Iterator[None]:
    """Warns if a picture cannot be written, because a full disk must not end a run."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        warn_user(
            f"The picture {path!r} could not be written; training goes on without it "
            f"({type(error).__name__}: {error}). Make room on the disk, or check the folder.",
            RuntimeWarning,
        )
