"""The heads for discrete values 0..num_values-1, such as the grey levels of pixels."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import ValueRange, check_integer
from keras_genmod.core.precision import as_real
from keras_genmod.core.registration import register
from keras_genmod.distributions.discretized_logistic import (
    DiscretizedLogisticMixture,
    discretized_logistic_draw,
)
from keras_genmod.distributions.head import Head, finite
from keras_genmod.distributions.quantiles import categorical_quantile

__all__ = ["CategoricalHead", "DiscretizedLogisticMixtureHead"]

tfd = tfp.distributions

# Beyond it, only the value at one edge has a probability in float32. Infinite means would give NaN.
_MAX_LOC = 1e30
# The bound of PixelCNN++: almost all of a logistic with this scale lies within one of 256 bins.
_MIN_LOG_SCALE = -7.0


class _DiscreteHead(Head):
    """Base of the heads for the discrete values 0..num_values-1."""

    def __init__(self, num_values: int, *, event_shape: Any = None, **kwargs) -> None:
        self.num_values = check_integer("num_values", num_values, minimum=2)
        super().__init__(event_shape=event_shape, **kwargs)

    @property
    def value_range(self) -> ValueRange:
        """The integers 0..num_values-1."""
        return ValueRange(
            0.0,
            self.num_values - 1.0,
            integer=True,
            advice="Give grey levels as they are, not scaled, and `num_values` as their number.",
        )

    def standardize(self, x: tf.Tensor) -> tf.Tensor:
        """The values 0..num_values-1, mapped to the interval from -1 to 1."""
        return as_real(x) * (2.0 / (self.num_values - 1)) - 1.0

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "num_values": self.num_values}


@register
class CategoricalHead(_DiscreteHead):
    r"""Independent values 0..K-1, each of any probability: $\log p(x) = \sum_d \log softmax(l_d)_{x_d}$.

    Args:
        num_values: Number of values K.
        event_shape: Shape of one event.

    The network gives K logits for each dimension; that of value k of channel c has the index `k * C + c`.

    Cost: K numbers for each dimension, so 256 times the data for 8-bit pixels; the logistic mixture needs 30.

    Example:
        >>> import numpy as np
        >>> head = CategoricalHead(num_values=4, event_shape=(2,))
        >>> distribution = head.distribution(np.zeros((1, 8), "float32"))
        >>> np.round(np.exp(distribution.log_prob(np.array([[0.0, 3.0]]))), 4)  # 1/4 * 1/4
        array([0.0625], dtype=float32)
    """

    uniforms_per_dim = 1

    def __init__(self, num_values: int = 256, *, event_shape: Any = None, **kwargs) -> None:
        super().__init__(num_values, event_shape=event_shape, **kwargs)

    @property
    def params_per_dim(self) -> int:
        """K: one logit for each value."""
        return self.num_values

    def bounds_problem(self, low: float, high: float) -> str:
        """Explains bounded logits: their differences must be able to take any value."""
        if math.isinf(high - low):
            return ""
        most = 1.0 / (1.0 + (self.num_values - 1) * math.exp(low - high))
        return f"CategoricalHead takes it for logits: no value could be more probable than {most:.2g}"

    def distribution(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        r"""Categorical distributions with logits `params`; their mean is $\sum_k k p_k$."""
        logits = self._split_dims(as_real(params))
        return self._over_event(tfd.Categorical(logits=logits, dtype=logits.dtype))

    def _draw(self, params: tf.Tensor, uniforms: tf.Tensor, temperature: Any) -> tf.Tensor:
        return tf.cast(categorical_quantile(params / temperature, uniforms[:, 0]), params.dtype)


@register
class DiscretizedLogisticMixtureHead(_DiscreteHead):
    r"""Independent values 0..K-1, each from a mixture of logistics rounded to integers.

    $$P(v) = \sum_m \pi_m [\sigma((x + h - \mu_m) / s_m) - \sigma((x - h - \mu_m) / s_m)],$$
    with $x = 2 v / (K - 1) - 1$ and $h = 1 / (K - 1)$. The bins of 0 and K - 1 include the tails.
    Neighbouring values get similar probabilities, which a categorical distribution would have to learn.

    Args:
        num_components: Number of logistics M for each dimension.
        num_values: Number of values K.
        event_shape: Shape of one event.

    The network gives 3 M numbers for each dimension: M logits of the weights, M means (on the scale of x) and
    M log scales, which are kept at -7 or above. Parameter p of channel c has the index `p * C + c`. Each
    channel has a mixture of its own; unlike PixelCNN++, the head does not tie the colours of a pixel. If all
    components start from equal raw parameters, as after a last layer of zeros, they get equal gradients and
    stay equal.

    `draw` takes two uniform numbers. The first chooses the component from softmax(logits / T), the second
    gives the level at which the quantile of a logistic with scale s T is taken. For T other than 1 that is
    not $p^{1/T}$, which has no closed form here.

    Cost: `log_prob` and `draw` grow with M; `mean` with M K.

    Reference: PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
    Modifications, Salimans, Karpathy, Chen and Kingma, 2017.
    """

    uniforms_per_dim = 2

    def __init__(
        self, num_components: int = 10, num_values: int = 256, *, event_shape: Any = None, **kwargs
    ) -> None:
        self.num_components = check_integer("num_components", num_components)
        super().__init__(num_values, event_shape=event_shape, **kwargs)

    @property
    def params_per_dim(self) -> int:
        """3 M: a logit, a mean and a log scale for each component."""
        return 3 * self.num_components

    def bounds_problem(self, low: float, high: float) -> str:
        """Explains bounded log scales, which stand beside logits and means in the output."""
        ends = " to ".join(f"{math.exp(end):.2g}" for end in (max(low, _MIN_LOG_SCALE), high))
        return (
            f"{type(self).__name__} takes the log scales from it, beside logits and means: scales would "
            f"all be from {ends}"
        )

    def distribution(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        """Mixtures with logits, means and log scales `params`."""
        parts = self._parts(self._split_dims(as_real(params)))
        return self._over_event(DiscretizedLogisticMixture(*parts, num_values=self.num_values))

    def _parts(self, params: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        logits, loc, log_scale = tf.split(params, 3, axis=-1)
        return logits, finite(loc, _MAX_LOC), tf.maximum(log_scale, _MIN_LOG_SCALE)

    def _draw(self, params: tf.Tensor, uniforms: tf.Tensor, temperature: Any) -> tf.Tensor:
        return discretized_logistic_draw(
            *self._parts(params),
            uniforms[:, 0],
            uniforms[:, 1],
            num_values=self.num_values,
            temperature=temperature,
        )

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "num_components": self.num_components}
