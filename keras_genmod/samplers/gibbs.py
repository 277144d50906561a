"""Gibbs sampling in blocks, and draws of discrete variables from one seed a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_genmod.core.row_noise import uniform_rows
from keras_genmod.samplers.chains import run_chain

__all__ = ["bernoulli_rows", "categorical_rows", "gibbs"]

Conditional = Callable[[tuple, tf.Tensor, Any], tf.Tensor]


def gibbs(
    conditionals: Sequence[Conditional],
    state: Sequence[tf.Tensor],
    seeds: tf.Tensor,
    num_steps: Any,
    *,
    first_step: Any = 0,
) -> tuple[tf.Tensor, ...]:
    r"""Block Gibbs sampling: in each step every block is drawn given all others, in order.

    $$ x_i \sim p(x_i \mid x_1, \dots, x_{i-1}, x_{i+1}, \dots, x_n), \qquad i = 1, \dots, n $$

    Args:
        conditionals: For each block a function `(state, seeds, stream) -> block`, which draws it given the
            state with its noise from that stream of each row's seed.
        state: The blocks, tensors `[B, ...]`. The first one is drawn first, so its start does not matter.
        seeds: int32 `[B, 2]`, one seed a chain.
        num_steps: Number of steps.
        first_step: Number of the first step, as in `run_chain`.

    Returns:
        The blocks after the last step.

    Cost: a draw of each block in each step.

    Reference: Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of Images, S. Geman
    and D. Geman, 1984.
    """
    number = len(conditionals)

    def transition(state: tuple, seeds: tf.Tensor, step: Any) -> tuple:
        blocks = list(state)
        for index, draw in enumerate(conditionals):
            blocks[index] = draw(tuple(blocks), seeds, number * step + index)
        return tuple(blocks)

    return run_chain(transition, tuple(state), seeds, num_steps, first_step=first_step)


def bernoulli_rows(logits: tf.Tensor, seeds: tf.Tensor, stream: Any = 0) -> tf.Tensor:
    """Draws of 0 and 1 with the given log-odds, each row from its own seed.

    Args:
        logits: `[B, ...]`.
        seeds: int32 `[B, 2]`.
        stream: Number of the stream of each seed.

    Returns:
        Zeros and ones of the shape and dtype of the logits.

    Cost: one uniform number and one sigmoid a value.
    """
    uniform = uniform_rows(seeds, _row_shape(logits), logits.dtype, stream=stream)
    return tf.cast(uniform < tf.sigmoid(logits), logits.dtype)


def categorical_rows(logits: tf.Tensor, seeds: tf.Tensor, stream: Any = 0) -> tf.Tensor:
    """Draws of one of K values with the given logits, each row from its own seed.

    Args:
        logits: `[B, ..., K]`.
        seeds: int32 `[B, 2]`.
        stream: Number of the stream of each seed.

    Returns:
        int32 `[B, ...]`, from 0 to K - 1.

    Cost: one uniform number a draw, and the cumulative sum of K probabilities.
    """
    bounds = tf.cumsum(tf.nn.softmax(logits), axis=-1)[..., :-1]
    uniform = uniform_rows(seeds, _row_shape(logits)[:-1], logits.dtype, stream=stream)
    return tf.reduce_sum(tf.cast(uniform[..., None] >= bounds, tf.int32), axis=-1)


def _row_shape(rows: tf.Tensor) -> Any:
    shape = rows.shape[1:]
    return shape.as_list() if shape.is_fully_defined() else tf.shape(rows)[1:]
