"""Checks of arguments and data; every error says what was expected, what was received and what to do."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "ValueRange",
    "check_choice",
    "check_event_shape",
    "check_integer",
    "check_number",
    "check_rows",
    "check_shape_tuple",
    "describe",
]


def describe(value: Any) -> str:
    """A short description of a value for an error: its shape and dtype, or its repr."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{type(value).__name__} of shape {tuple(shape)} and dtype {getattr(dtype, 'name', dtype)}"
    text = repr(value)
    return text if len(text) <= 80 else f"{type(value).__name__} {text[:76]}..."


def check_integer(name: str, value: Any, *, minimum: int = 1) -> int:
    """Returns `value` as an `int` of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}; received {describe(value)}.")
    return int(value)


def check_number(
    name: str,
    value: Any,
    *,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    above: float | None = None,
) -> float:
    """Returns `value` as a finite `float` in `[minimum, maximum]` (and above `above`)."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if (
        not number
        or not np.isfinite(value)
        or not minimum <= value <= maximum
        or (above is not None and value <= above)
    ):
        low = f"above {above:g}" if above is not None else f"at least {minimum:g}"
        wanted = [] if above is None and minimum == -np.inf else [low]
        if maximum != np.inf:
            wanted.append(f"at most {maximum:g}")
        bounds = f" {' and '.join(wanted)}" if wanted else ""
        raise ValueError(f"`{name}` must be a finite number{bounds}; received {describe(value)}.")
    return float(value)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Returns `value` if it is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}; received {describe(value)}."
        )
    return value


def check_shape_tuple(name: str, value: Any, *, ranks: Sequence[int] = ()) -> tuple[int, ...]:
    """Returns `value` as a tuple of positive integers, its length one of `ranks` if given."""
    try:
        shape = tuple(value)
    except TypeError:
        shape = None
    if shape is None or any(
        isinstance(side, bool) or not isinstance(side, numbers.Integral) or side < 1 for side in shape
    ):
        raise ValueError(
            f"`{name}` must be a tuple of positive integers without the batch axis, such as "
            f"(784,) or (28, 28, 1); received {describe(value)}."
        )
    if ranks and len(shape) not in ranks:
        raise ValueError(
            f"`{name}` must have {' or '.join(map(str, ranks))} axes (without the batch axis); "
            f"received {shape}."
        )
    return tuple(int(side) for side in shape)


def check_event_shape(value: Any) -> tuple[int, ...]:
    """Returns the shape of one example, such as `(784,)` or `(28, 28, 1)`."""
    shape = check_shape_tuple("event_shape", value)
    if not shape:
        raise ValueError(
            "`event_shape` must have at least one axis, such as (784,); received (). "
            "For scalar data use (1,)."
        )
    return shape


def check_rows(name: str, value: Any, row_shape: Sequence[int]) -> None:
    """Refuses an array or tensor whose shape is not `[batch, *row_shape]` or that has no rows."""
    row_shape = tuple(row_shape)
    shape = tuple(value.shape)
    fits = len(shape) == len(row_shape) + 1 and all(
        have is None or have == want for have, want in zip(shape[1:], row_shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(["batch", *map(str, row_shape)])
        raise ValueError(
            f"`{name}` must have shape [{wanted}]; received {shape}. {_advice(shape, row_shape)}"
        )
    if shape[0] == 0:
        raise ValueError(f"`{name}` has no examples: received shape {shape}. Pass at least one.")


def _advice(shape: tuple, row_shape: tuple) -> str:
    """What to do about a shape that does not fit."""
    known = all(side is not None for side in shape)
    if known and shape == row_shape:
        return "This is one example: add the batch axis with `x[None]`."
    if known and len(shape) > 1 and int(np.prod(shape[1:])) == int(np.prod(row_shape)):
        return f"Reshape it: `x.reshape(-1, {', '.join(map(str, row_shape))})`."
    return "Pass data of that shape, or build the model with the `event_shape` of the data."


@dataclass(frozen=True)
class ValueRange:
    """The values that a model accepts, with the advice for data that lies outside.

    Args:
        low, high: the closed interval of accepted values.
        integer: whether only whole numbers are accepted.
        advice: what to do with other data.
    """

    low: float = -np.inf
    high: float = np.inf
    integer: bool = False
    advice: str = ""

    def __str__(self) -> str:
        if self.low == -np.inf and self.high == np.inf:
            return "finite values"
        kind = "whole numbers" if self.integer else "values"
        return f"{kind} in [{self.low:g}, {self.high:g}]"

    def check(self, name: str, value: np.ndarray) -> None:
        """Refuses an array with NaN, infinite or outlying values, or of a type that is no number."""
        kind = np.asarray(value).dtype
        if not (np.issubdtype(kind, np.number) or kind == np.bool_ or kind.name == "bfloat16"):
            raise TypeError(
                f"`{name}` must hold numbers; received dtype {kind}. "
                "Convert it, for example with `x.astype('float32')`."
            )
        # Minimum and maximum carry NaN along: two passes over the data and no copy of it.
        low, high = np.min(value), np.max(value)
        if not (np.isfinite(low) and np.isfinite(high)):
            bad = int(np.size(value) - np.count_nonzero(np.isfinite(value)))
            raise ValueError(
                f"`{name}` must hold finite values; received {bad} NaN or infinite ones. "
                "Remove or repair those examples."
            )
        if low < self.low or high > self.high:
            raise ValueError(
                f"`{name}` must hold {self}; received values from {low:g} to {high:g}. {self.advice}".rstrip()
            )
        if self.integer and not np.issubdtype(kind, np.integer) and np.any(value != np.floor(value)):
            raise ValueError(f"`{name}` must hold {self}; received fractions. {self.advice}".rstrip())
