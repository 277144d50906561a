"""Where a run stands: in the endless stream of passes over the training data, and in the epoch.

The stream of `data.pipeline.BatchStream` is passes 0, 1, 2, ..., each with an order of its own. Which
batch comes next follows from the number of training steps, which every model saves, and from the state
here, int64 `[3]`:

    (first_step, number, batches_per_pass)

says that training step `first_step` took the first batch of pass `number`, and that the steps since then
went through passes of so many batches. It is written once a `fit`, so a step costs nothing, and a file
written after any step tells the position after that step.

In the same way `RunPosition` says where in its epochs a run stands that `BackupAndRestore` takes up again.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_genmod.core.replicas import is_chief

__all__ = [
    "DataPosition",
    "RunPosition",
    "RunStart",
    "ShortEpoch",
    "add_data_position",
    "figures_before_readers",
    "robust_backups",
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


class RunPosition(NamedTuple):
    """The epochs of a run, saved with the weights of a model that is backed up.

    Args:
        first_step: the training step that the run began with.
        first_epoch: the epoch that began with it.
        steps_per_epoch: number of steps in an epoch; 0 where it is not known.
    """

    first_step: int
    first_epoch: int
    steps_per_epoch: int

    def reached(self, step: int) -> tuple[int, int]:
        """The epoch that training step `step` belongs to, and the number of its steps before that one."""
        epochs, done = divmod(step - self.first_step, self.steps_per_epoch)
        return self.first_epoch + epochs, done


class RunStart(keras.callbacks.Callback):
    """Finds where `fit` begins once weights are restored, saves it, and counts the steps of an epoch.

    A run that `BackupAndRestore` takes up again goes on in the middle of an epoch, where the saved number of
    steps says that it was, whatever the file beside the weights says. It comes last of all callbacks.

    Args:
        steps_per_epoch: number of steps in an epoch; 0 where it is not known.
        batches_per_pass: number of batches in a pass over the data; 0 where it is not known.
        initial_epoch: the argument of `fit`.
        arrays: whether the data are arrays, whose stream is entered anywhere.
        backups: `BackupAndRestore` callbacks of the run; without any, no position in its epochs is saved.
    """

    def __init__(
        self,
        steps_per_epoch: int,
        batches_per_pass: int,
        *,
        initial_epoch: int,
        arrays: bool = False,
        backups: Sequence[keras.callbacks.BackupAndRestore] = (),
    ) -> None:
        super().__init__()
        self._steps_per_epoch = steps_per_epoch
        self._batches_per_pass = batches_per_pass
        self._initial_epoch = initial_epoch
        self.arrays = arrays
        self._backups = backups
        self._resumes = any(tf.io.gfile.exists(backup._weights_path) for backup in backups)
        self._batches_to_skip = 0
        self._step = 0
        # Steps of the first epoch that were done before the run was interrupted.
        self.steps_done = 0

    def on_train_begin(self, logs: Any = None) -> None:
        step = int(self.model.training_steps)
        self._enter_epoch(step)
        self._enter_pass(step)

    def _enter_epoch(self, step: int) -> None:
        model = self.model
        run = model._run_position
        if self._resumes and run is not None and run.steps_per_epoch == self._steps_per_epoch > 0:
            # Keras reads here where the run goes on.
            model._initial_epoch, self.steps_done = run.reached(step)
            if not self.arrays and self._batches_per_pass == self._steps_per_epoch:
                self._batches_to_skip = self.steps_done
        elif self._backups:
            epoch = model._initial_epoch or self._initial_epoch
            model._run_position = RunPosition(step, epoch, self._steps_per_epoch)

    def _enter_pass(self, step: int) -> None:
        model = self.model
        batches, whole_passes = 0, False
        if self.arrays:
            batches = self._batches_per_pass
            whole_passes = self._steps_per_epoch % batches == 0 and not self.steps_done
        saved = DataPosition(*tf.convert_to_tensor(model._data_position).numpy().tolist())
        position = saved.entered(step, batches, whole_passes=whole_passes)
        model._data_position.assign(position)
        model._next_batch = position.next_batch(step)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._step = batch

    def steps_left(self, step: int | None = None) -> float:
        """Steps from the one that begins, or from step `step` of Keras' counting, to the end of the epoch."""
        if not self._steps_per_epoch:
            return math.inf
        return self._steps_per_epoch - self.steps_done - (self._step if step is None else step)

    @property
    def ends_unseen(self) -> bool:
        """Whether a step may find the data at their end: those of unknown length."""
        return not self._batches_per_pass

    def is_over(self) -> bool:
        """Whether an epoch of batches, shortened by what was done before, ends before this step."""
        return not self.arrays and self.steps_done > 0 and self.steps_left() <= 0

    @contextlib.contextmanager
    def quiet_end(self) -> Iterator[None]:
        """Without Keras' warning where a resumed epoch of batches ends before its last step."""
        if self.arrays or not self._resumes:
            yield
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
            yield

    def skip(self, iterator: Any) -> None:
        """Draws the batches that were trained on in this epoch before the interruption."""
        while self._batches_to_skip:
            self._batches_to_skip -= 1
            next(iterator)


class ShortEpoch(keras.callbacks.Callback):
    """Ends the first epoch of a resumed run where the uninterrupted run's epoch ends.

    Keras has no epochs of different lengths. Over batches it ends one where they end (`RunStart.is_over`),
    and begins anew with the data. Over arrays, whose stream goes on, it leaves an epoch, and after it `fit`,
    when the model stops training; here the model goes on after the epoch. It comes first of all callbacks, so
    that another can stop training at that epoch's end.

    Args:
        run: knows how many steps are left.
    """

    def __init__(self, run: RunStart) -> None:
        super().__init__()
        self._run = run
        self._cut = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        ends = self._run.arrays and self._run.steps_done and self._run.steps_left(batch + 1) <= 0
        if ends and not self.model.stop_training:
            self.model.stop_training = self._cut = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._cut:
            self.model.stop_training = False
        self._cut, self._run.steps_done = False, 0


def robust_backups(callbacks: Any, model: keras.Model) -> list[keras.callbacks.BackupAndRestore]:
    """The `BackupAndRestore` callbacks among those of `fit`, made robust.

    A kill between the writing of the weights and of the file beside them leaves that file old, empty or
    absent. The weights say where the run was; weights that are absent restore nothing. On workers that are
    not the chief, backups are only read: all workers share one folder, which the chief writes and removes.

    Args:
        callbacks: those of `fit`.
        model: the model that they belong to.
    """
    backups = [
        callback
        for callback in keras.tree.flatten(getattr(callbacks, "callbacks", callbacks))
        if isinstance(callback, keras.callbacks.BackupAndRestore)
    ]
    for backup in backups:
        backup._load_model = functools.partial(_restore, backup, model)
        if not is_chief(model.distribute_strategy):
            backup.delete_checkpoint = False
            backup._save_model = lambda: None
    return backups


def _restore(backup: keras.callbacks.BackupAndRestore, model: keras.Model) -> None:
    """Keras' restoring, where the file beside the weights need not be whole."""
    with contextlib.suppress(json.JSONDecodeError):
        type(backup)._load_model(backup)
    if not tf.io.gfile.exists(backup._weights_path):
        model._initial_epoch = None


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
