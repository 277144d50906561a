r"""Random numbers with one seed a row, for all rows at once, by a counter-based generator.

Row i of every result depends on `seeds[i]` alone, not on the other rows or their number. That makes
evaluation in pieces and batched serving repeatable.

The generator is Threefry-2x32 with 20 rounds. It maps a key (the row's seed) and a counter (the number of the
block, and the stream) to a block of 64 random bits. It uses additions, rotations and exclusive ors of 32-bit
integers only, so its bits are equal on every device, with and without XLA, and in an exported model.

Reference: Parallel Random Numbers: As Easy as 1, 2, 3, Salmon, Moraes, Dror and Shaw, 2011.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = [
    "NoRowSamplerError",
    "RowNoise",
    "fold_in_rows",
    "normal_rows",
    "swapped",
    "threefry",
    "uniform_rows",
]

# How far the second word is rotated in each round: two groups of four rounds take turns.
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_NUM_GROUPS = 5
_KEY_PARITY = 0x1BD11BDA
# Numbers that a processor computes at once: 16 of float32 with AVX-512, fewer elsewhere.
_VECTOR_SIZE = 16
# The second counter of `fold_in_rows`. Streams of numbers lie below it: no seed is a pair of drawn numbers.
_FOLD_IN_STREAM = 0x80000000


def threefry(
    key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """The two words of Threefry-2x32 with 20 rounds.

    Args:
        key: Two uint32 tensors whose shapes broadcast with each other and with the counter's.
        counter: Two uint32 tensors.

    Returns:
        Two uint32 tensors of the broadcast shape.

    Cost: about 110 elementwise operations.

    >>> zero = tf.constant(0, tf.uint32)
    >>> [hex(int(word)) for word in threefry((zero, zero), (zero, zero))]
    ['0x6b200159', '0x99ba4efe']
    """
    bitwise_xor = tf.bitwise.bitwise_xor
    parity = bitwise_xor(bitwise_xor(key[0], key[1]), tf.constant(_KEY_PARITY, tf.uint32))
    words = (*key, parity)
    first, second = counter[0] + key[0], counter[1] + key[1]
    for group in range(_NUM_GROUPS):
        for distance in _ROTATIONS[group % 2]:
            first += second
            second = bitwise_xor(_rotated(second, distance), first)
        first += words[(group + 1) % 3]
        second += words[(group + 2) % 3] + tf.constant(group + 1, tf.uint32)
    return first, second


def _rotated(word: tf.Tensor, distance: int) -> tf.Tensor:
    """The word's bits rotated to the left."""
    # The product and the sum stand for a left shift and an `or`, whose kernels are several times slower.
    overflow = tf.bitwise.right_shift(word, tf.constant(32 - distance, tf.uint32))
    return word * tf.constant(1 << distance, tf.uint32) + overflow


def uniform_rows(
    seeds: tf.Tensor, shape: Sequence[int] | tf.Tensor, dtype: Any = tf.float32, *, stream: Any = 0
) -> tf.Tensor:
    """Uniform numbers in [0, 1), for each row from its own seed.

    They are multiples of 2^-24 (float32) or 2^-53 (float64), and equal with and without XLA.

    Args:
        seeds: int32 `[B, 2]`.
        shape: Shape of one row's numbers. The first n numbers of a row are the same whatever its shape.
        dtype: float32 or float64.
        stream: Integer from 0 to 2**31 - 1, which may be a tensor. Streams of one seed are independent: a
            sampler takes the number of its step.

    Returns:
        `[B, *shape]`.

    Cost: about 55 operations a float32 number and 110 a float64 number, in some 120 nodes of the graph.

    >>> float(uniform_rows(tf.zeros([1, 2], tf.int32), [])[0])  # 0x6b2001 / 2^24
    0.418457...
    """
    dtype = _checked(dtype)
    shape, size = _static_shape(shape)
    numbers = _uniforms(seeds, size, dtype, stream)
    return _shaped(numbers, size, shape)


