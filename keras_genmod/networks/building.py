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
    """Decorator of a builder: all its layers and inputs follow its `dtype`, whatever the global policy.

    A layer without a dtype of its own, such as a `Reshape`, would cast what passes through it to the global
    one.
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
    """An endless supply of initialisers of one kind, each with a seed of its own drawn from `seed`."""
    # The name too, or the first of each kind in a network would start from the same numbers.
    generator = random.Random(f"{name} {seed}") if seed is not None else random
    while True:
        yield keras.initializers.get(
            {"class_name": name, "config": {**config, "seed": generator.randrange(2**31)}}
        )


def hidden_and_last(seed: int | None, initial_stddev: float | None) -> tuple[Iterator, Iterator]:
    """Initialisers of hidden layers and of the last: He normal and Glorot uniform, or one normal for all."""
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
    """The inputs of a network and the tensor to go on with, the condition already appended if wanted."""
    x = keras.Input(shape, dtype=real_dtype().name, name=name)
    h = keras.layers.Flatten(name="flatten")(x) if flatten and len(shape) > 1 else x
    if not condition:
        return [x], h
    c = dataclasses.replace(condition, real_dtype=real_dtype()).keras_input()
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
    """The network that ends in a dense layer of `output_shape`, linear unless it has an activation.

    Its kernel starts Glorot uniform, drawn from the seed, unless another initialiser is given.
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
    """The sides of an image and after each halving, rounded up as a strided convolution rounds them."""
    path = [tuple(sides)]
    for _ in range(times):
        path.append(tuple(-(-side // 2) for side in path[-1]))
    return path


def cropped(h: Any, sides: Sequence[int], name: str) -> Any:
    """An image without what its sides have too much after a doubling."""
    surplus = [(0, have - want) for have, want in zip(h.shape[1:3], sides, strict=True)]
    return h if surplus == [(0, 0), (0, 0)] else keras.layers.Cropping2D(surplus, name=name)(h)


def image_filters(sides: Sequence[int], first: int = 64) -> tuple[int, ...]:
    """Channels after each halving of an image, `first` and then twice as many each time.

    There are as many halvings as bring the longer side to 7 or less, and one at least.
    """
    halvings = max(1, math.ceil(math.log2(max(sides) / 7)))
    return tuple(first * 2**index for index in range(halvings))
