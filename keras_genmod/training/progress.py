"""Progress of a run: its position in the stream of training batches, and in its epochs.

The stream of `data.pipeline.BatchStream` consists of passes 0, 1, 2, ..., each with its own order. The next
batch follows from the number of training steps, which every model saves, and from three integers that are
saved here:

    (first_step, number, batches_per_pass)

Training step `first_step` took the first batch of pass `number`, and each pass since then has had
`batches_per_pass` batches. These are written once in a `fit`, so a step costs no more. A file written
after any step holds the position after that step.

In the same way `RunPosition` holds the position in its epochs of a run that `BackupAndRestore` may resume.
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
    "robust_backups",
]


class DataPosition(NamedTuple):
    """A position in the stream of batches.

    Args:
        first_step: A training step that took the first batch of a pass.
        number: The number of that pass.
        batches_per_pass: Number of batches in each pass since; 0 if the steps since took other data.
    """

    first_step: int
    number: int
    batches_per_pass: int

    def entered(self, step: int, batches_per_pass: int, *, whole_passes: bool) -> DataPosition:
        """The position from which training continues with arrays of `batches_per_pass` batches.

        It continues in the middle of a pass only if epochs are not whole passes and the passes have as many
        batches as before. Otherwise a new pass begins, so that an epoch contains every example once.

        Args:
            step: Number of training steps done.
            batches_per_pass: Number of batches in each pass to come; 0 for data other than arrays.
            whole_passes: Whether epochs consist of whole passes.
        """
        number, batch = self.number, 0
        if self.batches_per_pass:
            passes, batch = divmod(step - self.first_step, self.batches_per_pass)
            number += passes
        if batches_per_pass == self.batches_per_pass and not (batch and whole_passes):
            # The state is the same however training is divided into calls.
            return self
        return DataPosition(step, number + (batch > 0), batches_per_pass)

    def next_batch(self, step: int) -> int:
        """Number in the stream of the batch that training step `step` takes."""
        return self.number * self.batches_per_pass + step - self.first_step


def add_data_position(layer: keras.layers.Layer) -> keras.Variable:
    """Adds the weight that holds a model's position. It starts at the beginning of pass 0."""
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
        first_step: The first training step of the run.
        first_epoch: The epoch that began with it.
        steps_per_epoch: Number of steps in an epoch; 0 if it is unknown.
    """

    first_step: int
    first_epoch: int
    steps_per_epoch: int

    def reached(self, step: int) -> tuple[int, int]:
        """The epoch that training step `step` belongs to, and the number of steps before it in that epoch."""
        epochs, done = divmod(step - self.first_step, self.steps_per_epoch)
        return self.first_epoch + epochs, done


class RunStart(keras.callbacks.Callback):
    """Finds and saves where `fit` begins after weights are restored, and counts the steps of an epoch.

    A run that `BackupAndRestore` resumes may continue in the middle of an epoch. The saved number of training
    steps says where, and not the file beside the weights, which may be out of date. This callback comes last.

    Args:
        steps_per_epoch: Number of steps in an epoch; 0 if it is unknown.
        batches_per_pass: Number of batches in a pass over the data; 0 if it is unknown.
        initial_epoch: The argument of `fit`.
        arrays: Whether the data are arrays, which can be entered at any batch.
        backups: The `BackupAndRestore` callbacks of the run. Without one, no position in epochs is saved.
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
        # Number of steps of the first epoch that were done before the run was interrupted.
        self.steps_done = 0

    def on_train_begin(self, logs: Any = None) -> None:
        step = int(self.model.training_steps)
        self._enter_epoch(step)
        self._enter_pass(step)

    def _enter_epoch(self, step: int) -> None:
        model = self.model
        run = model._run_position
        if self._resumes and run is not None and run.steps_per_epoch == self._steps_per_epoch > 0:
            # Keras reads here at which epoch the run continues.
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
        """Number of steps from Keras' step `step`, or from the one that begins, to the epoch's end."""
        if not self._steps_per_epoch:
            return math.inf
        return self._steps_per_epoch - self.steps_done - (self._step if step is None else step)

    @property
    def ends_unseen(self) -> bool:
        """Whether a step may find the data exhausted, since their length is unknown."""
        return not self._batches_per_pass

    def is_over(self) -> bool:
        """Whether a resumed epoch over batches ends before this step."""
        return not self.arrays and self.steps_done > 0 and self.steps_left() <= 0

    @contextlib.contextmanager
    def quiet_end(self) -> Iterator[None]:
        """A context without Keras' warning that a resumed epoch over batches ends early."""
        if self.arrays or not self._resumes:
            yield
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
            yield

    def skip(self, iterator: Any) -> None:
        """Skips the batches of this epoch that were trained on before the interruption."""
        while self._batches_to_skip:
            self._batches_to_skip -= 1
            next(iterator)


class ShortEpoch(keras.callbacks.Callback):
    """Ends the first epoch of a resumed run at the step where the uninterrupted run's epoch ends.

    Keras' epochs all have one length. Over batches, an epoch ends where the batches end (`RunStart.is_over`).
    Over arrays, the stream of batches has no end. There this callback sets `stop_training`, which makes Keras
    leave the epoch, and takes it back at the epoch's end, so that Keras does not leave `fit` too. It comes
    first, so that another callback can still stop training at that epoch's end.

    Args:
        run: Knows how many steps are left.
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
    """Finds the `BackupAndRestore` callbacks of `fit`, and makes them robust against interruptions.

    A process that is killed between writing the weights and the file beside them leaves that file old, empty
    or absent. Here the weights alone say where the run was, and without weights nothing is restored.
    Workers other than the chief only read backups: all share one folder, which the chief writes and removes.

    Args:
        callbacks: The callbacks of `fit`.
        model: The model that is trained.
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
    """Restores as Keras does, even if the file beside the weights is damaged."""
    with contextlib.suppress(json.JSONDecodeError):
        type(backup)._load_model(backup)
    if not tf.io.gfile.exists(backup._weights_path):
        model._initial_epoch = None
