"""Grids of many small images, and PNG files."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_integer, check_number, describe
from keras_genmod.core.files import replacing_file

__all__ = ["as_images", "image_grid", "write_png"]


def as_images(x: Any) -> np.ndarray:
    """Data as images `[N, height, width, channels]`; flat vectors of square length become square images.

    Args:
        x: `[N, height, width, 1 or 3]`, or `[N, side * side]`.

    Raises:
        ValueError: If the data have another shape, or hold no images.
    """
    x = np.asarray(x)
    if x.ndim == 2:
        side = math.isqrt(x.shape[1])
        if side * side == x.shape[1]:
            x = x.reshape(-1, side, side, 1)
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or 0 in x.shape:
        raise ValueError(
            "Images must have shape [N, height, width, 1 or 3] or [N, side * side], with N at least 1, or be "
            f"groups of such images; received {x.shape}. Reshape them, or select 1 or 3 channels."
        )
    return x


def image_grid(
    images: Any,
    columns: int | None = None,
    *,
    value_range: tuple[float, float] = (0.0, 1.0),
    padding: int = 1,
    scale: int = 1,
    line: int = 255,
) -> np.ndarray:
    """Arranges images in a grid, row by row, with lines between and around them.

    Args:
        images: Images `[N, height, width, 1 or 3]` or flat `[N, side * side]`. Or groups of images, such as
            one group for each class or latent dimension: an array `[groups, n, height, width, 1 or 3]` or a
            list of arrays of images. Each group starts a new row.
        columns: Number of images in a row. By default that of the largest group; without groups, the number
            that makes the grid as square as possible.
        value_range: Values shown as black and as full brightness. Values outside are clipped. NaN becomes
            black, so that a model that diverged still gives a picture.
        padding: Width of the lines, in pixels of the grid.
        scale: Enlargement: one pixel of an image becomes `scale` by `scale` pixels of the grid.
        line: Brightness of the lines, from 0 to 255; white by default.

    Returns:
        uint8 `[rows * (scale * height + padding) + padding, ..., 1 or 3]`; empty cells are white.

    Raises:
        ValueError: If the images have another shape, or an argument is out of range.

    Example:
        >>> image_grid(np.array([[0.0, 0.5, 1.0, 1.0]]))[..., 0]
        array([[255, 255, 255, 255],
               [255,   0, 128, 255],
               [255, 255, 255, 255],
               [255, 255, 255, 255]], dtype=uint8)
    """
    groups = _groups(images)
    if groups is None:
        groups = [as_images(images)]
        square = math.ceil(math.sqrt(len(groups[0])))
        columns = square if columns is None else columns
    pixels = _to_bytes(np.concatenate(groups), value_range)
    channels = pixels.shape[-1]
    columns = check_integer("columns", max(map(len, groups)) if columns is None else columns)
    padding = check_integer("padding", padding, minimum=0)
    scale = check_integer("scale", scale)
    line = check_integer("line", line, minimum=0)
    if line > 255:
        raise ValueError(f"`line` must be a brightness from 0 to 255; received {line}.")
    rows_of_groups = [-(-len(group) // columns) for group in groups]
    rows = sum(rows_of_groups)
    # The cell of each image: each group starts a new row.
    begins = np.cumsum([0, *rows_of_groups[:-1]]) * columns
    places = np.concatenate([begin + np.arange(len(g)) for begin, g in zip(begins, groups, strict=True)])
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    tiles = np.full((rows * columns, *pixels.shape[1:]), 255, np.uint8)
    tiles[places] = pixels
    # Each tile gets lines above and to its left; the last lines, below and to the right, come at the end.
    lines = [(0, 0), (padding, 0), (padding, 0), (0, 0)]
    tiles = np.pad(tiles, lines, constant_values=line)
    height, width = tiles.shape[1:3]
    tiles = tiles.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    grid = tiles.reshape(rows * height, columns * width, channels)
    return np.pad(grid, [(0, padding), (0, padding), (0, 0)], constant_values=line)


def _groups(images: Any) -> list[np.ndarray] | None:
    """Groups of images of one shape, or None if the images are not in groups."""
    ranks = {np.ndim(part) for part in images} if isinstance(images, (list, tuple)) else {np.ndim(images) - 1}
    if ranks != {4} or not len(images):
        return None
    groups = [as_images(group) for group in images]
    if len({group.shape[1:] for group in groups}) > 1:
        raise ValueError(
            "Groups of images must be images of one shape; received groups of shapes "
            f"{', '.join(str(group.shape) for group in groups)}. Resize them, or make one grid per group."
        )
    return groups


def _to_bytes(images: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    low, high = (check_number("value_range", value) for value in value_range)
    if low >= high:
        raise ValueError(
            f"`value_range` must be increasing; received ({low:g}, {high:g}). Swap the two values."
        )
    unit = (images.astype(np.float64) - low) / (high - low)
    return np.rint(255.0 * np.nan_to_num(np.clip(unit, 0.0, 1.0), nan=0.0)).astype(np.uint8)


def write_png(path: str | os.PathLike, grid: np.ndarray) -> None:
    """Writes an image as a PNG file; readers never see an incomplete one.

    Args:
        path: The file to write. An existing file is replaced; missing folders are created.
        grid: uint8 `[height, width, 1 or 3]`, as `image_grid` returns it.

    Raises:
        ValueError: If the array has another dtype or shape, or the path cannot be written to.
    """
    grid = np.asarray(grid)
    if grid.dtype != np.uint8 or grid.ndim != 3 or grid.shape[-1] not in (1, 3) or 0 in grid.shape:
        raise ValueError(
            f"`grid` must be uint8 [height, width, 1 or 3]; received {describe(grid)}. "
            "Make it with `image_grid`."
        )
    png = tf.io.encode_png(grid).numpy()
    with replacing_file(path) as temporary:
        temporary.write_bytes(png)
