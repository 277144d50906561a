"""Minibatch standard deviation: how much the examples of a batch differ, shown to the discriminator."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_genmod.core.own_gradients import hidden_from_example_gradients, in_example_gradients
from keras_genmod.core.precision import as_real
from keras_genmod.core.registration import register

__all__ = ["MinibatchStddev"]


@register
class MinibatchStddev(keras.layers.Layer):
    r"""Appends one channel that holds the mean over features of the standard deviation over the batch.

    $$ s = \frac1F \sum_f \sqrt{\operatorname{Var}_i(x_{if})}, \quad
       \operatorname{Var}_i(x_{if}) = \frac{1}{B - 1} \sum_i (x_{if} - \bar x_f)^2 $$

    A generator that collapses makes $s$ small, which the discriminator can see. Outside training the layer
    shows the moving average of $s$ over the batches that it was trained on, so that the answer for one
    example does not depend on its neighbours. One row alone has no deviation: it sees the moving average,
    which stays as it is. On several replicas each looks at its own part of the batch.

    A penalty on the gradient of the discriminator (`losses.gradient_penalties`) sees each example's own: what
    the example does to its own channel, and not what it does to the channels of the others.

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
        """What each row is shown, `[B]`, and the deviation of the batch; the moving one for a single row."""
        with hidden_from_example_gradients():
            x = tf.identity(inputs)
            others = tf.cast(tf.shape(x)[0], x.dtype) - 1.0
            centred = x - tf.reduce_sum(x, axis=0) / tf.maximum(others + 1.0, 1.0)
            variance = tf.reduce_sum(tf.square(centred), axis=0) / tf.maximum(others, 1.0)
            # The slope of the root is infinite at 0.
            deviations = tf.sqrt(variance + 1e-8)
            stddev = tf.where(others > 0.0, tf.reduce_mean(deviations), moving)
            shown = tf.fill(tf.shape(x)[:1], stddev)
            if not in_example_gradients():
                return shown, stddev
            # Each row's own share of the derivative, as a constant for the tape that asks for it.
            num_features = tf.cast(tf.size(deviations), x.dtype)
            slopes = centred / (deviations * num_features * tf.maximum(others, 1.0))
        # The difference is 0: it has no value, and a slope for that tape alone.
        own = tf.reduce_sum(slopes * (inputs - x), axis=list(range(1, inputs.shape.rank)))
        return shown + own, stddev

    def compute_output_shape(self, input_shape) -> tuple:
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self) -> dict:
        return {**super().get_config(), "momentum": self.momentum}