def normal_rows(
    seeds: tf.Tensor, shape: Sequence[int] | tf.Tensor, dtype: Any = tf.float32, *, stream: Any = 0
) -> tf.Tensor:
    r"""Standard normal numbers, for each row from its own seed, by the Box-Muller transform.

    $$ z_1 = \sqrt{-2 \log u} \cos 2 \pi v, \qquad z_2 = \sqrt{-2 \log u} \sin 2 \pi v $$

    The bits of u and v are equal with and without XLA. XLA's logarithm, cosine and sine round differently, so
    the results are equal to rounding. The largest possible number is 6.8 (float32) or 8.7 (float64).

    Args:
        seeds: int32 `[B, 2]`.
        shape: Shape of one row's numbers. The first n numbers of a row are the same whatever its shape.
        dtype: float32 or float64.
        stream: As in `uniform_rows`.

    Returns:
        `[B, *shape]`.

    Cost: that of `uniform_rows`, and a logarithm, a root, a cosine and a sine for each two numbers.

    Reference: A Note on the Generation of Random Normal Deviates, Box and Muller, 1958.
    """
    dtype = _checked(dtype)
    shape, size = _static_shape(shape)
    num_rows, num_pairs = tf.shape(seeds)[0], (size + 1) // 2
    if dtype == tf.float64:
        numbers = _uniforms(seeds, 2 * num_pairs, dtype, stream)
        words = tf.unstack(tf.reshape(numbers, [num_rows, num_pairs, 2]), axis=-1)
        least = 2.0**-54
    else:
        # All 32 bits, of which float32 keeps more the smaller the number: that is where the tails come from.
        words = [tf.cast(word, dtype) * 2.0**-32 for word in _blocks(seeds, num_pairs, stream)]
        least = 2.0**-33
    level, turn = (_padded(tf.reshape(word, [-1])) for word in words)
    radius = tf.sqrt(-2.0 * tf.math.log(level + least))
    angle = (2.0 * math.pi) * turn
    pairs = tf.stack([radius * tf.cos(angle), radius * tf.sin(angle)], axis=-1)
    pairs = tf.reshape(pairs[: num_rows * num_pairs], [num_rows, 2 * num_pairs])
    return _shaped(pairs, size, shape)


def _padded(x: tf.Tensor) -> tf.Tensor:
    """A vector with zeros behind it, up to a multiple of what a processor computes at once.

    TensorFlow computes the few numbers that are left over at the end of a tensor by other functions, which
    round differently. A row's place in the batch would then show in its last bits.
    """
    size = x.shape[0]
    missing = -(tf.shape(x)[0] if size is None else size) % _VECTOR_SIZE
    return x if isinstance(missing, int) and missing == 0 else tf.pad(x, [[0, missing]])


def fold_in_rows(seeds: tf.Tensor, data: Any) -> tf.Tensor:
    """A new seed of each row from its seed and an integer, for a purpose of its own.

    Args:
        seeds: int32 `[B, 2]`.
        data: Integer from 0 to 2**31 - 1, or an int32 tensor, `[]` or `[B]`.

    Returns:
        int32 `[B, 2]`, independent of the numbers that are drawn from `seeds`.
    """
    words = tf.bitcast(seeds, tf.uint32)
    number = tf.bitcast(tf.convert_to_tensor(data, tf.int32), tf.uint32)
    counter = (number, tf.constant(_FOLD_IN_STREAM, tf.uint32))
    drawn = threefry((words[:, 0], words[:, 1]), counter)
    return tf.bitcast(tf.stack(drawn, axis=-1), tf.int32)


class NoRowSamplerError(Exception):
    """A distribution has no sampler that draws all rows at once."""


