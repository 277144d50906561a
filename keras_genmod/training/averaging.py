r"""Exponential moving averages of a network's weights.

$$ \bar w_t = \bar w_{t-1} + (1 - d_t) (w_t - \bar w_{t-1}), \quad d_t = \min(d, (1 + t) / (10 + t)) $$

The average is a network of its own: it is saved with the model, and the weights in training stay as they
are. Every replica holds the same weights and computes the same average.

Reference: Acceleration of Stochastic Approximation by Averaging, Polyak and Juditsky, 1992.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_number

__all__ = ["AveragedNetwork", "copy_network"]


class AveragedNetwork:
    r"""The average over training steps of a network's weights.

    A model keeps it and the network of the averages, which is a layer of the model and so is saved with it,
    and moves it in `advance_state`:

    ```python
    self._average = AveragedNetwork(self.denoiser, 0.999)
    self.averaged_denoiser = self._average.network
    ...


    def advance_state(self, batch, *, seed, shared):
        self._average.update(self.training_steps)
    ```

    Trainable weights and moving statistics are averaged, other state is copied. The network of the averages
    is not trainable; setting `model.trainable = True` on the whole model would make it so.

    Args:
        source: The network in training, built.
        decay: $d$ per step in [0, 1], once the average is long. It begins fast: step t has a decay of
            $(1 + t) / (10 + t)$ at most.
        name: The argument that gives the decay, for errors.

    Cost: a second set of weights, and three operations for each weight in a step.

    Example:
        >>> network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        >>> average = AveragedNetwork(network, 0.5)
        >>> _ = network.layers[0].kernel.assign([[1.0]])
        >>> average.update(8)
        >>> average.network.get_weights()[0].item()
        0.5
    """

    def __init__(self, source: keras.Model, decay: float, *, name: str = "decay") -> None:
        self.decay = check_number(name, decay, minimum=0.0, maximum=1.0)
        self.source = source
        self.network = copy_network(source)

    def update(self, step: Any) -> None:
        """Moves the averages towards the weights of the network in training.

        Args:
            step: Number of training steps done before this one, a scalar.
        """
        step = tf.cast(step, tf.float32)
        rate = 1.0 - tf.minimum(self.decay, (1.0 + step) / (10.0 + step))
        for average, weight in zip(self.network.weights, self.source.weights, strict=True):
            value = tf.convert_to_tensor(weight.value)
            if value.dtype.is_floating:
                current = tf.convert_to_tensor(average.value)
                value = current + tf.cast(rate, current.dtype) * (value - current)
            average.assign(value)


def copy_network(network: keras.Model, prefix: str = "averaged") -> keras.Model:
    """Returns a network with the same layers and weights, which no gradient trains: `<prefix>_<name>`.

    Args:
        network: The network, built.
        prefix: What the copy's name begins with; a name that begins so already stays.
    """
    description = keras.saving.serialize_keras_object(network)
    if "name" in description["config"]:
        name = network.name
        description["config"]["name"] = name if name.startswith(prefix) else f"{prefix}_{name}"
    copy = keras.saving.deserialize_keras_object(description)
    if not copy.built:
        copy.build(network.input_shape)
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy
