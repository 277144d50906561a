"""Batches from arrays: an order that is a function of (seed, pass), rows read as they are needed, no stalls.

`BatchStream` says what batch number n is, in NumPy. `feeding` hands a stream to TensorFlow as a
`tf.data.Dataset`. Tracing a data set costs more than an epoch over little data, and TensorFlow keeps what it
traced for good. So the data sets are kept here, one for each kind of batch and use at a time, and ask for
their stream when an iteration begins.

One iteration runs through all epochs. So no iterator is destroyed at an epoch's end, where TensorFlow
waits for its autotuning thread, and batches are ready before an epoch begins.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import check_integer
from keras_genmod.core.kept_errors import KeptError
from keras_genmod.data.arrays import is_on_disk, take_rows

__all__ = ["BatchStream", "feeding", "num_rows"]


# Of batches that are cut at once.
_RUN_BYTES = 2**22


def num_rows(arrays: Any) -> int:
    """Examples in one pass over a nest of arrays: the rows of its longest array."""
    return max(leaf.shape[0] for leaf in keras.tree.flatten(arrays) if leaf is not None)


class BatchStream:
    """The batches of arrays by number, pass after pass without end.

    The permutation of pass p is a function of (seed, p). The last batch of a pass is smaller where the
    sizes do not divide. Where `x` is a dictionary (unpaired data), a pass is one over its longest array,
    and each other one runs through permutations of its own.

    Args:
        batch: arrays `[N, ...]` as `data.arrays.as_array` returns them, None where absent.
        batch_size: number of rows in a batch, over all replicas.
        seed: of the orders, from 0 to 2**31 - 1; None keeps the order of the arrays.
        dtype: dtype of floats in the batches; integers stay.
        check: called with each batch and its number, for arrays that were not checked as a whole.

    Cost: one sort of N random keys a pass; memory for N row numbers. A batch copies its rows.
    """

    def __init__(
        self,
        batch: Batch,
        batch_size: int,
        *,
        seed: int | None = None,
        dtype: tf.DType = tf.float32,
        check: Callable[[Batch, int], None] | None = None,
    ) -> None:
        self.batch_size = check_integer("batch_size", batch_size)
        self.length = num_rows(batch)
        self.batches_per_pass = -(-self.length // self.batch_size)
        self.error = KeptError()
        self._arrays = _without_nones(batch)
        self._leaves = keras.tree.flatten(self._arrays)
        self._dtypes = [_batch_dtype(leaf.dtype, dtype) for leaf in self._leaves]
        self._num_parts = len(keras.tree.flatten(self._arrays[0]))
        self._longest = [leaf.shape[0] for leaf in self._leaves].index(self.length)
        self._seed = seed
        self._check = check
        # A call from TensorFlow into Python costs as much as cutting ten small batches. Rows on a disk are
        # read no earlier than they are needed.
        row_bytes = sum(
            spec.dtype.size * int(np.prod(spec.shape[1:])) for spec in keras.tree.flatten(self.spec)
        )
        on_disk = any(map(is_on_disk, self._leaves))
        self.batches_per_run = (
            1 if on_disk else int(np.clip(_RUN_BYTES // (row_bytes * self.batch_size), 1, 16))
        )
        self._orders: tuple[int, list[np.ndarray]] | None = None

    @property
    def spec(self) -> tuple:
        """The nest of `tf.TensorSpec`s of a batch; `()` for what is absent."""
        specs = [
            tf.TensorSpec([None, *leaf.shape[1:]], dtype)
            for leaf, dtype in zip(self._leaves, self._dtypes, strict=True)
        ]
        return keras.tree.pack_sequence_as(self._arrays, specs)

    def leaves(self, number: int, count: int = 1) -> list[np.ndarray]:
        """The arrays of batch `number`, flat; of `count` batches of one pass, one behind the other."""
        number, step = divmod(number, self.batches_per_pass)
        rows = slice(step * self.batch_size, min((step + count) * self.batch_size, self.length))
        taken = [
            take_rows(leaf, part) for leaf, part in zip(self._leaves, self._rows(number, rows), strict=True)
        ]
        if self._check is not None:
            parts = keras.tree.pack_sequence_as(self._arrays, taken)
            self._check(Batch(*(None if isinstance(part, tuple) else part for part in parts)), step)
        return [
            array.astype(dtype.as_numpy_dtype, copy=False)
            for array, dtype in zip(taken, self._dtypes, strict=True)
        ]

    def run_of_batches(self, first: int, end: int) -> list[np.ndarray]:
        """Batches of one size, from number `first` on and before `end`: arrays `[batches, rows, ...]`, flat.

        As many as `batches_per_run`, or those that are left of the pass.
        """
        whole = self.length // self.batch_size - first % self.batches_per_pass
        count = max(1, min(self.batches_per_run, whole, end - first))
        leaves = self.leaves(first, count)
        return [leaf.reshape(count, leaf.shape[0] // count, *leaf.shape[1:]) for leaf in leaves]

    def _rows(self, number: int, rows: slice) -> list[slice | np.ndarray]:
        """The rows of each array that stand at some places of pass `number`."""
        if self._seed is not None:
            if self._orders is None or self._orders[0] != number:
                orders = [self._order(self._seed, index, number) for index in range(len(self._leaves))]
                self._orders = number, orders
            return [order[rows] for order in self._orders[1]]
        return [
            rows if leaf.shape[0] == self.length else np.arange(rows.start, rows.stop) % leaf.shape[0]
            for leaf in self._leaves
        ]

    def _order(self, seed: int, index: int, number: int) -> np.ndarray:
        """Row numbers of one array in pass `number`, as many as the longest array has rows."""
        rows = self._leaves[index].shape[0]
        repeats = -(-self.length // rows)
        # An example, its condition and its weight share one order; arrays of unpaired data have their own.
        own = 0 if index == self._longest or index >= self._num_parts else 1 + index
        with tf.device("CPU"):
            parts = [
                tf.random.experimental.stateless_shuffle(
                    tf.range(rows, dtype=tf.int64),
                    tf.constant([seed + own, number * repeats + part], tf.int64),
                ).numpy()
                for part in range(repeats)
            ]
        return (parts[0] if repeats == 1 else np.concatenate(parts))[: self.length]


@contextlib.contextmanager
def feeding(
    stream: BatchStream,
    *,
    first_step: Callable[[], int | None] | None = None,
    num_batches: int | None = None,
) -> Iterator[tf.data.Dataset]:
    """A data set of the batches of a stream, for as long as the context lasts.

    Args:
        stream: the batches.
        first_step: asked, when an iteration begins, for the number of the first batch; 0 if None. As long as
            it answers None, an iteration is one pass: somebody looks at the data before training.
        num_batches: number of batches in an iteration; None takes one pass, whose length the data set knows.

    Yields:
        A finite `tf.data.Dataset` of `(x,)`, `(x, condition)` or `(x, condition, weight)`, `()` standing
        for what is absent. It may be iterated any number of times. After the context it is empty.

    Raises:
        Exception: what the stream itself raised, in place of TensorFlow's report of it.
    """
    pipeline = _Pipeline.idle(stream.spec)
    pipeline.begin_with(stream, first_step, num_batches or stream.batches_per_pass)
    dataset = pipeline.dataset
    if num_batches is None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(stream.batches_per_pass))
    try:
        with stream.error.tell():
            yield dataset
    finally:
        pipeline.end()


class _Pipeline:
    """A data set that can serve one stream after the other."""

    _idle: defaultdict[str, list[_Pipeline]] = defaultdict(list)
    _lock = threading.Lock()

    @classmethod
    def idle(cls, spec: tuple) -> _Pipeline:
        """One that serves nobody: each call has one of its own, also in another thread."""
        with cls._lock:
            waiting = cls._idle[repr(spec)]
            if waiting:
                return waiting.pop()
        return cls(spec)

    def __init__(self, spec: tuple) -> None:
        self._spec = spec
        self._leaves = keras.tree.flatten(spec)
        self._source: tuple[BatchStream, Callable[[], int | None] | None, int] | None = None
        self._iterations: dict[int, BatchStream] = {}
        self._numbers = itertools.count()
        # One level of data sets: TensorFlow prepares the functions of nested ones anew in each iterator, and
        # that takes longer than an epoch over little data.
        runs = tf.data.Dataset.range(tf.int64.max).scan(np.array([-1, 0, 0], np.int64), self._next_run)
        dataset = runs.take_while(_has_batches).prefetch(1).unbatch()
        options = tf.data.Options()
        options.autotune.enabled = False
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        self.dataset = dataset.prefetch(2).with_options(options)

    def begin_with(
        self, stream: BatchStream, first_step: Callable[[], int | None] | None, num_batches: int
    ) -> None:
        """Serves a stream to the iterations that begin from now on."""
        self._source = stream, first_step, num_batches

    def end(self) -> None:
        """Forgets its stream, and waits for the next."""
        self._source = None
        self._iterations.clear()
        with self._lock:
            self._idle[repr(self._spec)].append(self)

    def _next_run(self, place: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tuple]:
        """The next batches of an iteration, `[batches, rows, ...]`: none behind the last one."""

        def fetch(place: np.ndarray) -> list[np.ndarray]:
            iteration, first, end = self._begin() if place[0] < 0 else place.tolist()
            # A stream that is not there any more: fetched ahead for a call that has ended, nobody reads it.
            stream = self._iterations.get(iteration)
            if stream is None or first >= end:
                none = [np.zeros([0, 0, *spec.shape[1:]], spec.dtype.as_numpy_dtype) for spec in self._leaves]
                return [place, *none]
            with stream.error.keep():
                run = stream.run_of_batches(first, end)
            return [np.array([iteration, first + len(run[0]), end]), *run]

        dtypes = [spec.dtype for spec in self._leaves]
        place, *leaves = tf.numpy_function(fetch, [place], [tf.int64, *dtypes])
        for leaf, spec in zip(leaves, self._leaves, strict=True):
            leaf.set_shape([None, *spec.shape])
        return tf.ensure_shape(place, [3]), keras.tree.pack_sequence_as(self._spec, leaves)

    def _begin(self) -> tuple[int, int, int]:
        """The number of a new iteration, of its first batch, and of the batch that it ends before."""
        if self._source is None:
            return -1, 0, 0
        stream, first_step, num_batches = self._source
        first = 0 if first_step is None else first_step()
        if first is None:
            first, num_batches = 0, stream.batches_per_pass
        iteration = next(self._numbers)
        self._iterations[iteration] = stream
        return iteration, first, first + num_batches


def _has_batches(*run: Any) -> tf.Tensor:
    return tf.shape(keras.tree.flatten(run)[0])[0] > 0


def _batch_dtype(dtype: Any, real: tf.DType) -> tf.DType:
    """The dtype of an array's rows in a batch: the model's for floats."""
    dtype = np.dtype(dtype)
    # Half precision of other libraries has a name and no kind.
    return real if dtype.kind == "f" or "float" in dtype.name else tf.as_dtype(dtype.newbyteorder("="))


def _without_nones(batch: Batch) -> tuple:
    """The arrays without trailing Nones, and with `()` for those between.

    TensorFlow cannot split a data set that holds None over replicas; `core.batches.unpack` knows `()`.
    """
    entries = list(batch)
    while entries[-1] is None:
        entries.pop()
    return tuple(() if entry is None else entry for entry in entries)
