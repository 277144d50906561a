"""Checks of arguments and data; every error says what was expected, what was received and what to do."""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "ValueRange",
    "as_array",
    "check_choice",
    "check_event_shape",
    "check_integer",
    "check_integers",
    "check_number",
    "check_rows",
    "check_shape_tuple",
    "describe",
]


def describe(value: Any) -> str:
    """A short description of a value for an error: its shape and dtype, or its repr."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    # Types have these attributes too, and of a number its value says more.
    if shape is not None and dtype is not None and not isinstance(value, (type, np.generic)):
        shape = "unknown" if _rank_is_unknown(shape) else tuple(shape)
        return f"{type(value).__name__} of shape {shape} and dtype {getattr(dtype, 'name', dtype)}"
    text = repr(value)
    return text if len(text) <= 80 else f"{type(value).__name__} {text[:76]}..."


def as_array(name: str, value: Any) -> np.ndarray:
    """Rows as an array: of an array, nested lists, a frame.

    Raises:
        TypeError: For what holds no rows, such as a data set, or arrays of several shapes: `(x, labels)`.
    """
    with contextlib.suppress(ValueError):
        array = np.asarray(value)
        if array.ndim or array.dtype != object:
            return array
    parts = isinstance(value, (list, tuple))
    received = (
        f"a {type(value).__name__} of {len(value)} parts of several shapes" if parts else describe(value)
    )
    raise TypeError(
        f"`{name}` must be one array or tensor, or nested lists of numbers; received {received}. Of a data "
        "set pass the examples as one array, and labels apart, as the `condition`."
    )


def _rank_is_unknown(shape: Any) -> bool:
    """Whether it is TensorFlow's shape of a tensor whose rank only the running graph knows."""
    return getattr(shape, "rank", 0) is None


