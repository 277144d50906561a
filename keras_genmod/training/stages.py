"""Stages: parts of one training run that differ in the weights they train or in their objective.

Greedy pre-training trains one layer after another, and a growing model one resolution after another. Such a
model lists its stages, and its `players` ask `self.stage` for the current one:

    def stages(self):
        return [Stage("first layer", 1000), Stage("second layer", 1000), Stage("all layers")]

    def players(self):
        trained = {"first layer": self.blocks[:1], "second layer": self.blocks[1:]}
        return [Player("model", trained.get(self.stage.name, self.blocks), self.loss_terms)]

The stage is a function of the number of training steps, which every model saves. So a run that is resumed
from a file or by `BackupAndRestore` continues in the middle of a stage.

A fade within a stage is a function of `self.training_steps - self.stage.first_step`, in training and in
evaluation.

A training step is traced for one stage. If a stage ends within an execution of several steps, `fit` divides
the execution there, and traces the step again for the next stage. Whatever else the model has traced, such as
the graph of `evaluate`, is traced again too.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
from keras.src.utils import io_utils

from keras_genmod.core.checks import check_integer, describe

if TYPE_CHECKING:
    from keras_genmod.metrics.means import TermMeans
    from keras_genmod.training.players import Player

__all__ = ["Execution", "Stage", "StageLog", "Staged", "across_stages", "for_its_stage"]

# Runs a number of training steps on the batches of an iterator, and returns the logs of the last one.
Execution = Callable[[Any, int], "dict[str, tf.Tensor]"]


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of training.

    Args:
        name: Name of the stage, such as "first layer".
        steps: Number of training steps. The last stage alone may have None, and lasts until training ends
            even if it has a number.
        index: Position among the model's stages, from 0. The model fills it in.
        first_step: Number of the first training step of the stage, from 0. The model fills it in.
    """

    name: str
    steps: int | None = None
    index: int = 0
    first_step: int = 0


