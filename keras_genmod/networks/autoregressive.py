r"""Networks in which each variable's parameters depend on the variables before it.

For an order of the variables of x, such a network gives parameters $\theta_d = \theta_d(x_{<d})$, so that
$p(x) = \prod_d p(x_d \mid \theta_d)$ is a density, and its inverse reading makes an x: one variable at a
time, each from the parameters that those before it give. A whole pass a variable would do (that is
`generate_naively`); `generate` of each network does it with about the work of one pass in all.
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

# (number of the variable: int32 scalar, its raw parameters [B, P]) -> its value, float32 [B].
Emit = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Standardize = Callable[[tf.Tensor], tf.Tensor]


class AutoregressiveNetwork(keras.layers.Layer):
    """Base of networks from x to the raw parameters of each of its variables, given those before it.

    Variables are numbered as in the flattened event. A network may know several orders; an `order` is
    whatever the network takes for one (see its class), None the first.

    Args:
        event_shape: shape of x without the batch axis.
        params_per_dim: raw parameters of one variable.
        condition: what the network is conditioned on.
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
        """How many numbers an event has."""
        return math.prod(self.event_shape)

    @property
    def value_dtype(self) -> tf.DType:
        """Of the values of variables: float32 whatever the policy, but for float64."""
        return real_dtype(self.dtype_policy)

    def call(
        self, x: tf.Tensor, condition: Any = None, order: Any = None, training: bool = False
    ) -> tf.Tensor:
        """The raw parameters of all variables at once.

        Args:
            x: standardised data `[B, *event_shape]`.
            condition: `[B, ...]`.
            order: one of the network's orders.
            training: whether layers act as in training.

        Returns:
            `[B, *event_shape[:-1], P * event_shape[-1]]`, the P parameters of a channel at p * C + c.
        """
        raise TypeError(f"{type(self).__name__} must define `call`.")

    def variables_in_order(self, order: Any = None) -> tf.Tensor:
        """The numbers of the variables, int32 `[D]`, the first to be drawn in front."""
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
        """Makes examples a variable at a time, computing nothing twice.

        Args:
            emit: gives the value of a variable from its raw parameters.
            num_rows: number of examples.
            standardize: from values to what the network takes.
            condition: `[B, ...]`.
            order: one of the network's orders.

        Returns:
            Float32 `[num_rows, *event_shape]`.
        """
        raise TypeError(f"{type(self).__name__} must define `generate`.")

    def _by_variable(self, params: tf.Tensor) -> tf.Tensor:
        """Parameters as `call` gives them to `[B, P, D]`."""
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
    """The condition as float vectors `[B, E]`, or `[B, H, W, E]` where it has the image's `sides`."""
    if condition is None:
        return None
    if spec.num_classes is not None:
        return tf.one_hot(condition, spec.num_classes, dtype=dtype)
    condition = tf.cast(condition, dtype)
    return condition if _is_spatial(spec, sides) else tf.reshape(condition, [-1, math.prod(spec.shape)])


def encoded_size(spec: ConditionSpec, sides: tuple[int, ...] | None = None) -> int | None:
    """Channels E of the encoded condition, None where there is no condition."""
    if not spec:
        return None
    if spec.num_classes is not None:
        return spec.num_classes
    return spec.shape[-1] if _is_spatial(spec, sides) else math.prod(spec.shape)


def _is_spatial(spec: ConditionSpec, sides: tuple[int, ...] | None) -> bool:
    return sides is not None and len(spec.shape) == 3 and spec.shape[:2] == tuple(sides)


def known_size(num_rows: Any) -> int | None:
    """The number of rows as a static size, None where only the running graph knows it."""
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
    """`network.generate` by its definition: a pass through the whole network for each variable.

    The reference that the fast way is held to.

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
