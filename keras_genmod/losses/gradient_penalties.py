r"""Penalties on the gradient of a discriminator with respect to its input.

| penalty | value per example | where |
|---|---|---|
| gradient penalty | $(\lVert\nabla D(\hat x)\rVert - 1)^2$ | uniformly between a real and a generated one |
| R1 | $\lVert\nabla D(x)\rVert^2 / 2$ | real examples |
| R2 | $\lVert\nabla D(x)\rVert^2 / 2$ | generated examples |

Training differentiates the penalty with respect to the discriminator's weights, which costs about two more
passes.

The gradients are taken of the sum of the logits. Where no logit depends on other examples, that gives each
example its own gradient. `layers.MinibatchStddev` lets the examples see a statistic of the batch, but gives
these penalties each example's own gradient too. Batch normalisation mixes the examples in training and does
not: do not use these penalties with it.

References: Improved Training of Wasserstein GANs, Gulrajani et al., 2017 (gradient penalty); Which Training
Methods for GANs do actually Converge?, Mescheder, Geiger and Nowozin, 2018 (R1, R2).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_genmod.core.own_gradients import example_gradients
from keras_genmod.core.precision import as_real

__all__ = ["gradient_penalty", "input_gradient_norm", "squared_gradient_penalty"]

Critic = Callable[[tf.Tensor], tf.Tensor]


def squared_gradient_penalty(critic: Critic, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    r"""R1 (on real `x`) or R2 (on generated `x`): $\lVert\nabla_x D(x)\rVert^2 / 2$.

    Args:
        critic: Function from `[B, *event]` to logits `[B]`.
        x: Points at which the gradient is penalised, `[B, *event]`.

    Returns:
        The logits `[B]` and the penalty `[B]`, from one pass.

    Example:
        >>> logits, penalty = squared_gradient_penalty(lambda x: 3 * x[:, 0] + 4 * x[:, 1], tf.ones([1, 2]))
        >>> float(logits[0]), float(penalty[0])
        (7.0, 12.5)
    """
    logits, squared_norm = _squared_gradient_norm(critic, x)
    return logits, 0.5 * squared_norm


def gradient_penalty(
    critic: Critic, real: tf.Tensor, fake: tf.Tensor, mix: tf.Tensor, target: float = 1.0
) -> tf.Tensor:
    r"""$(\lVert\nabla D(\hat x)\rVert - t)^2$ at $\hat x = \epsilon x + (1 - \epsilon) \tilde x$.

    Args:
        critic: Function from `[B, *event]` to logits `[B]`.
        real, fake: Examples `[B, *event]`.
        mix: $\epsilon$ in [0, 1], `[B]`, uniform in the paper.
        target: The norm $t$ of the gradient that is not penalised.

    Returns:
        The penalty `[B]`.

    Example:
        >>> x = tf.zeros([1, 2])
        >>> float(gradient_penalty(lambda x: 3 * x[:, 0] + 4 * x[:, 1], x, x, tf.ones([1]))[0])
        16.0
    """
    mix = tf.reshape(tf.cast(mix, real.dtype), [-1] + [1] * (len(real.shape) - 1))
    _, norm = input_gradient_norm(critic, fake + mix * (real - fake))
    return tf.square(norm - target)


def input_gradient_norm(critic: Critic, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The logits of `x`, and the Euclidean norms of their gradients with respect to `x`, both `[B]`.

    Args:
        critic: Function from `[B, *event]` to logits `[B]`.
        x: Points at which the gradient is taken, `[B, *event]`.
    """
    logits, squared_norm = _squared_gradient_norm(critic, x)
    # The derivative of the root is infinite at 0, and 0 times infinity is NaN.
    return logits, tf.sqrt(tf.maximum(squared_norm, 1e-24))


def _squared_gradient_norm(critic: Critic, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    # Only the input is watched here. A tape outside records the weights and this gradient too.
    with tf.GradientTape(watch_accessed_variables=False) as tape, example_gradients(tape):
        tape.watch(x)
        logits = critic(x)
    gradient = as_real(tape.gradient(logits, x))
    return logits, tf.reduce_sum(tf.square(gradient), axis=list(range(1, len(x.shape))))
