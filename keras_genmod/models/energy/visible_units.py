r"""Kinds of visible units: what a unit's value may be, and its density given the field of the hidden units.

All are exponential families. A row of values is a row of features v `[F]`, and a parameter set $\theta$ gives
the log-weight $\theta \cdot s(v)$ that a row has without hidden units. The field f `[F]` of the hidden units
adds $f \cdot v$. Log-weights are linear in the parameters, so that a mixture of two parameter sets,
$(1 - \beta) \theta_0 + \beta \theta$, is a parameter set: that of an intermediate temperature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import ValueRange
from keras_genmod.core.row_noise import normal_rows
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.samplers import bernoulli_rows, categorical_rows

__all__ = [
    "BernoulliUnits",
    "CategoricalUnits",
    "GaussianUnits",
    "Parameters",
    "VisibleUnits",
    "visible_units",
]

Parameters = tuple[tf.Tensor, ...]
"""A tensor for each sufficient statistic, `[F]` for all rows or `[B, F]`."""


class VisibleUnits:
    """Base of the kinds of visible units.

    A kind defines what is only declared here; `BernoulliUnits` documents it.

    Args:
        event_shape: Shape of one example, of any rank.
    """

    # Names of the parameters beside the bias, as they are kept: by their logarithms.
    other_parameters: tuple[str, ...] = ()
    # The features' mean where nothing is known.
    centre: float

    def __init__(self, event_shape: Sequence[int]) -> None:
        self.event_shape = tuple(event_shape)
        self.num_units = math.prod(self.event_shape)

    @property
    def num_features(self) -> int:
        """Number F of features of a row."""
        return self.num_units

    if TYPE_CHECKING:

        def value_range(self) -> ValueRange: ...
        def parameters_of(self, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, ...]: ...
        def log_sum(self, field: tf.Tensor, parameters: Parameters) -> tf.Tensor: ...
        def mean(self, field: tf.Tensor, parameters: Parameters) -> tf.Tensor: ...
        def sample(
            self, field: tf.Tensor, parameters: Parameters, seeds: tf.Tensor, stream: Any
        ) -> tf.Tensor: ...

    def features(self, x: tf.Tensor) -> tf.Tensor:
        """Examples `[B, *event_shape]` as features `[B, F]`."""
        return tf.reshape(x, [-1, self.num_units])

    def values(self, v: tf.Tensor) -> tf.Tensor:
        """Features `[B, F]`, or their means, as examples `[B, *event_shape]`."""
        return tf.reshape(v, [-1, *self.event_shape])

    def check(self, x: np.ndarray) -> None:
        """Warns of data that does not suit these units."""

    def log_weight(self, v: tf.Tensor, parameters: Parameters) -> tf.Tensor:
        """The log-weight of rows of features, `[B]`."""
        return tf.reduce_sum(v * parameters[0], axis=-1)


class BernoulliUnits(VisibleUnits):
    r"""Values 0 and 1, $\log w(v) = b \cdot v$."""

    centre = 0.5

    def value_range(self) -> ValueRange:
        """The values 0 and 1."""
        advice = "Binarise the data (`kg.data.binarize`), or use visible='gaussian'."
        return ValueRange(0, 1, integer=True, advice=advice)

    def parameters_of(self, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, ...]:
        """The log-odds."""
        return (np.log(mean) - np.log1p(-mean),)

    def log_sum(self, field: tf.Tensor, parameters: Parameters) -> tf.Tensor:
        """A sum over two values for each unit."""
        return tf.reduce_sum(tf.nn.softplus(field + parameters[0]), axis=-1)

    def mean(self, field: tf.Tensor, parameters: Parameters) -> tf.Tensor:
        """The probabilities of 1."""
        return tf.sigmoid(field + parameters[0])

    def sample(self, field: tf.Tensor, parameters: Parameters, seeds: tf.Tensor, stream: Any) -> tf.Tensor:
        """Zeros and ones."""
        return bernoulli_rows(field + parameters[0], seeds, stream)


class GaussianUnits(VisibleUnits):
    r"""Real values, $\log w(v) = \eta \cdot v - \tau \cdot v^2 / 2$ with precisions $\tau$."""

    other_parameters = ("log_precision",)
    centre = 0.0

    def value_range(self) -> ValueRange:
        """All finite values."""
        return ValueRange()

    def check(self, x: np.ndarray) -> None:
        """Warns of data that is not standardised."""
        rows = np.asarray(x[:10_000], np.float64).reshape(-1, self.num_units)
        mean, scale = rows.mean(axis=0), rows.std(axis=0)
        far, widest = np.max(np.abs(mean)), np.max(scale)
        if len(rows) > 1 and (far > 3.0 or widest > 3.0 or np.median(scale) < 0.3):
            warn_user(
                f"Gaussian units are made for standardised data; received means up to {far:.3g} and standard "
                f"deviations from {np.min(scale):.3g} to {widest:.3g}. Subtract each value's mean and divide "
                "by its standard deviation."
            )

    def parameters_of(self, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, ...]:
        """Mean times precision, and precision."""
        return mean / variance, 1.0 / variance

    def log_weight(self, v: tf.Tensor, parameters: Parameters) -> tf.Tensor:
        """The log-weight of rows."""
        linear, precision = parameters
        return tf.reduce_sum(v * (linear - 0.5 * precision * v), axis=-1)

    def log_sum(self, field: tf.Tensor, parameters: Parameters) -> tf.Tensor:
        """An integral for each unit."""
        linear, precision = parameters
        squares = tf.square(field + linear) / (2.0 * precision)
        return tf.reduce_sum(squares + 0.5 * (math.log(2.0 * math.pi) - tf.math.log(precision)), axis=-1)

    def mean(self, field: tf.Tensor, parameters: Parameters) -> tf.Tensor:
        """The means of normal distributions."""
        return (field + parameters[0]) / parameters[1]

    def sample(self, field: tf.Tensor, parameters: Parameters, seeds: tf.Tensor, stream: Any) -> tf.Tensor:
        """Normal draws."""
        noise = normal_rows(seeds, [self.num_units], field.dtype, stream=stream)
        return self.mean(field, parameters) + tf.math.rsqrt(parameters[1]) * noise


class CategoricalUnits(VisibleUnits):
    r"""Integers from 0 to K - 1, $\log w(v) = \sum_d b_{d, v_d}$ (Potts units).

    Args:
        event_shape: Shape of one example.
        num_values: K. The features are K indicators for each value.
    """

    def __init__(self, event_shape: Sequence[int], num_values: int) -> None:
        super().__init__(event_shape)
        self.num_values = num_values
        self.centre = 1.0 / num_values

    @property
    def num_features(self) -> int:
        """D K indicators."""
        return self.num_units * self.num_values

    def value_range(self) -> ValueRange:
        """Integers."""
        return ValueRange(0, self.num_values - 1, integer=True, advice="Number the values from 0.")

    def features(self, x: tf.Tensor) -> tf.Tensor:
        """Integers as indicators."""
        numbers = tf.cast(tf.reshape(x, [-1, self.num_units]), tf.int32)
        return self._flat(tf.one_hot(numbers, self.num_values, dtype=x.dtype))

    def values(self, v: tf.Tensor) -> tf.Tensor:
        """The value with the largest indicator, as a number of the features' dtype."""
        numbers = tf.cast(tf.argmax(self._apart(v), axis=-1), v.dtype)
        return tf.reshape(numbers, [-1, *self.event_shape])

    def parameters_of(self, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, ...]:
        """The logarithms of the probabilities."""
        return (np.log(mean),)

    def log_sum(self, field: tf.Tensor, parameters: Parameters) -> tf.Tensor:
        """A sum over K values for each unit."""
        return tf.reduce_sum(tf.reduce_logsumexp(self._apart(field + parameters[0]), axis=-1), axis=-1)

    def mean(self, field: tf.Tensor, parameters: Parameters) -> tf.Tensor:
        """The probabilities of all values."""
        return self._flat(tf.nn.softmax(self._apart(field + parameters[0])))

    def sample(self, field: tf.Tensor, parameters: Parameters, seeds: tf.Tensor, stream: Any) -> tf.Tensor:
        """Indicators."""
        drawn = categorical_rows(self._apart(field + parameters[0]), seeds, stream)
        return self._flat(tf.one_hot(drawn, self.num_values, dtype=field.dtype))

    def _apart(self, v: tf.Tensor) -> tf.Tensor:
        return tf.reshape(v, [-1, self.num_units, self.num_values])

    def _flat(self, v: tf.Tensor) -> tf.Tensor:
        return tf.reshape(v, [-1, self.num_features])


def visible_units(kind: str, event_shape: Sequence[int], num_values: int | None) -> VisibleUnits:
    """The units of a kind: "bernoulli", "gaussian", or "categorical" with its number of values."""
    if num_values is not None:
        return CategoricalUnits(event_shape, num_values)
    return {"bernoulli": BernoulliUnits, "gaussian": GaussianUnits}[kind](event_shape)
