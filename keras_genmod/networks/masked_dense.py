"""The masked dense network of MADE and FVSBN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.layers.masked_dense import MaskedDense
from keras_genmod.networks.autoregressive import Emit, Standardize, encode_condition, encoded_size
from keras_genmod.networks.building import initializers
from keras_genmod.networks.ordered import OrderedNetwork

__all__ = ["MaskedDenseNetwork"]


class MaskedDenseNetwork(OrderedNetwork):
    r"""Dense layers masked so that each output depends on earlier variables only.

    Every hidden unit has a degree $m$ from 1 to D - 1. A unit of the first hidden layer takes the first $m$
    variables of the order; a unit of a later layer takes the units of degree at most $m$ of the layer before
    it. The outputs for the $d$-th variable of the order take hidden units of degree below $d$. Degrees are
    spread evenly, and shuffled if there are several masks.

    Args:
        event_shape, params_per_dim, condition, ordering, num_orders, seed: As in `OrderedNetwork`.
        hidden_dims: Numbers of units of the hidden layers; () for none.
        activation: Activation of the hidden layers.
        direct_connections: Whether the outputs also take the earlier variables directly.
        output_initializer: Initializer of the last layer's kernel; None uses Glorot uniform.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        params_per_dim: int = 1,
        *,
        hidden_dims: Sequence[int] = (500,),
        activation: Any = "relu",
        direct_connections: bool = False,
        output_initializer: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, params_per_dim, seed=seed, **kwargs)
        self.hidden_dims = tuple(hidden_dims)
        if not self.hidden_dims and not direct_connections:
            raise ValueError(
                "A network without hidden layers needs `direct_connections=True`; received hidden_dims=() "
                "and direct_connections=False. Pass one of the two."
            )
        self.activation = keras.activations.get(activation)
        kernels = initializers("glorot_uniform", seed)
        num_variables = self.num_variables
        # Glorot's scale counts the masked inputs too, which matters for the first few variables only.
        self.layers, self.condition_layers, self.degrees = [], [], []
        size = num_variables
        for number, units in enumerate(self.hidden_dims, 1):
            self.degrees.append(self._integers(f"degrees_{number}", self._spread(units)))
            self.layers.append(self._dense(size, units, next(kernels), f"hidden_{number}"))
            self.condition_layers.append(self._condition_layer(units, next(kernels), f"condition_{number}"))
            size = units
        outputs = params_per_dim * num_variables
        last = [next(kernels) if output_initializer is None else output_initializer for _ in range(2)]
        self.output_layer = self._dense(size, outputs, last[0], "outputs") if hidden_dims else None
        self.direct = None
        if direct_connections:
            # Zeros, so that a variable which is constant in the training data contributes nothing.
            self.direct = self._dense(num_variables, outputs, "zeros", "direct", not hidden_dims)
        self.output_condition = self._condition_layer(outputs, last[1], "condition_outputs")
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
        """Degrees `[num_orders, units]`; the counts of the degrees 1 to D - 1 differ by at most one."""
        places = np.arange(units)
        largest = max(1, self.num_variables - 1)
        degrees = []
        for _ in range(self.num_orders):
            # With fewer units than degrees, a random start lets every degree occur in some mask.
            start = self._generator.random() if self.num_orders > 1 else 0.0
            drawn = 1 + np.floor((places + start) * largest / units).astype(int)
            degrees.append(self._generator.permutation(drawn) if self.num_orders > 1 else drawn)
        return np.stack(degrees)

    def _largest_group(self, units: int) -> int:
        """The largest possible number of a layer's hidden units of one degree."""
        return math.ceil(units / max(1, self.num_variables - 1))

    def call(
        self, x: tf.Tensor, condition: Any = None, order: Any = None, training: bool = False
    ) -> tf.Tensor:
        """The raw parameters of all variables."""
        order = 0 if order is None else order
        condition = encode_condition(self.condition, condition, self.compute_dtype)
        x = self._flat(x)
        # The position of each variable in the order, counted from 1.
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
        """Generates examples one variable at a time; each hidden unit is computed once.

        As soon as a variable or unit is known, its contribution is added to the sums of the next layer, and a
        unit is evaluated once its last unmasked input has been added. Later contributions come too late to
        have an effect, so no masks are needed.

        Cost: about one unmasked pass, in D sequential steps.
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
            # The contribution of what the layer before just computed: the variable, then its degree's units.
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
        """Each layer's sums before any variable is known: the bias and the condition's contribution."""
        last = self.direct if self.output_layer is None else self.output_layer
        layers = [layer for layer in (*self.layers, last) if layer is not None]
        sums = []
        for layer, add in zip(layers, (*self.condition_layers, self.output_condition), strict=True):
            total = tf.broadcast_to(self._weight(layer.bias), [num_rows, layer.units])
            sums.append(total if add is None else total + add(condition))
        return sums

    def _group_table(self, degrees: keras.Variable, order: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Row t holds the units of degree t + 1, padded to a common length, and which of them are real."""
        own = tf.convert_to_tensor(degrees)[order]
        units = own.shape[0]
        sorted_units = tf.argsort(own, stable=True)
        wanted = tf.range(1, self.num_variables + 1)
        first = tf.reduce_sum(tf.cast(own[None, :] < wanted[:, None], tf.int32), axis=1)
        count = tf.reduce_sum(tf.cast(own[None, :] == wanted[:, None], tf.int32), axis=1)
        places = tf.range(self._largest_group(units))
        table = tf.gather(sorted_units, tf.minimum(first[:, None] + places, units - 1))
        return table, tf.cast(places < count[:, None], self.compute_dtype)
