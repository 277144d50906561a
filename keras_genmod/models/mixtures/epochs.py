"""Sums of statistics over the batches of an epoch, and the callback that begins and ends epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["EpochCallback", "EpochSums"]


class EpochSums:
    """Float64 sums of statistics: each replica adds to its own, and reading returns the replicas' total.

    This is a plain object and no layer, so files do not contain the sums, which are zero between epochs.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self._variables = [
            tf.Variable(
                tf.zeros(shape, tf.float64),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            for shape in shapes
        ]

    def add(self, statistics: Sequence[tf.Tensor]) -> None:
        """Adds the statistics of a batch."""
        for variable, value in zip(self._variables, statistics, strict=True):
            variable.assign_add(value)

    def read(self) -> list[tf.Tensor]:
        """The sums over all replicas; must be called outside of a step."""
        return [tf.convert_to_tensor(variable) for variable in self._variables]

    def reset(self) -> None:
        """Sets all sums to zero."""
        for variable in self._variables:
            variable.assign(tf.zeros(variable.shape, tf.float64))


class EpochCallback(keras.callbacks.Callback):
    """Begins and ends the epochs of a mixture, before any other callback reads the model."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model._begin_epoch()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model._end_epoch()

    def on_train_end(self, logs: Any = None) -> None:
        self.model._look_at_parameters()
