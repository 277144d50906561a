"""Row-wise evaluation of large arrays in bounded memory, through graphs that are traced once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable
from typing import Any

import keras
import tensorflow as tf

__all__ = ["GraphCache", "as_graph", "log_mean_exp", "map_rows"]


def as_graph(function: Callable, *, jit_compile: bool | None = None, one_size: bool = False) -> Callable:
    """`function` as a TensorFlow graph, traced anew for other dtypes and ranks but not for other sizes.

    Args:
        function: of tensors; AutoGraph stays out of it.
        jit_compile: whether XLA compiles it.
        one_size: whether other sizes are traced anew too, for what must know its sizes.
    """
    # TensorFlow counts tracings by the function's source line and warns when they are many, as they are
    # in a program of many models. A partial has no source line: each is counted for itself.
    return tf.function(
        functools.partial(function),
        reduce_retracing=not one_size,
        autograph=False,
        jit_compile=jit_compile,
    )


class GraphCache:
    """Compiled functions of a model by key.

    A plain object on purpose: Keras and TensorFlow track dictionaries and functions that are attributes
    of a model, and would save them with it.

    Args:
        version: says what the functions depend on besides their arguments, such as a stage of training. What
            was compiled under another answer does not serve.
    """

    def __init__(self, version: Callable[[], Hashable] = lambda: None) -> None:
        self._functions: dict[Hashable, Callable] = {}
        self._version = version

    def get(self, key: Hashable, function: Callable, *, jit_compile: bool = False) -> Callable:
        """The compiled form of `function`, traced at the first use of `key`; by XLA for each size anew."""
        key = (self._version(), key)
        if key not in self._functions:
            graph = as_graph(function, jit_compile=jit_compile or None, one_size=jit_compile)
            # Of threads that come at once the first one's is kept, so that it is traced once.
            self._functions.setdefault(key, graph)
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


def log_mean_exp(
    function: Callable[[Any], tf.Tensor], count: int, num_rows: Any, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    r"""$\log \frac1n \sum_{i < n} e^{f(i)}$ for each row, one i after the other: the memory is that of one.

    Args:
        function: from i, an int32 scalar, to `[num_rows]`; called once if `count` is 1, with 0.
        count: n.
        num_rows: rows of each result.
        dtype: of the results.
    """
    if count == 1:
        return function(0)

    def body(number: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number + 1, tf.reduce_logsumexp(tf.stack([total, function(number)]), axis=0)

    # The start of no terms at all.
    nothing = tf.fill([num_rows], tf.constant(-math.inf, dtype))
    _, total = tf.while_loop(lambda number, _: number < count, body, (0, nothing), maximum_iterations=count)
    return total - math.log(count)
