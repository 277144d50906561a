r"""Exponential moving averages of a network's weights.

$$ \bar w_t = \bar w_{t-1} + (1 - d_t) (w_t - \bar w_{t-1}), \quad d_t = \min(d, (1 + t) / (10 + t)) $$

The average is a network of its own: it is saved with the model, and the weights in training stay as they
are. Every replica holds the same weights and computes the same average.

Reference: Acceleration of Stochastic Approximation by Averaging, Polyak and Juditsky, 1992.
"""

from __future__ import annotations

import keras
import tensorflow as tf

__all__ = ["copy_network", "update_average"]


def copy_network(network: keras.Model) -> keras.Model:
    """A network of its own with the same layers and weights, which no gradient trains: `averaged_<name>`."""
    description = keras.saving.serialize_keras_object(network)
    if "name" in description["config"]:
        description["config"]["name"] = f"averaged_{network.name}"
    copy = keras.saving.deserialize_keras_object(description)
    if not copy.built:
        copy.build(network.input_shape)
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy


def update_average(average: keras.Model, network: keras.Model, decay: float, step: tf.Tensor) -> None:
    """Moves the average towards the network; moving statistics too, and other state is copied.

    Args:
        average: made by `copy_network`.
        network: the network in training.
        decay: of the average once it is long.
        step: number of training steps done, int64.
    """
    step = tf.cast(step, tf.float32)
    rate = 1.0 - tf.minimum(decay, (1.0 + step) / (10.0 + step))
    for old, new in zip(average.weights, network.weights, strict=True):
        target = tf.convert_to_tensor(new.value)
        if target.dtype.is_floating:
            current = tf.convert_to_tensor(old.value)
            target = current + tf.cast(rate, current.dtype) * (target - current)
        old.assign(target)
