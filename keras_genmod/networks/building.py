"""Pieces that the default builders share."""

from __future__ import annotations

import dataclasses
import functools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_number
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.precision import real_dtype
from keras_genmod.layers.conditioning import ConcatenateCondition

__all__ = [
    "cropped",
    "finish",
    "halved_sides",
    "hidden_and_last",
    "image_filters",
    "initializers",
    "network",
    "start",
    "under_its_policy",
]


def under_its_policy(builder: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """Decorates a builder, so that all its layers and inputs have its `dtype`, not the global policy's.

    A layer that is built without a dtype, such as a `Reshape`, casts its input to the global policy's.
    """

    @functools.wraps(builder)
    def build(*args: Any, dtype: Any = None, **kwargs: Any) -> keras.Model:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(keras.dtype_policies.get(dtype))
        try:
            return builder(*args, dtype=dtype, **kwargs)
        finally:
            keras.config.set_dtype_policy(before)

    return build


def initializers(name: str, seed: int | None, **config: Any) -> Iterator[keras.initializers.Initializer]:
    """Yields initialisers of one kind without end, each with its own seed, drawn from `seed`."""
    # The name is part of the seed: else the first initialisers of all kinds would draw the same numbers.
    generator = random.Random(f"{name} {seed}") if seed is not None else random
    while True:
        yield keras.initializers.get(
            {"class_name": name, "config": {**config, "seed": generator.randrange(2**31)}}
        )


def hidden_and_last(seed: int | None, initial_stddev: float | None) -> tuple[Iterator, Iterator]:
    """Initialisers of the hidden layers and of the last layer.

    They are He normal and Glorot uniform, or N(0, `initial_stddev`^2) for all where that is given.
    """
    if initial_stddev is None:
        return initializers("he_normal", seed), initializers("glorot_uniform", seed)
    stddev = check_number("initial_stddev", initial_stddev, above=0.0)
    supply = initializers("random_normal", seed, stddev=stddev)
    return supply, supply


def start(
    shape: tuple[int, ...],
    condition: ConditionSpec,
    *,
    flatten: bool = False,
    name: str = "x",
    concatenate: bool = True,
) -> tuple[list, Any]:
    """The inputs of a network, and the tensor that its first layer takes.

    Args:
        shape: Shape of the first input.
        condition: Of the model; if there is one, it is the second input.
        flatten: Whether the first input is flattened.
        name: Name of the first input.
        concatenate: Whether the condition is appended to the first input.
    """
    x = keras.Input(shape, dtype=real_dtype().name, name=name)
    h = keras.layers.Flatten(name="flatten")(x) if flatten and len(shape) > 1 else x
    if not condition:
        return [x], h
    (space,) = dataclasses.replace(condition, real_dtype=real_dtype()).spaces()
    c = space.keras_input()
    if concatenate:
        h = ConcatenateCondition(condition.num_classes, name="with_condition")([h, c])
    return [x, c], h


def finish(
    inputs: list,
    h: Any,
    output_shape: tuple[int, ...],
    *,
    seed: int | None,
    dtype: Any,
    name: str,
    activation: Any = None,
    kernel_initializer: Any = None,
) -> keras.Model:
    """The network that ends in a dense layer of outputs of `output_shape`.

    Args:
        inputs: The network's inputs.
        h: Input of the last layer, `[B, D]`.
        output_shape: Shape of one output.
        seed: Seeds the last layer's kernel, which starts Glorot uniform.
        dtype: Dtype policy of the last layer.
        name: Name of the network.
        activation: Of the last layer; None leaves it linear.
        kernel_initializer: Of the last layer, in place of Glorot's.
    """
    if kernel_initializer is None:
        kernel_initializer = next(initializers("glorot_uniform", seed))
    h = keras.layers.Dense(
        math.prod(output_shape),
        activation=activation,
        kernel_initializer=kernel_initializer,
        dtype=dtype,
        name="outputs",
    )(h)
    if len(output_shape) > 1:
        h = keras.layers.Reshape(output_shape, name="shape")(h)
    return network(inputs, h, name)


def network(inputs: list, output: Any, name: str) -> keras.Model:
    """The network from its inputs to its output; a conditional one takes `[x, condition]`."""
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], output, name=name)


def halved_sides(sides: Sequence[int], times: int) -> list[tuple[int, ...]]:
    """The sides of an image, and its sides after each halving, rounded up as strided convolutions do."""
    path = [tuple(sides)]
    for _ in range(times):
        path.append(tuple(-(-side // 2) for side in path[-1]))
    return path


def cropped(h: Any, sides: Sequence[int], name: str) -> Any:
    """An image `[B, H, W, C]`, cut at the end of its axes to the sides `(height, width)`."""
    surplus = [(0, have - want) for have, want in zip(h.shape[1:3], sides, strict=True)]
    return h if surplus == [(0, 0), (0, 0)] else keras.layers.Cropping2D(surplus, name=name)(h)


def image_filters(sides: Sequence[int], first: int = 64) -> tuple[int, ...]:
    """Number of channels after each halving of an image: `first`, then twice as many each time.

    The image is halved until its longer side is 7 or less, at least once.
    """
    halvings = max(1, math.ceil(math.log2(max(sides) / 7)))
    return tuple(first * 2**index for index in range(halvings))
