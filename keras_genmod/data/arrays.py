"""The forms in which users hold arrays: lists, frames, tensors, arrays in memory and arrays on a disk."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from keras_genmod.core.checks import describe

__all__ = ["as_array", "is_on_disk", "take_rows"]


def as_array(name: str, value: Any) -> Any:
    """Returns a value in memory as a NumPy array, and an array on a disk as it is.

    Lists, frames and tensors are copied. Nothing is read from a disk here.

    Args:
        name: Name of the argument, for errors.
        value: Array, tensor, list of rows, pandas frame or series, `np.memmap`, or an object with `shape`,
            `dtype` and rows by index, such as an HDF5 data set or a zarr array. None stays None.

    Raises:
        TypeError: For sparse matrices.
        ValueError: For rows of different shapes, or masked entries.
    """
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise ValueError(
                f"`{name}` must have a value everywhere; received a masked array with "
                f"{int(np.ma.count_masked(value))} masked entries. Fill them with `{name}.filled(...)`, or "
                "leave out their rows."
            )
        return value.data
    if value is None or isinstance(value, np.ndarray):
        return _of_numbers(value)
    if hasattr(value, "toarray"):
        raise TypeError(
            f"`{name}` must be a dense array; received {describe(value)}. Convert it with `{name}.toarray()`."
        )
    if _reads_rows(value):
        return value
    try:
        return _of_numbers(np.asarray(value))
    except ValueError as error:
        raise ValueError(
            f"`{name}` must hold rows of one shape; received {type(value).__name__} of {len(value)} entries "
            "of different shapes. Crop or pad them to one shape."
        ) from error


def _of_numbers(value: Any) -> Any:
    """Turns an array of Python's numbers, as mixed columns of a frame give, into floats. Others stay."""
    if value is None or value.dtype != object or not value.size:
        return value
    numeric = all(isinstance(entry, (numbers.Real, np.bool_)) for entry in value.flat)
    return value.astype(np.float64) if numeric else value


def _reads_rows(value: Any) -> bool:
    """Whether the value is an array whose rows are read from elsewhere on demand."""
    attributes = ("shape", "dtype", "__getitem__", "__len__")
    in_memory = hasattr(value, "numpy") or hasattr(value, "iloc") or hasattr(value, "__array_interface__")
    return not in_memory and all(hasattr(value, attribute) for attribute in attributes)


def is_on_disk(array: Any) -> bool:
    """Whether an array's rows are read from a file: those of a memory map, and of all but NumPy arrays."""
    if not isinstance(array, np.ndarray):
        return array is not None
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


def take_rows(array: Any, rows: slice | np.ndarray) -> np.ndarray:
    """Reads rows of an array into memory.

    Args:
        array: What `as_array` returns.
        rows: A slice, or int64 row numbers.
    """
    if isinstance(array, np.ndarray):
        return np.asarray(array[rows])
    if isinstance(rows, slice):
        return np.asarray(array[rows])
    # HDF5 reads rows only by increasing numbers, each once. For others this is the fastest way too.
    increasing, places = np.unique(rows, return_inverse=True)
    rows_of = getattr(array, "oindex", array)
    return np.asarray(rows_of[increasing])[places]
