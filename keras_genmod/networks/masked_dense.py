"""Dense networks over variables in an order: the masked network of MADE and the shared one of NADE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.noise import fresh_seed
from keras_genmod.layers.masked_dense import MaskedDense
from keras_genmod.networks.autoregressive import (
    AutoregressiveNetwork,
    Emit,
    Standardize,
    encode_condition,
    encoded_size,
)
from keras_genmod.networks.building import initializers

__all__ = ["MaskedDenseNetwork", "NADENetwork", "OrderedNetwork"]

# Numbers of values in one block of NADE's hidden units: few enough to stay in a core's cache.
_NADE_BLOCK = 28


class OrderedNetwork(AutoregressiveNetwork):
    """Base of dense networks that hold one or several orders of the variables.

    Args:
        event_shape, params_per_dim, condition: as in `AutoregressiveNetwork`.
        ordering: "natural", "random", or the numbers of the variables, the first to be drawn in front.
        num_orders: how many orders (or masks) the network holds. With a random ordering they differ.
        seed: of orders and initial weights.
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
            orders = [np.arange(size) for _ in range(num_orders)]
            if ordering == "random":
                orders = [self._generator.permutation(size) for _ in range(num_orders)]
        else:
            orders = [np.asarray(ordering)] * num_orders
        # Weights, so that a file holds them and all workers have the chief's.
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
        """The numbers of the variables, int32 `[D]`; `order` is the number of one of the orders held."""
        return tf.convert_to_tensor(self.orders)[0 if order is None else order]

    def _weight(self, variable: keras.Variable) -> tf.Tensor:
        return tf.cast(tf.convert_to_tensor(variable), self.compute_dtype)

    def _flat(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.reshape(x, [-1, self.num_variables]), self.compute_dtype)

    def _event(self, values: tf.TensorArray, variables: tf.Tensor) -> tf.Tensor:
        """Values in the order in which they were drawn to events `[B, *event_shape]`."""
        x = tf.gather(values.stack(), tf.math.invert_permutation(variables))
        return tf.reshape(tf.transpose(x), [-1, *self.event_shape])

    def _values(self, num_rows: Any) -> tf.TensorArray:
        rows = num_rows if isinstance(num_rows, int) else None
        return tf.TensorArray(tf.float32, self.num_variables, element_shape=[rows])


