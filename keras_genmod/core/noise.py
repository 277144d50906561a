"""Stateless random numbers: seeds are values, and every draw is a pure function of its seed.

A seed is an int32 tensor `[2]`, as TensorFlow's `stateless_*` functions and the `seed=` of TensorFlow
Probability take it. A model holds one pair of numbers, (seed, step), as a weight. Each purpose (training,
evaluation, sampling, data order) derives its own stream from it, and each replica derives its own from the
stream. Therefore

* only a training step advances the saved state, and a resumed run draws what an uninterrupted one draws;
* evaluation and sampling never change training;
* two replicas never draw the same noise.

For rows that must not depend on each other there is one seed a row, int32 `[B, 2]` (`row_seeds`,
`sample_rows`).
"""

from __future__ import annotations

import copy
import enum
import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import describe
from keras_genmod.core.replicas import replica_id
from keras_genmod.core.row_noise import normal_rows, uniform_rows

__all__ = [
    "NoRowSamplerError",
    "Purpose",
    "RowNoise",
    "add_noise_state",
    "as_seed",
    "check_seed",
    "draw_rows",
    "fold_in",
    "fresh_seed",
    "is_flow",
    "register_row_sampler",
    "replica_seed",
    "row_seeds",
    "sample_rows",
    "split",
    "stream_seed",
]

# Odd 31-bit constants that spread purposes and replicas over the seed space; any odd numbers will do.
_PURPOSE_STRIDE = 0x3C6EF372 | 1
_REPLICA_STRIDE = 0x1B873593


class Purpose(enum.IntEnum):
    """The purpose of a stream of noise."""

    TRAINING = 1
    EVALUATION = 2
    SAMPLING = 3
    DATA = 4


def check_seed(seed: Any) -> int | None:
    """Returns a model's `seed` argument; refuses all but None and integers from 0 to 2**31 - 1."""
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**31:
        raise ValueError(f"`seed` must be None or an integer from 0 to 2**31 - 1; received {describe(seed)}.")
    return int(seed)


def fresh_seed() -> int:
    """Draws a new seed from Python's generator, which `keras.utils.set_random_seed` makes repeatable."""
    return random.randrange(2**31)


def add_noise_state(layer: keras.layers.Layer, seed: int | None, name: str) -> keras.Variable:
    """Adds the weight (seed, step) of a layer's own noise, int64 `[2]`, starting at step 0.

    It is a weight, so that files hold it. Workers of a multi-worker run, each of which drew a fresh seed of
    its own, then take the chief's.
    """
    start = fresh_seed() if check_seed(seed) is None else seed
    return layer.add_weight(
        shape=(2,),
        initializer=lambda shape, dtype: tf.constant([start, 0], dtype),
        dtype="int64",
        trainable=False,
        autocast=False,
        aggregation="only_first_replica",
        name=name,
    )


def as_seed(seed: Any) -> tf.Tensor:
    """Returns an int32 seed `[2]` for an integer or a pair of integers."""
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        return tf.constant([0, check_seed(seed)], tf.int32)
    if not tf.is_tensor(seed):
        seed = np.asarray(seed)
    if tuple(seed.shape) != (2,) or not tf.as_dtype(seed.dtype).is_integer:
        raise ValueError(f"`seed` must be an integer or two integers [2]; received {describe(seed)}.")
    return tf.cast(seed, tf.int32)


def stream_seed(seed: Any, purpose: Purpose, step: Any) -> tf.Tensor:
    """The seed of draw number `step` of the stream for `purpose`: int32 `[2]`."""
    start = tf.cast(seed, tf.int64) + int(purpose) * _PURPOSE_STRIDE
    return tf.stack([_to_int32(start), _to_int32(step)])


def replica_seed(seed: tf.Tensor) -> tf.Tensor:
    """The seed of this replica; on one device the seed itself."""
    replica = replica_id()
    if replica is None:
        return seed
    start = tf.cast(seed[0], tf.int64) + tf.cast(replica, tf.int64) * _REPLICA_STRIDE
    return tf.stack([_to_int32(start), seed[1]])


def _to_int32(value: Any) -> tf.Tensor:
    """The value modulo 2**31 as a non-negative int32."""
    return tf.cast(tf.cast(value, tf.int64) & 0x7FFFFFFF, tf.int32)


def fold_in(seed: tf.Tensor, data: Any) -> tf.Tensor:
    """A new seed from a seed and an integer."""
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(data, tf.int32))


