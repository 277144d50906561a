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
    """`function` as a TensorFlow graph.

    It is traced again for tensors of other dtypes and ranks, but not for tensors of other sizes.

    Args:
        function: Takes tensors; AutoGraph does not rewrite it.
        jit_compile: Whether XLA compiles it.
        one_size: Whether it is traced again for other sizes too. XLA needs to know sizes.
    """
    # TensorFlow counts how often the functions of one source line are traced, and warns of many. A program of
    # many models would get that warning. A partial has no source line, so each one is counted by itself.
    return tf.function(
        functools.partial(function),
        reduce_retracing=not one_size,
        autograph=False,
        jit_compile=jit_compile,
    )


class GraphCache:
    """Keeps the graphs of a model's functions, each under a key.

    It is a plain object on purpose. Keras and TensorFlow would track a dictionary that is an attribute of a
    model, and save its functions.

    Args:
        version: Says what the functions depend on besides their arguments, such as a stage of training. A
            graph that was traced under another answer is not used.
    """

    def __init__(self, version: Callable[[], Hashable] = lambda: None) -> None:
        self._functions: dict[Hashable, Callable] = {}
        self._version = version

    def get(self, key: Hashable, function: Callable, *, jit_compile: bool = False) -> Callable:
        """The graph that is kept under a key; at the first use of the key that of `function`.

        Args:
            key: Says which function it is, with all that its graph depends on.
            function: Takes tensors.
            jit_compile: Whether XLA compiles the graph, once for each size.
        """
        key = (self._version(), key)
        if key not in self._functions:
            graph = as_graph(function, jit_compile=jit_compile or None, one_size=jit_compile)
            # Where several threads get here at once, all use the first one's graph: it is traced once.
            self._functions.setdefault(key, graph)
        return self._functions[key]


def map_rows(function: Callable, rows: Any, *, batch_size: int) -> Any:
    """Applies a row-wise function to all rows, `batch_size` of them at a time.

    Args:
        function: Takes a nest like `rows` with `b` rows, and returns a nest of tensors `[b, ...]`.
        rows: Nest of arrays or tensors `[N, ...]`. The function gets None entries as they are.
        batch_size: Number of rows in one call.

    Returns:
        The nest of results `[N, ...]`. In a graph where N is unknown they come from a single call.
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
    r"""The logarithm of a mean of exponentials, $\log \frac1n \sum_{i < n} e^{f(i)}$, for each row.

    The terms are computed one after the other, so that they need no more memory than one term.

    Args:
        function: The function f, from an int32 scalar i to `[num_rows]`. If n is 1, it is called with the
            integer 0.
        count: The number n of terms.
        num_rows: Number of rows of each term.
        dtype: Dtype of the terms.

    Returns:
        `[num_rows]`.
    """
    if count == 1:
        return function(0)

    def body(number: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number + 1, tf.reduce_logsumexp(tf.stack([total, function(number)]), axis=0)

    # The logarithm of an empty sum.
    nothing = tf.fill([num_rows], tf.constant(-math.inf, dtype))
    _, total = tf.while_loop(lambda number, _: number < count, body, (0, nothing), maximum_iterations=count)
    return total - math.log(count)
