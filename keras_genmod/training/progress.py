"""Where a run stands: in the endless stream of passes over the training data, and in the epoch.

The stream of `data.pipeline.endless_batches` is passes 0, 1, 2, ..., each with an order of its own. Which
batch comes next follows from the number of training steps, which every model saves, and from the state
here, int64 `[3]`:

    (first_step, number, batches_per_pass)

says that training step `first_step` took the first batch of pass `number`, and that the steps since then
went through passes of so many batches. It is written once a `fit`, so a step costs nothing, and a file
written after any step tells the position after that step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

__all__ = [
    "DataPosition",
    "EpochPosition",
    "StreamStart",
    "add_data_position",
    "figures_before_readers",
    "with_callback",
]

# Callbacks that write down all logs of an epoch: those of Keras, and those of packages for tracking runs.
_WRITERS = (keras.callbacks.CSVLogger, keras.callbacks.RemoteMonitor, keras.callbacks.TensorBoard)
_TRACKERS = {"clearml", "comet_ml", "mlflow", "neptune", "wandb"}


class DataPosition(NamedTuple):
    """A point of the stream.

    Args:
        first_step: a training step that took the first batch of a pass.
        number: the number of that pass.
        batches_per_pass: batches of the passes since; 0 where the steps since took other data.
    """

    first_step: int
    number: int
    batches_per_pass: int

    def entered(self, step: int, batches_per_pass: int, *, whole_passes: bool) -> DataPosition:
        """The position from which training goes on with arrays of `batches_per_pass` batches.

        It goes on in the middle of a pass only if epochs are not whole passes, and the passes have as many
        batches as before. Otherwise a new pass begins, so that an epoch gives every example once.

        Args:
            step: training steps done.
            batches_per_pass: batches of the passes to come; 0 for data other than arrays.
            whole_passes: whether epochs are whole passes, and so begin with one.
        """
        number, batch = self.number, 0
        if self.batches_per_pass:
            passes, batch = divmod(step - self.first_step, self.batches_per_pass)
            number += passes
        if batches_per_pass == self.batches_per_pass and not (batch and whole_passes):
            # However training is cut into calls, the state is the same.
            return self
        return DataPosition(step, number + (batch > 0), batches_per_pass)

    def next_batch(self, step: int) -> int:
        """The number in the stream of the batch that training step `step` takes."""
        return self.number * self.batches_per_pass + step - self.first_step


def add_data_position(layer: keras.layers.Layer) -> keras.Variable:
    """The weight that holds a model's position, at the beginning of pass 0."""
    return layer.add_weight(
        shape=(3,),
        initializer="zeros",
        dtype="int64",
        trainable=False,
        autocast=False,
        aggregation="only_first_replica",
        name="data_position",
    )


class StreamStart(keras.callbacks.Callback):
    """Finds the batch that `fit` begins with, once weights are restored, and saves the position.

    Args:
        batches_per_pass, whole_passes: as in `DataPosition.entered`.
    """

    def __init__(self, batches_per_pass: int, whole_passes: bool) -> None:
        super().__init__()
        self._passes = {"batches_per_pass": batches_per_pass, "whole_passes": whole_passes}
        self._begun = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._begun:
            return
        self._begun = True
        step = int(self.model.training_steps)
        saved = tf.convert_to_tensor(self.model._data_position).numpy().tolist()
        position = DataPosition(*saved).entered(step, **self._passes)
        self.model._data_position.assign(position)
        self.model._next_batch = position.next_batch(step)


class EpochPosition(keras.callbacks.Callback):
    """Knows how many steps of the epoch are left when an execution begins."""

    def __init__(self, steps_per_epoch: int) -> None:
        super().__init__()
        self._steps_per_epoch = steps_per_epoch
        self._step = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._step = batch

    def steps_left(self) -> int:
        """Steps from the one that begins to the end of the epoch."""
        return self._steps_per_epoch - self._step


def with_callback(
    callbacks: Any, callback: keras.callbacks.Callback, model: keras.Model, *, first: bool = False
) -> Any:
    """The callbacks that `fit` was given with one more, at the end or in front."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callback.set_model(model)
        callbacks.callbacks.insert(0 if first else len(callbacks.callbacks), callback)
        return callbacks
    others = [] if callbacks is None else keras.tree.flatten(callbacks)
    return [callback, *others] if first else [*others, callback]


def figures_before_readers(callbacks: Any) -> Any:
    """The callbacks, with those that put figures into the logs in front of those that read them.

    Keras runs callbacks in the order of the list, so that a `ModelCheckpoint` in front of the callback that
    computes what it monitors would never see it. A callback says in `log_names` what figures it gives; it
    moves in front of the first one that monitors one of them or writes down all logs, and no further:
    callbacks that change weights for those behind them, such as `SwapEMAWeights`, keep their place.

    Args:
        callbacks: what `fit` was given.
    """
    is_list = isinstance(callbacks, keras.callbacks.CallbackList)
    given = callbacks.callbacks if is_list else [] if callbacks is None else keras.tree.flatten(callbacks)
    ordered = list(given)
    for callback in given:
        names = getattr(callback, "log_names", ())
        place = ordered.index(callback)
        readers = (number for number, other in enumerate(ordered[:place]) if _reads(other, names))
        ordered.insert(next(readers, place), ordered.pop(place))
    if not is_list:
        return ordered
    callbacks.callbacks[:] = ordered
    return callbacks


def _reads(callback: keras.callbacks.Callback, names: Sequence[str]) -> bool:
    """Whether a callback monitors one of the figures, or writes down all that there are."""
    if not names:
        return False
    writes = isinstance(callback, _WRITERS) or type(callback).__module__.partition(".")[0] in _TRACKERS
    return writes or getattr(callback, "monitor", None) in names
