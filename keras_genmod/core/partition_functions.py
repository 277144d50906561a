"""Partition functions of energies: sums over all states, and estimates from weights with their error."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

__all__ = ["log_mean_weight", "log_partition_of_bits"]

# States of an enumeration in one pass: the memory of a few thousand examples.
_STATES_PER_PASS = 2**12
_MAX_BITS = 30


def log_mean_weight(log_weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    r"""The log of a mean weight, and its standard error: $\log \frac1S \sum_s w_s$.

    With $w_s = e^{-E(x_s)} / q(x_s)$ for draws $x_s$ from a proposal q, it is an estimate of log Z. Its error
    is the standard error of the mean, divided by the mean. That is the first order of the logarithm, and
    holds where it is well below 1. Where a few weights outweigh the rest, the true error is larger.

    Args:
        log_weights: `[..., S]` independent log weights, S at least 2.

    Returns:
        Two tensors `[...]`, nats.

    >>> value, error = log_mean_weight(tf.math.log([1.0, 3.0]))
    >>> round(float(value), 4), round(float(error), 4)  # log 2; sqrt(2) / sqrt(2) / 2
    (0.6931, 0.5)
    """
    count = tf.cast(tf.shape(log_weights)[-1], log_weights.dtype)
    value = tf.reduce_logsumexp(log_weights, axis=-1) - tf.math.log(count)
    ratios = tf.exp(log_weights - value[..., None])
    variance = tf.reduce_sum(tf.square(ratios - 1.0), axis=-1) / (count - 1.0)
    return value, tf.sqrt(variance / count)


def log_partition_of_bits(
    energy: Callable[[tf.Tensor], tf.Tensor],
    num_bits: int,
    *,
    dtype: tf.DType = tf.float32,
    states_per_pass: int = _STATES_PER_PASS,
) -> tf.Tensor:
    r"""$\log \sum_{x \in \{0, 1\}^D} e^{-E(x)}$ by enumeration.

    Args:
        energy: From states `[N, D]` to their energies `[..., N]`, such as `[C, N]` for C conditions.
        num_bits: D, at most 30.
        dtype: Dtype of the states.
        states_per_pass: Number of states in one call of `energy`, which bounds the memory.

    Returns:
        `[...]` nats, summed in float64, in the dtype of the energies.

    Raises:
        ValueError: For more than 30 bits.

    Cost: 2^D energies; a second or so at D = 20 and a small network.

    >>> float(log_partition_of_bits(lambda x: tf.zeros([tf.shape(x)[0]]), 3))  # log 8
    2.079...
    """
    if num_bits > _MAX_BITS:
        raise ValueError(
            f"`num_bits` must be at most {_MAX_BITS}, for a sum over 2^{_MAX_BITS} states; received "
            f"{num_bits}. Use an estimate."
        )
    num_states = 2**num_bits
    # A power of two, so that all passes have the same size.
    size = min(num_states, 2 ** int(math.log2(states_per_pass)))
    shifts = tf.range(num_bits)

    def log_sum(index: tf.Tensor) -> tuple[tf.Tensor, tf.DType]:
        numbers = index * size + tf.range(size)
        states = tf.bitwise.right_shift(numbers[:, None], shifts[None, :]) & 1
        energies = energy(tf.cast(states, dtype))
        return tf.reduce_logsumexp(-tf.cast(energies, tf.float64), axis=-1), energies.dtype

    def body(index: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return index + 1, tf.reduce_logsumexp(tf.stack([total, log_sum(index)[0]]), axis=0)

    start, energy_dtype = log_sum(tf.constant(0))
    if num_states > size:
        _, start = tf.while_loop(
            lambda index, _: index < num_states // size, body, (tf.constant(1), start), parallel_iterations=1
        )
    return tf.cast(start, energy_dtype)
