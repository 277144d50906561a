"""The network of NADE: one hidden layer per variable, with shared weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.networks.autoregressive import Emit, Standardize, encode_condition, encoded_size
from keras_genmod.networks.building import initializers
from keras_genmod.networks.ordered import OrderedNetwork

__all__ = ["NADENetwork"]

# Variables whose hidden layers are computed together: few enough to stay in a core's cache.
_BLOCK = 28


class NADENetwork(OrderedNetwork):
    r"""One hidden layer per variable, with shared weights.

    $$ h_d = f\Big(c + \sum_{j < d} x_j W_j\Big), \qquad \theta_d = b_d + V_d h_d $$

    with d and j counted in the order of the variables. The sums of consecutive variables differ by one term,
    so all D hidden layers cost O(D H) instead of O(D^2 H).

    Args:
        event_shape, params_per_dim, condition, ordering, num_orders, seed: As in `OrderedNetwork`.
        hidden_dim: Number of units H of the hidden layer.
        activation: Activation of the hidden layer.
        mask_inputs: Whether the hidden layer also takes which variables are known; a network for many
            orders needs this.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        params_per_dim: int = 1,
        *,
        hidden_dim: int = 500,
        activation: Any = "sigmoid",
        mask_inputs: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, params_per_dim, seed=seed, **kwargs)
        self.hidden_dim = hidden_dim
        self.activation = keras.activations.get(activation)
        kernels = initializers("glorot_uniform", seed)
        size = self.num_variables

        def weight(name: str, *shape: int) -> keras.Variable:
            initializer = "zeros" if name.endswith("bias") else next(kernels)
            return self.add_weight(shape=shape, initializer=initializer, name=name)

        self.kernel = weight("kernel", size, hidden_dim)
        self.mask_kernel = weight("mask_kernel", size, hidden_dim) if mask_inputs else None
        self.bias = weight("bias", hidden_dim)
        self.output_kernel = weight("output_kernel", size, params_per_dim * hidden_dim)
        self.output_bias = weight("output_bias", size, params_per_dim)
        self.condition_kernel = self.output_condition_kernel = None
        encoded = encoded_size(self.condition)
        if encoded is not None:
            self.condition_kernel = weight("condition_kernel", encoded, hidden_dim)
            self.output_condition_kernel = weight("output_condition_kernel", encoded, size * params_per_dim)
        self.built = True

    def variables_in_order(self, order: Any = None) -> tf.Tensor:
        """Indices of the variables in the order of drawing; `order` may also be such a permutation."""
        order = None if order is None else tf.convert_to_tensor(order, tf.int32)
        if order is not None and order.shape.rank == 1:
            return order
        return super().variables_in_order(order)

    def _hidden_bias(self, condition: tf.Tensor | None, num_rows: Any) -> tf.Tensor:
        bias = tf.broadcast_to(self._weight(self.bias), [num_rows, self.hidden_dim])
        return bias if condition is None else bias + tf.matmul(condition, self._weight(self.condition_kernel))

    def _output_condition(self, condition: tf.Tensor | None) -> tf.Tensor | None:
        """What the condition adds to the outputs, `[B, D, P]`."""
        if condition is None:
            return None
        added = tf.matmul(condition, self._weight(self.output_condition_kernel))
        return tf.reshape(added, [-1, self.num_variables, self.params_per_dim])

    def _output_weights(self) -> tf.Tensor:
        """The kernels of the outputs, `[D, P, H]`."""
        shape = [self.num_variables, self.params_per_dim, self.hidden_dim]
        return tf.reshape(self._weight(self.output_kernel), shape)

    def call(
        self, x: tf.Tensor, condition: Any = None, order: Any = None, training: bool = False
    ) -> tf.Tensor:
        """The raw parameters of all variables.

        Variables are processed in blocks. Within a block, the sums over earlier variables are one product
        with a strictly lower triangular matrix of their values, which is faster than adding one at a time.
        """
        condition = encode_condition(self.condition, condition, self.compute_dtype)
        variables = self.variables_in_order(order)
        x = tf.gather(self._flat(x), variables, axis=1)
        kernel = tf.gather(self._weight(self.kernel), variables)
        outputs = tf.gather(self._output_weights(), variables)
        mask_kernel = None
        if self.mask_kernel is not None:
            mask_kernel = tf.gather(self._weight(self.mask_kernel), variables)
        num_rows = tf.shape(x)[0]
        sums = self._hidden_bias(condition, num_rows)
        parts = []
        for start in range(0, self.num_variables, _BLOCK):
            block = slice(start, start + _BLOCK)
            values = tf.transpose(x[:, block])
            length = values.shape[0]
            before = tf.linalg.band_part(tf.ones([length, length], x.dtype), -1, 0)
            before -= tf.eye(length, dtype=x.dtype)
            # [d, B, j]: the value of variable j if j comes before d, else 0.
            earlier = before[:, None, :] * tf.transpose(values)[None]
            hidden = tf.matmul(tf.reshape(earlier, [-1, length]), kernel[block])
            hidden = tf.reshape(hidden, [length, -1, self.hidden_dim]) + sums
            told = tf.matmul(values, kernel[block], transpose_a=True)
            if mask_kernel is not None:
                hidden += tf.matmul(before, mask_kernel[block])[:, None]
                told += tf.reduce_sum(mask_kernel[block], axis=0)
            sums += told
            parts.append(tf.matmul(self.activation(hidden), outputs[block], transpose_b=True))
        params = tf.gather(tf.concat(parts, axis=0), tf.math.invert_permutation(variables))
        params = tf.transpose(params, [1, 0, 2]) + self._weight(self.output_bias)
        added = self._output_condition(condition)
        params = params if added is None else params + added
        return self._by_channel(tf.transpose(params, [0, 2, 1]))

    def generate(
        self,
        emit: Emit,
        num_rows: Any,
        *,
        standardize: Standardize,
        condition: Any = None,
        order: Any = None,
    ) -> tf.Tensor:
        """Generates examples one variable at a time; each step adds one term to the hidden units' sums.

        Cost: O(H) per variable.
        """
        condition = encode_condition(self.condition, condition, self.compute_dtype)
        variables = self.variables_in_order(order)
        kernel, outputs = self._weight(self.kernel), self._output_weights()
        mask_kernel = None if self.mask_kernel is None else self._weight(self.mask_kernel)
        bias, added = self._weight(self.output_bias), self._output_condition(condition)

        def body(step: tf.Tensor, sums: tf.Tensor, values: tf.TensorArray) -> tuple:
            variable = variables[step]
            params = tf.matmul(self.activation(sums), outputs[variable], transpose_b=True) + bias[variable]
            if added is not None:
                params += tf.gather(added, variable, axis=1)
            value = emit(variable, params)
            told = tf.cast(standardize(value), self.compute_dtype)[:, None] * kernel[variable]
            told = told if mask_kernel is None else told + mask_kernel[variable]
            return step + 1, sums + told, values.write(step, value)

        _, _, values = tf.while_loop(
            lambda step, *_: step < self.num_variables,
            body,
            (0, self._hidden_bias(condition, num_rows), self._values(num_rows)),
            maximum_iterations=self.num_variables,
            parallel_iterations=1,
        )
        return self._event(values, variables)
