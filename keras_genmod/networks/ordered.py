"""Base of dense networks over ordered variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import describe
from keras_genmod.core.noise import fresh_seed
from keras_genmod.networks.autoregressive import AutoregressiveNetwork, known_size

__all__ = ["OrderedNetwork", "check_ordering"]


class OrderedNetwork(AutoregressiveNetwork):
    """Base of dense networks that hold one or several orders of the variables.

    Args:
        event_shape, params_per_dim, condition: As in `AutoregressiveNetwork`.
        ordering: "natural", "reverse", "random", or the indices of the variables in the order of drawing.
        num_orders: Number of orders (or masks) the network holds; they differ if the ordering is random.
        seed: Seeds the orders and the initial weights.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        params_per_dim: int,
        *,
        ordering: Any = "natural",
        num_orders: int = 1,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, params_per_dim, **kwargs)
        self.num_orders = num_orders
        self._generator = np.random.default_rng(fresh_seed() if seed is None else seed)
        size = self.num_variables
        if isinstance(ordering, str):
            natural = np.arange(size)
            orders = [natural[::-1] if ordering == "reverse" else natural] * num_orders
            if ordering == "random":
                orders = [self._generator.permutation(size) for _ in range(num_orders)]
        else:
            orders = [np.asarray(ordering)] * num_orders
        # The orders are weights, so that files contain them and all workers get the chief's.
        self.orders = self._integers("orders", np.stack(orders))

    def _integers(self, name: str, values: np.ndarray) -> keras.Variable:
        return self.add_weight(
            shape=values.shape,
            initializer=lambda shape, dtype: tf.constant(values, dtype),
            dtype="int32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name=name,
        )

    def variables_in_order(self, order: Any = None) -> tf.Tensor:
        """Indices of the variables in the order of drawing, int32 `[D]`; `order` is an index of an order."""
        return tf.convert_to_tensor(self.orders)[0 if order is None else order]

    def _weight(self, variable: keras.Variable) -> tf.Tensor:
        return tf.cast(tf.convert_to_tensor(variable), self.compute_dtype)

    def _flat(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.reshape(x, [-1, self.num_variables]), self.compute_dtype)

    def _event(self, values: tf.TensorArray, variables: tf.Tensor) -> tf.Tensor:
        """Rearranges values from the order of drawing to events `[B, *event_shape]`."""
        x = tf.gather(values.stack(), tf.math.invert_permutation(variables))
        return tf.reshape(tf.transpose(x), [-1, *self.event_shape])

    def _values(self, num_rows: Any) -> tf.TensorArray:
        return tf.TensorArray(self.value_dtype, self.num_variables, element_shape=[known_size(num_rows)])


def check_ordering(ordering: Any, event_shape: Sequence[int]) -> Any:
    """Returns "natural", "reverse", "random", or a permutation of the variables' indices as a list."""
    size = math.prod(event_shape)
    if isinstance(ordering, str) and ordering in ("natural", "reverse", "random"):
        return ordering
    numbers = None if isinstance(ordering, str) else np.asarray(ordering)
    if numbers is None or numbers.shape != (size,) or not np.array_equal(np.sort(numbers), np.arange(size)):
        raise ValueError(
            f"`ordering` must be 'natural', 'reverse', 'random' or a permutation of the indices 0 to "
            f"{size - 1} of the variables, in the order of drawing; received {describe(ordering)}."
        )
    return [int(number) for number in numbers]
