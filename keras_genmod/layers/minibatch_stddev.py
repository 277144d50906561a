"""Minibatch standard deviation: tells the discriminator how much the examples of a batch differ."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_genmod.core.own_gradients import hidden_from_example_gradients, in_example_gradients
from keras_genmod.core.precision import as_real
from keras_genmod.core.registration import register

__all__ = ["MinibatchStddev"]


@register
class MinibatchStddev(keras.layers.Layer):
    r"""Appends a channel that holds the standard deviation over the batch, averaged over the features.

    $$ s = \frac1F \sum_f \sqrt{\operatorname{Var}_i(x_{if})}, \quad
       \operatorname{Var}_i(x_{if}) = \frac{1}{B - 1} \sum_i (x_{if} - \bar x_f)^2 $$

    A generator that collapses makes $s$ small, which the discriminator can detect. Outside training the layer
    uses the moving average of $s$ over training batches, so that the output for one example does not depend
    on its neighbours. A batch of one row has no deviation: it uses the moving average, and leaves it
    unchanged. On several replicas, each uses its own part of the batch.

    Penalties on the discriminator's gradient (`losses.gradient_penalties`) use each example's own gradient:
    the effect of the example on its own channel, without its effect on the channels of the others.

    Args:
        momentum: Momentum of the moving average.

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
        """`inputs` with one more channel."""
        moving = tf.convert_to_tensor(self.moving_stddev)
        if training:
            shown, stddev = self._of_batch(as_real(inputs), moving)
            old, new = moving * self.momentum, tf.stop_gradient(stddev) * (1.0 - self.momentum)
            self.moving_stddev.assign(tf.where(tf.shape(inputs)[0] > 1, old + new, moving))
        else:
            shown = tf.fill(tf.shape(inputs)[:1], moving)
        shown = tf.reshape(tf.cast(shown, inputs.dtype), [-1] + [1] * (inputs.shape.rank - 1))
        channel = tf.broadcast_to(shown, tf.concat([tf.shape(inputs)[:-1], [1]], 0))
        return tf.concat([inputs, channel], axis=-1)

    def _of_batch(self, inputs: tf.Tensor, moving: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The value of each row's channel `[B]`, and the batch's deviation (of one row: the average)."""
        with hidden_from_example_gradients():
            x = tf.identity(inputs)
            others = tf.cast(tf.shape(x)[0], x.dtype) - 1.0
            centred = x - tf.reduce_sum(x, axis=0) / tf.maximum(others + 1.0, 1.0)
            variance = tf.reduce_sum(tf.square(centred), axis=0) / tf.maximum(others, 1.0)
            # The small constant keeps the root's gradient finite at 0.
            deviations = tf.sqrt(variance + 1e-8)
            stddev = tf.where(others > 0.0, tf.reduce_mean(deviations), moving)
            shown = tf.fill(tf.shape(x)[:1], stddev)
            if not in_example_gradients():
                return shown, stddev
            # The derivative with respect to each row itself, as a constant for the penalty's tape.
            num_features = tf.cast(tf.size(deviations), x.dtype)
            slopes = centred / (deviations * num_features * tf.maximum(others, 1.0))
        # `inputs - x` is 0, so this adds nothing to the value, and a gradient for the penalty's tape only.
        own = tf.reduce_sum(slopes * (inputs - x), axis=list(range(1, inputs.shape.rank)))
        return shown + own, stddev

    def compute_output_shape(self, input_shape) -> tuple:
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self) -> dict:
        return {**super().get_config(), "momentum": self.momentum}
