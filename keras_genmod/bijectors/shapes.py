"""Bijections that change the shape: they turn pixels into channels, and split off a part as noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bijectors.bijection import Bijection, build_chain, chain, chain_to_noise, check_bijections
from keras_genmod.bijectors.own_bijector import Memory, OwnBijector, to_rows
from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register

__all__ = ["Split", "Squeeze"]


@register
class Squeeze(Bijection):
    """Turns squares of pixels into channels: `[H, W, C]` becomes `[H / n, W / n, n * n * C]`.

    Args:
        factor: Side n of the squares, in pixels.

    Raises:
        ValueError: If the sides are not multiples of `factor`.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein and Bengio, 2017.
    """

    def __init__(self, factor: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = check_integer("factor", factor, minimum=2)

    def _create(self, seed: int | None) -> None:
        shape = self.event_shape
        if len(shape) != 3 or shape[0] % self.factor or shape[1] % self.factor:
            raise ValueError(
                f"`Squeeze` needs images whose height and width are multiples of {self.factor}; received "
                f"events of shape {shape}. Pad the images, or remove it."
            )

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of an event on the noise side."""
        height, width, channels = self.event_shape
        n = self.factor
        return height // n, width // n, channels * n * n

    def bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """The rearrangement, from noise to data."""
        return _Rearrangement(self.event_shape, self.output_shape, self.factor)

    def _to_noise(self, x: tf.Tensor, condition: Any, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.nn.space_to_depth(x, self.factor), tf.zeros([], x.dtype)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "factor": self.factor}


class _Rearrangement(OwnBijector):
    """Turns channels into squares of pixels; its inverse turns squares into channels."""

    def __init__(self, image: Sequence[int], squeezed: Sequence[int], factor: int) -> None:
        self._image, self._squeezed, self._factor = tuple(image), tuple(squeezed), factor
        super().__init__(3, is_constant_jacobian=True)

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape(self._image)

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape(self._squeezed)

    def _forward_event_shape_tensor(self, shape: tf.Tensor) -> tf.Tensor:
        return tf.constant(self._image)

    def _inverse_event_shape_tensor(self, shape: tf.Tensor) -> tf.Tensor:
        return tf.constant(self._squeezed)

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        rows = tf.nn.depth_to_space(to_rows(x, self._squeezed), self._factor)
        return tf.reshape(rows, tf.concat([tf.shape(x)[:-3], self._image], axis=0))

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        rows = tf.nn.space_to_depth(to_rows(y, self._image), self._factor)
        return tf.reshape(rows, tf.concat([tf.shape(y)[:-3], self._squeezed], axis=0))

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        return tf.zeros([], x.dtype)


