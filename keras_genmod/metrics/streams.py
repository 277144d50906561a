"""Base classes of the streaming sample-quality metrics: two sides, an extractor, and a bounded buffer."""

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
    """A metric of real and generated samples that arrive in batches, in any order.

    A subclass stores what it needs of the features (`_add`, `_state`) and computes its values from that
    (`_measure`).

    Args:
        extractor: Computes features from data. None if the batches are features `[B, feature_dim]` already.
        feature_dim: Number of features. Required if the extractor does not state it.
    """

    # Names of the values. With a single name, results are that value instead of a dictionary.
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
        where = "without an extractor" if extractor is None else f"for the extractor {extractor.name}"
        if feature_dim is None:
            feature_dim = known
        if feature_dim is None:
            raise ValueError(
                f"`feature_dim` must be given {where}; received None. Pass the number of features, such as "
                "`feature_dim=2048`."
            )
        feature_dim = check_integer("feature_dim", feature_dim)
        if known is not None and known != feature_dim:
            raise ValueError(
                f"`feature_dim` must be {known} {where}; received {feature_dim}. Omit it, or pass {known}."
            )
        self.extractor, self.feature_dim = extractor, feature_dim

    def update_state(self, real: Any = None, generated: Any = None) -> None:
        """Adds a batch to either side, or to both.

        Args:
            real: Real data `[B, *shape]`, or their features `[B, feature_dim]` without an extractor.
            generated: The model's samples, or their features, of the same shape.
        """
        for side, batch in enumerate((real, generated)):
            if batch is not None:
                self._add(side, self._features(SIDES[side], batch))

    def _features(self, name: str, batch: Any) -> tf.Tensor:
        if self.extractor is not None:
            batch = self.extractor(batch)
        # TensorFlow would convert lists of Python floats to float32.
        features = tf.convert_to_tensor(np.asarray(batch) if isinstance(batch, (list, tuple)) else batch)
        if features.shape.rank != 2 or features.shape[1] not in (None, self.feature_dim):
            raise ValueError(
                f"`{name}` must be features of shape [batch, {self.feature_dim}]; received "
                f"{tuple(features.shape)}. Flatten them, or pass `extractor=FeatureExtractor(model)`."
            )
        return features

    @abstractmethod
    def _add(self, side: int, features: tf.Tensor) -> None:
        """Adds a batch of features `[B, feature_dim]` to one side."""

    @abstractmethod
    def _state(self) -> list[tf.Tensor]:
        """The tensors that the values are computed from."""

    @abstractmethod
    def _measure(self, *state: np.ndarray) -> dict[str, Measurement]:
        """The values by name; raises if there are too few samples."""

    def measurement(self) -> Measurement | dict[str, Measurement]:
        """The value with its origin, or a dictionary of several. Not for use inside a graph.

        Raises:
            ValueError: If there are too few samples, or features are not finite.
        """
        measured = self._measure(*[np.asarray(tensor) for tensor in self._state()])
        return measured if len(self.figures) > 1 else measured[self.figures[0]]

    def result(self) -> tf.Tensor | dict[str, tf.Tensor]:
        """The value, or a dictionary of several, float32; NaN as long as there are too few samples."""
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
        """The constructor arguments; the extractor's model is given without its weights."""
        extractor = self.extractor and keras.saving.serialize_keras_object(self.extractor)
        return {**super().get_config(), "extractor": extractor, "feature_dim": self.feature_dim}


class BufferedMetric(SampleMetric):
    """A metric that needs the samples themselves. It keeps the features of the first ones of each side.

    Args:
        extractor, feature_dim: As for `SampleMetric`.
        max_samples: Number of samples kept of each side; later ones are counted and dropped.

    An extractor's features are kept as float32, as it returns them; given features are kept as float64, so
    that the results equal those of the functions on arrays.

    Cost: Two times `max_samples * feature_dim` numbers on every replica.
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
        # All replicas hold the same rows, so reading the first replica is enough.
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
        """Number of samples of each side since the last reset, including those that were dropped."""
        return dict(zip(SIDES, map(int, np.asarray(tf.convert_to_tensor(self.counts))), strict=True))

    def _state(self) -> list[tf.Tensor]:
        counts = tf.unstack(tf.minimum(tf.convert_to_tensor(self.counts), self.max_samples))
        return [
            tf.convert_to_tensor(buffer)[:count] for buffer, count in zip(self.buffers, counts, strict=True)
        ]

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "max_samples": self.max_samples}
