"""Dropout whose masks differ between replicas and whose state is saved."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_number
from keras_genmod.core.noise import Purpose, add_noise_state, check_seed, replica_seed, stream_seed
from keras_genmod.core.registration import register

__all__ = ["Dropout"]


@register
class Dropout(keras.layers.Layer):
    r"""Sets values to 0 with probability `rate` in training: $y = x \cdot m / (1 - r)$, $m \sim B(1 - r)$.

    Keras' own layer draws the same mask on every replica, and Keras does not save the state of its
    generators; the models of this library correct both. This layer needs no such correction and works in any
    model: each replica draws its own mask, and the state is a weight, which files hold.

    Args:
        rate: Probability in [0, 1).
        seed: Seeds the masks; None chooses a new seed.

    Reference: Dropout: A Simple Way to Prevent Neural Networks from Overfitting, Srivastava et al., 2014.
    """

    def __init__(self, rate: float, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = check_number("rate", rate, minimum=0.0, maximum=1.0)
        if self.rate == 1.0:
            raise ValueError("`rate` must be below 1; received 1.0. Lower it: 1 would drop all values.")
        self.seed = check_seed(seed)

    def build(self, input_shape) -> None:
        self.state = add_noise_state(self, self.seed, "state")

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """In training, `inputs` with some values set to 0 and the others scaled up; otherwise `inputs`."""
        if not training or self.rate == 0.0:
            return inputs
        state = tf.convert_to_tensor(self.state)
        seed = replica_seed(stream_seed(state[0], Purpose.TRAINING, state[1]))
        self.state.assign_add([0, 1])
        keep = tf.random.stateless_uniform(tf.shape(inputs), seed) >= self.rate
        return tf.where(keep, inputs / (1.0 - self.rate), tf.zeros_like(inputs))

    def compute_output_shape(self, input_shape) -> tuple:
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
