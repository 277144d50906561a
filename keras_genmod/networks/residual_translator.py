"""The residual generator of CycleGAN: from pictures of one domain to pictures of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_integer, check_shape_tuple
from keras_genmod.layers.reflection_padding import ReflectionPadding2D
from keras_genmod.networks.building import hidden_and_last, network, under_its_policy
from keras_genmod.networks.translating import Convolutions, source_input

__all__ = ["residual_translator"]

# Sides from which on the paper takes nine blocks, not six, and sides below which outer kernels are small.
_LARGE, _SMALL = 256, 32


@under_its_policy
def residual_translator(
    source_shape: Sequence[int],
    target_shape: Sequence[int],
    *,
    source_classes: int | None = None,
    filters: int = 64,
    num_blocks: int | None = None,
    halvings: int = 2,
    kernel_size: int | None = None,
    normalization: str = "instance",
    output_activation: Any = "tanh",
    embedding_dim: int = 8,
    initial_stddev: float | None = 0.02,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "residual_translator",
) -> keras.Model:
    """A 7x7 convolution, strided 3x3 ones, residual blocks, transposed 3x3 ones and a 7x7 convolution.

    Residual blocks and the outer convolutions pad by reflection, so that borders look like the inside. A
    generator that sees the whole picture at once can exchange what it shows and still translate it back.
    Small pictures therefore have 3x3 outer convolutions.

    Args:
        source_shape: `(height, width, channels)`, or `(height, width)` of maps of class indices.
        target_shape: `(height, width, channels)`. Its sides are the source's times a power of two, which
            more or fewer doublings than halvings give.
        source_classes: Number of classes, if sources are maps of class indices.
        filters: Number of channels of the first layer; each halving doubles it.
        num_blocks: Number of residual blocks; None takes 6, and 9 for sides of 256 and more.
        halvings: How many times the source is halved.
        kernel_size: Side of the kernels of the first and the last convolution, an odd number; None takes 7,
            and 3 for sides below 32.
        normalization: "instance", "batch" or "none".
        output_activation: Activation of the last layer.
        embedding_dim: Number of channels that class indices are embedded into.
        initial_stddev: Standard deviation of normally distributed initial weights; None uses He normal
            (Glorot uniform in the last layer).
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights.
        name: Name of the network.

    Returns:
        A built `keras.Model` of `x`.

    Raises:
        ValueError: For sides that the halvings do not divide, or that no doublings give.

    Cost: grows with height times width, with the blocks, and with the square of `filters`.

    Reference: Perceptual Losses for Real-Time Style Transfer and Super-Resolution, Johnson, Alahi and
    Fei-Fei, 2016; Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, Zhu et
    al., 2017.

    Example:
        >>> residual_translator((16, 16, 1), (32, 32, 3), filters=4, num_blocks=1).output_shape
        (None, 32, 32, 3)
    """
    target_shape = check_shape_tuple("target_shape", target_shape, ranks=(3,))
    sides = tuple(source_shape)[:2]
    halvings = check_integer("halvings", halvings, minimum=0)
    doublings = halvings + _powers_of_two(sides, target_shape[:2])
    if any(side % 2**halvings for side in sides) or doublings < 0:
        raise ValueError(
            f"`halvings` must divide the source's sides {sides} and lead to the target's sides "
            f"{target_shape[:2]}; received {halvings}. Choose another number, or resize the pictures."
        )
    if num_blocks is None:
        num_blocks = 6 if max(sides) < _LARGE else 9
    kernel_size = _checked_kernel(kernel_size, sides)
    outer = kernel_size // 2
    filters = check_integer("filters", filters)
    hidden, last = hidden_and_last(seed, initial_stddev)
    conv = Convolutions(hidden, normalization, dtype)
    x, h = source_input(
        source_shape,
        source_classes,
        embedding_dim=embedding_dim,
        kernel_initializer=next(hidden),
        dtype=dtype,
    )

    def padded(h: Any, padding: int, name: str) -> Any:
        return ReflectionPadding2D(padding, dtype=dtype, name=f"{name}_padding")(h)

    if min(sides) < 4 or min(sides) // 2**halvings < 2:
        raise ValueError(
            f"The halved source must have at least 2x2 pixels, and the source 4x4; received sides {sides} "
            f"with {halvings} halvings. Take fewer halvings, or larger pictures."
        )
    h = conv(
        padded(h, outer, "first"), filters, kernel_size, name="first", padding="valid", activation=conv.relu
    )
    width = filters
    for level in range(halvings):
        width *= 2
        h = conv(h, width, 3, strides=2, name=f"down_{level}", activation=conv.relu)
    for block in range(check_integer("num_blocks", num_blocks, minimum=0)):
        r = h
        for number, activation in enumerate((conv.relu, None)):
            part = f"block_{block}_{number}"
            r = conv(padded(r, 1, part), width, 3, name=part, padding="valid", activation=activation)
        h = keras.layers.Add(dtype=dtype, name=f"block_{block}")([h, r])
    for level in range(doublings):
        width = max(width // 2, filters)
        h = conv(h, width, 3, strides=2, name=f"up_{level}", transposed=True, activation=conv.relu)
    h = conv(
        padded(h, outer, "outputs"),
        target_shape[-1],
        kernel_size,
        name="outputs",
        padding="valid",
        normalize=False,
        activation=lambda name: keras.layers.Activation(output_activation, dtype=dtype, name=name),
        kernel_initializer=next(last),
    )
    return network([x], h, name)


def _checked_kernel(kernel_size: int | None, sides: Sequence[int]) -> int:
    """The side of the outer kernels."""
    if kernel_size is None:
        return 3 if min(sides) < _SMALL else 7
    if check_integer("kernel_size", kernel_size) % 2 == 0:
        raise ValueError(
            f"`kernel_size` must be odd, so that kernels have a middle; received {kernel_size}. Take "
            f"{kernel_size - 1} or {kernel_size + 1}."
        )
    return kernel_size


def _powers_of_two(sides: Sequence[int], target_sides: Sequence[int]) -> int:
    """How many doublings lead from the source's sides to the target's; negative for halvings."""
    ratios = {target / side for side, target in zip(sides, target_sides, strict=True)}
    power = math.log2(next(iter(ratios)))
    if len(ratios) > 1 or power != round(power):
        raise ValueError(
            f"The target's sides must be the source's times one power of two; received {tuple(sides)} and "
            f"{tuple(target_sides)}. Resize the pictures of one domain."
        )
    return round(power)