class RowNoise:
    """The random numbers of one call of `sample_rows`, in the layout of TensorFlow Probability's samples.

    Each call of `uniform` or `normal` takes a new stream of each row's seed.

    Args:
        seeds: int32 `[B, 2]`.
        num_samples: Number of draws from each row, n.
        has_rows: Whether the first batch axis of a distribution is that of the rows. If not, all rows share
            the distribution.
    """

    def __init__(self, seeds: tf.Tensor, num_samples: int, has_rows: bool) -> None:
        self.seeds, self.num_samples, self.has_rows = seeds, num_samples, has_rows
        self._streams = itertools.count()
        self._prefix: Sequence[int] = ()
        self._collapsed: tuple[int, ...] = ()

    def for_part(self, prefix: Any = None, collapsed: int | None = None) -> RowNoise:
        """The same noise for a part of a distribution, such as a base or components.

        Args:
            prefix: For a part that all rows share: batch axes of the whole that the part does not have.
            collapsed: Number of a batch axis, counted after the rows, whose entries may share their noise.
        """
        part = copy.copy(self)
        if prefix is not None:
            part.has_rows, part._prefix = False, prefix
        if collapsed is not None:
            part._collapsed = (*self._collapsed, collapsed)
        return part

    def batch_axes(self, distribution: tfp.distributions.Distribution) -> list[int]:
        """Sizes of the batch axes of a distribution beside the rows.

        Raises:
            NoRowSamplerError: If one of them is not known before the graph runs.
        """
        axes = distribution.batch_shape[1:] if self.has_rows else distribution.batch_shape
        if not axes.is_fully_defined():
            raise NoRowSamplerError
        return [*self._prefix, *axes.as_list()]

    def uniform(
        self, distribution: tfp.distributions.Distribution, axes: Sequence[int] = (), dtype: Any = None
    ) -> tf.Tensor:
        """Uniform numbers in [0, 1), `[n, B, *batch axes, *axes]`, of the distribution's dtype or another."""
        return self._numbers(uniform_rows, distribution, axes, dtype)

    def open_uniform(self, distribution: tfp.distributions.Distribution) -> tf.Tensor:
        """The same in (0, 1), for quantile functions that are infinite at 0."""
        numbers = self.uniform(distribution)
        return tf.maximum(numbers, 2.0**-25 if numbers.dtype == tf.float32 else 2.0**-54)

    def normal(self, distribution: tfp.distributions.Distribution, axes: Sequence[int] = ()) -> tf.Tensor:
        """Standard normal numbers, `[n, B, *batch axes, *axes]`."""
        return self._numbers(normal_rows, distribution, axes, None)

    def _numbers(self, draw: Callable, distribution: Any, axes: Sequence[int], dtype: Any) -> tf.Tensor:
        dtype = tf.as_dtype(dtype or distribution.dtype)
        if dtype not in (tf.float32, tf.float64):
            raise NoRowSamplerError
        batch = [
            1 if axis in self._collapsed else size for axis, size in enumerate(self.batch_axes(distribution))
        ]
        shape = [self.num_samples, *batch, *axes]
        return swapped(draw(self.seeds, shape, dtype, stream=next(self._streams)))


def swapped(x: tf.Tensor) -> tf.Tensor:
    """`[A, B, ...]` as `[B, A, ...]`."""
    if x.shape[0] == 1:
        return tf.expand_dims(tf.squeeze(x, 0), 1)
    if x.shape[1] == 1:
        return tf.expand_dims(tf.squeeze(x, 1), 0)
    return tf.transpose(x, [1, 0, *range(2, x.shape.rank)])


def _blocks(seeds: tf.Tensor, num_blocks: Any, stream: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """The first blocks of each row: two words of 32 random bits, `[B, num_blocks]`."""
    words = tf.bitcast(seeds, tf.uint32)
    number = tf.cast(tf.range(num_blocks), tf.uint32)
    return threefry((words[:, :1], words[:, 1:]), (number[None], tf.cast(stream, tf.uint32)))


def _uniforms(seeds: tf.Tensor, size: Any, dtype: tf.DType, stream: Any) -> tf.Tensor:
    """At least `size` numbers of each row."""
    right_shift = tf.bitwise.right_shift
    if dtype == tf.float64:
        high, low = _blocks(seeds, size, stream)
        high = tf.cast(right_shift(high, tf.constant(5, tf.uint32)), dtype)
        low = tf.cast(right_shift(low, tf.constant(6, tf.uint32)), dtype)
        return high * 2.0**-27 + low * 2.0**-53
    bits = tf.stack(_blocks(seeds, (size + 1) // 2, stream), axis=-1)
    return tf.cast(right_shift(bits, tf.constant(8, tf.uint32)), dtype) * 2.0**-24


def _checked(dtype: Any) -> tf.DType:
    dtype = tf.as_dtype(dtype)
    if dtype not in (tf.float32, tf.float64):
        raise ValueError(
            f"`dtype` must be float32 or float64; received {dtype.name}. Cast the result instead."
        )
    return dtype


def _static_shape(shape: Any) -> tuple[Any, Any]:
    """The shape, and the number of its elements; both without tensors where they are known."""
    known = tf.get_static_value(shape)
    if known is not None:
        sizes = [int(size) for size in known]
        return sizes, math.prod(sizes)
    shape = tf.cast(tf.convert_to_tensor(shape), tf.int32)
    return shape, tf.reduce_prod(shape)


def _shaped(numbers: tf.Tensor, size: Any, shape: Any) -> tf.Tensor:
    """Numbers `[B, ...]`, at least `size` a row, as `[B, *shape]`."""
    num_rows = tf.shape(numbers)[0]
    known = numbers.shape[1:].num_elements()
    if known is None or not isinstance(size, int) or known != size:
        available = tf.size(numbers) // tf.maximum(num_rows, 1) if known is None else known
        numbers = tf.reshape(numbers, [num_rows, available])[:, :size]
    return tf.reshape(numbers, tf.concat([[num_rows], tf.cast(shape, tf.int32)], axis=0))
