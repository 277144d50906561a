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

import enum
import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import describe
from keras_genmod.core.replicas import replica_id
from keras_genmod.core.row_noise import NoRowSamplerError, RowNoise, swapped

__all__ = [
    "Purpose",
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
    STATE = 5


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
        return swapped(draw_rows(distribution, RowNoise(seeds, num_samples, has_rows)))
    except NoRowSamplerError:
        return _sample_in_loop(distribution, num_samples, seeds)


def _sample_in_loop(
    distribution: tfp.distributions.Distribution, num_samples: int, seeds: tf.Tensor
) -> tf.Tensor:
    if is_flow(distribution):
        # The noise a row at a time, then one pass through the bijector for all.
        noise = sample_rows(distribution.distribution, num_samples, seeds)
        return swapped(distribution.bijector.forward(swapped(noise)))
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
