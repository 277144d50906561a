r"""Counts of the modes that samples cover: of a mixture with known centres, or the classes of a classifier.

A sample is good if it lies within a few standard deviations of its nearest centre. A mode is covered if it
has at least one good sample. $KL(p \| u) = \sum_k p_k \ln(p_k K)$, with $p_k$ the share of the good samples
at mode k, measures how evenly they are spread; it is 0 if all K modes get equally many.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_integer, check_number, describe
from keras_genmod.core.registration import register
from keras_genmod.metrics.features import FeatureExtractor
from keras_genmod.metrics.measurement import Measurement, check_features
from keras_genmod.metrics.pairwise import squared_distance_blocks
from keras_genmod.metrics.streams import SampleMetric

__all__ = ["ModeCount", "ModeCounts", "count_classes", "count_modes"]


class ModeCounts(NamedTuple):
    """How samples cover K modes.

    Attributes:
        num_modes: Number of modes with at least one good sample.
        good_share: Fraction of the samples that are good, in [0, 1].
        counts: Number of good samples at each mode, int64 `[K]`.
        kl: KL divergence of the good samples' shares from equal shares, from 0 to ln K nats; NaN if no sample
            is good.
    """

    num_modes: int
    good_share: float
    counts: np.ndarray
    kl: float


def count_modes(samples: Any, centers: Any, std: Any, *, num_stds: float = 3.0) -> ModeCounts:
    """The modes of a mixture that samples cover, and the fraction of samples that are near a mode.

    Args:
        samples: Samples `[N, D]`.
        centers: Centres of the modes `[K, D]`.
        std: Standard deviation of each mode: one number, or `[K]`.
        num_stds: A sample is good within this many standard deviations of its nearest centre.

    Raises:
        ValueError: If a shape is wrong, values are not finite, or `std` is not positive.

    Cost: N K D.

    Reference: VEEGAN: reducing mode collapse in GANs using implicit variational learning, Srivastava, Valkov,
    Russell, Gutmann and Sutton, 2017; PacGAN: the power of two samples in generative adversarial networks,
    Lin, Khetan, Fanti and Oh, 2018.

    >>> count_modes([[0.1], [0.0], [5.0]], centers=[[0.0], [1.0]], std=0.1)[:2]
    (1, 0.6666666666666666)
    """
    centers, std = _check_modes(centers, std)
    num_stds = check_number("num_stds", num_stds, above=0.0)
    samples = check_features("samples", samples, min_count=1)
    if samples.shape[1] != centers.shape[1]:
        raise ValueError(
            f"`samples` must have shape [num_samples, {centers.shape[1]}] as `centers` has; received "
            f"{samples.shape}. Flatten the samples, or give centres in their space."
        )
    reach = np.square(num_stds * std)
    bins = np.empty(len(samples), np.int64)
    for where, distances in squared_distance_blocks(samples, centers):
        nearest = distances.argmin(axis=1)
        good = distances[np.arange(len(distances)), nearest] <= reach[nearest]
        bins[where] = np.where(good, nearest, len(centers))
    return _summary(np.bincount(bins, minlength=len(centers) + 1))


def count_classes(predictions: Any, num_classes: int, *, min_confidence: float = 0.0) -> ModeCounts:
    """The classes that a classifier finds among samples: a count of modes for data without known centres.

    Args:
        predictions: Integer labels `[N]`, or probabilities `[N, num_classes]`.
        num_classes: Number of classes, K.
        min_confidence: A sample is good if its most likely class has at least this probability.

    Raises:
        ValueError: If a shape is wrong, a label is outside the classes, or rows are not probabilities.

    Cost: N K.

    Reference: As for `count_modes`.

    >>> count_classes([0, 0, 2, 2], num_classes=3).num_modes
    2
    """
    num_classes = check_integer("num_classes", num_classes)
    min_confidence = check_number("min_confidence", min_confidence, minimum=0.0, maximum=1.0)
    predictions = np.asarray(predictions)
    if predictions.ndim == 1 and predictions.dtype.kind in "iu" and len(predictions):
        labels = predictions
        if labels.min() < 0 or labels.max() >= num_classes:
            raise ValueError(
                f"`predictions` must hold labels from 0 to {num_classes - 1}; received labels from "
                f"{labels.min()} to {labels.max()}. Check `num_classes`."
            )
    elif predictions.ndim == 2 and predictions.shape[1] == num_classes and len(predictions):
        if not ((predictions >= 0).all() and np.allclose(predictions.sum(axis=1), 1.0, atol=1e-3)):
            raise ValueError(
                "`predictions` must hold probabilities, with rows that sum to 1; received row sums from "
                f"{predictions.sum(axis=1).min():.3g} to {predictions.sum(axis=1).max():.3g} and a smallest "
                f"value of {predictions.min():.3g}. Apply softmax to logits."
            )
        labels = np.where(predictions.max(axis=1) >= min_confidence, predictions.argmax(axis=1), num_classes)
    else:
        raise ValueError(
            f"`predictions` must be integers [num_samples] or probabilities [num_samples, {num_classes}]; "
            f"received {describe(predictions)}. Take the classifier's labels with `argmax`."
        )
    return _summary(np.bincount(labels, minlength=num_classes + 1))


def _check_modes(centers: Any, std: Any) -> tuple[np.ndarray, np.ndarray]:
    centers = check_features("centers", centers, min_count=1)
    std = np.asarray(std, np.float64)
    if std.shape not in ((), (len(centers),)) or not (np.isfinite(std).all() and (std > 0).all()):
        raise ValueError(
            f"`std` must be a positive number, or one for each of the {len(centers)} centres; received "
            f"{describe(std) if std.ndim else std}. Give the standard deviation of each mode."
        )
    return centers, np.broadcast_to(std, len(centers))


def _summary(counts: np.ndarray) -> ModeCounts:
    """The summary of counts `[K + 1]`; the last one counts samples at no mode."""
    total, counts = counts.sum(), counts[:-1].astype(np.int64)
    shares = counts[counts > 0] / max(counts.sum(), 1)
    kl = float(np.sum(shares * np.log(shares * len(counts)))) if len(shares) else float("nan")
    return ModeCounts(int(np.count_nonzero(counts)), float(counts.sum() / total), counts, kl)


@register
class ModeCount(SampleMetric):
    """Streams the modes that generated samples cover; the results equal those of `count_modes`.

    `update_state` accepts real samples as the other metrics do, and ignores them.

    Args:
        centers: Centres of the modes `[K, D]`.
        std: Standard deviation of each mode: one number, or `[K]`.
        num_stds: A sample is good within this many standard deviations of its nearest centre.
        extractor: Maps data to the centres' space. None if the batches are in it already.

    Cost: B K D per batch.

    Reference: As for `count_modes`.
    """

    figures = ("num_modes", "good_share", "kl")

    def __init__(
        self,
        centers: Any,
        std: Any,
        num_stds: float = 3.0,
        extractor: FeatureExtractor | None = None,
        name: str = "modes",
        **kwargs,
    ) -> None:
        self.centers, self.std = _check_modes(centers, std)
        self.num_stds = check_number("num_stds", num_stds, above=0.0)
        super().__init__(extractor, self.centers.shape[1], name=name, **kwargs)
        # The last one counts samples at no mode.
        self.counts = self.add_variable((len(self.centers) + 1,), "zeros", dtype="float64", name="counts")

    def update_state(self, real: Any = None, generated: Any = None) -> None:
        """Adds a batch of generated samples.

        Args:
            real: Ignored.
            generated: Data `[B, *shape]`, or samples `[B, D]` without an extractor.
        """
        super().update_state(generated=generated)

    def _add(self, side: int, features: tf.Tensor) -> None:
        # Differences instead of a matrix product: centres are few, and small distances must be exact.
        offsets = tf.cast(features, tf.float64)[:, None] - self.centers
        distances = tf.reduce_sum(tf.square(offsets), axis=-1)
        nearest = tf.argmin(distances, axis=1)
        reach = tf.gather(tf.constant(np.square(self.num_stds * self.std)), nearest)
        good = tf.reduce_min(distances, axis=1) <= reach
        bins = tf.where(good, nearest, len(self.centers))
        self.counts.assign_add(
            tf.reduce_sum(tf.one_hot(bins, len(self.centers) + 1, dtype=tf.float64), axis=0)
        )

    def mode_counts(self) -> ModeCounts:
        """The summary with the counts of all modes. Not for use inside a graph.

        Raises:
            ValueError: If there are no samples yet.
        """
        return self._summary(np.asarray(tf.convert_to_tensor(self.counts)))

    def _summary(self, counts: np.ndarray) -> ModeCounts:
        if not counts.sum():
            raise ValueError(
                "`generated` must hold at least 1 sample; received 0. Call `update_state` first."
            )
        return _summary(counts)

    def _state(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(self.counts)]

    def _measure(self, *state: np.ndarray) -> dict[str, Measurement]:
        summary, total = self._summary(state[0]), state[0].sum()
        source = {**self._origin(), "num_generated": total}
        return {name: Measurement(getattr(summary, name), metric=name, **source) for name in self.figures}

    def get_config(self) -> dict:
        """The constructor arguments."""
        config = keras.metrics.Metric.get_config(self)
        extractor = self.extractor and keras.saving.serialize_keras_object(self.extractor)
        modes = {"centers": self.centers.tolist(), "std": self.std.tolist(), "num_stds": self.num_stds}
        return {**config, **modes, "extractor": extractor}
