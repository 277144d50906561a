"""The one place that takes batches apart.

A batch is `x`, `(x, condition)` or `(x, condition, sample_weight)`; unconditional and weighted is
`(x, None, sample_weight)`. In paired translation the second entry is the target; in unpaired
translation `x` is a dictionary such as `{"a": ..., "b": ...}`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

__all__ = ["Batch", "batch_size", "micro_batch", "unpack"]


class Batch(NamedTuple):
    """The data, the condition (or target) and the example weights of a batch; absent ones are None."""

    x: Any
    condition: Any = None
    weight: Any = None


def unpack(data: Any) -> Batch:
    """The batch that `fit`, `evaluate` or `predict` hands to a step.

    Args:
        data: `x`, `(x, condition)` or `(x, condition, sample_weight)`, a tuple or a list.

    Raises:
        ValueError: For a tuple of another length.
    """
    if isinstance(data, Batch):
        return data
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return Batch(data)
    if not 1 <= len(data) <= 3:
        raise ValueError(
            "A batch must be `x`, `(x, condition)` or `(x, condition, sample_weight)`; "
            f"received a tuple of {len(data)} entries. Put what belongs to `x` into a dictionary."
        )
    if len(data) == 1 and isinstance(data[0], (tuple, list)):
        return unpack(data[0])
    # Data sets that are split over replicas hold `()` where there is nothing.
    return Batch(*(None if isinstance(part, tuple) and not part else part for part in data))


def batch_size(batch: Batch) -> tf.Tensor:
    """Number of examples in the batch, int32; where `x` has several parts, of the largest one."""
    sizes = [tf.shape(part)[0] for part in keras.tree.flatten(batch.x)]
    return sizes[0] if len(sizes) == 1 else tf.reduce_max(tf.stack(sizes))


def micro_batch(batch: Batch, index: int, count: int) -> Batch:
    """Part `index` of a batch that is cut into `count` parts, whose sizes differ by at most one example."""

    def part(tensor: tf.Tensor) -> tf.Tensor:
        size = tf.shape(tensor)[0]
        return tensor[index * size // count : (index + 1) * size // count]

    return Batch(*(None if entry is None else keras.tree.map_structure(part, entry) for entry in batch))
