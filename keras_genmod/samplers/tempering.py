"""Parallel tempering: chains at several temperatures that exchange their states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_genmod.core.row_noise import uniform_rows

__all__ = ["swap_neighbours"]


def swap_neighbours(
    log_density: Callable[[Any, tf.Tensor], tf.Tensor],
    state: Any,
    inverse_temperatures: tf.Tensor,
    seeds: tf.Tensor,
    step: Any,
    *,
    stream: Any = None,
) -> tuple[Any, tf.Tensor]:
    r"""Exchanges the states of chains at neighbouring temperatures, with the probability of Metropolis.

    $$ \min\left(1, \frac{p_s(x_t)\, p_t(x_s)}{p_s(x_s)\, p_t(x_t)}\right), \qquad t = s + 1 $$

    It leaves the product of the densities at all temperatures unchanged. In even steps the pairs begin at
    temperatures 0, 2, 4, ..., in odd steps at 1, 3, 5, ...

    Args:
        log_density: Function `(state, inverse_temperatures) -> [T, C]`, the log-density of each state at the
            inverse temperature `[T]` in its place, up to a constant for each temperature.
        state: Tensor `[T, C, ...]` of C chains at each of T temperatures, or a nest of such tensors.
        inverse_temperatures: `[T]`.
        seeds: int32 `[C, 2]`.
        step: Number of the step.
        stream: Number of the stream of each seed; None takes `step`.

    Returns:
        The state, and whether each pair was exchanged, bool `[T - 1, C]`.

    Cost: three log-densities of each state.

    Reference: Replica Monte Carlo Simulation of Spin-Glasses, Swendsen and Wang, 1986.
    """
    own = log_density(state, inverse_temperatures)
    above = log_density(state, tf.roll(inverse_temperatures, -1, axis=0))
    below = log_density(state, tf.roll(inverse_temperatures, 1, axis=0))
    log_ratio = above[:-1] + below[1:] - own[:-1] - own[1:]
    number = inverse_temperatures.shape[0]
    uniform = uniform_rows(seeds, [number - 1], own.dtype, stream=step if stream is None else stream)
    chosen = tf.range(number - 1) % 2 == step % 2
    swapped = (tf.transpose(uniform) < tf.exp(tf.minimum(log_ratio, 0.0))) & chosen[:, None]
    none = tf.zeros_like(swapped[:1])
    up, down = tf.concat([swapped, none], axis=0), tf.concat([none, swapped], axis=0)

    def exchanged(part: tf.Tensor) -> tf.Tensor:
        def shaped(mask: tf.Tensor) -> tf.Tensor:
            return tf.reshape(mask, tf.concat([tf.shape(mask), [1] * (part.shape.rank - 2)], axis=0))

        part_above, part_below = tf.roll(part, -1, axis=0), tf.roll(part, 1, axis=0)
        return tf.where(shaped(up), part_above, tf.where(shaped(down), part_below, part))

    return tf.nest.map_structure(exchanged, state), swapped
