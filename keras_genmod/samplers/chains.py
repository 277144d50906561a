"""Markov chains: one loop inside the graph, one seed a chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["run_chain"]


def run_chain(
    transition: Callable[[Any, tf.Tensor, Any], Any],
    state: Any,
    seeds: tf.Tensor,
    num_steps: Any,
    *,
    first_step: Any = 0,
) -> Any:
    """The state of Markov chains after a number of steps.

    Args:
        transition: Function `(state, seeds, step) -> state`. It takes its noise from the row's seed, with the
            number of the step as stream (see `kg.bases.uniform_rows`).
        state: Tensor `[B, ...]`, or a nest of such tensors; row i belongs to chain i.
        seeds: int32 `[B, 2]`, one seed a chain.
        num_steps: Number of steps, an integer or an int32 scalar.
        first_step: Number of the first step. A chain in two parts is the chain at once, if the second part
            begins where the first one ended.

    Returns:
        The state, of the same structure.

    Cost: `num_steps` transitions, in one loop of the graph.

    Example:
        >>> seeds = tf.zeros([1, 2], tf.int32)
        >>> run_chain(lambda x, seeds, step: 2 * x, tf.constant([3]), seeds, 4).numpy()
        array([48], dtype=int32)
    """
    if isinstance(num_steps, int) and num_steps <= 1:
        return transition(state, seeds, first_step) if num_steps else state
    first = tf.convert_to_tensor(first_step, tf.int32)
    last = first + num_steps

    def body(step: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
        return step + 1, transition(state, seeds, step)

    _, state = tf.while_loop(lambda step, _: step < last, body, (first, state), parallel_iterations=1)
    return state
