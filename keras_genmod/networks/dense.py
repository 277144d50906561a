"""Fully connected default networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_integers, check_shape_tuple
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.networks.building import finish, initializers, start, under_its_policy

__all__ = ["dense_network"]


@under_its_policy
def dense_network(
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    hidden_dims: Sequence[int] = (512, 256),
    activation: Any = "relu",
    output_initializer: Any = None,
    num_classes: int | None = None,
    condition_shape: Sequence[int] | None = None,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "dense_network",
) -> keras.Model:
    """A multilayer perceptron from `[B, *input_shape]` to raw outputs `[B, *output_shape]`.

    Args:
        input_shape: Shape of one input, which is flattened.
        output_shape: Shape of one output; the last layer is linear.
        hidden_dims: Widths of the hidden layers, first layer first.
        activation: Activation of the hidden layers.
        output_initializer: Initializer of the last layer's kernel; None uses Glorot uniform.
        num_classes, condition_shape: What the network is conditioned on; the condition is appended to the
            flattened input.
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights (He normal; Glorot uniform in the last layer).
        name: Name of the network.

    Returns:
        A built `keras.Model` of `x`, or of `[x, condition]`.

    Cost: one multiplication and addition per weight and example.

    Example:
        >>> dense_network((784,), (20,), hidden_dims=(64,)).count_params()
        51540
    """
    input_shape = check_shape_tuple("input_shape", input_shape)
    output_shape = check_shape_tuple("output_shape", output_shape)
    hidden_dims = check_integers("hidden_dims", hidden_dims)
    hidden = initializers("he_normal", seed)
    condition = ConditionSpec.of(num_classes, condition_shape)
    inputs, h = start(input_shape, condition, flatten=True)
    for index, width in enumerate(hidden_dims):
        h = keras.layers.Dense(
            width,
            activation=activation,
            kernel_initializer=next(hidden),
            dtype=dtype,
            name=f"hidden_{index}",
        )(h)
    return finish(
        inputs, h, output_shape, seed=seed, dtype=dtype, name=name, kernel_initializer=output_initializer
    )