def split(seed: tf.Tensor, num: int) -> list[tf.Tensor]:
    """`num` independent seeds from one."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, num), num)


def row_seeds(seed: tf.Tensor, start: Any, num_rows: Any) -> tf.Tensor:
    """Seeds `[num_rows, 2]` of rows `start, start + 1, ...`: a row's seed depends on its number alone."""
    key = tf.random.stateless_uniform([], seed, minval=None, maxval=None, dtype=tf.int32)
    rows = tf.range(start, start + num_rows, dtype=tf.int32)
    return tf.stack([tf.fill(tf.shape(rows), key), rows], axis=-1)


def is_flow(distribution: tfp.distributions.Distribution) -> bool:
    """Whether it is a plain `tfd.TransformedDistribution`, not a subclass such as a multivariate normal."""
    # The constructor gives a class of another name where the bijector is no composite tensor.
    return type(distribution).__name__.lstrip("_") == "TransformedDistribution"


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
        return _swapped(draw(self.seeds, shape, dtype, stream=next(self._streams)))


RowSampler = Callable[[Any, RowNoise], tf.Tensor]
_ROW_SAMPLERS: dict[type, RowSampler] = {}


def register_row_sampler(*classes: type) -> Callable[[RowSampler], RowSampler]:
    """Decorator: the function draws from distributions of these classes for all rows at once.

    The function takes the distribution and a `RowNoise`, whose numbers it turns into draws
    `[n, B, *batch axes, *event]`. Subclasses that do not define how they sample use it too.
    """

    def decorate(function: RowSampler) -> RowSampler:
        for cls in classes:
            _ROW_SAMPLERS[cls] = function
            # TensorFlow Probability makes an object of this class where a part is no composite tensor.
            parent = cls.__mro__[1]
            if parent.__name__ == f"_{cls.__name__}":
                _ROW_SAMPLERS[parent] = function
        return function

    return decorate


def draw_rows(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    """Draws `[n, B, *batch axes, *event]` by the registered sampler.

    Raises:
        NoRowSamplerError: If there is none for this class, or for a part of the distribution.
    """
    for cls in type(distribution).__mro__:
        if cls in _ROW_SAMPLERS:
            return _ROW_SAMPLERS[cls](distribution, noise)
        if "_sample_n" in vars(cls) or "_call_sample_n" in vars(cls):
            # It samples in a way of its own, which its parents' samplers do not know.
            break
    raise NoRowSamplerError


def sample_rows(
    distribution: tfp.distributions.Distribution, num_samples: int, seeds: tf.Tensor
) -> tf.Tensor:
    """Draws from each row of a batch of distributions with that row's own seed.

    Row i of the result depends on row i of the distribution and on `seeds[i]` alone, however the batch
    is cut. That is what makes chunked evaluation and batched serving repeatable.

    Args:
        distribution: Batch shape `[B]`, or `[]` for one that all rows share.
        num_samples: Number of draws from each row.
        seeds: int32 `[B, 2]`.

    Returns:
        Draws `[B, num_samples, *event]`.

    Cost: that of the random numbers (`uniform_rows`, `normal_rows`), for all rows at once, where a sampler is
    registered (`distributions/row_samplers.py`). For other distributions, such as those made of gamma or
    Poisson variables, one sampling operation a row, in a loop inside the graph: 10 to 100 microseconds a row.
    """
    has_rows = distribution.batch_shape.rank != 0
    try:
        return _swapped(draw_rows(distribution, RowNoise(seeds, num_samples, has_rows)))
    except NoRowSamplerError:
        return _sample_in_loop(distribution, num_samples, seeds)


def _sample_in_loop(
    distribution: tfp.distributions.Distribution, num_samples: int, seeds: tf.Tensor
) -> tf.Tensor:
    if is_flow(distribution):
        # The noise a row at a time, then one pass through the bijector for all.
        noise = sample_rows(distribution.distribution, num_samples, seeds)
        return _swapped(distribution.bijector.forward(_swapped(noise)))
    shared = distribution.batch_shape.rank == 0

    def draw(row: tuple) -> tf.Tensor:
        # The ellipsis comes first because TensorFlow Probability looks for one, and asking a tensor
        # whether it is the ellipsis fails.
        one = distribution if shared else distribution[..., row[0]]
        return one.sample(num_samples, seed=row[1])

    return tf.map_fn(
        draw,
        (tf.range(tf.shape(seeds)[0]), seeds),
        fn_output_signature=tf.TensorSpec([num_samples, *distribution.event_shape], distribution.dtype),
    )


def _swapped(x: tf.Tensor) -> tf.Tensor:
    """`[A, B, ...]` as `[B, A, ...]`."""
    if x.shape[0] == 1:
        return tf.expand_dims(tf.squeeze(x, 0), 1)
    if x.shape[1] == 1:
        return tf.expand_dims(tf.squeeze(x, 1), 0)
    return tf.transpose(x, [1, 0, *range(2, x.shape.rank)])
