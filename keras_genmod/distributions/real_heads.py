"""The heads for independent real values, each with a location and a scale."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import ValueRange, check_number, describe
from keras_genmod.core.precision import as_real
from keras_genmod.core.registration import register
from keras_genmod.distributions.head import Head
from keras_genmod.distributions.quantiles import normal_quantile, student_t_quantile

__all__ = ["GaussianHead", "StudentTHead", "positive", "scales_problem"]

tfd = tfp.distributions

# softplus(raw + _SOFTPLUS_ONE) = 1 at raw = 0: a fresh network starts at unit scale.
_SOFTPLUS_ONE = math.log(math.e - 1.0)
_MIN_SCALE = 1e-5


def positive(raw: tf.Tensor) -> tf.Tensor:
    """The scale of a raw parameter, softplus(raw + log(e - 1)) + 1e-5: about 1 at 0."""
    return tf.nn.softplus(raw + _SOFTPLUS_ONE) + _MIN_SCALE


def scales_problem(head: Head, low: float, high: float) -> str:
    """Explains what goes wrong if raw scales, and the locations beside them, all lie from `low` to `high`."""
    # As `positive` makes them.
    scales = [math.log1p(math.exp(raw + _SOFTPLUS_ONE)) + _MIN_SCALE for raw in (low, high)]
    return (
        f"{type(head).__name__} takes the raw scales from it, beside the locations: scales would all be "
        f"from {scales[0]:.2f} to {scales[1]:.2f}"
    )


class _LocationScaleHead(Head):
    """Base of the heads with a location and a scale, which may be fixed, learned or predicted."""

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
        """2 if the network predicts the scale too, else 1."""
        return 2 if self.scale == "predicted" else 1

    @property
    def uniforms_per_dim(self) -> int | None:
        """1, or None where each dimension has a scale of its own: `draw` does not know its dimension."""
        return None if self.scale == "per_dimension" else 1

    def bounds_problem(self, low: float, high: float) -> str:
        """Explains bounded raw scales. Locations may be bounded, as they are where the data is."""
        return scales_problem(self, low, high) if self.scale == "predicted" else ""

    def build(self, input_shape) -> None:
        """Creates the learned scale."""
        if self.scale in ("learned", "per_dimension"):
            self.raw_scale = self.add_weight(
                shape=() if self.scale == "learned" else self.event_shape,
                initializer="zeros",
                dtype=self._real_dtype.name,
                autocast=False,
                name="raw_scale",
            )

    def _loc_and_scale(self, params: tf.Tensor) -> tuple[tf.Tensor, Any]:
        if self.scale == "predicted":
            loc, raw_scale = tf.split(params, 2, axis=-1)
            return loc, positive(raw_scale)
        if isinstance(self.scale, str):
            return params, positive(tf.cast(self.raw_scale, params.dtype))
        return params, self.scale

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "scale": self.scale}


@register
class GaussianHead(_LocationScaleHead):
    r"""Independent normal values: $\log p(x) = \sum_d \log N(x_d; \mu_d, \sigma_d^2)$.

    Args:
        scale: Standard deviation:
            a positive number: fixed;
            `"learned"`: one weight for all dimensions (sigma-VAE);
            `"per_dimension"`: one weight for each dimension of the event;
            `"predicted"`: given by the network beside the mean; the network ends in twice as many channels,
            means first.
        event_shape: Shape of one event.

    A learned or predicted scale is softplus(raw + log(e - 1)) + 1e-5, which is about 1 at the start.

    Reference: Simple and Effective VAE Training with Calibrated Decoders, Rybkin, Daniilidis and Levine,
    2021 (one learned scale).
    """

    def distribution(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        """Normal distributions whose means (and scales) are `params`."""
        return self._over_event(tfd.Normal(*self._loc_and_scale(as_real(params))))

    def _draw(self, params: tf.Tensor, uniforms: tf.Tensor, temperature: Any) -> tf.Tensor:
        loc, scale = self._loc_and_scale(params)
        return (loc + temperature**0.5 * scale * normal_quantile(uniforms))[:, 0]


@register
class StudentTHead(_LocationScaleHead):
    r"""Independent values with heavy tails: Student's t with $\nu$ degrees of freedom.

    $$ p(x_d) \propto \frac1{\sigma_d}
       \left(1 + \frac{(x_d - \mu_d)^2}{\nu \sigma_d^2}\right)^{-(\nu + 1) / 2} $$

    The cost of an outlier grows with the logarithm of its distance, not with the square.

    Args:
        scale: As in `GaussianHead`.
        df: Degrees of freedom, a number above 1 (so that there is a mean), or `"learned"`: one weight for
            all dimensions, 1 + 1e-5 + softplus(raw), 5 at the start.
        event_shape: Shape of one event.

    At temperature T a draw has the density $p^{1/T}$, normalised. That is again a Student's t, with
    $(\nu + 1) / T - 1$ degrees of freedom, and needs $T < \nu + 1$. Otherwise `draw` raises a ValueError, if
    both are numbers.

    Example:
        >>> import numpy as np
        >>> head = StudentTHead(df=3.0, event_shape=(2,))
        >>> float(head.distribution(np.zeros((1, 2), "float32")).log_prob(np.zeros((1, 2)))[0])
        -2.00177...
    """

    def __init__(
        self, scale: float | str = 1.0, *, df: float | str = "learned", event_shape: Any = None, **kwargs
    ) -> None:
        if df != "learned":
            if isinstance(df, str):
                raise ValueError(f"`df` must be a number above 1, or 'learned'; received {describe(df)}.")
            df = check_number("df", df, above=1.0)
        self.df = df
        super().__init__(scale, event_shape=event_shape, **kwargs)

    def build(self, input_shape) -> None:
        """Creates the learned scale and degrees of freedom."""
        super().build(input_shape)
        if self.df == "learned":
            self.raw_df = self.add_weight(
                shape=(),
                initializer="zeros",
                dtype=self._real_dtype.name,
                autocast=False,
                name="raw_df",
            )

    def degrees_of_freedom(self) -> tf.Tensor:
        r"""The degrees of freedom $\nu$, a scalar."""
        if not isinstance(self.df, str):
            return tf.constant(self.df, self._real_dtype)
        raw = tf.convert_to_tensor(self.raw_df) + math.log(math.expm1(4.0))
        return 1.0 + _MIN_SCALE + tf.nn.softplus(raw)

    def distribution(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        """Student's t distributions whose locations (and scales) are `params`."""
        loc, scale = self._loc_and_scale(as_real(params))
        df = tf.cast(self.degrees_of_freedom(), loc.dtype)
        return self._over_event(tfd.StudentT(df, loc, scale))

    def _draw(self, params: tf.Tensor, uniforms: tf.Tensor, temperature: Any) -> tf.Tensor:
        is_number = not tf.is_tensor(temperature)
        if not isinstance(self.df, str) and is_number and temperature >= self.df + 1.0:
            raise ValueError(
                f"`temperature` must be below df + 1 = {self.df + 1.0:g}, above which Student's t has no "
                f"tempered form; received {temperature}. Use a lower temperature."
            )
        loc, scale = self._loc_and_scale(params)
        df = tf.cast(self.degrees_of_freedom(), loc.dtype)
        tempered = (df + 1.0) / temperature - 1.0
        return (loc + tf.sqrt(df / tempered) * scale * student_t_quantile(tempered, uniforms))[:, 0]

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "df": self.df}
