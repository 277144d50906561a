r"""Mixtures of logistics, discretised to the integers 0..K-1; the bins at the edges include the tails.

On the scale $x = 2 v / (K - 1) - 1$, with bins of half width $h = 1 / (K - 1)$,
$$P(v) = \sum_m \pi_m [\sigma((x + h - \mu_m) / s_m) - \sigma((x - h - \mu_m) / s_m)],$$
where the lower edge at v = 0 is minus infinity, and the upper one at v = K - 1 infinity.

Reference: PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
Modifications, Salimans, Karpathy, Chen and Kingma, 2017.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import check_integer
from keras_genmod.core.noise import register_row_sampler
from keras_genmod.core.precision import as_real
from keras_genmod.core.row_noise import RowNoise
from keras_genmod.distributions.quantiles import categorical_quantile, logistic_quantile

__all__ = ["DiscretizedLogisticMixture", "discretized_logistic_draw"]

tfd = tfp.distributions

# A scale of e^60 puts every draw on an edge (but u = 1/2); larger ones would overflow.
_MAX_LOG_SCALE = 60.0


class DiscretizedLogisticMixture(tfp.distributions.Distribution):
    r"""A mixture of logistics, discretised to the integers 0..num_values-1. Events are scalars.

    Args:
        logits: Unnormalised logarithms of the weights, `[..., M]`.
        loc: Means, `[..., M]`, on the scale where the values run from -1 to 1.
        log_scale: Logarithms of the scales s, `[..., M]`, -80 or more.
        num_values: Number of values K.

    With $z_\pm = (x \pm h - \mu) / s$, a bin between the edges has the mass
    $$\sigma(z_+) - \sigma(z_-) = \sigma(z_+) \sigma(-z_-) (1 - e^{-2 h / s}),$$
    whose logarithm has no cancellation, so that no approximation is needed far from the mean.

    Cost: `log_prob` grows with M, not with K. `mean` takes K - 1 steps over arrays `[..., M]`.
    """

    def __init__(
        self,
        logits: Any,
        loc: Any,
        log_scale: Any,
        num_values: int = 256,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "DiscretizedLogisticMixture",
    ) -> None:
        parameters = dict(locals())
        self._num_values = check_integer("num_values", num_values, minimum=2)
        with tf.name_scope(name) as name:
            self._loc = as_real(loc)
            self._logits, self._log_scale = (tf.cast(each, self._loc.dtype) for each in (logits, log_scale))
            super().__init__(
                dtype=self._loc.dtype,
                reparameterization_type=tfd.NOT_REPARAMETERIZED,
                validate_args=validate_args,
                allow_nan_stats=allow_nan_stats,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict:
        properties = tfp.util.ParameterProperties(event_ndims=1)
        return {"logits": properties, "loc": properties, "log_scale": properties}

    @property
    def num_values(self) -> int:
        """The number of values K."""
        return self._num_values

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([], tf.int32)

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        num_steps = self._num_values - 1
        value = tf.cast(value, self.dtype)[..., None]
        inverse_scale = tf.exp(-self._log_scale)
        # Neighbouring bins compute their common edge from the same integer, so that they agree on it.
        upper = ((2.0 * value + 1.0) / num_steps - 1.0 - self._loc) * inverse_scale
        lower = ((2.0 * value - 1.0) / num_steps - 1.0 - self._loc) * inverse_scale
        log_below = tf.math.log_sigmoid(upper)
        log_above = tf.math.log_sigmoid(-lower)
        log_width = math.log(2.0 / num_steps) - self._log_scale
        log_mass = tf.where(
            value <= 0.0,
            log_below,
            tf.where(value >= num_steps, log_above, log_below + log_above + _log1mexp_of_exp(log_width)),
        )
        return tf.reduce_logsumexp(tf.nn.log_softmax(self._logits) + log_mass, axis=-1)

    def _mean(self) -> tf.Tensor:
        # E[v] is the sum of P(V >= v) over v = 1..K-1, one edge at a time. All at once would need K times
        # the memory of the parameters.
        num_steps = self._num_values - 1
        inverse_scale = tf.exp(-self._log_scale)

        def add_edge(index: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            edge = (2.0 * tf.cast(index, self.dtype) + 1.0) / num_steps - 1.0
            return index + 1, total + tf.sigmoid((self._loc - edge) * inverse_scale)

        _, totals = tf.while_loop(
            lambda index, _: index < num_steps,
            add_edge,
            (tf.constant(0), tf.zeros_like(self._loc + inverse_scale)),
            maximum_iterations=num_steps,
        )
        return tf.reduce_sum(tf.nn.softmax(self._logits) * totals, axis=-1)

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        shape = tf.concat([[n], self.batch_shape_tensor()], axis=0)
        component_seed, value_seed = tfp.random.split_seed(seed, n=2, salt="discretized_logistic_mixture")
        return discretized_logistic_draw(
            self._logits,
            self._loc,
            self._log_scale,
            tf.random.stateless_uniform(shape, component_seed),
            tf.random.stateless_uniform(shape, value_seed),
            num_values=self._num_values,
        )


def discretized_logistic_draw(
    logits: tf.Tensor,
    loc: tf.Tensor,
    log_scale: tf.Tensor,
    component_uniforms: tf.Tensor,
    value_uniforms: tf.Tensor,
    *,
    num_values: int,
    temperature: Any = 1.0,
) -> tf.Tensor:
    """Draws a value of the mixture from two uniform numbers.

    Args:
        logits, loc, log_scale: `[..., M]`, as in `DiscretizedLogisticMixture`.
        component_uniforms: Numbers in [0, 1) that choose the components, `[...]`.
        value_uniforms: Numbers in [0, 1), the levels of the quantiles of the chosen logistics, `[...]`.
        num_values: Number of values K.
        temperature: Divides the logits and multiplies the scales.

    Returns:
        `[...]`, integers from 0 to K - 1.
    """
    component = categorical_quantile(logits / temperature, component_uniforms)
    chosen = tf.one_hot(component, logits.shape[-1], on_value=True, off_value=False, dtype=tf.bool)

    def choose(parameter: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.where(chosen, parameter, 0.0), axis=-1)

    scale = tf.exp(tf.minimum(choose(log_scale), _MAX_LOG_SCALE)) * temperature
    x = choose(loc) + scale * logistic_quantile(value_uniforms)
    # The bin of v reaches from v - 1/2 to v + 1/2 on the scale of the values: rounding finds it.
    half = 0.5 * (num_values - 1)
    return tf.clip_by_value(tf.round((x + 1.0) * half), 0.0, num_values - 1.0)


@register_row_sampler(DiscretizedLogisticMixture)
def _draw_rows(distribution: DiscretizedLogisticMixture, noise: RowNoise) -> tf.Tensor:
    parameters = (distribution.parameters[name] for name in ("logits", "loc", "log_scale"))
    uniforms = (noise.uniform(distribution) for _ in range(2))
    return discretized_logistic_draw(*parameters, *uniforms, num_values=distribution.num_values)


def _log1mexp_of_exp(log_width: tf.Tensor) -> tf.Tensor:
    r"""$\log(1 - e^{-w})$ of $\log w$, also where w underflows."""
    width = tf.exp(log_width)
    # The series of log((1 - e^-w) / w); its next term is below 4e-8 here.
    series = log_width - width / 2.0 + tf.square(width) / 24.0
    return tf.where(width < 0.1, series, tf.math.log(-tf.math.expm1(-tf.maximum(width, 0.1))))
