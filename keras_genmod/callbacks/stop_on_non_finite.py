"""Stops a training run whose loss is not finite, names the cause, and can restore the last good state."""

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
    """Stops training when the loss is NaN or infinite, and warns with the first bad loss term and its step.

    The reported step is exact even if `steps_per_execution` is above 1, where several steps pass before
    training can stop. Steps are counted from 0 over the model's life, as in `training_steps`. On several
    replicas the terms of the first replica and the total loss of all replicas are watched.

    The update that follows a bad loss spoils the weights. With `restore=True` everything that a file contains
    (weights, optimizer slots, noise state, number of training steps) is restored from the last good copy. A
    copy is made when training begins and then at every epoch's end or every `every_n_steps` steps, provided
    that the loss and all weights are finite. Callbacks that write files at an epoch's end write the restored
    state. Weights that are not finite at an epoch's end stop training too: the loss may hide them, since
    TensorFlow's graphs on CPUs turn a NaN before a `relu` into 0.

    Args:
        restore: Whether to restore the last good state.
        every_n_steps: Number of training steps from one copy to the next, with `restore`; None copies at the
            end of each epoch.

    Attributes:
        first_bad_terms: `{name: step}` of the first bad terms after a stop, else empty.
        restored_steps: Number of training steps of the restored state after a stop with `restore`, else None.

    Raises:
        TypeError: Before training, if the model belongs to another library.
        ValueError: If `every_n_steps` is below 1, or is given without `restore`.

    Cost: reads the loss after each call into TensorFlow, as a progress bar does. With `restore`, one copy of
    the weights and optimizer slots is kept in the host's memory, and two while a new one is made; each copy
    reads all of them from the device. With Adam a copy is three times the weights, 12 bytes per trainable
    parameter in float32.

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
                    "`every_n_steps` says how often to copy the state that `restore=True` restores; "
                    f"received {every_n_steps} with restore={restore}. Pass `restore=True`, or omit it."
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
            f"{_num_spoilt(values)} of {len(values)} arrays of weights and optimizer slots contain NaN or "
            f"infinity, though the loss is finite. {self._put_back()} Look at the data"
        )

    def _warn(self, what: str) -> None:
        warn_user(
            f"Training was stopped because {what}, lower the learning rate, or clip gradients with the "
            "optimizer's `global_clipnorm`.",
            RuntimeWarning,
        )

    def _steps(self) -> int:
        return int(self.model.training_steps)

    def _values(self) -> list[np.ndarray]:
        # Copied, because on a CPU TensorFlow's array may share the variable's memory.
        return [np.array(variable.numpy()) for variable in self.model._saved_variables()]

    def _copy(self) -> None:
        """Keeps a copy of the state if it is finite; an update may spoil weights while the loss is finite."""
        values = self._values()
        if not _num_spoilt(values):
            self._good, self._good_steps = values, self._steps()

    def _put_back(self) -> str:
        if self._good is None:
            return "The state was not finite when training began, so nothing could be restored."
        for variable, value in zip(self.model._saved_variables(), self._good, strict=True):
            variable.assign(value)
        self.restored_steps = self._good_steps
        return f"The last good state, the state after {self._good_steps} training steps, was restored."

    def _damage(self) -> str:
        values = self._values()
        spoilt = _num_spoilt(values)
        if not spoilt:
            return "The weights are still finite."
        return (
            f"The weights are spoilt: {spoilt} of {len(values)} arrays of weights and optimizer slots "
            "contain NaN or infinity. Load an earlier file; `StopOnNonFinite(restore=True)` would restore "
            "the last good state."
        )


def _num_spoilt(values: list[np.ndarray]) -> int:
    """Number of arrays that contain NaN or infinity."""
    return sum(not np.all(np.isfinite(value)) for value in values)


def _first(bad_terms: Mapping[str, int]) -> dict[str, int]:
    """The terms of the earliest step; the total loss only if no other term is bad in that step."""
    first = {name: step for name, step in bad_terms.items() if step == min(bad_terms.values())}
    terms = {name: step for name, step in first.items() if name != "loss" and not name.endswith("_loss")}
    return terms or first


def _describe(first: Mapping[str, int]) -> str:
    if not first:
        return "all terms of the first replica are finite, so another replica's examples are the cause."
    names = ", ".join(map(repr, first))
    step = next(iter(first.values()))
    if set(first) == {"loss"}:
        return f"all terms are finite, but their weighted sum was first not finite in training step {step}."
    return f"{names} {'was' if len(first) == 1 else 'were'} first not finite in training step {step}."
