"""The base of this package's TensorFlow Probability bijectors, and functions that they share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["Memory", "OwnBijector", "sum_over_event", "tile_condition", "to_rows"]

_numbers = itertools.count()


def sum_over_event(values: tf.Tensor) -> tf.Tensor:
    """The sum over each row, `[B, ...]` to `[B]`."""
    # With `keepdims` the gradient takes fewer operations.
    return tf.reshape(tf.reduce_sum(values, axis=list(range(1, values.shape.rank)), keepdims=True), [-1])


class OwnBijector(tfp.bijectors.Bijector):
    """Base of this package's own TensorFlow Probability bijectors.

    Args:
        event_ndims: Rank of an event on the noise side.
        data_event_ndims: Rank of an event on the data side, if it differs.
        dtype: Dtype of the values; None accepts any.
        is_constant_jacobian: Whether the log-determinant is the same everywhere.
    """

    def __init__(
        self,
        event_ndims: int,
        *,
        data_event_ndims: int | None = None,
        dtype: tf.DType | None = None,
        is_constant_jacobian: bool = False,
    ) -> None:
        super().__init__(
            forward_min_event_ndims=event_ndims,
            inverse_min_event_ndims=event_ndims if data_event_ndims is None else data_event_ndims,
            is_constant_jacobian=is_constant_jacobian,
            dtype=dtype,
            # TensorFlow Probability caches results by class and parameters, as if bijectors with equal
            # parameters were the same. The number makes each of these unique.
            parameters={"number": next(_numbers)},
            name=type(self).__name__.strip("_"),
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any) -> dict:
        return {}


class Memory:
    """Remembers what a bijector computed for the last few tensors, by their identity.

    So a bijector runs its network only once if it is asked for the image of a tensor and then for the
    log-determinant at the same tensor.
    """

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._entries: list[tuple[tf.Tensor, Any, Any]] = []

    def recall(self, tensor: tf.Tensor, compute: Callable[[], Any]) -> Any:
        """The value stored for this tensor; if there is none, the result of `compute`, which is stored."""
        graph = tf.compat.v1.get_default_graph()
        for known, known_graph, value in self._entries:
            # A loop's body may use tensors from outside, but what it computes is not valid outside.
            if known is tensor and known_graph is graph:
                return value
        value = compute()
        self.store(tensor, value)
        return value

    def store(self, tensor: tf.Tensor, value: Any) -> None:
        """Stores a value for a tensor."""
        entry = (tensor, tf.compat.v1.get_default_graph(), value)
        self._entries = [entry, *self._entries][: self._size]


def to_rows(x: tf.Tensor, event_shape: Sequence[int]) -> tf.Tensor:
    """Reshapes `[..., *event_shape]` to rows `[R, *event_shape]`."""
    return tf.reshape(x, [-1, *event_shape])


def tile_condition(condition: Any, num_rows: tf.Tensor) -> Any:
    """Repeats a condition `[B, ...]` n times, for rows `[n * B, ...]`."""
    if condition is None:
        return None
    times = num_rows // tf.shape(condition)[0]
    return tf.tile(condition, tf.concat([[times], tf.ones([tf.rank(condition) - 1], tf.int32)], axis=0))