class MaskedDenseNetwork(OrderedNetwork):
    r"""Dense layers masked so that each output sees earlier variables only.

    Every hidden unit has a degree $m$ from 1 to D - 1 and sees the units of degree up to $m$ below it, of
    the variables the first $m$; the outputs for the variable at place $d$ of the order see hidden units of
    degree below $d$. Degrees are spread evenly, and shuffled where there are several masks.

    Args:
        event_shape, params_per_dim, condition, ordering, num_orders, seed: as in `OrderedNetwork`.
        hidden_dims: units of the hidden layers; () for none.
        activation: of the hidden layers.
        direct: whether the outputs see earlier variables directly too.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        params_per_dim: int = 1,
        *,
        hidden_dims: Sequence[int] = (500,),
        activation: Any = "relu",
        direct: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, params_per_dim, seed=seed, **kwargs)
        self.hidden_dims = tuple(hidden_dims)
        self.activation = keras.activations.get(activation)
        kernels = initializers("glorot_uniform", seed)
        num_variables = self.num_variables
        # Masked connections leave fewer inputs, but few enough only for the first variables.
        self.layers, self.condition_layers, self.degrees = [], [], []
        size = num_variables
        for number, units in enumerate(self.hidden_dims, 1):
            self.degrees.append(self._integers(f"degrees_{number}", self._spread(units)))
            self.layers.append(self._dense(size, units, next(kernels), f"hidden_{number}"))
            self.condition_layers.append(self._condition_layer(units, next(kernels), f"condition_{number}"))
            size = units
        outputs = params_per_dim * num_variables
        self.output_layer = self._dense(size, outputs, next(kernels), "outputs") if hidden_dims else None
        self.direct = None
        if direct:
            # From zeros: a variable that training never sees at work must say nothing.
            self.direct = self._dense(num_variables, outputs, "zeros", "direct", not hidden_dims)
        self.output_condition = self._condition_layer(outputs, next(kernels), "condition_outputs")
        self.built = True

    def _dense(self, inputs: int, units: int, kernel: Any, name: str, use_bias: bool = True) -> MaskedDense:
        layer = MaskedDense(
            units, use_bias=use_bias, kernel_initializer=kernel, dtype=self.dtype_policy, name=name
        )
        layer.build((None, inputs))
        return layer

    def _condition_layer(self, units: int, kernel: Any, name: str) -> keras.layers.Dense | None:
        if not self.condition:
            return None
        layer = keras.layers.Dense(
            units, use_bias=False, kernel_initializer=kernel, dtype=self.dtype_policy, name=name
        )
        layer.build((None, encoded_size(self.condition)))
        return layer

    def _spread(self, units: int) -> np.ndarray:
        """Degrees `[num_orders, units]`, each of 1 to D - 1 as often as any other, but for one."""
        places = np.arange(units)
        largest = max(1, self.num_variables - 1)
        degrees = []
        for _ in range(self.num_orders):
            # A random start gives each degree its chance where there are fewer units than degrees.
            start = self._generator.random() if self.num_orders > 1 else 0.0
            drawn = 1 + np.floor((places + start) * largest / units).astype(int)
            degrees.append(self._generator.permutation(drawn) if self.num_orders > 1 else drawn)
        return np.stack(degrees)

    def _largest_group(self, units: int) -> int:
        """How many hidden units of a layer have the same degree at most."""
        return math.ceil(units / max(1, self.num_variables - 1))

    def call(
        self, x: tf.Tensor, condition: Any = None, order: Any = None, training: bool = False
    ) -> tf.Tensor:
        """The raw parameters of all variables."""
        order = 0 if order is None else order
        condition = encode_condition(self.condition, condition, self.compute_dtype)
        x = self._flat(x)
        # The place of each variable in the order, from 1 on.
        places = tf.math.invert_permutation(self.variables_in_order(order)) + 1
        below, h = places, x
        for layer, degrees, add in zip(self.layers, self.degrees, self.condition_layers, strict=True):
            own = tf.convert_to_tensor(degrees)[order]
            h = layer(h, kernel_mask=below[:, None] <= own[None, :])
            h = self.activation(h if add is None else h + add(condition))
            below = own
        outputs = tf.tile(places, [self.params_per_dim])
        parts = []
        if self.output_layer is not None:
            parts.append(self.output_layer(h, kernel_mask=below[:, None] < outputs[None, :]))
        if self.direct is not None:
            parts.append(self.direct(x, kernel_mask=places[:, None] < outputs[None, :]))
        if self.output_condition is not None:
            parts.append(self.output_condition(condition))
        return self._by_channel(tf.add_n(parts))

    def generate(
        self,
        emit: Emit,
        num_rows: Any,
        *,
        standardize: Standardize,
        condition: Any = None,
        order: Any = None,
    ) -> tf.Tensor:
        """Makes examples a variable at a time; each hidden unit is computed once.

        What a variable or unit says to the layer above is added there as soon as it is known, and a unit is
        read when its last input has been added. What it is told later no longer matters: no masks here.

        Cost: about one unmasked pass, in D steps one after the other.
        """
        order = 0 if order is None else order
        condition = encode_condition(self.condition, condition, self.compute_dtype)
        variables = self.variables_in_order(order)
        size, num_params = self.num_variables, self.params_per_dim
        layers = [layer for layer in (*self.layers, self.output_layer) if layer is not None]
        kernels = [self._weight(layer.kernel) for layer in layers]
        direct = None if self.direct is None else self._weight(self.direct.kernel)
        groups = [self._group_table(degrees, order) for degrees in self.degrees]
        sums = self._initial_sums(condition, num_rows)

        def body(step: tf.Tensor, sums: list, values: tf.TensorArray) -> tuple:
            variable = variables[step]
            *sums, outputs = sums
            params = tf.reshape(outputs, [-1, num_params, size])
            value = emit(variable, tf.gather(params, variable, axis=2))
            known = tf.cast(standardize(value), self.compute_dtype)[:, None]
            if direct is not None:
                outputs += known * direct[variable]
            # What became known on the floor below: first the variable, then the units of its degree.
            message = known * kernels[0][variable] if kernels else None
            for index, (units, exists) in enumerate(groups):
                sums[index] += message
                h = self.activation(tf.gather(sums[index], units[step], axis=1)) * exists[step]
                message = tf.matmul(h, tf.gather(kernels[index + 1], units[step]))
            if kernels:
                outputs += message
            return step + 1, [*sums, outputs], values.write(step, value)

        _, _, values = tf.while_loop(
            lambda step, *_: step < size,
            body,
            (0, sums, self._values(num_rows)),
            maximum_iterations=size,
            parallel_iterations=1,
        )
        return self._event(values, variables)

    def _initial_sums(self, condition: tf.Tensor | None, num_rows: Any) -> list[tf.Tensor]:
        """What each layer's units sum to before any variable is known: bias and condition."""
        last = self.direct if self.output_layer is None else self.output_layer
        sums = []
        for layer, add in zip(
            (*self.layers, last), (*self.condition_layers, self.output_condition), strict=True
        ):
            total = tf.broadcast_to(self._weight(layer.bias), [num_rows, layer.units])
            sums.append(total if add is None else total + add(condition))
        return sums

    def _group_table(self, degrees: keras.Variable, order: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Row t: the units of degree t + 1, filled up to one length, and which of them exist."""
        own = tf.convert_to_tensor(degrees)[order]
        units = own.shape[0]
        sorted_units = tf.argsort(own, stable=True)
        wanted = tf.range(1, self.num_variables + 1)
        first = tf.reduce_sum(tf.cast(own[None, :] < wanted[:, None], tf.int32), axis=1)
        count = tf.reduce_sum(tf.cast(own[None, :] == wanted[:, None], tf.int32), axis=1)
        places = tf.range(self._largest_group(units))
        table = tf.gather(sorted_units, tf.minimum(first[:, None] + places, units - 1))
        return table, tf.cast(places < count[:, None], self.compute_dtype)


class NADENetwork(OrderedNetwork):
    r"""One hidden layer for each variable, with shared weights.

    $$ h_d = f\Big(c + \sum_{j < d} x_j W_j\Big), \qquad \theta_d = b_d + V_d h_d $$

    in the order of the variables. The sums of neighbours differ by one term, so all D hidden layers cost
    O(D H) instead of O(D^2 H).

    Args:
        event_shape, params_per_dim, condition, ordering, num_orders, seed: as in `OrderedNetwork`.
        hidden_dim: units H of the hidden layer.
        activation: of the hidden layer.
        mask_inputs: whether the hidden layer also hears which variables are known, as a network for many
            orders must.
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
        if self.condition:
            self.condition_kernel = weight("condition_kernel", encoded_size(self.condition), hidden_dim)
            self.output_condition_kernel = weight(
                "output_condition_kernel", encoded_size(self.condition), size * params_per_dim
            )
        self.built = True

    def variables_in_order(self, order: Any = None) -> tf.Tensor:
        """The numbers of the variables; `order` may also be such a permutation itself."""
        if order is not None and tf.is_tensor(order) and order.shape.rank == 1:
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

        Variables are taken in blocks: within one, the sums over earlier variables of the block are a product
        with a lower triangle of their values, which costs less than adding one at a time.
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
        for start in range(0, self.num_variables, _NADE_BLOCK):
            block = slice(start, start + _NADE_BLOCK)
            values = tf.transpose(x[:, block])
            length = values.shape[0]
            before = tf.linalg.band_part(tf.ones([length, length], x.dtype), -1, 0)
            before -= tf.eye(length, dtype=x.dtype)
            # [d, B, j]: the value of j where j comes before d.
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
        """Makes examples a variable at a time; the sums of the hidden units grow by one term a step.

        Cost: O(H) a variable.
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
