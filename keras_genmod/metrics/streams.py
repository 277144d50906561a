"""What the streaming metrics of sample quality share: two sides, an extractor, and a bounded store."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.replicas import assign_equally, sum_over_replicas
from keras_genmod.metrics.features import FeatureExtractor
from keras_genmod.metrics.means import TransientMetric
from keras_genmod.metrics.measurement import Measurement, as_extractor, origin

__all__ = ["SIDES", "BufferedMetric", "SampleMetric"]

SIDES = ("real", "generated")


class SampleMetric(TransientMetric):
    """A metric of real and generated samples that come in batches, in any order.

    A subclass keeps what it needs of the features (`_add`) and computes its figures from that (`_state`,
    `_measure`).

    Args:
        extractor: what turns data into features; None if the batches are features `[B, feature_dim]`.
        feature_dim: number of features; needed where the extractor does not tell.
    """

    # Names of the figures; the results of a metric with one figure are no dictionary.
    figures: tuple[str, ...] = ()

    def __init__(
        self,
        extractor: FeatureExtractor | None = None,
        feature_dim: int | None = None,
        name: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if isinstance(extractor, dict):
            extractor = keras.saving.deserialize_keras_object(extractor)
        extractor = as_extractor(extractor)
        known = None if extractor is None else extractor.feature_dim
        if feature_dim is None:
            feature_dim = known
        if feature_dim is None:
            where = "without an extractor" if extractor is None else f"for the extractor {extractor.name}"
            raise ValueError(
                f"`feature_dim` must be given {where}; received None. Pass the number of features, such as "
                "`feature_dim=2048`."
            )
        feature_dim = check_integer("feature_dim", feature_dim)
        if known is not None and known != feature_dim:
            raise ValueError(
                f"`feature_dim` must be {known} for the extractor {extractor.name}; received {feature_dim}. "
                "Leave it out."
            )
        self.extractor, self.feature_dim = extractor, feature_dim

    def update_state(self, real: Any = None, generated: Any = None) -> None:
        """Adds a batch to either side, or to both.

        Args:
            real: data `[B, *shape]`, or features `[B, feature_dim]` without an extractor.
            generated: the same of the model's samples.
        """
        for side, batch in enumerate((real, generated)):
            if batch is not None:
                self._add(side, self._features(SIDES[side], batch))

    def _features(self, name: str, batch: Any) -> tf.Tensor:
        if self.extractor is not None:
            batch = self.extractor(batch)
        # TensorFlow would round lists of Python's numbers to float32.
        features = tf.convert_to_tensor(np.asarray(batch) if isinstance(batch, (list, tuple)) else batch)
        if features.shape.rank != 2 or features.shape[1] not in (None, self.feature_dim):
            raise ValueError(
                f"`{name}` must be features of shape [batch, {self.feature_dim}]; received "
                f"{tuple(features.shape)}. Flatten them, or pass `extractor=FeatureExtractor(model)`."
            )
        return features

    @abstractmethod
    def _add(self, side: int, features: tf.Tensor) -> None:
        """Takes a batch of features `[B, feature_dim]` of one side in."""

    @abstractmethod
    def _state(self) -> list[tf.Tensor]:
        """The tensors that the figures are computed from."""

    @abstractmethod
    def _measure(self, *state: np.ndarray) -> dict[str, Measurement]:
        """The figures by name; raises where there are too few samples."""

    def measurement(self) -> Measurement | dict[str, Measurement]:
        """The figure (a dictionary of several) with its counts; outside graphs.

        Raises:
            ValueError: if there are too few samples, or NaN among the features.
        """
        measured = self._measure(*[np.asarray(tensor) for tensor in self._state()])
        return measured if len(self.figures) > 1 else measured[self.figures[0]]

    def result(self) -> tf.Tensor | dict[str, tf.Tensor]:
        """The figure (a dictionary of several), float32; NaN as long as there are too few samples."""
        values = tf.numpy_function(self._values, self._state(), tf.float32, stateful=False)
        values = tf.unstack(tf.ensure_shape(values, [len(self.figures)]))
        return dict(zip(self.figures, values, strict=True)) if len(values) > 1 else values[0]

    def _values(self, *state: np.ndarray) -> np.ndarray:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                measured = self._measure(*state)
        except ValueError:
            return np.full(len(self.figures), np.nan, np.float32)
        return np.array([measured[name] for name in self.figures], np.float32)

    def _origin(self) -> dict[str, str]:
        return origin(self.extractor)

    def get_config(self) -> dict:
        """The constructor arguments; of the extractor's model no weights."""
        extractor = self.extractor and keras.saving.serialize_keras_object(self.extractor)
        return {**super().get_config(), "extractor": extractor, "feature_dim": self.feature_dim}


class BufferedMetric(SampleMetric):
    """A metric that needs the samples themselves: the features of the first `max_samples` of each side.

    Args:
        extractor, feature_dim: as for `SampleMetric`.
        max_samples: samples kept of each side; later ones are counted and dropped.

    Features of an extractor are kept as it gives them, in float32, and others in float64, so that the figures
    are those of the array functions.

    Cost: two times `max_samples * feature_dim` numbers, on every replica.
    """

    def __init__(
        self,
        extractor: FeatureExtractor | None = None,
        feature_dim: int | None = None,
        max_samples: int = 10_000,
        name: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(extractor, feature_dim, name=name, **kwargs)
        self.max_samples = check_integer("max_samples", max_samples, minimum=2)
        # All replicas hold the same rows, so the first one's are all there is.
        same = {"initializer": "zeros", "aggregation": "only_first_replica"}
        shape = (self.max_samples, self.feature_dim)
        dtype = "float64" if self.extractor is None else "float32"
        self.buffers = [
            self.add_variable(shape, dtype=dtype, name=f"{side}_features", **same) for side in SIDES
        ]
        self.counts = self.add_variable((2,), dtype="int64", name="counts", **same)

    def _add(self, side: int, features: tf.Tensor) -> None:
        counts = tf.convert_to_tensor(self.counts)
        start = tf.cast(tf.minimum(counts[side], self.max_samples), tf.int32)
        num_rows = sum_over_replicas(tf.shape(features)[0])

        def store(old: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
            rows = rows[: self.max_samples - start]
            where = start + tf.range(tf.shape(rows)[0])
            return tf.tensor_scatter_nd_update(old, where[:, None], rows)

        assign_equally(self.buffers[side], store, rows=tf.cast(features, self.buffers[side].dtype))
        self.counts.assign(counts + tf.one_hot(side, 2, dtype=tf.int64) * tf.cast(num_rows, tf.int64))

    def num_seen(self) -> dict[str, int]:
        """Samples of each side since the last reset, those that were not kept among them."""
        return dict(zip(SIDES, map(int, np.asarray(tf.convert_to_tensor(self.counts))), strict=True))

    def _state(self) -> list[tf.Tensor]:
        counts = tf.unstack(tf.minimum(tf.convert_to_tensor(self.counts), self.max_samples))
        return [
            tf.convert_to_tensor(buffer)[:count] for buffer, count in zip(self.buffers, counts, strict=True)
        ]

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "max_samples": self.max_samples}
