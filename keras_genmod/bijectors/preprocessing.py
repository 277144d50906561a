r"""Preprocessing as bijections: discrete data become real-valued, and bounded data unbounded.

Their log-determinants are part of the flow's, so that densities are densities of the data as given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bijectors.bijection import Bijection, build_chain, chain, check_bijections
from keras_genmod.bijectors.coupling import Coupling
from keras_genmod.bijectors.own_bijector import OwnBijector
from keras_genmod.core.checks import ValueRange, check_integer, check_number
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.noise import sample_rows
from keras_genmod.core.registration import register

__all__ = ["Dequantization", "Logit", "UniformDequantization", "VariationalDequantization"]

tfb = tfp.bijectors
tfd = tfp.distributions


@register
class Logit(Bijection):
    r"""Maps data in [low, high] to the real line: $z = \operatorname{logit}(\lambda + (1 - 2 \lambda) p)$.

    Here $p = (x - low) / (high - low)$.

    Args:
        alpha: $\lambda$, above 0 and below 0.5: how far the logit's argument stays from 0 and 1.
        low, high: Range of the data.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein and Bengio, 2017.
    """

    def __init__(self, alpha: float = 1e-6, *, low: float = 0.0, high: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = check_number("alpha", alpha, above=0.0, maximum=0.4999)
        self.low = check_number("low", low)
        self.high = check_number("high", high, above=self.low)

    def value_range(self) -> ValueRange:
        """[low, high]."""
        advice = "Scale the data, set `low` and `high`, or remove the `Logit`."
        return ValueRange(self.low, self.high, advice=advice)

    def bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """The logistic function, scaled to an interval slightly larger than [low, high]."""
        return _Logistic(self.alpha, self.low, self.high)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "alpha": self.alpha, "low": self.low, "high": self.high}


class _Logistic(OwnBijector):
    """Maps the real line to an interval slightly larger than [low, high]."""

    def __init__(self, alpha: float, low: float, high: float) -> None:
        self._alpha, self._low, self._high = alpha, low, high
        super().__init__(0)

    @classmethod
    def _is_increasing(cls) -> bool:
        return True

    def _ends(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The arguments p and 1 - p of the logit, computed separately so that small values are exact."""
        size, alpha = self._high - self._low, self._alpha
        from_low, from_high = (
            alpha + (1.0 - 2.0 * alpha) * share for share in ((y - self._low) / size, (self._high - y) / size)
        )
        return from_low, from_high

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        share = (tf.sigmoid(x) - self._alpha) / (1.0 - 2.0 * self._alpha)
        return self._low + (self._high - self._low) * share

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        from_low, from_high = self._ends(y)
        return tf.math.log(from_low) - tf.math.log(from_high)

    def _inverse_log_det_jacobian(self, y: tf.Tensor) -> tf.Tensor:
        from_low, from_high = self._ends(y)
        constant = math.log((1.0 - 2.0 * self._alpha) / (self._high - self._low))
        return constant - tf.math.log(from_low) - tf.math.log(from_high)

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        constant = math.log((1.0 - 2.0 * self._alpha) / (self._high - self._low))
        return -constant - tf.nn.softplus(x) - tf.nn.softplus(-x)


