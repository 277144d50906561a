"""Minibatch standard deviation: how much the examples of a batch differ, shown to the discriminator."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_genmod.core.precision import as_real
from keras_genmod.core.registration import register

__all__ = ["MinibatchStddev"]


@register
class MinibatchStddev(keras.layers.Layer):
    r"""Appends one channel that holds the mean over features of the standard deviation over the batch.

    $$ s = \frac1F \sum_f \sqrt{\operatorname{Var}_i(x_{if})} $$

    A generator that collapses makes $s$ small, which the discriminator can see. Outside training the layer
    shows the moving average of $s$ over the batches that it was trained on, so that the answer for one
    example does not depend on its neighbours. On several replicas each looks at its own part of the batch.

    Args:
        momentum: of the moving average.

    Call arguments:
        inputs: `[B, ..., C]`.

    Returns:
        `[B, ..., C + 1]`.

    Reference: Progressive Growing of GANs for Improved Quality, Stability, and Variation, Karras et al.,
    2018.
    """

    def __init__(self, momentum: float = 0.9, **kwargs) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, input_shape) -> None:
        self.moving_stddev = self.add_weight(
            (), initializer="ones", trainable=False, autocast=False, aggregation="mean", name="moving_stddev"
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`inputs` with one channel more."""
        stddev = tf.convert_to_tensor(self.moving_stddev)
        if training:
            x = as_real(inputs)
            count = tf.maximum(tf.cast(tf.shape(x)[0], x.dtype), 1.0)
            mean = tf.reduce_sum(x, axis=0) / count
            variance = tf.reduce_sum(tf.square(x - mean), axis=0) / count
            # The slope of the root is infinite at 0.
            current = tf.reduce_mean(tf.sqrt(variance + 1e-8))
            old, stddev = stddev, current
            self.moving_stddev.assign(old * self.momentum + tf.stop_gradient(current) * (1.0 - self.momentum))
        channel = tf.fill(tf.concat([tf.shape(inputs)[:-1], [1]], 0), tf.cast(stddev, inputs.dtype))
        return tf.concat([inputs, channel], axis=-1)

    def compute_output_shape(self, input_shape) -> tuple:
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self) -> dict:
        return {**super().get_config(), "momentum": self.momentum}