def numbered(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Checks the stages of a model and fills in `index` and `first_step`.

    Raises:
        TypeError: For what is not a `Stage`.
        ValueError: For a name that is empty or used twice, for a number of steps below 1, or for an endless
            stage that is not the last.
    """
    result: list[Stage] = []
    first_step = 0
    for index, stage in enumerate(stages):
        if not isinstance(stage, Stage):
            raise TypeError(
                f"`stages` must give `keras_genmod.training.Stage`s; received {describe(stage)}. Write "
                "`Stage('first layer', 1000)`."
            )
        names = [earlier.name for earlier in result]
        if not stage.name or not isinstance(stage.name, str) or stage.name in names:
            raise ValueError(
                f"Each stage must have a name of its own; received {stage.name!r} after {names}. Rename it."
            )
        is_last = index == len(stages) - 1
        if stage.steps is None and not is_last:
            raise ValueError(
                f"Only the last stage may go on without end; received steps=None for {stage.name!r}, stage "
                f"{index + 1} of {len(stages)}. Give it a number of training steps."
            )
        if stage.steps is not None:
            check_integer(f"steps of the stage {stage.name!r}", stage.steps)
        result.append(dataclasses.replace(stage, index=index, first_step=first_step))
        first_step += stage.steps or 0
    return tuple(result)


def stage_of(stages: Sequence[Stage], step: int) -> Stage:
    """The stage that training step `step` belongs to, the first step being 0."""
    return next(stage for stage in reversed(stages) if stage.first_step <= max(step, 0))


def steps_done(model: Staged) -> int:
    """Number of training steps that a model has done. It is known while a graph is traced, too."""
    with tf.init_scope():
        return int(model._noise_state.numpy()[1])


# The model and the stage for which a step is being made, in each thread: replicas are traced in threads.
_MADE_FOR: contextvars.ContextVar[tuple[Staged, Stage] | None] = contextvars.ContextVar("stage", default=None)


@contextlib.contextmanager
def _made_for(model: Staged, stage: Stage) -> Iterator[None]:
    """A context in which `model.stage` is `stage`."""
    token = _MADE_FOR.set((model, stage))
    try:
        yield
    finally:
        _MADE_FOR.reset(token)


class Staged(keras.Model):
    """The part of `GenerativeModel` that knows which stage its training is in."""

    _noise_state: keras.Variable
    _term_means: TermMeans
    # The stage for which the functions that Keras keeps were made.
    _entered: Stage | None = None

    if TYPE_CHECKING:

        @property
        def training_steps(self) -> tf.Tensor: ...

        def players(self) -> Sequence[Player]: ...

    def stages(self) -> Sequence[Stage]:
        """The stages of training, in their order. A model without stages returns none.

        `players`, and all that they compute, may depend on `self.stage`. Players of different stages may
        share a name. Each optimizer is built once, on the weights that it updates in any stage, so a weight
        keeps its moments from one stage to the next. A learning-rate schedule counts the model's training
        steps, also those in which its optimizer makes no update.
        """
        return ()

    @property
    def stage(self) -> Stage | None:
        """In a training step the stage of that step, elsewhere the stage of the last step done.

        So validation after an epoch uses the objective that the epoch was trained with, even if a stage ends
        with that epoch. None for a model without stages.
        """
        made_for = _MADE_FOR.get()
        if made_for is not None and made_for[0] is self:
            return made_for[1]
        stages = numbered(self.stages())
        return stage_of(stages, steps_done(self) - 1) if stages else None

    def _players_by_stage(self) -> list[Sequence[Player]]:
        """The players of each stage. A model without stages has one entry."""
        stages = numbered(self.stages())
        if not stages:
            return [self.players()]
        result = []
        for stage in stages:
            with _made_for(self, stage):
                result.append(self.players())
        return result

    def _enter(self, stage: Stage | None) -> None:
        """Drops what was traced for another stage, and the means of its terms, whose names may differ."""
        if stage != self._entered:
            self._entered = stage
            self.test_function = self.predict_function = None
            # A user's own loop may come here while it traces a step.
            with tf.init_scope():
                self._term_means.start_anew()

    def make_test_function(self, force: bool = False) -> Any:
        """Makes the function that `evaluate` calls, again if the stage has changed."""
        self._enter(self.stage)
        return super().make_test_function(force)

    def make_predict_function(self, force: bool = False) -> Any:
        """Makes the function that `predict` calls, again if the stage has changed."""
        self._enter(self.stage)
        return super().make_predict_function(force)


def for_its_stage(train_step: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates the method `train_step`: its `self.stage` is the stage of the next training step.

    `fit` and `train_on_batch` trace the step again where a stage ends. A graph that users trace themselves
    fails after the stage's last step, and says why, except under XLA, which leaves out assertions.
    """

    @functools.wraps(train_step)
    def step_of_stage(self: Staged, data: Any) -> Any:
        stages = numbered(self.stages())
        if not stages:
            return train_step(self, data)
        stage = stage_of(stages, steps_done(self))
        self._enter(stage)
        with _made_for(self, stage), tf.control_dependencies(_still_in(self, stage, stages)):
            return train_step(self, data)

    return step_of_stage


def _still_in(model: Staged, stage: Stage, stages: Sequence[Stage]) -> list[Any]:
    """The assertion that a traced step runs in the stage for which it was traced."""
    if tf.executing_eagerly():
        return []
    step = model.training_steps
    within = step >= stage.first_step
    if stage.index < len(stages) - 1:
        within = tf.logical_and(within, step < stages[stage.index + 1].first_step)
    message = (
        f"This graph of `train_step` was traced for the stage {stage.name!r}, and training is in another. "
        "Trace `train_step` again where a stage begins, or train with `fit` or `train_on_batch`. The number "
        "of training steps done is"
    )
    return [tf.debugging.Assert(within, [message, step])]


def across_stages(model: Staged, make: Callable[[], Execution]) -> Execution:
    """An execution that is divided where a stage ends, so that each part runs steps of its stage.

    Args:
        model: The model that is trained.
        make: Makes an execution, which is traced when it is first called.
    """
    execution: Execution | None = None
    made_in: Stage | None = None

    def execute(iterator: Any, count: int) -> dict[str, tf.Tensor]:
        nonlocal execution, made_in
        logs = None
        while count > 0:
            # The number is read each time: an execution ends early if the data do, and a callback may have
            # restored the weights of another step.
            stages, done = numbered(model.stages()), steps_done(model)
            stage = stage_of(stages, done)
            model._enter(stage)
            # `_entered` is one object for as long as the stage lasts.
            if execution is None or made_in is not model._entered:
                execution, made_in = make(), model._entered
            following = stages[stage.index + 1 :]
            part = min(count, following[0].first_step - done) if following else count
            try:
                logs = execution(iterator, part)
            except (StopIteration, tf.errors.OutOfRangeError):
                if logs is None:
                    raise StopIteration from None
                break
            count -= part
        assert logs is not None
        return logs

    return execute


class StageLog(keras.callbacks.Callback):
    """Logs the stage of the last training step as a number from 1, and announces each new stage.

    The number is `stage` in the logs of batches and of epochs, where the progress bar, `History`, `CSVLogger`
    and `TensorBoard` find it. `fit` puts this callback in front of all that read the logs.

    Args:
        verbose: Whether to print the name of each stage when it begins.
    """

    def __init__(self, verbose: Any) -> None:
        super().__init__()
        self._verbose = verbose
        self._announced: Stage | None = None
        self._stage: Stage | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._announce(stage_of(numbered(self.model.stages()), steps_done(self.model)))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._stage = self.model._entered
        self._announce(self._stage, "\n")
        self._log(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._log(logs)

    def _log(self, logs: Any) -> None:
        if logs is not None and self._stage is not None:
            logs["stage"] = self._stage.index + 1

    def _announce(self, stage: Stage | None, before: str = "") -> None:
        if stage is None or stage == self._announced:
            return
        self._announced = stage
        if self._verbose:
            number = f"{stage.index + 1}/{len(self.model.stages())}"
            io_utils.print_msg(f"{before}Stage {number}, from training step {stage.first_step}: {stage.name}")
