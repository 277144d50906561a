"""The heads for values in [0, 1], and the choice of a head by its name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import ValueRange
from keras_genmod.core.precision import as_real, set_real_dtype
from keras_genmod.core.registration import register, resolve
from keras_genmod.distributions.discrete_heads import CategoricalHead, DiscretizedLogisticMixtureHead
from keras_genmod.distributions.head import Head, finite
from keras_genmod.distributions.multivariate_heads import LowRankGaussianHead
from keras_genmod.distributions.quantiles import continuous_bernoulli_quantile
from keras_genmod.distributions.real_heads import GaussianHead, StudentTHead

__all__ = ["BernoulliHead", "ContinuousBernoulliHead", "get_head"]

tfd = tfp.distributions


def _mirrored(event: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns x and l where l is at most 0, else 1 - x and -l, which have the same log-density.

    It is a choice and not -|l|, whose gradient at 0 would be 0.
    """
    event = tf.cast(event, logits.dtype)
    is_positive = logits > 0.0
    return tf.where(is_positive, 1.0 - event, event), tf.where(is_positive, -logits, logits)


class _LogitHead(Head):
    """Base of the heads for values in [0, 1] whose parameters are logits."""

    uniforms_per_dim = 1

    def bounds_problem(self, low: float, high: float) -> str:
        """Explains bounded logits, which must be able to take any value."""
        ends = " to ".join(f"{1.0 / (1.0 + math.exp(-logit)):.2f}" for logit in (low, high))
        return (
            f"{type(self).__name__} takes it for logits and applies the sigmoid itself: probabilities would "
            f"all be from {ends}"
        )


class _LogitBernoulli(tfp.distributions.Bernoulli):
    """`tfd.Bernoulli` whose log-density costs one softplus instead of two.

    log p(x) = x·l - softplus(l), the cross-entropy with logits, also for grey values in [0, 1]. With l at
    most 0 it is a sum of two terms of one sign, and at infinite logits 0 or minus infinity.
    """

    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        event, logits = _mirrored(event, self.logits)
        return tf.math.multiply_no_nan(logits, event) - tf.nn.softplus(logits)


class _LogitContinuousBernoulli(tfp.distributions.ContinuousBernoulli):
    """`tfd.ContinuousBernoulli` whose gradient is right at any finite logit.

    log p(x) = x·l - A(l) with A(l) = log((e^l - 1) / l).
    """

    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        event, logits = _mirrored(event, self.logits)
        # Near 0 the formula is 0 / 0; the next term of the series is below 1e-9 here.
        is_small = logits > -0.5
        square = tf.square(tf.maximum(logits, -0.5))
        series = logits / 2.0 + square * (1 / 24 + square * (-1 / 2880 + square / 181440))
        large = tf.minimum(logits, -0.5)
        formula = tf.math.log(-tf.math.expm1(large)) - tf.math.log(-large)
        return event * logits - tf.where(is_small, series, formula)


@register
class BernoulliHead(_LogitHead):
    r"""Independent binary values: $\log p(x) = \sum_d x_d l_d - \log(1 + e^{l_d})$ with logits $l$.

    Grey values in [0, 1] are accepted; the result is then a cross-entropy, not a log-density.

    Args:
        event_shape: Shape of one event.
    """

    value_range = ValueRange(
        0.0,
        1.0,
        advice="Scale pixels by 1/255, or use likelihood='gaussian' for other real values.",
    )

    def distribution(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        """Bernoulli distributions with logits `params`."""
        logits = as_real(params)
        return self._over_event(_LogitBernoulli(logits=logits, dtype=logits.dtype))

    def _draw(self, params: tf.Tensor, uniforms: tf.Tensor, temperature: Any) -> tf.Tensor:
        return tf.cast(uniforms[:, 0] < tf.sigmoid(params[:, 0] / temperature), params.dtype)


@register
class ContinuousBernoulliHead(_LogitHead):
    r"""Independent values in [0, 1]: $p(x) \propto \lambda^x (1 - \lambda)^{1 - x}$, normalised over [0, 1].

    It is a density for grey images, for which a Bernoulli gives only a cross-entropy.

    Args:
        event_shape: Shape of one event.

    Reference: The Continuous Bernoulli: Fixing a Pervasive Error in Variational Autoencoders,
    Loaiza-Ganem and Cunningham, 2019.
    """

    value_range = ValueRange(0.0, 1.0, advice="Scale pixels by 1/255.")

    def distribution(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        """Continuous Bernoulli distributions with logits `params`; infinite ones are the largest finite."""
        return self._over_event(_LogitContinuousBernoulli(logits=finite(as_real(params))))

    def _draw(self, params: tf.Tensor, uniforms: tf.Tensor, temperature: Any) -> tf.Tensor:
        return continuous_bernoulli_quantile(finite(params[:, 0] / temperature), uniforms[:, 0])


_HEADS: dict[str, Callable[[], Head]] = {
    "bernoulli": BernoulliHead,
    "categorical": CategoricalHead,
    "continuous_bernoulli": ContinuousBernoulliHead,
    "discretized_logistic_mixture": DiscretizedLogisticMixtureHead,
    "gaussian": GaussianHead,
    "low_rank_gaussian": LowRankGaussianHead,
    "student_t": StudentTHead,
}


def get_head(likelihood: Any, event_shape: Any, dtype: tf.DType = tf.float32) -> Head:
    """Returns the head of a model's `likelihood` argument: a name, a `Head`, or a head's configuration.

    Raises:
        ValueError: For another name or type, or a head made for another event shape or dtype.
    """
    head = resolve("likelihood", likelihood, _HEADS, Head, "a head such as `GaussianHead(scale='learned')`")
    if head.event_shape is None:
        set_real_dtype(head, dtype)
    head.set_event_shape(event_shape)
    return head
