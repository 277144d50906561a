r"""Networks in which each variable's parameters depend on the variables before it.

Given an order of the variables of x, such a network computes parameters $\theta_d = \theta_d(x_{<d})$, so
that $p(x) = \prod_d p(x_d \mid \theta_d)$ is a density. Sampling draws one variable at a time, each from the
parameters that the variables before it determine. `generate_naively` runs the whole network once per
variable; each network's own `generate` does about the work of one pass in total.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.precision import real_dtype

__all__ = [
    "AutoregressiveNetwork",
    "Emit",
    "encode_condition",
    "encoded_size",
    "generate_naively",
    "known_size",
]

# (index of the variable: int32 scalar, its raw parameters [B, P]) -> its value, float32 [B].
Emit = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Standardize = Callable[[tf.Tensor], tf.Tensor]


class AutoregressiveNetwork(keras.layers.Layer):
    """Base of networks that map x to the raw parameters of each variable given the variables before it.

    Variables are indexed as in the flattened event. A network may hold several orders; what an `order`
    argument may be is up to the network's class, and None means the first order.

    Args:
        event_shape: Shape of x without the batch axis.
        params_per_dim: Number of raw parameters of one variable.
        condition: What the network is conditioned on.
    """

    num_orders = 1

    def __init__(
        self,
        event_shape: Sequence[int],
        params_per_dim: int,
        *,
        condition: ConditionSpec | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.event_shape = tuple(event_shape)
        self.params_per_dim = params_per_dim
        self.condition = condition or ConditionSpec()

    @property
    def num_variables(self) -> int:
        """Number of scalar variables in an event."""
        return math.prod(self.event_shape)

    @property
    def value_dtype(self) -> tf.DType:
        """Dtype of the variables' values: float64 under a float64 policy, float32 under every other."""
        return real_dtype(self.dtype_policy)

    def call(
        self, x: tf.Tensor, condition: Any = None, order: Any = None, training: bool = False
    ) -> tf.Tensor:
        """The raw parameters of all variables at once.

        Args:
            x: Standardised data `[B, *event_shape]`.
            condition: One condition per row, `[B, ...]`.
            order: One of the network's orders.
            training: Whether layers run in training mode.

        Returns:
            `[B, *event_shape[:-1], P * C]` for C channels; parameter p of channel c is at index p * C + c.
        """
        raise TypeError(f"{type(self).__name__} must define `call`.")

    def variables_in_order(self, order: Any = None) -> tf.Tensor:
        """Indices of the variables in the order in which they are drawn, int32 `[D]`."""
        return tf.range(self.num_variables)

    def generate(
        self,
        emit: Emit,
        num_rows: Any,
        *,
        standardize: Standardize,
        condition: Any = None,
        order: Any = None,
    ) -> tf.Tensor:
        """Generates examples one variable at a time without computing anything twice.

        Args:
            emit: Computes a variable's value from its raw parameters.
            num_rows: Number of examples.
            standardize: Maps values to the network's inputs.
            condition: One condition per row, `[B, ...]`.
            order: One of the network's orders.

        Returns:
            Float32 `[num_rows, *event_shape]`.
        """
        raise TypeError(f"{type(self).__name__} must define `generate`.")

    def _by_variable(self, params: tf.Tensor) -> tf.Tensor:
        """Rearranges the output of `call` to `[B, P, D]`."""
        channels = self.event_shape[-1]
        params = tf.reshape(params, [-1, self.num_variables // channels, self.params_per_dim, channels])
        params = tf.transpose(params, [0, 2, 1, 3])
        return tf.reshape(params, [-1, self.params_per_dim, self.num_variables])

    def _by_channel(self, params: tf.Tensor) -> tf.Tensor:
        """The inverse of `_by_variable`."""
        channels = self.event_shape[-1]
        params = tf.reshape(params, [-1, self.params_per_dim, self.num_variables // channels, channels])
        params = tf.transpose(params, [0, 2, 1, 3])
        return tf.reshape(params, [-1, *self.event_shape[:-1], self.params_per_dim * channels])


def encode_condition(
    spec: ConditionSpec, condition: Any, dtype: Any, sides: tuple[int, ...] | None = None
) -> tf.Tensor | None:
    """The condition as float vectors `[B, E]`, or as `[B, H, W, E]` if its height and width are `sides`."""
    if condition is None:
        return None
    if spec.num_classes is not None:
        return tf.one_hot(condition, spec.num_classes, dtype=dtype)
    condition = tf.cast(condition, dtype)
    return condition if _is_spatial(spec, sides) else tf.reshape(condition, [-1, math.prod(spec.row_shape)])


def encoded_size(spec: ConditionSpec, sides: tuple[int, ...] | None = None) -> int | None:
    """Number of channels E of the encoded condition; None if there is no condition."""
    if not spec:
        return None
    if spec.num_classes is not None:
        return spec.num_classes
    return spec.row_shape[-1] if _is_spatial(spec, sides) else math.prod(spec.row_shape)


def _is_spatial(spec: ConditionSpec, sides: tuple[int, ...] | None) -> bool:
    return sides is not None and len(spec.row_shape) == 3 and spec.row_shape[:2] == tuple(sides)


def known_size(num_rows: Any) -> int | None:
    """The number of rows as a static size; None if it is known only when the graph runs."""
    return num_rows if isinstance(num_rows, int) else None


def generate_naively(
    network: AutoregressiveNetwork,
    emit: Emit,
    num_rows: Any,
    *,
    standardize: Standardize,
    condition: Any = None,
    order: Any = None,
) -> tf.Tensor:
    """Generates examples by definition: one pass through the whole network per variable.

    This is the reference that the faster `network.generate` is compared with.

    Cost: as many passes as an event has variables.
    """
    size = network.num_variables
    variables = network.variables_in_order(order)

    def body(step: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        variable = variables[step]
        data = standardize(tf.reshape(x, [-1, *network.event_shape]))
        params = network._by_variable(network(data, condition, order=order))
        value = emit(variable, tf.gather(params, variable, axis=2))
        return step + 1, tf.where(tf.range(size) == variable, value[:, None], x)

    _, x = tf.while_loop(
        lambda step, _: step < size,
        body,
        (0, tf.zeros([num_rows, size], network.value_dtype)),
        maximum_iterations=size,
    )
    return tf.reshape(x, [-1, *network.event_shape])
