"""Annealed importance sampling: partition functions from chains that are slowly cooled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

__all__ = ["AnnealedWeights", "annealed_importance_sampling", "effective_sample_size"]


class AnnealedWeights(NamedTuple):
    """What annealed importance sampling gives.

    Attributes:
        log_weights: float64 `[B]`.
        state: The chains' states at the last temperature.
    """

    log_weights: tf.Tensor
    state: Any


def annealed_importance_sampling(
    log_ratio: Callable[[Any, tf.Tensor, tf.Tensor], tf.Tensor],
    transition: Callable[[Any, tf.Tensor, tf.Tensor, Any], Any],
    state: Any,
    seeds: tf.Tensor,
    inverse_temperatures: tf.Tensor,
) -> AnnealedWeights:
    r"""Weights of chains that go through a sequence of densities $p_0, p_1, \dots, p_K$.

    $$ \log w = \sum_{k=1}^{K} \log \frac{p^*_k(x_{k-1})}{p^*_{k-1}(x_{k-1})}, \qquad
       E[w] = \frac{Z_K}{Z_0} $$

    with unnormalised densities $p^*_k = Z_k p_k$, $x_0 \sim p_0$, and $x_k$ drawn by a transition from
    $x_{k-1}$ that leaves $p_k$ unchanged. The weight of a temperature is taken before the move at that
    temperature. The mean of the weights has no bias, so its logarithm is too low on average. With a start
    from $p_K$ and the temperatures in reverse, the same gives an estimate of $Z_0 / Z_K$, and with it one of
    $\log Z_K$ that is too high on average.

    Args:
        log_ratio: Function `(state, old, new) -> [B]`, $\log p^*_{new}(x) - \log p^*_{old}(x)$ for two
            inverse temperatures.
        transition: Function `(state, inverse_temperature, seeds, step) -> state`.
        state: Draws from the first density, a tensor `[B, ...]` or a nest of them.
        seeds: int32 `[B, 2]`, one seed a chain.
        inverse_temperatures: `[K + 1]`, such as K + 1 numbers from 0 to 1.

    Returns:
        Log weights, summed in float64, and the last state.

    Cost: K ratios and K - 1 transitions, in one loop of the graph.

    Reference: Annealed Importance Sampling, Neal, 2001.
    """
    number = tf.shape(inverse_temperatures)[0]

    def ratio(state: Any, step: Any) -> tf.Tensor:
        old, new = inverse_temperatures[step - 1], inverse_temperatures[step]
        return tf.cast(log_ratio(state, old, new), tf.float64)

    def body(step: tf.Tensor, total: tf.Tensor, state: Any) -> tuple[tf.Tensor, tf.Tensor, Any]:
        total += ratio(state, step)
        return step + 1, total, transition(state, inverse_temperatures[step], seeds, step)

    total = tf.zeros(tf.shape(seeds)[:1], tf.float64)
    _, total, state = tf.while_loop(
        lambda step, *_: step < number - 1, body, (tf.constant(1), total, state), parallel_iterations=1
    )
    # No move at the last temperature: it would not enter the weights.
    return AnnealedWeights(total + ratio(state, number - 1), state)


def effective_sample_size(log_weights: tf.Tensor) -> tf.Tensor:
    r"""The number of equal weights that would give the same variance, $(\sum w)^2 / \sum w^2$.

    Args:
        log_weights: `[..., S]`.

    Returns:
        `[...]`, from 1 to S.

    >>> float(effective_sample_size(tf.math.log([1.0, 1.0, 1e-9])))
    2.0
    """
    total = tf.reduce_logsumexp(log_weights, axis=-1)
    return tf.exp(2.0 * total - tf.reduce_logsumexp(2.0 * log_weights, axis=-1))
