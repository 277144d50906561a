"""Pictures of what a model does, epoch after epoch: samples, reconstructions, latent dimensions.

The noise in them is the same at every epoch, so that pictures compare, and they draw from no stream that
training draws from. Before the first step everything is drawn once, so that a model that cannot, a
condition that does not fit or a folder that cannot be written to ends the run before work is lost. Later, a
picture that cannot be written is a warning.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.applications.latents import check_capability
from keras_genmod.applications.traversal import traverse
from keras_genmod.core.checks import check_integer
from keras_genmod.core.files import UnwritablePathError, check_path, make_writable
from keras_genmod.core.images import as_images, image_grid, write_png
from keras_genmod.core.replicas import is_chief
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.training.arguments import explained

__all__ = ["ImageGrid", "ReconstructionGrid", "TraversalGrid"]

# Small images are enlarged to about this many pixels a side.
_VISIBLE = 48


class _Pictures(keras.callbacks.Callback):
    """Base of the callbacks that write one picture at an epoch's end.

    A subclass names its picture (`kind`) and what the model must have (`needs`), and defines `images`.
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
        self.directory = check_path(directory)
        self.every_n_epochs = check_integer("every_n_epochs", every_n_epochs)
        self.columns = None if columns is None else check_integer("columns", columns)
        self.value_range = value_range
        self.scale = None if scale is None else check_integer("scale", scale)
        self.log_dir = None if log_dir is None else check_path(log_dir)
        self._writer = None

    def images(self) -> np.ndarray:
        """The images of the picture, `[N, height, width, channels]`."""
        raise TypeError(f"{type(self).__name__} must define `images`.")

    def picture(self) -> np.ndarray:
        """The picture of the model as it is now, uint8 `[height, width, channels]`."""
        images = as_images(self.images())
        low, high = self.value_range or self._model_range()
        scale = self.scale or max(1, _VISIBLE // images.shape[1])
        # Lines that show beside enlarged pixels.
        padding = max(1, scale // 2)
        return image_grid(images, self.columns, value_range=(low, high), padding=padding, scale=scale)

    def _model_range(self) -> tuple[float, float]:
        """The model's values where they have bounds; else those of most images."""
        if hasattr(self.model, "value_range"):
            accepted = self.model.value_range()
            if np.isfinite(accepted.low) and np.isfinite(accepted.high):
                return accepted.low, accepted.high
        return 0.0, 1.0

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
        # Every worker draws, though only the chief writes: it may take all of them to read a metric.
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
        """Writes a picture for TensorBoard, by a new writer where the last one failed."""
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self.log_dir)
        with self._writer.as_default():
            try:
                tf.summary.image(self.kind, picture[None], step=epoch)
                self._writer.flush()
            except tf.errors.OpError:
                # It would fail again as it is left, and stay TensorFlow's default writer; closed it does not.
                with contextlib.suppress(tf.errors.OpError):
                    self._writer.close()
                self._writer = None
                raise

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._writer is not None:
            with _going_on(self.log_dir):
                self._writer.close()
            self._writer = None


def _check_writable(name: str, folder: str) -> None:
    try:
        make_writable(folder)
    except UnwritablePathError as error:
        raise ValueError(f"`{name}` must be a folder for pictures. {error}") from error


@contextlib.contextmanager
def _going_on(path: str) -> Iterator[None]:
    """Warns where a picture cannot be written: a disk that is full must not end a run."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        warn_user(
            f"The picture {path!r} could not be written, and training goes on without it "
            f"({type(error).__name__}: {error}). Make room on the disk, or check the folder.",
            RuntimeWarning,
        )


class ImageGrid(_Pictures):
    """Writes a picture of samples, `epoch_0005_samples.png`, at the end of epochs.

    In a multi-worker run only the chief writes.

    Args:
        directory: folder of the pictures; made if it is missing. It may have a scheme that TensorFlow knows.
        num_images: samples in the picture.
        condition: of a conditional model: one for all, or one per sample.
        seed: of the samples, integer or two integers.
        every_n_epochs: epochs from one picture to the next.
        columns: images in a row; by default the picture is as square as it can be.
        value_range: the values that become black and white; by default those that the model accepts,
            (0, 1) where they have no bounds.
        scale: enlargement, a whole number; by default such that small images are seen.
        log_dir: folder for TensorBoard, where the pictures appear under the same name and, as other epoch
            logs of Keras, under the number of the epoch counted from 0.

    Raises:
        TypeError: before training, if the model has no `sample`.
        ValueError: before training, if the folder cannot be written to, the condition does not fit, or
            the samples are no images.

    Cost: `num_images` samples before training and at each picture.

    Example:
        >>> import tempfile
        >>> from keras_genmod.models import VAE
        >>> model = VAE((8, 8, 1), latent_dim=2)
        >>> model.compile()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = model.fit(np.zeros((4, 8, 8, 1)), verbose=0, callbacks=[ImageGrid(folder)])
        ...     os.listdir(folder)
        ['epoch_0001_samples.png']
    """

    kind = "samples"
    needs = ("sample",)

    def __init__(
        self,
        directory: str | os.PathLike,
        num_images: int = 64,
        *,
        condition: Any = None,
        seed: Any = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(directory, **kwargs)
        self.num_images = check_integer("num_images", num_images)
        self.condition = condition
        self.seed = seed

    def images(self) -> np.ndarray:
        return np.asarray(self.model.sample(self.num_images, condition=self.condition, seed=self.seed))


class ReconstructionGrid(_Pictures):
    """Writes a picture of pairs, `epoch_0005_reconstructions.png`: each original, at its right the model's.

    Args:
        x: the originals, `[N, *event_shape]`.
        directory, every_n_epochs, value_range, scale, log_dir: as in `ImageGrid`.
        condition: of a conditional model: one for all, or one per original.
        seed: where the model's reconstructions are drawn.
        columns: pairs in a row.

    Raises:
        TypeError: before training, if the model has no `reconstruct`.
        ValueError: before training, if the folder cannot be written to, or data or condition do not fit.

    Cost: N reconstructions before training and at each picture.
    """

    kind = "reconstructions"
    needs = ("reconstruct",)

    def __init__(
        self,
        x: Any,
        directory: str | os.PathLike,
        *,
        condition: Any = None,
        seed: Any = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(directory, **kwargs)
        self.x = x
        self.condition = condition
        self.seed = seed

    def images(self) -> np.ndarray:
        reconstruct = self.model.reconstruct
        arguments = {"seed": self.seed} if "seed" in inspect.signature(reconstruct).parameters else {}
        reconstructions = reconstruct(self.x, condition=self.condition, **arguments)
        return np.concatenate([as_images(self.x), as_images(reconstructions)], axis=2)


class TraversalGrid(_Pictures):
    """Writes a picture with a row per latent dimension that moves, `epoch_0005_traversals.png`.

    The rows are sorted by how much the model uses a dimension, its divergence from the prior over the
    last pass over data (the validation data, if there are any), where the model measures it
    (`latent_usage`); else by number.

    Args:
        directory, every_n_epochs, value_range, scale, log_dir: as in `ImageGrid`.
        x: the example to start from, `[*event_shape]`; by default the latent vector 0.
        values: what a moved dimension is set to; by default 7 values from -3 to 3.
        max_dims: the most rows.
        condition: of a conditional model: one, without the batch axis.

    Raises:
        TypeError: before training, if the model has no `decode` or `latent_dim`.
        ValueError: before training, if the folder cannot be written to, or `x` or condition do not fit.

    Cost: as many passes through the decoder, before training and at each picture, as it has images.

    Reference: beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, Higgins
    et al., 2017.
    """

    kind = "traversals"
    needs = ("latent_dim",)

    def __init__(
        self,
        directory: str | os.PathLike,
        x: Any = None,
        *,
        values: Sequence[float] | None = None,
        max_dims: int = 16,
        condition: Any = None,
        **kwargs: Any,
    ) -> None:
        values = np.linspace(-3.0, 3.0, 7) if values is None else np.asarray(values, np.float64)
        super().__init__(directory, columns=values.size, **kwargs)
        self.x = x
        self.values = values
        self.max_dims = check_integer("max_dims", max_dims)
        self.condition = condition

    def images(self) -> np.ndarray:
        usage = np.zeros(self.model.latent_dim)
        if hasattr(self.model, "latent_usage"):
            usage = self.model.latent_usage.kl_per_latent()
        dims = np.argsort(-usage, kind="stable")[: self.max_dims]
        rows = traverse(self.model, self.x, dims=dims, values=self.values, condition=self.condition)
        return rows.reshape(-1, *rows.shape[2:])
