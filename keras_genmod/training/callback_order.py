"""The order of the callbacks of `fit`: those that compute figures stand before those that read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["figures_before_readers", "with_callback"]

# Callbacks that record all logs of an epoch: those of Keras, and those of packages for tracking experiments.
_WRITERS = (keras.callbacks.CSVLogger, keras.callbacks.RemoteMonitor, keras.callbacks.TensorBoard)
_TRACKERS = {"clearml", "comet_ml", "mlflow", "neptune", "wandb"}


def with_callback(
    callbacks: Any, callback: keras.callbacks.Callback, model: keras.Model, *, first: bool = False
) -> Any:
    """Adds a callback to those that `fit` was given, at the end or in front."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callback.set_model(model)
        # A list that served in another `fit` still holds that one's.
        callbacks.callbacks[:] = [other for other in callbacks.callbacks if type(other) is not type(callback)]
        callbacks.callbacks.insert(0 if first else len(callbacks.callbacks), callback)
        return callbacks
    others = [] if callbacks is None else keras.tree.flatten(callbacks)
    return [callback, *others] if first else [*others, callback]


def figures_before_readers(callbacks: Any) -> Any:
    """Moves callbacks that add figures to the logs in front of those that read these figures.

    Keras calls callbacks in the order of the list. A `ModelCheckpoint` that stands before the callback which
    computes its monitored figure would never see the figure. A callback names its figures in `log_names`. It
    moves in front of the first callback that monitors one of them or records all logs, and no further.
    Callbacks which change weights for those behind them, such as `SwapEMAWeights`, so keep their effect.

    Args:
        callbacks: What `fit` was given.
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
    """Whether a callback monitors one of the named figures, or records all logs."""
    if not names:
        return False
    writes = isinstance(callback, _WRITERS) or type(callback).__module__.partition(".")[0] in _TRACKERS
    return writes or getattr(callback, "monitor", None) in names
