r"""A mixture of products of Bernoulli distributions, for binary data.

$$ p(x) = \sum_k \pi_k \prod_d p_{kd}^{x_d} (1 - p_{kd})^{1 - x_d} $$

With the responsibilities $r_{ik} = p(k \mid x_i)$ and pseudo-counts $a$ the M-step of expectation
maximisation is

$$ N_k = \sum_i r_{ik}, \quad \pi_k = N_k / N, \quad p_{kd} = \frac{\sum_i r_{ik} x_{id} + a}{N_k + 2 a} $$

which is the posterior mode under a Beta(1 + a, 1 + a) prior on each probability.

Reference: Pattern Recognition and Machine Learning, Bishop, 2006 (section 9.3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import ValueRange, check_number
from keras_genmod.core.registration import register
from keras_genmod.models.mixtures.mixture_model import MixtureModel, as_means

__all__ = ["BernoulliMixture"]

tfd = tfp.distributions

# Probabilities stay at least this far from 0 and 1, so that no example is impossible.
_LEAST_PROB = 1e-7
# A component with a smaller fraction of the examples counts as empty and keeps its probabilities.
_LEAST_COUNT = 1e-10


@register
class BernoulliMixture(MixtureModel):
    r"""A mixture of products of Bernoulli distributions, trained by EM or by gradients.

    Args:
        event_shape: Shape of one example, of any rank; D is its number of values.
        num_components: Number K of components.
        pseudo_count: $a$, the number of ones and of zeros added to the counts of each variable in each
            component. 0 is maximum likelihood: then the likelihood of the training data never falls, but if a
            variable is constant within a component, examples with another value are almost impossible there.
            An example of weight w counts w times, so multiplying all weights by a common factor changes only
            the strength of the prior. With "online_em" the number of data is that of the longest epoch so
            far, so that many epochs converge to the result of exact EM. "gradient" does not use it.
        method, step_exponent: As in `GaussianMixture`.
        **kwargs: `seed` (seeds the initialisation and all draws), `name`, `dtype`, as in `GenerativeModel`.

    Raises:
        ValueError: If an argument is invalid, or a condition is given, since mixtures take none.

    Logs: `loss`, the negative log-likelihood in nats per example, also named `nll`; with `method="em"` that
    of the parameters at the beginning of the epoch.

    Cost: K D products per example for a density, and as many for the M-step.

    Reference: Pattern Recognition and Machine Learning, Bishop, 2006 (section 9.3.3).

    Example:
        >>> import numpy as np
        >>> x = np.repeat(np.eye(2, dtype="float32"), 4, axis=0)
        >>> model = BernoulliMixture((2,), num_components=2, pseudo_count=0.0, seed=0)
        >>> model.compile()
        >>> _ = model.fit(x, epochs=5, verbose=0)
        >>> model.log_prob(x[:1]).numpy().round(3)  # log(1/2)
        array([-0.693], dtype=float32)
    """

    @property
    def _real(self) -> tf.DType:
        # The model's dtype is enough for sums of D terms of moderate size; statistics are summed in float64.
        return self.real_dtype

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_components: int,
        pseudo_count: float = 0.1,
        method: str = "em",
        step_exponent: float = 0.6,
        **kwargs: Any,
    ) -> None:
        self.pseudo_count = check_number("pseudo_count", pseudo_count, minimum=0.0)
        super().__init__(
            event_shape,
            num_components=num_components,
            method=method,
            step_exponent=step_exponent,
            **kwargs,
        )
        normal = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)
        self._value_logits = self._add_parameter("value_logits", (self.num_components, self._size), normal)
        self._add_averages()

    def value_range(self) -> ValueRange:
        """The values 0 and 1."""
        return ValueRange(0, 1, integer=True, advice="Binarise the data (`kg.data.binarize`).")

    # ---- parameters -------------------------------------------------------------------------------

    def probs(self) -> tf.Tensor:
        r"""The probabilities $p_{kd}$ of ones, `[K, *event_shape]`."""
        self._check_fitted()
        probs = tf.sigmoid(tf.convert_to_tensor(self._value_logits))
        return tf.reshape(probs, [-1, *self.event_shape])

    def num_parameters(self) -> int:
        """Number of free parameters: K D probabilities and K - 1 weights."""
        return self.num_components - 1 + self.num_components * self._size

    def set_parameters(self, *, mixing_weights: Any, probs: Any) -> None:
        """Sets all parameters; `fit` continues from them instead of starting with k-means++.

        Args:
            mixing_weights: Weights of the components, `[K]`, with sum 1.
            probs: Probabilities of ones, `[K, *event_shape]`; clipped to stay 1e-7 away from 0 and 1.

        Raises:
            ValueError: If a shape or value is invalid.
        """
        counts = self._checked_weights(mixing_weights)
        probs = as_means("probs", probs, self.num_components, self.event_shape)
        ValueRange(0.0, 1.0, advice="They are probabilities.").check("probs", probs)
        self._set(counts, tf.constant(probs))
        self._has_parameters()

    def _set(self, counts: tf.Tensor, probs: tf.Tensor) -> None:
        self._set_log_weights(counts)
        probs = tf.clip_by_value(probs, _LEAST_PROB, 1.0 - _LEAST_PROB)
        self._value_logits.assign(tf.cast(tf.math.log(probs) - tf.math.log1p(-probs), self.real_dtype))

    def _start_at(self, x: np.ndarray, weight: np.ndarray, generator: np.random.Generator) -> None:
        """Starts from the frequencies in k-means++ clusters, each with one average example added."""
        members, means = self._clusters(x, weight, generator)
        counts = (weight @ members)[:, None]
        overall = (weight @ x + 1.0) / (weight.sum() + 2.0)
        self._set(tf.constant(counts[:, 0] + 1.0), tf.constant((counts * means + overall) / (counts + 1.0)))
        self._has_parameters()

    # ---- EM ---------------------------------------------------------------------------------------

    def _log_joint(self) -> Callable[[tf.Tensor], tf.Tensor]:
        logits = tf.convert_to_tensor(self._value_logits)
        constant = self._log_weights() - tf.reduce_sum(tf.nn.softplus(logits), axis=1)
        return lambda x: constant + tf.matmul(x, logits, transpose_b=True)

    def _statistics_shapes(self) -> list[tuple[int, ...]]:
        return [(self.num_components,), (self.num_components, self._size)]

    def _statistics(self) -> Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]]:
        return lambda x, responsibilities: [
            tf.reduce_sum(tf.cast(responsibilities, tf.float64), axis=0),
            tf.matmul(responsibilities, x, transpose_a=True),
        ]

    def _expected_statistics(self) -> list[tf.Tensor]:
        shares = tf.exp(tf.cast(self._log_weights(), tf.float64))
        probs = tf.sigmoid(tf.cast(tf.convert_to_tensor(self._value_logits), tf.float64))
        return [shares, shares[:, None] * probs]

    def _maximize(self, statistics: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        counts, ones = statistics
        pseudo = tf.constant(self.pseudo_count, tf.float64)
        probs = tf.math.divide_no_nan(ones + pseudo, counts[:, None] + 2.0 * pseudo)
        old = tf.sigmoid(tf.cast(tf.convert_to_tensor(self._value_logits), tf.float64))
        empty = counts < _LEAST_COUNT * tf.reduce_sum(counts)
        self._set(counts, tf.where(empty[:, None], old, probs))
        return statistics

    # ---- samples and distributions ----------------------------------------------------------------

    def _drawn(self, which: tf.Tensor, uniform: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        return uniform < tf.gather(tf.sigmoid(tf.convert_to_tensor(self._value_logits)), which)

    def distribution(self) -> tfp.distributions.Distribution:
        """The mixture with the current parameters as a distribution over `[*event_shape]`."""
        self._check_fitted()
        logits = tf.reshape(tf.convert_to_tensor(self._value_logits), [-1, *self.event_shape])
        components = tfd.Independent(tfd.Bernoulli(logits=logits, dtype=logits.dtype), len(self.event_shape))
        return tfd.MixtureSameFamily(tfd.Categorical(logits=self._log_weights()), components)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "pseudo_count": self.pseudo_count}
