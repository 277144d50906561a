"""Inverse distribution functions, from uniform numbers in [0, 1) to draws.

Uniform numbers of float32 are multiples of 2^-24 (of 2^-23 from TensorFlow), zero among them, and the largest
is 1 - 2^-24. Both ends give finite draws here.
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = [
    "categorical_quantile",
    "continuous_bernoulli_quantile",
    "logistic_quantile",
    "normal_quantile",
    "student_t_quantile",
]

# The distance of the largest float32 below one from one; as the lower end it keeps both tails alike.
_EDGE = 2.0**-24


def normal_quantile(uniforms: tf.Tensor) -> tf.Tensor:
    """The standard normal quantile; at 0 its value at 2^-24, which is -5.29."""
    return tf.math.ndtri(tf.clip_by_value(uniforms, _EDGE, 1.0 - _EDGE))


def student_t_quantile(df: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """The quantile of Student's t with `df` degrees of freedom; at 0 its value at 2^-24."""
    return tfp.distributions.StudentT(df, 0.0, 1.0).quantile(tf.clip_by_value(uniforms, _EDGE, 1.0 - _EDGE))


def logistic_quantile(uniforms: tf.Tensor) -> tf.Tensor:
    r"""The standard logistic quantile $\log u - \log(1 - u)$; at 0 its value at 2^-24, which is -16.6."""
    uniforms = tf.clip_by_value(uniforms, _EDGE, 1.0 - _EDGE)
    return tf.math.log(uniforms) - tf.math.log1p(-uniforms)


def categorical_quantile(logits: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    r"""The least k with $\sum_{j \le k} p_j > u$, where p = softmax(logits).

    Args:
        logits: `[..., K]`.
        uniforms: `[...]` in [0, 1); further leading axes are allowed.

    Returns:
        int32 `[...]` like `uniforms`, from 0 to K - 1.
    """
    cumulative = tf.cumsum(tf.nn.softmax(logits), axis=-1)
    # The sum of rounded probabilities ends near one, not at one. A number below one, times that total, stays
    # below the last step after rounding too. So the result exists and has a positive probability.
    level = uniforms * tf.reduce_max(cumulative, axis=-1)
    return tf.math.count_nonzero(cumulative <= level[..., None], axis=-1, dtype=tf.int32)


def continuous_bernoulli_quantile(logits: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    r"""$\log(1 + u (e^l - 1)) / l$, the inverse of $F(x) = (e^{l x} - 1) / (e^l - 1)$ on [0, 1].

    Args:
        logits: Natural parameters l, `[...]`.
        uniforms: `[...]` in [0, 1).
    """
    # Mirrored where l > 0, so that the exponential never overflows.
    negative = -tf.abs(logits)
    mirrored = logits > 0
    lower = tf.where(mirrored, 1.0 - uniforms, uniforms)
    upper = tf.where(mirrored, uniforms, 1.0 - uniforms)
    # Near l = 0 the formula is 0 / 0; the next term of the series is below 1e-9 here.
    is_small = negative > -1e-4
    series = lower * (1.0 + 0.5 * negative * upper)
    slope = tf.where(is_small, -tf.ones_like(negative), negative)
    step = lower * tf.math.expm1(slope)
    # Where 1 + step cancels, the sum of two positive terms does not.
    logarithm = tf.where(
        step > -0.5, tf.math.log1p(tf.maximum(step, -0.5)), tf.math.log(upper + lower * tf.exp(slope))
    )
    # The logarithm of zero belongs to the upper end.
    value = tf.where(is_small, series, tf.minimum(logarithm / slope, 1.0))
    return tf.where(mirrored, 1.0 - value, value)
