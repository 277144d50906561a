"""Adam as one operation for each weight."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.registration import register

__all__ = ["FusedAdam"]


class _Shared:
    """The scalars that all weights of one update have in common, one set for each dtype and graph.

    A plain object: Keras would track a dictionary that is an attribute of an optimizer.
    """

    def __init__(self) -> None:
        self.scalars: dict[Any, tuple[tf.Tensor, ...]] = {}


@register
class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam, with the numbers of `keras.optimizers.Adam` to rounding.

    Keras writes an update as some forty operations for each weight. In a model with many small weights, such
    as a flow, they make up two thirds of the graph, and the first step waits until all are traced and
    optimised. Here TensorFlow's own kernel does the update, and what does not depend on the weight is
    computed once.

    Args:
        learning_rate, beta_1, beta_2, epsilon, **kwargs: As in `keras.optimizers.Adam`.

    Reference: Adam: A Method for Stochastic Optimization, Kingma and Ba, 2015.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        """Updates the weights by their gradients."""
        # Through `__dict__`, past Keras' tracking of attributes.
        self.__dict__["_shared"] = _Shared()
        try:
            return super().apply(grads, trainable_variables)
        finally:
            # The optimizer would keep the graph. Every replica comes here, and the first removes it.
            self.__dict__.pop("_shared", None)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one weight."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        dtype = tf.as_dtype(variable.dtype)
        index = self._get_variable_index(variable)
        handles = [
            (one.value if isinstance(one, keras.Variable) else one).handle
            for one in (variable, self._momentums[index], self._velocities[index])
        ]
        rate, *powers = self._scalars(dtype, learning_rate)
        tf.raw_ops.ResourceApplyAdam(
            var=handles[0],
            m=handles[1],
            v=handles[2],
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=rate,
            beta1=powers[2],
            beta2=powers[3],
            epsilon=powers[4],
            grad=tf.cast(gradient, dtype),
        )

    def _scalars(self, dtype: tf.DType, learning_rate: Any) -> tuple[tf.Tensor, ...]:
        """Learning rate, powers of both betas, both betas, and epsilon."""
        shared = self.__dict__.get("_shared") or _Shared()
        key = (dtype, None if tf.executing_eagerly() else id(tf.compat.v1.get_default_graph()))
        if key not in shared.scalars:
            step = tf.cast(tf.convert_to_tensor(self.iterations) + 1, dtype)
            beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
            shared.scalars[key] = (
                tf.cast(tf.convert_to_tensor(learning_rate), dtype),
                tf.pow(beta_1, step),
                tf.pow(beta_2, step),
                beta_1,
                beta_2,
                tf.constant(self.epsilon, dtype),
            )
        return shared.scalars[key]