@register
class Split(Bijection):
    """Splits the channels: the second half is noise, and the first half goes through more bijections.

    It must be the last bijection of a chain. Its noise is flat, `[D]`, with the noise of the first half in
    front. For several scales, put one `Split` inside another.

    Args:
        bijections: The bijections of the first half of the channels, from the data to the noise.

    Raises:
        ValueError: If the data have one channel.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein and Bengio, 2017.
    """

    def __init__(self, bijections: Sequence[Bijection], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bijections = check_bijections(bijections)

    def _create(self, seed: int | None) -> None:
        *sides, channels = self.event_shape
        if channels < 2:
            raise ValueError(
                f"`Split` needs two channels or more; received events of shape {self.event_shape}. Put a "
                "`Squeeze` before it."
            )
        self._first = (*sides, channels // 2)
        self._last = (*sides, channels - channels // 2)
        self._inner = build_chain(
            self.bijections, self._first, condition=self.condition, seed=seed, dtype=self.real_dtype
        )

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of an event on the noise side."""
        return (math.prod(self.event_shape),)

    def bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """The map of both halves, from flat noise to data."""
        inner = chain(self.bijections, condition, training)
        return _Halves(inner, self._inner, self._first, self._last)

    def _to_noise(self, x: tf.Tensor, condition: Any, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        first, last = tf.split(x, [self._first[-1], self._last[-1]], axis=-1)
        noise, log_det = chain_to_noise(self.bijections, first, condition, training)
        flat = [
            tf.reshape(noise, [-1, math.prod(self._inner)]),
            tf.reshape(last, [-1, math.prod(self._last)]),
        ]
        return tf.concat(flat, axis=-1), log_det

    def initialize(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initialises the inner bijections with the first half."""
        first = self._first[-1]
        h = x[..., :first]
        for bijection in self.bijections:
            h = bijection.initialize(h, condition)
        flat = [tf.reshape(part, [tf.shape(x)[0], -1]) for part in (h, x[..., first:])]
        return tf.concat(flat, axis=-1)

    def needs_data(self) -> bool:
        """Whether an inner bijection needs `initialize`."""
        return any(bijection.needs_data() for bijection in self.bijections)

    def get_config(self) -> dict:
        """The constructor arguments."""
        bijections = [keras.saving.serialize_keras_object(bijection) for bijection in self.bijections]
        return {**super().get_config(), "bijections": bijections}


class _Halves(OwnBijector):
    """Maps flat noise to the two halves of the channels; the first half goes through a chain."""

    def __init__(
        self,
        inner: tfp.bijectors.Bijector,
        inner_shape: Sequence[int],
        first: Sequence[int],
        last: Sequence[int],
    ) -> None:
        self._inner, self._inner_shape = inner, tuple(inner_shape)
        self._first, self._last = tuple(first), tuple(last)
        self._event = (*self._first[:-1], self._first[-1] + self._last[-1])
        self._rank, self._of_noise, self._of_data = len(self._event), Memory(), Memory()
        super().__init__(1, data_event_ndims=self._rank)

    def _forward_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape(self._event)

    def _inverse_event_shape(self, shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape([math.prod(self._event)])

    def _forward_event_shape_tensor(self, shape: tf.Tensor) -> tf.Tensor:
        return tf.constant(self._event)

    def _inverse_event_shape_tensor(self, shape: tf.Tensor) -> tf.Tensor:
        return tf.constant([math.prod(self._event)])

    def _noise_of_first(self, x: tf.Tensor) -> tf.Tensor:
        size = math.prod(self._inner_shape)
        return self._of_noise.recall(x, lambda: _reshaped(x[..., :size], 1, self._inner_shape))

    def _first_half(self, y: tf.Tensor) -> tf.Tensor:
        # It must be the same tensor at every call, because the inner chain remembers results by tensor.
        return self._of_data.recall(y, lambda: y[..., : self._first[-1]])

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        size = math.prod(self._inner_shape)
        first = self._inner.forward(self._noise_of_first(x))
        return tf.concat([first, _reshaped(x[..., size:], 1, self._last)], axis=-1)

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        last = y[..., self._first[-1] :]
        noise = self._inner.inverse(self._first_half(y))
        flat = [
            _reshaped(noise, len(self._inner_shape), [math.prod(self._inner_shape)]),
            _reshaped(last, self._rank, [math.prod(self._last)]),
        ]
        return tf.concat(flat, axis=-1)

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        log_det = self._inner.forward_log_det_jacobian(
            self._noise_of_first(x), event_ndims=len(self._inner_shape)
        )
        return tf.broadcast_to(log_det, tf.shape(x)[:-1])

    def _inverse_log_det_jacobian(self, y: tf.Tensor) -> tf.Tensor:
        log_det = self._inner.inverse_log_det_jacobian(self._first_half(y), event_ndims=self._rank)
        return tf.broadcast_to(log_det, tf.shape(y)[: tf.rank(y) - self._rank])


def _reshaped(x: tf.Tensor, rank: int, shape: Sequence[int]) -> tf.Tensor:
    """Reshapes the last `rank` axes of x."""
    lead = tf.shape(x)[: tf.rank(x) - rank]
    return tf.reshape(x, tf.concat([lead, tf.constant(shape, tf.int32)], axis=0))
