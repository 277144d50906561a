"""A callback that writes pictures of translations during `fit`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from keras_genmod.applications.translated import check_translator, translation_rows
from keras_genmod.callbacks.pictures import PictureCallback

__all__ = ["TranslationGrid"]


class TranslationGrid(PictureCallback):
    """Writes a picture of translations, `epoch_0005_translations.png`: source, translation and target.

    Each source stands left of its translation, with its target beside them; without targets a model that can
    translates back, which shows whether its cycle is closed. Label maps are shown in colours of their own.

    Args:
        x: The sources, `[N, *source_shape]`; of a `SuperResolution` small pictures.
        directory, every_n_epochs, scale, log_dir: As in `ImageGrid`.
        targets: What the sources should become, `[N, *target_shape]`.
        direction: "ab" or "ba" of a `CycleGAN`, the first by default.
        seed: Seeds the noise of models that have some; None translates without noise.
        columns: Number of sources in a row.

    Raises:
        TypeError: Before training, if the model does not translate pictures.
        ValueError: Before training, if the folder is not writable, or sources, targets or direction do not
            fit.

    Cost: N translations, twice as many with the way back, before training and at each picture.
    """

    kind = "translations"
    needs = ("translation_spaces",)

    def __init__(
        self,
        x: Any,
        directory: str | os.PathLike,
        *,
        targets: Any = None,
        direction: str | None = None,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(directory, **{"value_range": (0.0, 1.0), **kwargs})
        self.x, self.targets, self.direction, self.seed = x, targets, direction, seed

    def images(self) -> np.ndarray:
        rows = translation_rows(
            self.model, self.x, targets=self.targets, direction=self.direction, seed=self.seed
        )
        return np.concatenate(list(rows.values()), axis=2)

    def set_model(self, model: Any) -> None:
        check_translator(model, "`TranslationGrid`")
        super().set_model(model)
