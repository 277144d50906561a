"""The U-Net: from pictures to pictures of the same sides, by halvings, doublings, and skips between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_integer, check_number, check_shape_tuple
from keras_genmod.layers.row_dropout import RowDropout
from keras_genmod.networks.building import hidden_and_last, network, under_its_policy
from keras_genmod.networks.translating import Convolutions, source_input

__all__ = ["unet"]

# Channels grow no further than this many times the first layer's.
_LARGEST_FACTOR = 8
# Number of the innermost enlarging layers that have dropout.
_DROPOUT_LAYERS = 3


@under_its_policy
def unet(
    source_shape: Sequence[int],
    target_shape: Sequence[int],
    *,
    source_classes: int | None = None,
    filters: int = 64,
    depth: int | None = None,
    dropout: float = 0.0,
    normalization: str = "instance",
    output_activation: Any = "tanh",
    embedding_dim: int = 8,
    initial_stddev: float | None = 0.02,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "unet",
) -> keras.Model:
    """Convolutions that halve a picture `depth` times, and transposed ones that double it back.

    Each doubling takes the halved picture of its size beside what comes from inside, so that detail need not
    pass through the smallest map. Level i has `filters * min(2**i, 8)` channels; kernels are 4x4.

    Args:
        source_shape: `(height, width, channels)`, or `(height, width)` of maps of class indices.
        target_shape: `(height, width, channels)` with the source's height and width.
        source_classes: Number of classes, if sources are maps of class indices.
        filters: Number of channels of the first layer.
        depth: Number of halvings, which must divide both sides; None takes as many as leave at least 2x2
            pixels, at most 7.
        dropout: Rate of `layers.RowDropout` in the three innermost enlarging layers. Above 0 the network
            has a second input `seed`, int32 `[B, 2]`.
        normalization: "instance", "batch" or "none"; the first layer and maps of one pixel have none.
        output_activation: Activation of the last layer.
        embedding_dim: Number of channels that class indices are embedded into.
        initial_stddev: Standard deviation of normally distributed initial weights; None uses He normal
            (Glorot uniform in the last layer).
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights.
        name: Name of the network.

    Returns:
        A built `keras.Model` of `x`, or of `[x, seed]`.

    Raises:
        ValueError: For sides that `depth` halvings do not divide, or dropout at depth 1.

    Cost: grows with height times width, and with the square of `filters`.

    References: U-Net: Convolutional Networks for Biomedical Image Segmentation, Ronneberger, Fischer and
    Brox, 2015; Image-to-Image Translation with Conditional Adversarial Networks, Isola et al., 2017.

    Example:
        >>> unet((64, 64, 1), (64, 64, 3), filters=8).output_shape
        (None, 64, 64, 3)
    """
    target_shape = check_shape_tuple("target_shape", target_shape, ranks=(3,))
    sides = tuple(source_shape)[:2]
    if sides != target_shape[:2]:
        raise ValueError(
            f"A U-Net gives pictures of its input's height and width; received source_shape={source_shape} "
            f"and target_shape={target_shape}. Resize one of them, or use `networks.residual_translator`, "
            "which can halve and double."
        )
    depth = _checked_depth(depth, sides)
    rate = check_number("dropout", dropout, minimum=0.0, maximum=1.0)
    if rate and depth == 1:
        raise ValueError(
            f"`dropout` needs inner layers; received dropout={dropout:g} for a U-Net of depth 1. Leave it "
            "out, or take pictures with sides of at least 8."
        )
    hidden, last = hidden_and_last(seed, initial_stddev)
    conv = Convolutions(hidden, normalization, dtype)
    x, h = source_input(
        source_shape,
        source_classes,
        embedding_dim=embedding_dim,
        kernel_initializer=next(hidden),
        dtype=dtype,
    )
    inputs = [x, *([keras.Input((2,), dtype="int32", name="seed")] if rate else [])]
    widths = [check_integer("filters", filters) * min(2**level, _LARGEST_FACTOR) for level in range(depth)]
    skips = []
    for level, width in enumerate(widths):
        one_pixel = all(side == 2 ** (level + 1) for side in sides)
        h = conv(
            h,
            width,
            4,
            strides=2,
            name=f"down_{level}",
            normalize=0 < level and not one_pixel,
            activation=conv.leaky_relu if level < depth - 1 else conv.relu,
        )
        skips.append(h)
    for level in range(depth - 2, -1, -1):
        h = conv(h, widths[level], 4, strides=2, name=f"up_{level}", transposed=True, activation=conv.relu)
        if rate and level >= depth - 1 - _DROPOUT_LAYERS:
            h = RowDropout(rate, stream=level, dtype=dtype, name=f"dropout_{level}")([h, inputs[1]])
        h = keras.layers.Concatenate(dtype=dtype, name=f"skip_{level}")([h, skips[level]])
    h = conv(
        h,
        target_shape[-1],
        4,
        strides=2,
        name="outputs",
        normalize=False,
        transposed=True,
        activation=lambda name: keras.layers.Activation(output_activation, dtype=dtype, name=name),
        kernel_initializer=next(last),
    )
    return network(inputs, h, name)


def _checked_depth(depth: int | None, sides: tuple[int, ...]) -> int:
    """The number of halvings: the one asked for if it divides the sides, or the largest that does."""
    if depth is None:
        depth = max(
            (d for d in range(1, 8) if min(sides) >= 2 ** (d + 1) and _divides(d, sides)), default=None
        )
        if depth is None:
            raise ValueError(
                f"A U-Net needs even sides of at least 4; received {sides}. {_nearest(1, sides)}"
            )
        return depth
    check_integer("depth", depth)
    if not _divides(depth, sides):
        largest = max((d for d in range(1, depth) if _divides(d, sides)), default=0)
        advice = f" or use depth={largest}" if largest else ""
        raise ValueError(
            f"`depth` halvings must divide the sides, so that both are multiples of {2**depth}; received "
            f"depth={depth} for sides {sides}. {_nearest(depth, sides)[:-1]}{advice}."
        )
    return depth


def _divides(depth: int, sides: tuple[int, ...]) -> bool:
    return all(side % 2**depth == 0 for side in sides)


def _nearest(depth: int, sides: tuple[int, ...]) -> str:
    factor = max(2**depth, 2)
    nearest = tuple(max(factor, round(side / factor) * factor, 4) for side in sides)
    return f"Resize or pad the pictures to {nearest}."
