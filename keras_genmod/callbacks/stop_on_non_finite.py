"""Stops a training run that went wrong, and says what went wrong first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_genmod.applications.latents import check_capability
from keras_genmod.core.user_warnings import warn_user

__all__ = ["StopOnNonFinite"]


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops training when the loss is NaN or infinite, and warns with the term and the step that were first.

    The step is exact, also with `steps_per_execution` above 1, where several steps have passed before
    anything can be stopped. Steps are numbered from 0 over the life of the model, as `training_steps` is.
    On several replicas the terms of the first one are watched, and the loss of all.

    Attributes:
        first_bad_terms: after a stop: `{name: step}` of the terms that were first; else empty.

    Raises:
        TypeError: before training, for a model of another library.

    Cost: reads the loss after each call into TensorFlow, as a progress bar does.

    Example:
        >>> callbacks = [StopOnNonFinite()]  # of `model.fit`
    """

    def __init__(self) -> None:
        super().__init__()
        self.first_bad_terms: dict[str, int] = {}

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        check_capability(model, "watch_terms", what="`StopOnNonFinite`")

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.first_bad_terms = {}
        self.model.watch_terms(True)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if np.all(np.isfinite(loss)):
            return
        self.model.stop_training = True
        self.first_bad_terms = _first(self.model.bad_terms())
        warn_user(
            f"Training was stopped, the loss is not finite ({loss}): {_describe(self.first_bad_terms)} "
            "Look at the data of that step, lower the learning rate, or clip gradients with the "
            "optimizer's `global_clipnorm`.",
            RuntimeWarning,
        )


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
