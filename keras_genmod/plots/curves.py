"""Curves of a training."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_genmod.core.checks import describe
from keras_genmod.plots.canvas import new_figure
from keras_genmod.plots.given import numbers_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["history"]

_VALIDATION = "val_"
_NATS = "nats per example"
# The names of logs whose unit does not depend on the model.
_UNITS = {
    "nll": _NATS,
    "kl": _NATS,
    "negative_bound": _NATS,
    "reconstruction": _NATS,
    "active_units": "number of latents",
    "perplexity": "number of codes",
    "fid": "Fréchet distance",
    "kid": "kernel distance",
    "discriminator_accuracy": "fraction of examples",
}
# A sum of terms of several kinds, a setting, or a figure of a user's own callback.
_UNKNOWN = "value"
# `loss` is in nats where one of these is a term of it.
_DENSITY_TERMS = {"nll", "kl", "negative_bound"}


def history(
    history: Any,
    *,
    names: Sequence[str] | None = None,
    epochs: Mapping[str, Sequence[float]] | None = None,
    title: str = "Training",
) -> Figure:
    """Draws the curves of a training, one panel for each quantity: training and validation together.

    Args:
        history: What `fit` returned, or its dictionary `history`: name -> one value per epoch. A name with
            "val_" in front is the same quantity on validation data.
        names: Quantities to draw, each with its validation, such as ["loss"]; by default all.
        epochs: Name -> the epochs of its values, for quantities that were not measured in every epoch. By
            default such values are placed at every k-th epoch, if their number tells k.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If `history` is not a history, or `epochs` no dictionary.
        ValueError: If it is empty, holds other things than numbers, lacks a name, or the epochs of values
            cannot be told.

    Example:
        >>> figure = history({"loss": [3.0, 2.0, 1.5], "val_loss": [3.1, 2.2, 1.9]})
        >>> [line.get_label() for line in figure.axes[0].lines]
        ['training', 'validation']
    """
    logs = _logs(history)
    epochs = _given_epochs(epochs, logs)
    counted = list(getattr(history, "epoch", ()))
    num_epochs = max(map(len, logs.values()))
    ticks = np.asarray(counted if len(counted) == num_epochs else range(num_epochs)) + 1
    chosen = _chosen(logs, names)
    columns = min(len(chosen), 4)
    rows = math.ceil(len(chosen) / columns)
    figure = new_figure(3.0 * columns + 0.4, 2.7 * rows + 0.8, layout="constrained")
    figure.suptitle(title)
    lines = {}
    for index, name in enumerate(chosen):
        axes = figure.add_subplot(rows, columns, index + 1)
        for key, label, color in ((name, "training", "C0"), (_VALIDATION + name, "validation", "C1")):
            if key in logs:
                at = _epochs_of(key, len(logs[key]), ticks, epochs)
                marker = "o" if len(at) == 1 else None
                (lines[label],) = axes.plot(at, logs[key], label=label, color=color, marker=marker)
        axes.set(title=name.replace("_", " "), xlabel="epoch", ylabel=_unit(name, logs))
        axes.locator_params(axis="x", integer=True)
        if _UNITS.get(name, "").startswith("number"):
            axes.set_ylim(0.0, 1.1 * axes.get_ylim()[1])
    figure.legend(lines.values(), lines, loc="outside lower center", ncols=2)
    return figure


def _logs(history: Any) -> dict[str, np.ndarray]:
    """Name -> values, of a `History` or a dictionary."""
    logs = getattr(history, "history", history)
    if not isinstance(logs, Mapping):
        raise TypeError(
            "`history` must be what `fit` returned, or a dictionary of lists with one value per epoch; "
            f"received {describe(history)}. Pass `model.fit(...)`."
        )
    arrays = {
        str(name): numbers_of(
            f"history[{name!r}]",
            [values] if isinstance(values, numbers.Real) else values,
            advice="Pass one number per epoch, as `fit` returns them.",
        )
        for name, values in logs.items()
    }
    if not any(array.size for array in arrays.values()):
        raise ValueError(
            f"`history` must hold at least one epoch; received {describe(dict(logs))}. Train the "
            "model with `fit` first."
        )
    return {name: array for name, array in arrays.items() if array.size}


def _chosen(logs: Mapping[str, np.ndarray], names: Sequence[str] | None) -> list[str]:
    """The quantities to draw, the loss first."""
    known = list(dict.fromkeys(name.removeprefix(_VALIDATION) for name in logs))
    if names is None:
        return sorted(known, key=lambda name: (name != "loss", _UNITS.get(name) != _NATS))
    given = [names] if isinstance(names, str) or np.ndim(names) == 0 else list(names)
    # "val_loss" stands in the panel of "loss".
    chosen = list(dict.fromkeys(str(name).removeprefix(_VALIDATION) for name in given))
    if not chosen or not set(chosen) <= set(known):
        raise ValueError(f"`names` must be some of {', '.join(known)}; received {given}. Correct the names.")
    return chosen


def _given_epochs(epochs: Any, logs: Mapping[str, np.ndarray]) -> Mapping[str, Sequence[float]]:
    """The epochs that were passed, checked."""
    if epochs is None:
        return {}
    if not isinstance(epochs, Mapping):
        raise TypeError(
            f"`epochs` must be a dictionary, name of a curve -> its epochs; received {describe(epochs)}. "
            f"Pass them by name, such as `epochs={{{next(iter(logs))!r}: [...]}}`."
        )
    unknown = [name for name in epochs if name not in logs]
    if unknown:
        raise ValueError(
            f"`epochs` must hold names of curves, some of {', '.join(logs)}; received {unknown}. Correct the "
            'names; those of validation begin with "val_".'
        )
    return epochs


def _epochs_of(key: str, number: int, ticks: np.ndarray, epochs: Mapping[str, Sequence[float]]) -> np.ndarray:
    """The epochs of a curve's values: those given, or every epoch, or every k-th one."""
    if key in epochs:
        given = numbers_of(f"epochs[{key!r}]", epochs[key], advice="List the epochs.")
        if given.shape != (number,):
            raise ValueError(
                f"`epochs[{key!r}]` must have {number} values, one for each of the curve; received "
                f"{describe(epochs[key])}. List the epochs in which it was measured."
            )
        return given
    periods = [period for period in range(1, len(ticks) + 1) if len(ticks) // period == number]
    if len(periods) != 1 and number != len(ticks):
        raise ValueError(
            f"`{key}` has {number} values for {len(ticks)} epochs, which does not tell when it was measured. "
            f"Pass the epochs, `epochs={{{key!r}: [...]}}`."
        )
    return ticks[periods[0] - 1 :: periods[0]]


def _unit(name: str, logs: Mapping[str, np.ndarray]) -> str:
    """The label of the vertical axis."""
    if name != "loss":
        return _UNITS.get(name, _UNKNOWN)
    terms = {key.removeprefix(_VALIDATION) for key in logs} - {"loss"}
    return _NATS if terms & _DENSITY_TERMS or terms == {"reconstruction"} else _UNKNOWN
