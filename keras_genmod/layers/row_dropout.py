"""Dropout as a source of noise, whose mask each row draws from a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer, check_number
from keras_genmod.core.registration import register
from keras_genmod.core.row_noise import uniform_rows

__all__ = ["NO_NOISE", "RowDropout"]

# Both numbers of the seed of a row that is left as it is.
NO_NOISE = -1


@register
class RowDropout(keras.layers.Layer):
    r"""Sets values to 0 with probability `rate`: $y = x \cdot m / (1 - r)$, $m \sim B(1 - r)$, row by row.

    The mask of a row depends on the row's seed alone, so that a server may join requests into one batch. It
    is drawn whenever a seed is given, in training and afterwards: pix2pix uses dropout as its only noise.
    The seed `(-1, -1)` leaves a row as it is.

    Args:
        rate: Probability in [0, 1).
        stream: Number of the stream of each seed's random numbers; layers of one network take different
            ones.

    Call arguments:
        inputs: A list of `[B, ...]` and seeds, int32 `[B, 2]`.

    Returns:
        `[B, ...]`.

    References: Dropout: A Simple Way to Prevent Neural Networks from Overfitting, Srivastava et al., 2014;
    Image-to-Image Translation with Conditional Adversarial Networks, Isola et al., 2017 (as noise).

    Example:
        >>> x = tf.ones([2, 3])
        >>> RowDropout(0.5)([x, tf.fill([2, 2], NO_NOISE)]).numpy().tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(self, rate: float, *, stream: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = check_number("rate", rate, minimum=0.0, maximum=1.0)
        if self.rate == 1.0:
            raise ValueError("`rate` must be below 1; received 1.0. Lower it: 1 would drop all values.")
        self.stream = check_integer("stream", stream, minimum=0)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """The values, some of them set to 0 and the others scaled up."""
        x, seeds = inputs
        numbers = uniform_rows(seeds, x.shape[1:], stream=self.stream)
        kept = tf.reduce_all(seeds == NO_NOISE, axis=1)
        kept = tf.reshape(kept, [-1] + [1] * (len(x.shape) - 1))
        dropped = tf.where(numbers >= self.rate, x / (1.0 - self.rate), tf.zeros_like(x))
        return tf.where(kept, x, dropped)

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        """Keras' hook: the shape of the values."""
        return tuple(input_shape[0])

    def compute_output_spec(self, inputs: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
        """Keras' hook: the symbolic output."""
        return keras.KerasTensor(inputs[0].shape, dtype=self.compute_dtype)

    def get_config(self) -> dict:
        """Keras' hook: the constructor arguments."""
        return {**super().get_config(), "rate": self.rate, "stream": self.stream}
