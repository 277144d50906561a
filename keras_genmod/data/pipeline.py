"""Batches from arrays: an order that is a function of (seed, epoch), and no stall between epochs.

One pipeline runs through all epochs. So no iterator is destroyed at an epoch's end, where TensorFlow
waits for its autotuning thread, and the next epoch's permutation is ready before the epoch begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import check_integer

__all__ = ["array_batches", "endless_batches", "num_rows", "without_nones"]

_FOREVER = np.iinfo(np.int64).max


def num_rows(arrays: Any) -> int:
    """Examples in one pass over a nest of arrays: the rows of its longest array."""
    return max(len(leaf) for leaf in keras.tree.flatten(arrays) if leaf is not None)


def endless_batches(
    batch: Batch,
    batch_size: int,
    *,
    seed: int,
    shuffle: bool = True,
    first_step: Callable[[], int] | None = None,
    dtype: tf.DType = tf.float32,
) -> tf.data.Dataset:
    """Batches of shuffled rows, pass after pass, for ever.

    The permutation of pass p is a function of (seed, p). The last batch of a pass is smaller where the
    sizes do not divide. Where `x` is a dictionary (unpaired data), a pass is one over its longest array,
    and each other one runs through permutations of its own.

    Args:
        batch: arrays `[N, ...]`, None where absent.
        batch_size: rows of a batch, over all replicas.
        seed: from 0 to 2**31 - 1.
        shuffle: whether to shuffle.
        first_step: asked, when iteration begins, for the number of the first batch to give; 0 if None.
        dtype: of floats in the batches; integers stay.

    Returns:
        An endless `tf.data.Dataset` of `(x,)`, `(x, condition)` or `(x, condition, weight)`, `()` standing
        for what is absent.

    Cost: one sort of N random keys a pass, in the background.
    """
    batch_size = check_integer("batch_size", batch_size)
    length = num_rows(batch)
    steps_per_pass = -(-length // batch_size)
    data = _as_tensors(batch)

    def order(leaf: tf.Tensor, index: int, number: tf.Tensor) -> tf.Tensor:
        """Row numbers of one array in pass `number`, as many as the longest array has rows."""
        rows = leaf.shape[0]
        repeats = -(-length // rows)
        if not shuffle:
            return tf.tile(tf.range(rows, dtype=tf.int64), [repeats])[:length]
        # An example, its condition and its weight share one order; arrays of unpaired data have their own.
        key = tf.cast(seed + (0 if index == longest or index >= num_parts else 1 + index), tf.int64)
        parts = [
            tf.random.experimental.stateless_shuffle(
                tf.range(rows, dtype=tf.int64), tf.stack([key, number * repeats + part])
            )
            for part in range(repeats)
        ]
        return tf.concat(parts, axis=0)[:length]

    leaves = keras.tree.flatten(data)
    num_parts = len(keras.tree.flatten(data[0]))
    longest = [leaf.shape[0] for leaf in leaves].index(length)

    def permutations(number: tf.Tensor, first: tf.Tensor):
        return number, first, tuple(order(leaf, i, number) for i, leaf in enumerate(leaves))

    def one_pass(number: tf.Tensor, first: tf.Tensor, orders: tuple) -> tf.data.Dataset:
        def take(step: tf.Tensor):
            rows = slice(step * batch_size, (step + 1) * batch_size)
            # Converted a batch at a time: the arrays stay as small as they are.
            taken = (
                tf.cast(part, dtype) if part.dtype.is_floating else part
                for part in (tf.gather(leaf, row[rows]) for leaf, row in zip(leaves, orders, strict=True))
            )
            return keras.tree.pack_sequence_as(data, list(taken))

        return tf.data.Dataset.range(first, steps_per_pass).map(take)

    def passes(start: tf.Tensor) -> tf.data.Dataset:
        numbers = tf.data.Dataset.range(start // steps_per_pass, _FOREVER)
        return numbers.map(
            lambda number: (
                number,
                tf.where(number == start // steps_per_pass, start % steps_per_pass, 0),
            )
        )

    def start(_) -> tf.Tensor:
        if first_step is None:
            return tf.constant(0, tf.int64)
        step = tf.numpy_function(lambda: np.int64(first_step()), [], tf.int64)
        return tf.ensure_shape(step, [])

    dataset = tf.data.Dataset.range(1).map(start).flat_map(passes)
    dataset = dataset.map(permutations).prefetch(1).flat_map(one_pass)
    return _with_options(dataset.prefetch(2))


def array_batches(batch: Batch, batch_size: int, dtype: tf.DType = tf.float32) -> tf.data.Dataset:
    """Batches of the rows in their order, once.

    Args:
        batch: arrays `[N, ...]`, None where absent.
        batch_size: rows of a batch.
        dtype: of floats in the batches; integers stay.
    """
    batch_size = check_integer("batch_size", batch_size)
    length = num_rows(batch)
    steps = -(-length // batch_size)
    dataset = endless_batches(batch, batch_size, seed=0, shuffle=False, dtype=dtype).take(steps)
    return dataset.apply(tf.data.experimental.assert_cardinality(steps))


def _as_tensors(batch: Batch) -> tuple:
    """The arrays in host memory, without trailing Nones and with `()` for those between.

    TensorFlow cannot split a data set that holds None over replicas; `core.batches.unpack` knows `()`.
    """
    entries = list(batch)
    while entries[-1] is None:
        entries.pop()
    with tf.device("CPU"):
        return tuple(
            () if entry is None else keras.tree.map_structure(tf.convert_to_tensor, entry)
            for entry in entries
        )


def without_nones(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """A data set of batches with `()` for None, which TensorFlow can split over replicas."""
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or all(not isinstance(part, tf.NoneTensorSpec) for part in spec):
        return dataset
    return dataset.map(lambda *parts: tuple(() if part is None else part for part in parts))


def _with_options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)
