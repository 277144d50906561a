"""Callbacks that write pictures of samples, reconstructions and latent traversals during `fit`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_genmod.applications.latent_use import dims_by_use, latent_use
from keras_genmod.applications.shown import reconstruct
from keras_genmod.applications.traversal import traverse
from keras_genmod.callbacks.pictures import PictureCallback
from keras_genmod.core.checks import check_integer, describe
from keras_genmod.core.images import as_images

__all__ = ["ImageGrid", "ReconstructionGrid", "TraversalGrid"]


class ImageGrid(PictureCallback):
    """Writes a picture of samples, `epoch_0005_samples.png`, at the end of epochs.

    In a multi-worker run only the chief writes. The noise is the same at every epoch. One picture is drawn
    before the first step, so that errors occur before any work is lost; later, a picture that cannot be
    written causes a warning only.

    Args:
        directory: Folder of the pictures, created if it does not exist. It may be remote (`gs://...`).
        num_images: Number of samples in the picture.
        condition: One condition for all samples, or one per sample.
        seed: Seeds the samples; an integer or a pair of integers.
        every_n_epochs: Number of epochs from one picture to the next.
        columns: Number of images in a row; by default the picture is as square as possible.
        value_range: Values shown as black and white; by default the model's value range, or (0, 1) if that
            is unbounded.
        scale: Integer factor of enlargement; by default small images are enlarged to about 48 pixels a side.
        log_dir: Folder for TensorBoard, where the pictures are named "samples". Their step is the epoch
            counted from 0, as in Keras' other epoch logs: that of `epoch_0005_samples.png` is 4.

    Raises:
        TypeError: If the folder is no path; before training, if the model has no `sample`.
        ValueError: Before training, if the folder is not writable, the condition does not fit, or the samples
            are not images.

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


class ReconstructionGrid(PictureCallback):
    """Writes a picture of pairs, `epoch_0005_reconstructions.png`: each original left of its reconstruction.

    Args:
        x: The originals, `[N, *event_shape]`.
        directory, every_n_epochs, value_range, scale, log_dir: As in `ImageGrid`.
        condition: One condition for all originals, or one per original.
        seed: Seeds the reconstructions of models that draw them; an integer or a pair of integers.
        columns: Number of pairs in a row.

    Raises:
        TypeError: If the folder is no path; before training, if the model has no `reconstruct`.
        ValueError: Before training, if the folder is not writable, or data or condition do not fit.

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
        reconstructions = reconstruct(self.model, self.x, self.condition, self.seed)
        self.check_images(reconstructions.shape[1:])
        return np.concatenate([as_images(self.x), as_images(reconstructions)], axis=2)


class TraversalGrid(PictureCallback):
    """Writes a picture with one row per varied latent dimension, `epoch_0005_traversals.png`.

    If the model measures its use of each dimension (`latent_usage`), the rows are sorted by the dimension's
    divergence from the prior over the last pass over data (the validation data, if there are any), or, where
    that is no sum over dimensions, by the variance of the codes; otherwise by index.

    Args:
        directory, every_n_epochs, value_range, scale, log_dir: As in `ImageGrid`. A row has one image for
            each of the `values`.
        x: The example to start from, `[*event_shape]`; None starts from the latent vector 0.
        values: Values that a varied dimension takes; by default 7 values from -3 to 3.
        max_dims: Largest number of rows.
        condition: One condition, without the batch axis.

    Raises:
        TypeError: If the folder is no path; before training, if the model has no `decode` or `latent_dim`.
        ValueError: If `values` are no numbers; before training, if the folder is not writable, or `x` or
            condition do not fit.

    Cost: one pass through the decoder per image, before training and at each picture.

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
        self.values = np.linspace(-3.0, 3.0, 7) if values is None else _numbers(values)
        if "columns" in kwargs:
            raise TypeError(
                "`TraversalGrid` has no `columns`: a row has one image for each of the `values`. Pass as "
                "many values as a row shall have images."
            )
        super().__init__(directory, columns=self.values.size, **kwargs)
        self.x = x
        self.max_dims = check_integer("max_dims", max_dims)
        self.condition = condition

    def images(self) -> np.ndarray:
        dims = dims_by_use(self.model, latent_use(self.model))[: self.max_dims]
        rows = traverse(self.model, self.x, dims=dims, values=self.values, condition=self.condition)
        return rows.reshape(-1, *rows.shape[2:])


def _numbers(values: Any) -> np.ndarray:
    """The values of a dimension, float64."""
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        numbers = np.empty((0,))
    if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(
            f"`values` must be a list of finite numbers; received {describe(values)}. Pass those that each "
            "latent dimension takes, such as [-2, 0, 2]."
        )
    return numbers