class Dequantization(Bijection):
    r"""Base of the dequantisations: integers 0 to n - 1 become reals in [0, 1), by adding noise u in [0, 1).

    $$ y = (x + u) / n, \qquad \log P(x) \ge E_{q(u|x)}[\log p_y(y) - D \log n - \log q(u|x)] $$

    Args:
        num_levels: Number n of levels.
    """

    def __init__(self, num_levels: int = 256, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_levels = check_integer("num_levels", num_levels, minimum=2)

    def value_range(self) -> ValueRange:
        """The integers from 0 to n - 1."""
        return ValueRange(
            0,
            self.num_levels - 1,
            integer=True,
            advice="Pass pixels as they are stored, or remove the dequantisation for real-valued data.",
        )

    def base(self) -> tfp.distributions.Distribution:
        """The distribution of the random numbers that `transformed` turns into the noise of one example."""
        raise TypeError(f"{type(self).__name__} must define `base`.")

    def noise(self, seeds: tf.Tensor, num_rows: Any, *, shared: bool = False) -> tf.Tensor:
        """Draws from the base for each row.

        Args:
            seeds: int32 `[2]`, or `[B, 2]` with one seed per row.
            num_rows: Number of rows.
            shared: Whether all rows get the same draw, so that a row's result does not depend on its position
                in the batch.
        """
        if seeds.shape.rank == 2:
            return sample_rows(self.base(), 1, seeds)[:, 0]
        drawn = self.base().sample(1 if shared else num_rows, seed=seeds)
        return tf.repeat(drawn, num_rows, axis=0) if shared else drawn

    def transformed(
        self, x: tf.Tensor, noise: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        r"""The noise u `[B, *event_shape]` in [0, 1) and $\log q(u|x)$ `[B]`.

        Args:
            x: Integer-valued data `[B, *event_shape]`.
            noise: Draws from the base.
            training: Whether layers run in training mode.
        """
        raise TypeError(f"{type(self).__name__} must define `transformed`.")

    def discretize(self, x: tf.Tensor) -> tf.Tensor:
        """The integer-valued data x, given reals $x + u$."""
        return tf.clip_by_value(tf.floor(x), 0.0, self.num_levels - 1.0)

    def bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """The map from [0, 1) to $x + u$ in [0, n)."""
        return tfb.Scale(tf.constant(self.num_levels, self.real_dtype))

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "num_levels": self.num_levels}


@register
class UniformDequantization(Dequantization):
    """Uniform noise: $q(u|x) = 1$.

    Args:
        num_levels: Number n of levels; data are integers from 0 to n - 1.

    Reference: A Note on the Evaluation of Generative Models, Theis, van den Oord and Bethge, 2016.
    """

    def base(self) -> tfp.distributions.Distribution:
        """Uniform numbers in [0, 1)."""
        return tfd.Sample(tfd.Uniform(tf.zeros([], self.real_dtype), 1.0), self.event_shape)

    def transformed(
        self, x: tf.Tensor, noise: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The noise unchanged, and 0."""
        return noise, tf.zeros([tf.shape(x)[0]], noise.dtype)


@register
class VariationalDequantization(Dequantization):
    r"""Noise from a separate flow, $u = \sigma(f(\epsilon; x))$, which is trained with the model.

    Args:
        num_levels: Number n of levels; data are integers from 0 to n - 1.
        bijections: The layers of f, from u to its noise; x is their condition. None uses four couplings.
        network_options: Arguments of these couplings' networks, as in `Coupling`.

    Reference: Flow++, Ho, Chen, Srinivas, Duan and Abbeel, 2019.
    """

    def __init__(
        self,
        num_levels: int = 256,
        *,
        bijections: Sequence[Bijection] | None = None,
        network_options: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_levels, **kwargs)
        self.network_options = dict(network_options or {})
        self.bijections = None if bijections is None else check_bijections(bijections)

    def _create(self, seed: int | None) -> None:
        if self.bijections is None:
            options = {"network_options": self.network_options, "dtype": self.dtype_policy}
            self.bijections = [Coupling(swap=bool(number % 2), **options) for number in range(4)]
        condition = ConditionSpec(shape=self.event_shape)
        self._noise_shape = build_chain(
            self.bijections, self.event_shape, condition=condition, seed=seed, dtype=self.real_dtype
        )

    def base(self) -> tfp.distributions.Distribution:
        """Standard normal numbers."""
        return tfd.Sample(tfd.Normal(tf.zeros([], self.real_dtype), 1.0), self._noise_shape)

    def transformed(
        self, x: tf.Tensor, noise: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The noise that the flow makes of draws from the base, and its log-density."""
        condition = 2.0 * x / (self.num_levels - 1.0) - 1.0
        flow = chain(self.bijections or (), condition, training)
        # Instead of `tfb.Sigmoid`, whose gradient is not finite for large values.
        logits = flow.forward(noise)
        log_det = flow.forward_log_det_jacobian(noise, event_ndims=len(self._noise_shape))
        log_slope = -tf.nn.softplus(logits) - tf.nn.softplus(-logits)
        log_det += tf.reduce_sum(log_slope, axis=list(range(1, logits.shape.rank)))
        # In float32 the logistic function reaches 1, which would give the next level.
        u = tf.minimum(tf.sigmoid(logits), 1.0 - 2.0**-16)
        return u, self.base().log_prob(noise) - log_det

    def get_config(self) -> dict:
        """The constructor arguments."""
        own = self.bijections
        own = own and [keras.saving.serialize_keras_object(bijection) for bijection in own]
        return {**super().get_config(), "bijections": own, "network_options": self.network_options}
