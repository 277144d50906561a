"""The base of the heads, which turn the raw output of a network into a `tfd.Distribution` over one event.

A head states how many numbers it needs (`params_size`) and which values it covers (`value_range`). It owns
the weights that are not the network's, such as one learned scale. Parameters in half precision are promoted
to float32 first; those in float64 stay (`core.precision`).
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import ValueRange, check_event_shape, check_number
from keras_genmod.core.precision import as_real, real_dtype

__all__ = ["Head", "finite"]

tfd = tfp.distributions


def finite(x: tf.Tensor, largest: float = tf.float32.max) -> tf.Tensor:
    """The numbers, clipped to the interval from -largest to largest; NaN stays."""
    return tf.where(tf.abs(x) > largest, largest * tf.sign(x), x)


class Head(keras.layers.Layer):
    """Base of the heads, from raw parameters `[B, *params_shape]` to a distribution over `event_shape`.

    A subclass defines `distribution(params)`, `value_range` and, if an event needs more than one number per
    dimension, `params_per_dim`. To be sampled one dimension after the other, it also defines `_draw` and
    `uniforms_per_dim`, the number of uniform numbers that one value takes.

    The raw parameters of a pixel with C channels are ordered by parameter: parameter k of channel c has the
    index `k * C + c`.

    Args:
        event_shape: Shape of one event; if left out, the model that uses the head gives it.
    """

    # A tuple of integers; None until a model gives it.
    event_shape: Any

    def __init__(self, *, event_shape: Any = None, name: str | None = None, **kwargs) -> None:
        # No autocast: `head(params)` would round float32 parameters under a policy of half precision.
        super().__init__(name=name, autocast=False, **kwargs)
        self.event_shape = None
        if event_shape is not None:
            self.set_event_shape(event_shape)

    def set_event_shape(self, event_shape: Any) -> None:
        """Fixes the shape of an event and creates the head's weights."""
        event_shape = check_event_shape(event_shape)
        if self.event_shape not in (None, event_shape):
            raise ValueError(
                f"This {type(self).__name__} is for events of shape {self.event_shape}; received "
                f"{event_shape}. Make a new head for the other shape."
            )
        if self.event_shape is None:
            self.event_shape = event_shape
            self.build(self.params_shape)

    @property
    def params_per_dim(self) -> int:
        """Number of raw parameters for each dimension of the event."""
        return 1

    @property
    def uniforms_per_dim(self) -> int | None:
        """Number of uniform numbers that `draw` takes for one value; None if it cannot draw a single one."""
        return None

    @property
    def value_range(self) -> ValueRange:
        """The values that the distribution covers."""
        return ValueRange()

    @property
    def _real_dtype(self) -> tf.DType:
        """Dtype of the head's weights; parameters have their own."""
        return real_dtype(self.dtype_policy)

    @property
    def params_shape(self) -> tuple[int, ...]:
        """Shape of the raw parameters of one event: that of the event, with more channels."""
        return (*self.event_shape[:-1], self.event_shape[-1] * self.params_per_dim)

    @property
    def params_size(self) -> int:
        """Number of raw parameters of one event."""
        return math.prod(self.params_shape)

    def distribution(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        """The distribution, of batch shape `[B]`, that raw parameters `[B, *params_shape]` stand for."""
        raise TypeError(f"{type(self).__name__} must define `distribution(params)`.")

    def bounds_problem(self, low: float, high: float) -> str:
        """Explains what goes wrong if all raw parameters lie in an interval; empty if nothing does.

        Args:
            low, high: Ends of the interval; one of them may be infinite.
        """
        return ""

    def call(self, params: tf.Tensor) -> tf.Tensor:
        """The mean of the distribution, `[B, *event_shape]`."""
        return self.distribution(params).mean()

    def draw(self, params: tf.Tensor, uniforms: tf.Tensor, temperature: Any = 1.0) -> tf.Tensor:
        r"""Draws values of ONE dimension by the inverse distribution function.

        Args:
            params: Raw parameters of one dimension, `[B, params_per_dim]`.
            uniforms: Numbers in [0, 1), `[B, uniforms_per_dim]`; the values depend on nothing else that is
                random.
            temperature: The draw is from $p^{1/T}$, normalised; 1 is the distribution itself. A head without
                a closed form for that says what it does.

        Returns:
            `[B]`, in the dtype of `params` (float32 if that is half precision).

        Raises:
            TypeError: If `uniforms_per_dim` is None.
        """
        if self.uniforms_per_dim is None:
            raise TypeError(
                f"This {type(self).__name__} cannot draw one dimension by itself. Use another likelihood, "
                "or draw whole events with `distribution(params).sample(seed=...)`."
            )
        for name, value, size in (
            ("params", params, self.params_per_dim),
            ("uniforms", uniforms, self.uniforms_per_dim),
        ):
            if len(value.shape) != 2 or value.shape[-1] != size:
                raise ValueError(
                    f"`{name}` must have shape [batch, {size}], for one dimension of the event; "
                    f"received {tuple(value.shape)}."
                )
        params = as_real(params)
        if tf.is_tensor(temperature):
            temperature = tf.cast(temperature, params.dtype)
        else:
            temperature = check_number("temperature", temperature, above=0.0)
        return self._draw(params, tf.cast(uniforms, params.dtype), temperature)

    def standardize(self, x: tf.Tensor) -> tf.Tensor:
        """Data values on the scale that a network takes; here the values themselves."""
        return x

    def _draw(self, params: tf.Tensor, uniforms: tf.Tensor, temperature: Any) -> tf.Tensor:
        raise TypeError(f"{type(self).__name__} must define `_draw(params, uniforms, temperature)`.")

    def _split_dims(self, params: tf.Tensor) -> tf.Tensor:
        """Raw parameters `[B, ..., P * C]` as `[B, ..., C, P]`, with P for each dimension of the event."""
        channels = self.event_shape[-1]
        shape = tf.concat([tf.shape(params)[:-1], [self.params_per_dim, channels]], axis=0)
        return tf.linalg.matrix_transpose(tf.reshape(params, shape))

    def _over_event(self, distribution: tfp.distributions.Distribution) -> tfp.distributions.Independent:
        return tfd.Independent(distribution, reinterpreted_batch_ndims=len(self.event_shape))

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "event_shape": self.event_shape}
