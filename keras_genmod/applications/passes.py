"""Batches whose rows are decided anew at the beginning of each epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.user_warnings import warn_user

__all__ = ["EpochCallback", "pass_dataset"]

# Passes of a run without the callback after which a warning tells of it. Tools look at data once or twice.
_UNNOTICED_PASSES = 3


class EpochCallback(keras.callbacks.Callback):
    """A callback that tells its data which epoch they are for.

    A resumed run begins with the number of the epoch at which it stopped, so data that follow from that
    number go on as those of the uninterrupted run.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0
        # Number of batches in a pass, once there is a data set.
        self._num_batches: int | None = None
        self._has_run = False
        self._unnoticed = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Refuses epochs that are not one pass over the data."""
        self._has_run = True
        name = type(self).__name__
        if self._num_batches is None:
            raise RuntimeError(
                f"`{name}` has no batches yet, so this run trains on other data. Pass what its `batches` "
                "returns to `fit`."
            )
        steps = (self.params or {}).get("steps")
        if steps is not None and steps != self._num_batches:
            raise ValueError(
                f"An epoch must be one pass over the {self._num_batches} batches of `{name}`, because they "
                f"are drawn anew when an epoch begins; received epochs of {steps} steps. Train on what "
                "`batches` returned last, and leave `steps_per_epoch` out."
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Takes the number of the epoch."""
        self._epoch = epoch

    def _note_pass(self) -> None:
        """Warns if passes come one after another and nobody says which epochs they are."""
        if self._has_run:
            return
        self._unnoticed += 1
        if self._unnoticed == _UNNOTICED_PASSES + 1:
            name = type(self).__name__
            warn_user(
                f"The batches of `{name}` are read again and again, and are the same each time. Pass the "
                f"{name} itself to `fit` too, in `callbacks`, so that they are drawn anew in each epoch."
            )


def pass_dataset(
    batch_of: Callable[[int], list[np.ndarray]], spec: Sequence[tf.TensorSpec], num_batches: int
) -> tf.data.Dataset:
    """A finite data set that asks for its batches one after the other.

    Args:
        batch_of: Function from the number of a batch in the pass to its arrays.
        spec: What these arrays are, in their order.
        num_batches: Number of batches in a pass.
    """

    def fetch(number: np.ndarray) -> list[np.ndarray]:
        return [
            np.asarray(array, one.dtype.as_numpy_dtype)
            for array, one in zip(batch_of(int(number)), spec, strict=True)
        ]

    def batch(number: tf.Tensor) -> tuple:
        arrays = tf.numpy_function(fetch, [number], [one.dtype for one in spec])
        for array, one in zip(arrays, spec, strict=True):
            array.set_shape(one.shape)
        return tuple(arrays)

    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return tf.data.Dataset.range(num_batches).map(batch).prefetch(2).with_options(options)
