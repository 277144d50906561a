"""Langevin dynamics over an energy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_genmod.core.row_noise import normal_rows
from keras_genmod.samplers.chains import run_chain

__all__ = ["langevin"]


def langevin(
    energy: Callable[[tf.Tensor], tf.Tensor],
    x: tf.Tensor,
    seeds: tf.Tensor,
    num_steps: Any,
    *,
    step_size: float,
    noise_scale: float | None = None,
    clip: tuple[float, float] | None = None,
    first_step: Any = 0,
) -> tf.Tensor:
    r"""Unadjusted Langevin dynamics.

    $$ x \leftarrow x - \frac{\eta}{2} \nabla E(x) + \sqrt{\eta}\, \xi, \qquad \xi \sim N(0, I) $$

    With step size $\eta \to 0$ its stationary density is $e^{-E(x)} / Z$. With a finite step it is another
    one: on $E(x) = x^2 / 2 s^2$ its variance is $s^2 / (1 - \eta / 4 s^2)$. Another noise than
    $\sqrt{\eta}$ samples at another temperature, $\text{noise\_scale}^2 / \eta$.

    Args:
        energy: From points `[B, *event]` to energies `[B]`.
        x: Points to start from, `[B, *event]`.
        seeds: int32 `[B, 2]`, one seed a chain.
        num_steps: Number of steps.
        step_size: $\eta$, in squared units of x.
        noise_scale: Standard deviation of the noise in a step; None takes $\sqrt{\eta}$.
        clip: Lower and upper end of values that a point may have after a step; None clips nothing.
        first_step: Number of the first step, as in `run_chain`.

    Returns:
        Points `[B, *event]`.

    Cost: one gradient of the energy in each step.

    Reference: Exponential Convergence of Langevin Distributions and Their Discrete Approximations, Roberts
    and Tweedie, 1996.

    Example:
        >>> seeds = tf.zeros([1, 2], tf.int32)
        >>> x = langevin(
        ...     lambda x: x[:, 0] ** 2 / 2, tf.ones([1, 1]), seeds, 1, step_size=1.0, noise_scale=0.0
        ... )
        >>> x.numpy()
        array([[0.5]], dtype=float32)
    """
    if noise_scale is None:
        noise_scale = math.sqrt(step_size)

    def transition(x: tf.Tensor, seeds: tf.Tensor, step: Any) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            # Rows do not depend on each other, so the gradient of the sum has the gradient of each.
            total = tf.reduce_sum(energy(x))
        noise = normal_rows(seeds, x.shape[1:].as_list(), x.dtype, stream=step)
        x = x - 0.5 * step_size * tape.gradient(total, x) + noise_scale * noise
        return x if clip is None else tf.clip_by_value(x, *clip)

    return run_chain(transition, x, seeds, num_steps, first_step=first_step)
