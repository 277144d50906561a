"""The heads for binary and real values, and the choice of a head by its name."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import ValueRange, check_number, describe
from keras_genmod.core.registration import register
from keras_genmod.distributions.head import Head
from keras_genmod.distributions.quantiles import continuous_bernoulli_quantile, normal_quantile
from keras_genmod.distributions.whole_number_heads import CategoricalHead, DiscretizedLogisticMixtureHead

__all__ = ["BernoulliHead", "ContinuousBernoulliHead", "GaussianHead", "Head", "get_head"]

tfd = tfp.distributions

# softplus(raw + _SOFTPLUS_ONE) = 1 at raw = 0: a fresh network starts at unit scale.
_SOFTPLUS_ONE = math.log(math.e - 1.0)
_MIN_SCALE = 1e-5


class _LogitBernoulli(tfd.Bernoulli):
    """`tfd.Bernoulli` whose log-density costs one softplus instead of two.

    log p(x) = x·l - softplus(l), the cross-entropy with logits, also for grey values in [0, 1].
    """

    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        logits = self.logits
        return tf.cast(event, logits.dtype) * logits - tf.nn.softplus(logits)


@register
class BernoulliHead(Head):
    r"""Independent binary values: $\log p(x) = \sum_d x_d l_d - \log(1 + e^{l_d})$ with logits $l$.

    Grey values in [0, 1] are accepted: the figure is then a cross-entropy, not a log-density.

    Args:
        event_shape: shape of one event.
    """

    value_range = ValueRange(
        0.0,
        1.0,
        advice="Scale pixels by 1/255, or use likelihood='gaussian' for other real values.",
    )
    uniforms_per_dim = 1

    def distribution(self, params: tf.Tensor) -> tfd.Distribution:
        """Bernoulli distributions with logits `params`."""
        return self._over_event(_LogitBernoulli(logits=self._float32(params), dtype=tf.float32))

    def _draw(self, params: tf.Tensor, uniforms: tf.Tensor, temperature: Any) -> tf.Tensor:
        return tf.cast(uniforms[:, 0] < tf.sigmoid(params[:, 0] / temperature), tf.float32)


@register
class ContinuousBernoulliHead(Head):
    r"""Independent values in [0, 1]: $p(x) \propto \lambda^x (1 - \lambda)^{1 - x}$, normalised over [0, 1].

    The proper density for grey images where a Bernoulli gives only a cross-entropy.

    Args:
        event_shape: shape of one event.

    Reference: The Continuous Bernoulli: Fixing a Pervasive Error in Variational Autoencoders,
    Loaiza-Ganem and Cunningham, 2019.
    """

    value_range = ValueRange(0.0, 1.0, advice="Scale pixels by 1/255.")
    uniforms_per_dim = 1

    def distribution(self, params: tf.Tensor) -> tfd.Distribution:
        """Continuous Bernoulli distributions with logits `params`."""
        return self._over_event(tfd.ContinuousBernoulli(logits=self._float32(params)))

    def _draw(self, params: tf.Tensor, uniforms: tf.Tensor, temperature: Any) -> tf.Tensor:
        return continuous_bernoulli_quantile(params[:, 0] / temperature, uniforms[:, 0])


@register
class GaussianHead(Head):
    r"""Independent normal values: $\log p(x) = \sum_d \log N(x_d; \mu_d, \sigma_d^2)$.

    Args:
        scale: the standard deviation:
            a positive number: fixed;
            `"learned"`: one weight for all dimensions (sigma-VAE);
            `"per_dimension"`: one weight for each dimension of the event;
            `"predicted"`: given by the network beside the mean, so that the network ends in twice as
            many channels, means first.
        event_shape: shape of one event.

    A learned or predicted scale is softplus(raw + log(e - 1)) + 1e-5, which is about 1 at the start.

    Reference: Simple and Effective VAE Training with Calibrated Decoders, Rybkin, Daniilidis and Levine,
    2021 (one learned scale).
    """

    value_range = ValueRange()

    def __init__(self, scale: float | str = 1.0, *, event_shape: Any = None, **kwargs) -> None:
        if isinstance(scale, str):
            if scale not in ("learned", "per_dimension", "predicted"):
                raise ValueError(
                    "`scale` must be a positive number, 'learned', 'per_dimension' or 'predicted'; "
                    f"received {describe(scale)}."
                )
        else:
            scale = check_number("scale", scale, above=0.0)
        self.scale = scale
        super().__init__(event_shape=event_shape, **kwargs)

    @property
    def params_per_dim(self) -> int:
        """2 where the network predicts the scale too."""
        return 2 if self.scale == "predicted" else 1

    @property
    def uniforms_per_dim(self) -> int | None:
        """None where each dimension has a scale of its own: `draw` is not told which dimension it is."""
        return None if self.scale == "per_dimension" else 1

    def build(self, input_shape) -> None:
        """Creates the learned scale."""
        if self.scale in ("learned", "per_dimension"):
            self.raw_scale = self.add_weight(
                shape=() if self.scale == "learned" else self.event_shape,
                initializer="zeros",
                dtype="float32",
                autocast=False,
                name="raw_scale",
            )

    def distribution(self, params: tf.Tensor) -> tfd.Distribution:
        """Normal distributions whose means (and scales) are `params`."""
        return self._over_event(tfd.Normal(*self._loc_and_scale(self._float32(params))))

    def _loc_and_scale(self, params: tf.Tensor) -> tuple[tf.Tensor, Any]:
        if self.scale == "predicted":
            loc, raw_scale = tf.split(params, 2, axis=-1)
            return loc, _positive(raw_scale)
        if isinstance(self.scale, str):
            return params, _positive(tf.convert_to_tensor(self.raw_scale))
        return params, self.scale

    def _draw(self, params: tf.Tensor, uniforms: tf.Tensor, temperature: Any) -> tf.Tensor:
        loc, scale = self._loc_and_scale(params)
        return (loc + temperature**0.5 * scale * normal_quantile(uniforms))[:, 0]

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "scale": self.scale}


def _positive(raw: tf.Tensor) -> tf.Tensor:
    return tf.nn.softplus(raw + _SOFTPLUS_ONE) + _MIN_SCALE


_HEADS = {
    "bernoulli": BernoulliHead,
    "categorical": CategoricalHead,
    "continuous_bernoulli": ContinuousBernoulliHead,
    "discretized_logistic_mixture": DiscretizedLogisticMixtureHead,
    "gaussian": GaussianHead,
}


def get_head(likelihood: Any, event_shape: Any) -> Head:
    """The head of a model's `likelihood` argument: a name, a `Head`, or a head's configuration.

    Raises:
        ValueError: for another name or type, or a head made for another event shape.
    """
    if isinstance(likelihood, str) and likelihood in _HEADS:
        likelihood = _HEADS[likelihood]()
    elif isinstance(likelihood, dict):
        likelihood = keras.saving.deserialize_keras_object(likelihood)
    if not isinstance(likelihood, Head):
        raise ValueError(
            f"`likelihood` must be one of {', '.join(map(repr, _HEADS))} or a head such as "
            f"`GaussianHead(scale='learned')`; received {describe(likelihood)}."
        )
    likelihood.set_event_shape(event_shape)
    return likelihood
