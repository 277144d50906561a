"""The customary features for measures of image quality: InceptionV3's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import PurePath

import keras

from keras_genmod.applications.classifiers import full_precision
from keras_genmod.core.files import reading
from keras_genmod.metrics.features import FeatureExtractor

__all__ = ["inception_extractor"]


def inception_extractor(
    data_range: Sequence[float] | None = (-1.0, 1.0),
    *,
    weights: str | None = "imagenet",
    batch_size: int = 32,
) -> FeatureExtractor:
    """The 2,048 average-pooled features of InceptionV3, for images of any size with one or three channels.

    Weights and graph are those of `keras.applications`, and images are resized with antialiasing. The first
    papers used another graph and another resizing, so figures are comparable with one another, but not with
    those papers' to the last decimal.

    Args:
        data_range: (low, high) of the data; None if the data are in [-1, 1], the network's range.
        weights: "imagenet", a weights file, or None for random weights, which still distinguish images.
        batch_size: Number of images per call of the network.

    Returns:
        An extractor whose name states the weights.

    Raises:
        RuntimeError: If the weights cannot be obtained, for example without a network connection.

    Cost: about 6 GFLOP per image; Keras downloads the weights, 90 MB, once and caches them.

    Reference: Rethinking the Inception Architecture for Computer Vision, Szegedy, Vanhoucke, Ioffe, Shlens
    and Wojna, 2016.
    """
    try:
        file: AbstractContextManager = nullcontext(weights)
        if weights not in ("imagenet", None):
            file = reading(weights)
        with full_precision(), file as source:
            model = keras.applications.InceptionV3(
                include_top=False,
                weights=None if source is None else str(source),
                input_shape=(299, 299, 3),
                pooling="avg",
            )
    except Exception as error:
        raise RuntimeError(
            f"The weights {weights!r} of InceptionV3 could not be loaded ({type(error).__name__}: {error}). "
            "Pass a weights file as `weights=`, or train features on labelled data of your own with "
            "`classifier_extractor(x, y)`."
        ) from error
    kind = "random weights"
    if weights is not None:
        kind = (
            "ImageNet weights of Keras" if weights == "imagenet" else f"weights of {PurePath(weights).name}"
        )
    return FeatureExtractor(
        model,
        name=f"InceptionV3, {kind}, average pool",
        image_size=(299, 299),
        resize="bilinear",
        data_range=data_range,
        input_range=None if data_range is None else (-1.0, 1.0),
        batch_size=batch_size,
    )
