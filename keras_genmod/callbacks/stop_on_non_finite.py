"""Stops a training run that went wrong, says what went wrong first, and can take it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_genmod.applications.latents import check_capability
from keras_genmod.core.checks import check_integer
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.training.arguments import explained

__all__ = ["StopOnNonFinite"]


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops training when the loss is NaN or infinite, and warns with the term and the step that were first.

    The step is exact, also with `steps_per_execution` above 1, where several steps have passed before
    anything can be stopped. Steps are numbered from 0 over the life of the model, as `training_steps` is.
    On several replicas the terms of the first one are watched, and the loss of all.

    The update after a bad loss has spoilt the weights. With `restore=True` everything that a file holds
    (weights, optimizers' slots, states of noise, number of training steps) goes back to the last copy that
    is known to be good: taken when training began, at an epoch's end or every `every_n_steps`, while the loss
    and all weights were finite. Callbacks that write files at an epoch's end write what was put back. Weights
    that are not finite at an epoch's end stop training too: the loss may hide them, since TensorFlow's graphs
    on CPUs make a NaN before a `relu` 0.

    Args:
        restore: whether to put the last good state back.
        every_n_steps: training steps from one copy to the next, with `restore`; None copies at the end of
            each epoch.

    Attributes:
        first_bad_terms: after a stop: `{name: step}` of the terms that were first; else empty.
        restored_steps: after a stop with `restore`: the number of training steps of the state that was put
            back; else None.

    Raises:
        TypeError: before training, for a model of another library.
        ValueError: for `every_n_steps` below 1, or without `restore`.

    Cost: reads the loss after each call into TensorFlow, as a progress bar does. `restore` keeps one copy of
    weights and optimizers' slots in the host's memory, and a second one while it is taken (with Adam three
    times the weights: 12 bytes a trainable parameter in float32), and reads them all from the device.

    Example:
        >>> callbacks = [StopOnNonFinite(restore=True)]  # of `model.fit`
    """

    @explained
    def __init__(self, *, restore: bool = False, every_n_steps: int | None = None) -> None:
        super().__init__()
        if every_n_steps is not None:
            check_integer("every_n_steps", every_n_steps)
            if not restore:
                raise ValueError(
                    "`every_n_steps` says how often the state is copied that `restore=True` puts back; "
                    f"received {every_n_steps} with restore={restore}. Pass `restore=True`, or leave it out."
                )
        self.restore = restore
        self.every_n_steps = every_n_steps
        self.first_bad_terms: dict[str, int] = {}
        self.restored_steps: int | None = None
        self._good: list[np.ndarray] | None = None
        self._good_steps = 0
        self._stopped = False

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        check_capability(model, "watch_terms", what="`StopOnNonFinite`")

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.first_bad_terms, self.restored_steps = {}, None
        self._good, self._stopped = None, False
        self.model.watch_terms(True)
        if self.restore:
            self._copy()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not np.all(np.isfinite(loss)):
            self._stop(loss)
        elif self.every_n_steps and self._steps() - self._good_steps >= self.every_n_steps:
            self._copy()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if not self.restore or self._stopped:
            return
        values = self._values()
        if _num_spoilt(values):
            self._stop_spoilt(values)
        elif not self.every_n_steps:
            self._good, self._good_steps = values, self._steps()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._good = None

    def _stop(self, loss: Any) -> None:
        self.model.stop_training = self._stopped = True
        self.first_bad_terms = _first(self.model.bad_terms())
        outcome = self._put_back() if self.restore else self._damage()
        self._warn(
            f"the loss is not finite ({loss}): {_describe(self.first_bad_terms)} {outcome} Look at the data "
            "of that step"
        )

    def _stop_spoilt(self, values: list[np.ndarray]) -> None:
        self.model.stop_training = self._stopped = True
        self._warn(
            f"{_num_spoilt(values)} of {len(values)} arrays of weights and optimizers hold NaN or infinity, "
            f"though the loss is finite. {self._put_back()} Look at the data"
        )

    def _warn(self, what: str) -> None:
        warn_user(
            f"Training was stopped, {what}, lower the learning rate, or clip gradients with the optimizer's "
            "`global_clipnorm`.",
            RuntimeWarning,
        )

    def _steps(self) -> int:
        return int(self.model.training_steps)

    def _values(self) -> list[np.ndarray]:
        # A copy: on a CPU the array that TensorFlow gives may be the variable's own memory.
        return [np.array(variable.numpy()) for variable in self.model._saved_variables()]

    def _copy(self) -> None:
        """Keeps the state as it is, if it is good: the last update may have spoilt it without a bad loss."""
        values = self._values()
        if not _num_spoilt(values):
            self._good, self._good_steps = values, self._steps()

    def _put_back(self) -> str:
        if self._good is None:
            return "The state was not finite when training began, so nothing could be put back."
        for variable, value in zip(self.model._saved_variables(), self._good, strict=True):
            variable.assign(value)
        self.restored_steps = self._good_steps
        return f"The state after {self._good_steps} training steps, the last known to be good, was put back."

    def _damage(self) -> str:
        values = self._values()
        spoilt = _num_spoilt(values)
        if not spoilt:
            return "The weights are still finite."
        return (
            f"The weights are spoilt: {spoilt} of {len(values)} arrays of weights and optimizers hold NaN or "
            "infinity. Load an earlier file; `StopOnNonFinite(restore=True)` puts the last good state back."
        )


def _num_spoilt(values: list[np.ndarray]) -> int:
    """Number of arrays that hold NaN or infinity."""
    return sum(not np.all(np.isfinite(value)) for value in values)


def _first(bad_terms: Mapping[str, int]) -> dict[str, int]:
    """The terms of the earliest step; the total only where it is alone."""
    first = {name: step for name, step in bad_terms.items() if step == min(bad_terms.values())}
    terms = {name: step for name, step in first.items() if name != "loss" and not name.endswith("_loss")}
    return terms or first


def _describe(first: Mapping[str, int]) -> str:
    if not first:
        return "each term of the first replica is finite, so another replica's examples are the cause."
    names = ", ".join(map(repr, first))
    step = next(iter(first.values()))
    if set(first) == {"loss"}:
        return f"all terms are finite, their weighted sum was first not in training step {step}."
    return f"{names} {'was' if len(first) == 1 else 'were'} first not finite in training step {step}."
