"""The super-resolution generator: residual blocks at the low resolution, and sub-pixel convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_integer, describe
from keras_genmod.core.precision import real_dtype
from keras_genmod.layers.resampling import BicubicUpsampling, SubpixelUpsampling
from keras_genmod.networks.building import initializers, network, under_its_policy
from keras_genmod.networks.translating import Convolutions

__all__ = ["check_scale", "subpixel_generator"]

# Factor of an enlargement -> number of doublings.
SCALES = {2: 1, 4: 2}


@under_its_policy
def subpixel_generator(
    low_shape: Sequence[int | None],
    scale: int,
    *,
    filters: int = 64,
    num_blocks: int = 8,
    dtype: Any = None,
    seed: int | None = None,
    name: str = "subpixel_generator",
) -> keras.Model:
    """Adds detail to a bicubic enlargement: pictures `[B, h, w, C]` to `[B, scale * h, scale * w, C]`.

    Residual blocks of two 3x3 convolutions, without normalisation, work at the low resolution. Each doubling
    is a convolution to four times the channels, which become 2x2 pixels. The last layer starts at zero, so
    an untrained network enlarges bicubically.

    Args:
        low_shape: `(height, width, channels)`; None stands for any height or width.
        scale: 2 or 4.
        filters: Number of channels of all convolutions.
        num_blocks: Number of residual blocks.
        dtype: Keras dtype policy of the layers.
        seed: Seeds the initial weights (He normal).
        name: Name of the network.

    Returns:
        A built `keras.Model` of `x`.

    Cost: grows with height times width, with the blocks, and with the square of `filters`.

    References: Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
    Neural Network, Shi et al., 2016; Enhanced Deep Residual Networks for Single Image Super-Resolution, Lim
    et al., 2017.

    Example:
        >>> subpixel_generator((None, None, 3), 4, filters=4, num_blocks=1).output_shape
        (None, None, None, 3)
    """
    height, width, channels = _checked_low_shape(low_shape)
    filters = check_integer("filters", filters)
    conv = Convolutions(initializers("he_normal", seed), "none", dtype)
    x = keras.Input((height, width, channels), dtype=real_dtype().name, name="x")
    h = first = conv(x, filters, 3, name="first")
    for block in range(check_integer("num_blocks", num_blocks, minimum=0)):
        r = conv(h, filters, 3, name=f"block_{block}_0", activation=conv.relu)
        r = conv(r, filters, 3, name=f"block_{block}_1")
        h = keras.layers.Add(dtype=dtype, name=f"block_{block}")([h, r])
    h = conv(h, filters, 3, name="body")
    h = keras.layers.Add(dtype=dtype, name="long_skip")([h, first])
    for level in range(SCALES[check_scale(scale)]):
        h = conv(h, 4 * filters, 3, name=f"up_{level}")
        h = SubpixelUpsampling(2, dtype=dtype, name=f"pixels_{level}")(h)
        h = conv.relu(f"up_{level}_activation")(h)
    detail = conv(h, channels, 3, name="detail", kernel_initializer="zeros")
    # Half precision has too few bits for a picture; it serves for the detail.
    full = real_dtype(dtype).name
    enlarged = BicubicUpsampling(scale, dtype=full, name="bicubic")(x)
    return network([x], keras.layers.Add(dtype=full, name="outputs")([enlarged, detail]), name)


def check_scale(scale: Any) -> int:
    """Returns the factor of an enlargement, 2 or 4."""
    if isinstance(scale, bool) or scale not in SCALES:
        raise ValueError(
            f"`scale` must be 2 or 4; received {describe(scale)}. Enlarge by 8 with two models, one after "
            "the other."
        )
    return int(scale)


def _checked_low_shape(shape: Sequence[int | None]) -> tuple[int | None, int | None, int]:
    sides = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    if len(sides) != 3 or sides[2] is None:
        raise ValueError(
            "`low_shape` must be (height, width, channels), in which height and width may be None; received "
            f"{describe(shape)}."
        )
    height, width = (None if side is None else check_integer("low_shape", side) for side in sides[:2])
    return height, width, check_integer("low_shape", sides[2])