def check_integer(name: str, value: Any, *, minimum: int = 1) -> int:
    """Returns `value` as an `int` of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}; received {describe(value)}.")
    return int(value)


def check_integers(name: str, value: Any, *, min_length: int = 0) -> tuple[int, ...]:
    """Returns `value` as a tuple of positive integers, `min_length` of them at least."""
    integers = _positive_integers(value)
    if integers is None or len(integers) < min_length:
        least = f" ({min_length} or more)" if min_length else ""
        raise ValueError(
            f"`{name}` must be a tuple of positive integers{least}, such as (64, 32); "
            f"received {describe(value)}."
        )
    return integers


def _positive_integers(value: Any) -> tuple[int, ...] | None:
    """The value as a tuple of positive integers, None where it is no such thing."""
    try:
        sides = tuple(value)
    except TypeError:
        return None
    if any(isinstance(side, bool) or not isinstance(side, numbers.Integral) or side < 1 for side in sides):
        return None
    return tuple(int(side) for side in sides)


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
        or not math.isfinite(value)
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
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}; received {describe(value)}."
        )
    return value


def check_shape_tuple(name: str, value: Any, *, ranks: Sequence[int] = ()) -> tuple[int, ...]:
    """Returns `value` as a tuple of positive integers, its length one of `ranks` if given."""
    shape = _positive_integers(value)
    if shape is None:
        raise ValueError(
            f"`{name}` must be a tuple of positive integers without the batch axis, such as "
            f"(784,) or (28, 28, 1); received {describe(value)}."
        )
    if ranks and len(shape) not in ranks:
        raise ValueError(
            f"`{name}` must have {' or '.join(map(str, ranks))} axes (without the batch axis); "
            f"received {shape}."
        )
    return shape


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
    """Refuses what is not an array or tensor `[batch, *row_shape]` with at least one row."""
    row_shape = tuple(row_shape)
    wanted = ", ".join(["batch", *map(str, row_shape)])
    if isinstance(value, dict):
        key = next(iter(value), "image")
        raise TypeError(
            f"`{name}` must be an array or tensor of shape [{wanted}]; received a dictionary with the keys "
            f"{list(value)}. Take what the model is of, in a data set with "
            f"`.map(lambda batch: batch[{key!r}])`."
        )
    if not hasattr(value, "shape"):
        raise TypeError(
            f"`{name}` must be an array or tensor of shape [{wanted}]; received {describe(value)}. "
            "Convert it with `np.asarray`."
        )
    if _rank_is_unknown(value.shape):
        return
    shape = tuple(value.shape)
    fits = len(shape) == len(row_shape) + 1 and all(
        have is None or have == want for have, want in zip(shape[1:], row_shape, strict=True)
    )
    if not fits:
        advice = _advice(name, shape, row_shape)
        raise ValueError(f"`{name}` must have shape [{wanted}]; received {shape}. {advice}")
    if shape[0] == 0:
        raise ValueError(f"`{name}` has no examples: received shape {shape}. Pass at least one.")


def _advice(name: str, shape: tuple, row_shape: tuple) -> str:
    """What to do about a shape that does not fit."""
    sides = ", ".join(map(str, row_shape))
    if shape == row_shape:
        return f"This is one example: add the batch axis with `{name}[None]`."
    row = shape[1:]
    if row and None not in row:
        if (*row[1:], row[0]) == row_shape:
            return f"Put the channels last: `np.moveaxis({name}, 1, -1)`."
        if sorted(row) == sorted(row_shape):
            return f"The axes of an example have another order: use `np.transpose({name}, ...)`."
        if math.prod(row) == math.prod(row_shape):
            return f"Reshape it: `{name}.reshape(-1, {sides})`."
    if None not in shape and math.prod(shape) == math.prod(row_shape) and sorted(shape) != sorted(row_shape):
        return f"This is one example in another shape: `{name}.reshape(1, {sides})`."
    return "Pass data of that shape, or build the model for this one."


def _number_advice(name: str, value: np.ndarray) -> str:
    """How values that are no numbers become numbers."""
    if name == "condition" and value.size and isinstance(value.flat[0], (str, bytes)):
        return (
            f"Number the classes, for example with `np.unique({name}, return_inverse=True)[1]`; "
            "`keras.utils.image_dataset_from_directory` does so with `label_mode='int'`."
        )
    if value.dtype.kind == "c":
        return (
            f"Take real and imaginary parts as two channels: `np.stack([{name}.real, {name}.imag], axis=-1)`."
        )
    return f"Convert it, for example with `{name}.astype('float32')`."


@dataclass(frozen=True)
class ValueRange:
    """The values that a model accepts, with the advice for data that lies outside.

    Args:
        low, high: The ends of the closed interval of accepted values.
        integer: Whether only integers are accepted, of whatever dtype.
        advice: What to do with other data.
    """

    low: float = -np.inf
    high: float = np.inf
    integer: bool = False
    advice: str = ""

    def __str__(self) -> str:
        kind = "integers" if self.integer else "values"
        if self.low == -np.inf and self.high == np.inf:
            return kind if self.integer else "finite values"
        if self.high == np.inf:
            return f"{kind} of at least {self.low:g}"
        if self.low == -np.inf:
            return f"{kind} of at most {self.high:g}"
        return f"{kind} in [{self.low:g}, {self.high:g}]"

    def check(self, name: str, value: np.ndarray) -> None:
        """Refuses an array with NaN, infinite or outlying values, or of a type that is no number."""
        value = np.asarray(value)
        kind = value.dtype
        if not (kind.kind in "fiub" or kind.name == "bfloat16"):
            raise TypeError(
                f"`{name}` must hold numbers; received dtype {kind}. {_number_advice(name, value)}"
            )
        # Minimum and maximum carry NaN along: two passes over the data and no copy of it.
        with np.errstate(invalid="ignore"):
            low, high = np.min(value), np.max(value)
        if not (np.isfinite(low) and np.isfinite(high)):
            bad = int(np.size(value) - np.count_nonzero(np.isfinite(value)))
            raise ValueError(
                f"`{name}` must hold finite values; received {bad} NaN or infinite ones. "
                "Remove or repair those examples."
            )
        # In the precision of the data: 0.1 of float32 is a little above 0.1 of float64.
        is_real = kind.kind not in "iub"
        with np.errstate(over="ignore"):
            lowest, highest = np.asarray([self.low, self.high], kind if is_real else np.float64)
        if low < lowest or high > highest:
            raise ValueError(
                f"`{name}` must hold {self}; received values from {low!s} to {high!s}. {self.advice}".rstrip()
            )
        if self.integer and is_real and np.any(value != np.floor(value)):
            raise ValueError(f"`{name}` must hold {self}; received fractions. {self.advice}".rstrip())
