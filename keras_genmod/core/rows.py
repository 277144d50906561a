"""Row-wise evaluation of large arrays in bounded memory, through graphs that are traced once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import keras
import tensorflow as tf

__all__ = ["GraphCache", "map_rows"]


class GraphCache:
    """Compiled functions of a model by key.

    A plain object on purpose: Keras and TensorFlow track dictionaries and functions that are attributes
    of a model, and would save them with it.
    """

    def __init__(self) -> None:
        self._functions: dict[Hashable, Callable] = {}

    def get(self, key: Hashable, function: Callable) -> Callable:
        """The compiled form of `function`, traced at the first use of `key`."""
        if key not in self._functions:
            self._functions[key] = tf.function(function, reduce_retracing=True, autograph=False)
        return self._functions[key]


def map_rows(function: Callable, rows: Any, *, batch_size: int) -> Any:
    """Applies a row-wise function to all rows, `batch_size` of them at a time.

    Args:
        function: takes one slice of the nest `rows` and returns a nest of tensors `[b, ...]`.
        rows: nest of arrays or tensors `[N, ...]`; None entries are passed on.
        batch_size: rows per call.

    Returns:
        The nest of results `[N, ...]`; inside a graph, that of one single call.
    """
    leaves = [leaf for leaf in keras.tree.flatten(rows) if leaf is not None]
    num_rows = leaves[0].shape[0]
    if num_rows is None or num_rows <= batch_size:
        return function(rows)

    def piece(leaf: Any, start: int) -> Any:
        return None if leaf is None else leaf[start : start + batch_size]

    results = [
        function(keras.tree.map_structure(lambda leaf, at=start: piece(leaf, at), rows))
        for start in range(0, num_rows, batch_size)
    ]
    return keras.tree.map_structure(lambda *parts: tf.concat(parts, axis=0), *results)
