"""The customary features for measures of image quality: those of Inception."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
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
    """The 2,048 averaged features of InceptionV3, for images of any size with one or three channels.

    Weights and graph are those of `keras.applications`, and images are resized with antialiasing. The
    graph that the first papers used differs in both, so figures compare with one another, but not with
    theirs to the decimal.

    Args:
        data_range: (low, high) of the data; None if they lie in [-1, 1], as the network wants them.
        weights: "imagenet", a file of weights, or None for random ones, which still compare images.
        batch_size: images per call of the network.

    Returns:
        An extractor whose name tells the weights.

    Raises:
        RuntimeError: if the weights cannot be had, for example without a network connection.

    Cost: about 6 GFLOP an image; the weights, 90 MB, are downloaded once and kept by Keras.

    Reference: Rethinking the Inception Architecture for Computer Vision, Szegedy, Vanhoucke, Ioffe, Shlens
    and Wojna, 2016.
    """
    try:
        is_file = weights not in ("imagenet", None)
        with full_precision(), reading(weights) if is_file else nullcontext(weights) as source:
            model = keras.applications.InceptionV3(
                include_top=False,
                weights=str(source) if is_file else source,
                input_shape=(299, 299, 3),
                pooling="avg",
            )
    except Exception as error:
        raise RuntimeError(
            f"The weights {weights!r} of InceptionV3 could not be had ({type(error).__name__}: {error}). "
            "Pass `weights=` a file that holds them, or train features on labelled data of your own with "
            "`classifier_extractor(x, y)`."
        ) from error
    kind = {"imagenet": "ImageNet weights of Keras", None: "random weights"}.get(weights)
    return FeatureExtractor(
        model,
        name=f"InceptionV3, {kind or f'weights of {PurePath(weights).name}'}, average pool",
        image_size=(299, 299),
        resize="bilinear",
        data_range=data_range,
        input_range=None if data_range is None else (-1.0, 1.0),
        batch_size=batch_size,
    )
