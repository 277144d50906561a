"""`Space`: the name, shape, dtype and value range of a tensor that a model takes, as one value."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import ValueRange, check_rows, check_shape_tuple, describe

__all__ = ["EXAMPLE_ROWS", "ROW_SEEDS", "SEED", "Space", "check_parts"]

# Rows of an example where nobody asks for another number.
EXAMPLE_ROWS = 3

# Where a space has no end, its example values stay so close to its start, or to 0.
_REAL_REACH, _INTEGER_REACH = 1.0, 100

# NumPy draws integers between these.
_INT64 = np.iinfo(np.int64)

# Rows that are all alike are drawn anew so often. In a space of two values all draws are alike with a
# probability of at most 2^-100.
_EXAMPLE_DRAWS = 100


@dataclasses.dataclass(frozen=True)
class Space:
    """The values that a tensor may have.

    Args:
        name: Name of the tensor, an argument of the model and of its endpoints: "x", "z", "t", "seed".
        shape: Shape of one row, `()` for one number a row.
        dtype: Real, integer or boolean; a name or a `tf.DType`.
        value_range: The values that are accepted. Those of integers and booleans lie in the dtype too.
        batched: Whether the batch axis stands in front, one row an example. False for what a request has
            only once, such as a number of samples.

    Raises:
        ValueError: For a name that cannot name an argument, a bad shape, or a range without any value.
        TypeError: For a dtype that is no number.

    Example:
        >>> time = Space("t", (), "int32", ValueRange(0, 999, integer=True))
        >>> time.spec()
        TensorSpec(shape=(None,), dtype=tf.int32, name='t')
        >>> time.check(np.array([0, 500, 1000]))
        Traceback (most recent call last):
        ValueError: `t` must hold integers in [0, 999]; received values from 0 to 1000.
    """

    name: str
    shape: tuple[int, ...]
    dtype: tf.DType = tf.float32
    value_range: ValueRange = ValueRange()
    batched: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(
                f"The `name` of a space must be a Python identifier, such as 'x'; received {self.name!r}."
            )
        # Frozen: only this method brings arguments to their form.
        object.__setattr__(self, "shape", check_shape_tuple("shape", self.shape))
        object.__setattr__(self, "dtype", tf.as_dtype(self.dtype))
        if not (self.dtype.is_floating or self.dtype.is_integer or self.dtype.is_bool):
            raise TypeError(
                f"The `dtype` of the space `{self.name}` must be real, integer or boolean; received "
                f"{self.dtype.name}. Turn other values into numbers first."
            )
        low, high = self._bounds()
        if low > high:
            raise ValueError(
                f"The space `{self.name}` of dtype {self.dtype.name} must have a value; received the range "
                f"{self.value_range}, which leaves none. Widen the range, or change the dtype."
            )

    @property
    def accepted(self) -> ValueRange:
        """The range, narrowed to the integers of an integer dtype and to the 0 and 1 of booleans."""
        if self.dtype.is_floating:
            return self.value_range
        low, high = self._bounds()
        return dataclasses.replace(self.value_range, low=low, high=high, integer=True)

    def check(self, value: Any) -> None:
        """Refuses what is not an array or tensor of this space.

        Args:
            value: `[B, *shape]` (`shape` without a batch), finite and within the range. Its own dtype may be
                another one. A symbolic tensor, which has no values yet, is checked for its shape alone.

        Raises:
            TypeError: For what is no array or holds no numbers.
            ValueError: For another shape, no rows, NaN, infinite or outlying values.
        """
        if self.batched:
            check_rows(self.name, value, self.shape)
        elif not self.spec().shape.is_compatible_with(np.shape(value)):
            raise ValueError(
                f"`{self.name}` must have shape {self.shape}, without a batch; received {describe(value)}. "
                "Give one for the whole request."
            )
        if tf.is_tensor(value) and not hasattr(value, "numpy"):
            return
        value = np.asarray(value)
        self.accepted.check(self.name, value)
        if self.dtype.is_floating and value.dtype.itemsize > self.dtype.size:
            # Larger values would become infinite.
            ValueRange(float(self.dtype.min), float(self.dtype.max)).check(self.name, value)

    def spec(self) -> tf.TensorSpec:
        """The entry of a signature, `[None, *shape]` under the space's name."""
        return tf.TensorSpec([None, *self.shape] if self.batched else self.shape, self.dtype, self.name)

    def keras_input(self) -> keras.KerasTensor:
        """The symbolic input of a network, `[None, *shape]`."""
        return keras.Input(self.shape, dtype=self.dtype.name, name=self.name)

    def example(self, num_rows: int = EXAMPLE_ROWS) -> np.ndarray:
        """Values of this space, the same at every call.

        Integers spread over a range that has two ends. All other values are at most 1 (integers 100) away
        from 0, or from the end of the range that is next to 0. Rows are not all alike, unless the space has
        a single value.

        Args:
            num_rows: Number of rows, if the space has a batch.

        Returns:
            `[num_rows, *shape]`, or `shape` without a batch.
        """
        # Seeded by its name, so that two inputs of one request differ.
        generator = np.random.default_rng(zlib.crc32(self.name.encode()))
        shape = (num_rows, *self.shape) if self.batched else self.shape
        values = self._drawn(generator, shape)
        for _ in range(_EXAMPLE_DRAWS):
            if not self.batched or num_rows < 2 or np.any(values != values[:1]):
                break
            values = self._drawn(generator, shape)
        return values

    def _drawn(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Example values, uniform between their ends."""
        low, high = self._example_bounds()
        dtype = self.dtype.as_numpy_dtype
        if self.accepted.integer:
            return np.asarray(generator.integers(int(low), int(high), shape, endpoint=True)).astype(dtype)
        # Not to the very ends, which rounding could pass.
        return np.asarray(low + (high - low) * generator.uniform(0.01, 0.99, shape)).astype(dtype)

    def _bounds(self) -> tuple[float, float]:
        """The lowest and the highest value: integers where only these are accepted."""
        low, high = self.value_range.low, self.value_range.high
        if self.dtype.is_bool:
            low, high = max(low, 0), min(high, 1)
        elif self.dtype.is_integer:
            low, high = max(low, int(self.dtype.min)), min(high, int(self.dtype.max))
        if self.value_range.integer or not self.dtype.is_floating:
            low = low if math.isinf(low) else math.ceil(low)
            high = high if math.isinf(high) else math.floor(high)
        return low, high

    def _example_bounds(self) -> tuple[float, float]:
        """The ends of the example values."""
        low, high = self._bounds()
        integer = self.accepted.integer
        ends = (self.value_range.low, self.value_range.high)
        if not (integer and np.all(np.isfinite(ends))):
            reach = _INTEGER_REACH if integer else _REAL_REACH
            nearest = min(max(0, low), high)
            low, high = max(low, nearest - reach), min(high, nearest + reach)
        if integer:
            low, high = max(low, int(_INT64.min)), min(high, int(_INT64.max))
        return low, high


def check_parts(name: str, value: Any, spaces: Sequence[Space]) -> None:
    """Refuses what is not a dictionary with one array of each space, under the space's name.

    Args:
        name: Name of the dictionary, for errors.
        value: The dictionary.
        spaces: The spaces of its arrays.

    Raises:
        TypeError: For another type, or arrays that hold no numbers.
        ValueError: For other keys, or an array that does not lie in its space.
    """
    names = [space.name for space in spaces]
    example = "{" + ", ".join(f"{one!r}: ..." for one in names) + "}"
    if not isinstance(value, Mapping):
        raise TypeError(
            f"`{name}` must be a dictionary of arrays, `{example}`; received {describe(value)}. Put the "
            "arrays into one."
        )
    if set(value) != set(names):
        raise ValueError(
            f"`{name}` must be a dictionary of the arrays `{example}`; received the keys {list(value)}. "
            "Rename them, add what is missing and leave out the others."
        )
    for space in spaces:
        space.check(value[space.name])


# One seed a row, and one for a whole request.
ROW_SEEDS = Space("seed", (2,), tf.int32)
SEED = dataclasses.replace(ROW_SEEDS, batched=False)
