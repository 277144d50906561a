"""Batches from arrays, in an order that depends only on the seed and the pass.

`BatchStream` defines batch number n, in NumPy. `feeding` gives TensorFlow a stream as a `tf.data.Dataset`.
Tracing a data set takes longer than an epoch over little data, and TensorFlow keeps what it traced for ever.
So the data sets are kept here and used again, one for each structure of batches that is in use at a time. A
data set asks for its stream when an iteration begins.

One iteration runs through all epochs. TensorFlow waits for its autotuning thread where an iterator is
destroyed, so none is destroyed at an epoch's end, and batches are ready before an epoch begins.
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


# Size of the batches that one call from TensorFlow fetches together, in bytes.
_RUN_BYTES = 2**22


def num_rows(arrays: Any) -> int:
    """Number of examples in one pass over a nest of arrays: the number of rows of its longest array."""
    return max(leaf.shape[0] for leaf in keras.tree.flatten(arrays) if leaf is not None)


class BatchStream:
    """The numbered batches of arrays, in an endless sequence of passes over the arrays.

    The permutation of pass p depends only on the seed and p. The last batch of a pass is smaller if the batch
    size does not divide N. If `x` is a dictionary, for unpaired data, a pass covers its longest array once,
    and the shorter arrays run through permutations of their own.

    Args:
        batch: Arrays `[N, ...]` as `data.arrays.as_array` returns them; None for what is absent.
        batch_size: Number of rows in a batch, summed over all replicas.
        seed: Seed of the order, from 0 to 2**31 - 1; None keeps the order of the arrays.
        dtype: Dtype of floats in the batches. Integers keep theirs.
        check: Called with each batch and its number, for arrays that were not checked as a whole.

    Cost: One sort of N random keys in each pass, and memory for N row numbers. A batch copies its rows.
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
        # A call from TensorFlow into Python costs as much as ten small batches, so it fetches several. Rows
        # on a disk are read only when they are needed.
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
        """Nest of the `tf.TensorSpec`s of a batch; `()` for what is absent."""
        specs = [
            tf.TensorSpec([None, *leaf.shape[1:]], dtype)
            for leaf, dtype in zip(self._leaves, self._dtypes, strict=True)
        ]
        return keras.tree.pack_sequence_as(self._arrays, specs)

    def leaves(self, number: int, count: int = 1) -> list[np.ndarray]:
        """The flat list of arrays of batch `number`, or of `count` batches of one pass, concatenated."""
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
        """The flat list of arrays `[batches, rows, ...]` of several batches of one size.

        They begin with number `first` and end before number `end`. There are `batches_per_run` of them, or as
        many as are left in the pass.
        """
        whole = self.length // self.batch_size - first % self.batches_per_pass
        count = max(1, min(self.batches_per_run, whole, end - first))
        leaves = self.leaves(first, count)
        return [leaf.reshape(count, leaf.shape[0] // count, *leaf.shape[1:]) for leaf in leaves]

    def _rows(self, number: int, rows: slice) -> list[slice | np.ndarray]:
        """For each array, the numbers of the rows that stand at the places `rows` of pass `number`."""
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
        """The row numbers of one array in pass `number`, as many as the longest array has rows."""
        rows = self._leaves[index].shape[0]
        repeats = -(-self.length // rows)
        # An example, its condition and its weight share one order. Arrays of unpaired data have their own.
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
    """A context with a data set of the batches of a stream.

    Args:
        stream: The batches.
        first_step: Called when an iteration begins. It returns the number of the first batch, or None before
            training begins. Then an iteration is one pass, for tools that look at the data. Without this
            function the first batch is number 0.
        num_batches: Number of batches in an iteration; None takes one pass, whose length the data set knows.

    Yields:
        A finite `tf.data.Dataset` of `(x,)`, `(x, condition)` or `(x, condition, weight)`, with `()` for what
        is absent. It may be iterated any number of times. After the context it is empty.

    Raises:
        Exception: What the stream itself raised, in place of TensorFlow's report of it.
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
    """A data set that serves one stream after another."""

    _idle: defaultdict[str, list[_Pipeline]] = defaultdict(list)
    _lock = threading.Lock()

    @classmethod
    def idle(cls, spec: tuple) -> _Pipeline:
        """A pipeline that is not in use. Calls in several threads get different ones."""
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
        # One level of data sets. TensorFlow prepares the functions of nested ones again for each iterator,
        # which takes longer than an epoch over little data.
        runs = tf.data.Dataset.range(tf.int64.max).scan(np.array([-1, 0, 0], np.int64), self._next_run)
        dataset = runs.take_while(_has_batches).prefetch(1).unbatch()
        options = tf.data.Options()
        options.autotune.enabled = False
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        self.dataset = dataset.prefetch(2).with_options(options)

    def begin_with(
        self, stream: BatchStream, first_step: Callable[[], int | None] | None, num_batches: int
    ) -> None:
        """Serves `stream` to the iterations that begin from now on."""
        self._source = stream, first_step, num_batches

    def end(self) -> None:
        """Forgets the stream, and waits for the next one."""
        self._source = None
        self._iterations.clear()
        with self._lock:
            self._idle[repr(self._spec)].append(self)

    def _next_run(self, place: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tuple]:
        """The next batches of an iteration, `[batches, rows, ...]`; zero batches after the last one."""

        def fetch(place: np.ndarray) -> list[np.ndarray]:
            iteration, first, end = self._begin() if place[0] < 0 else place.tolist()
            # The stream may be gone: this fetch ran ahead of a call that has ended, and nobody reads it.
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
        """The number of a new iteration, of its first batch, and of the batch after its last."""
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
    """Dtype of an array's rows in a batch: the model's own for floats."""
    dtype = np.dtype(dtype)
    # Half-precision dtypes of other libraries have a name but no kind.
    return real if dtype.kind == "f" or "float" in dtype.name else tf.as_dtype(dtype.newbyteorder("="))


def _without_nones(batch: Batch) -> tuple:
    """The arrays of a batch without trailing Nones, and with `()` for a None between arrays.

    TensorFlow cannot distribute a data set that holds None over replicas. `core.batches.unpack` knows `()`.
    """
    entries = list(batch)
    while entries[-1] is None:
        entries.pop()
    return tuple(() if entry is None else entry for entry in entries)
