r"""Samplers for `core.noise.sample_rows`: draws from all rows of a batch of distributions at once.

Each function turns the uniform or normal numbers of a `RowNoise` into draws. This file has those for the
classes of TensorFlow Probability; the package's own distributions register theirs beside their class. A
distribution made of others, such as an independent or a transformed one or a mixture, has a sampler if its
parts have one.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.noise import draw_rows, register_row_sampler
from keras_genmod.core.row_noise import NoRowSamplerError, RowNoise
from keras_genmod.distributions.quantiles import categorical_quantile, continuous_bernoulli_quantile

__all__: list[str] = []

tfd = tfp.distributions


# ---- scalars --------------------------------------------------------------------------------------


@register_row_sampler(tfd.Normal)
def _normal(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return distribution.loc + distribution.scale * noise.normal(distribution)


@register_row_sampler(tfd.HalfNormal)
def _half_normal(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return distribution.scale * tf.abs(noise.normal(distribution))


@register_row_sampler(tfd.Uniform)
def _uniform(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return distribution.low + (distribution.high - distribution.low) * noise.uniform(distribution)


@register_row_sampler(tfd.Laplace, tfd.Logistic, tfd.Exponential, tfd.Gumbel)
def _by_quantile(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return distribution.quantile(noise.open_uniform(distribution))


@register_row_sampler(tfd.StudentT)
def _student_t(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return distribution.loc + distribution.scale * _heavy_tailed(distribution.df, distribution, noise)


@register_row_sampler(tfd.Cauchy)
def _cauchy(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return distribution.loc + distribution.scale * _heavy_tailed(1.0, distribution, noise)


@register_row_sampler(tfd.HalfCauchy)
def _half_cauchy(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return distribution.loc + distribution.scale * tf.abs(_heavy_tailed(1.0, distribution, noise))


def _heavy_tailed(df: Any, distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    r"""Student's t with $\nu$ = `df`: $\sqrt{\nu (u^{-2 / \nu} - 1)} \cos 2 \pi v$.

    Reference: Polar Generation of Random Variates with the t-Distribution, Bailey, 1994.
    """
    # In (0, 1], as the power asks for.
    level = 1.0 - noise.uniform(distribution)
    radius = tf.sqrt(df * tf.math.expm1(-2.0 / df * tf.math.log(level)))
    return radius * tf.cos(2.0 * math.pi * noise.uniform(distribution))


@register_row_sampler(tfd.Bernoulli)
def _bernoulli(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    probs = distribution.probs_parameter()
    return tf.cast(noise.uniform(distribution, dtype=probs.dtype) < probs, distribution.dtype)


@register_row_sampler(tfd.ContinuousBernoulli)
def _continuous_bernoulli(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return continuous_bernoulli_quantile(distribution.logits_parameter(), noise.uniform(distribution))


@register_row_sampler(tfd.Categorical)
def _categorical(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return tf.cast(_index(distribution, distribution, noise), distribution.dtype)


@register_row_sampler(tfd.OneHotCategorical)
def _one_hot_categorical(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    index = _index(distribution, distribution, noise)
    return tf.one_hot(index, distribution.event_shape[-1], dtype=distribution.dtype)


def _index(
    categorical: tfp.distributions.Distribution, whole: tfp.distributions.Distribution, noise: RowNoise
) -> tf.Tensor:
    """Draws of a categorical distribution for each of the batch axes of `whole`."""
    logits = categorical.logits_parameter()
    return categorical_quantile(logits, noise.uniform(whole, dtype=logits.dtype))


@register_row_sampler(tfd.QuantizedDistribution)
def _quantized(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    # Intervals (k - 1, k], as in TensorFlow Probability.
    value = tf.math.ceil(draw_rows(distribution.distribution, noise))
    if distribution.low is not None:
        value = tf.maximum(value, distribution.low)
    return value if distribution.high is None else tf.minimum(value, distribution.high)


# ---- vectors --------------------------------------------------------------------------------------


@register_row_sampler(tfd.MultivariateNormalLinearOperator)
def _multivariate_normal(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    scaled = distribution.scale.matvec(noise.normal(distribution, distribution.event_shape))
    return scaled if distribution.loc is None else distribution.loc + scaled


@register_row_sampler(tfd.MultivariateNormalDiagPlusLowRankCovariance)
def _low_rank_normal(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    r"""$\mu + B^{1/2} e + U D^{1/2} f$ for the covariance $B + U D U^T$."""
    covariance = distribution.cov_operator
    factor = tf.convert_to_tensor(covariance.u)
    whole = covariance.base_operator.cholesky().matvec(noise.normal(distribution, distribution.event_shape))
    weights = covariance.diag_operator.cholesky().matvec(noise.normal(distribution, factor.shape[-1:]))
    value = whole + tf.linalg.matvec(factor, weights)
    return value if distribution.loc is None else distribution.loc + value


# ---- distributions made of others -----------------------------------------------------------------


@register_row_sampler(tfd.Independent)
def _independent(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return draw_rows(distribution.distribution, noise)


@register_row_sampler(tfd.Sample)
def _sample(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    if distribution.batch_shape.rank != 0:
        raise NoRowSamplerError
    shape = tf.get_static_value(distribution.sample_shape)
    if shape is None:
        raise NoRowSamplerError
    axes = [*noise.batch_axes(distribution), *[int(size) for size in shape.reshape(-1)]]
    return draw_rows(distribution.distribution, noise.for_part(axes))


@register_row_sampler(tfd.TransformedDistribution)
def _transformed(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return distribution.bijector.forward(_draw_base(distribution, noise))


@register_row_sampler(tfd.BatchBroadcast)
def _batch_broadcast(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    return _draw_base(distribution, noise)


def _draw_base(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    """Draws of the base for all batch axes of the whole, which the base has too or has not at all."""
    base = distribution.distribution
    if base.batch_shape.rank == 0:
        return draw_rows(base, noise.for_part(noise.batch_axes(distribution)))
    if base.batch_shape.rank != distribution.batch_shape.rank:
        raise NoRowSamplerError
    if noise.batch_axes(base) != noise.batch_axes(distribution):
        raise NoRowSamplerError
    return draw_rows(base, noise)


@register_row_sampler(tfd.MixtureSameFamily)
def _mixture(distribution: tfp.distributions.Distribution, noise: RowNoise) -> tf.Tensor:
    if distribution._reparameterize:
        # Its gradient passes through the distribution function, which draws of a component do not know.
        raise NoRowSamplerError
    axis = len(noise.batch_axes(distribution))
    which = _index(distribution.mixture_distribution, distribution, noise)
    # One component is chosen for a draw, so that all of them may share the noise.
    components = distribution.components_distribution
    drawn = draw_rows(components, noise.for_part(collapsed=axis))
    num_components = components.batch_shape[-1]
    chosen = tf.one_hot(which, num_components, on_value=True, off_value=False, dtype=tf.bool)
    event_rank = distribution.event_shape.rank
    for _ in range(event_rank):
        chosen = chosen[..., None]
    return tf.reduce_sum(tf.where(chosen, drawn, tf.zeros([], drawn.dtype)), axis=-1 - event_rank)
