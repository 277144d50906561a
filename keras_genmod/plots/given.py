"""Checks of what is passed to the functions of `kg.plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_genmod.applications.shown import check_shown_range, shown_range
from keras_genmod.core.checks import as_array, check_rows, describe
from keras_genmod.core.user_warnings import warn_user

__all__ = ["check_list", "examples_of", "numbers_of", "range_of", "warn_outside"]


def examples_of(name: str, x: Any, model: Any) -> np.ndarray:
    """Examples `[N, *event_shape]` as an array, with values that the model takes.

    Figures would show others without a sign of it: what lies outside the range is black or white.

    Args:
        name: Name of the argument, for errors.
        x: The examples.
        model: The model.

    Raises:
        TypeError: If they are no array, such as a data set.
        ValueError: For another shape, no examples, NaN, or values out of the model's range.
    """
    x = as_array(name, x)
    check_rows(name, x, model.event_shape)
    if hasattr(model, "value_range"):
        model.value_range().check(name, x)
    return x


def numbers_of(name: str, values: Any, *, advice: str) -> np.ndarray:
    """A vector of numbers, float64, which may hold NaN.

    Args:
        name: Name of the argument, for errors.
        values: The numbers.
        advice: What to pass, for errors.

    Raises:
        ValueError: If they are no vector of numbers.
    """
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        numbers = None
    if numbers is None or numbers.ndim != 1:
        raise ValueError(f"`{name}` must be a list of numbers; received {describe(values)}. {advice}")
    return numbers


def check_list(name: str, value: Any, *, example: str) -> Sequence[Any]:
    """Returns a list, tuple or array of one axis.

    Raises:
        ValueError: For anything else, such as one number or a text.
    """
    if isinstance(value, (str, bytes, dict)) or np.ndim(value) != 1:
        raise ValueError(f"`{name}` must be a list, such as {example}; received {describe(value)}.")
    return list(value)


def range_of(value_range: Any, model: Any) -> tuple[float, float]:
    """The values shown as black and as white: those given, or the model's."""
    return shown_range(model) if value_range is None else check_shown_range(value_range)


def warn_outside(name: str, images: np.ndarray, value_range: tuple[float, float]) -> None:
    """Warns of images that lie so far out of the range that they are black or white by mistake."""
    low, high = value_range
    finite = images[np.isfinite(images)]
    if not finite.size:
        return
    least, most = float(finite.min()), float(finite.max())
    if least < low - (high - low) or most > high + (high - low):
        warn_user(
            f"`{name}` has values from {least:g} to {most:g}, and what lies outside {low:g} to {high:g} is "
            f"shown as black or white. Pass the values of black and white, such as `value_range="
            f"({min(least, 0.0):g}, {most:g})`."
        )
