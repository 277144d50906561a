"""Many small images as one picture, and pictures as PNG files."""

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
    """Data as images `[N, height, width, channels]`: flat vectors of a square number of values fold.

    Args:
        x: `[N, height, width, 1 or 3]`, or `[N, side * side]`.

    Raises:
        ValueError: for another shape, or no images.
    """
    x = np.asarray(x)
    if x.ndim == 2:
        side = math.isqrt(x.shape[1])
        if side * side == x.shape[1]:
            x = x.reshape(-1, side, side, 1)
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or 0 in x.shape:
        raise ValueError(
            "Images must have shape [N, height, width, 1 or 3] or [N, side * side], with N at least 1 (or be "
            f"groups of such); received {x.shape}. Reshape them, or choose three of their channels."
        )
    return x


def image_grid(
    images: Any,
    columns: int | None = None,
    *,
    value_range: tuple[float, float] = (0.0, 1.0),
    padding: int = 1,
    scale: int = 1,
) -> np.ndarray:
    """Puts images side by side, row after row, with white lines between and around them.

    Args:
        images: `[N, height, width, 1 or 3]`, or flat `[N, side * side]`; or groups of images, `[groups, n,
            height, width, 1 or 3]` or a list of arrays of images, such as one for each class or each latent
            dimension. Each group begins a row of its own.
        columns: images in a row; by default those of the largest group, and without groups such that the
            grid is as square as it can be.
        value_range: the values that become black and full brightness. What lies outside is clipped, and
            NaN becomes black: a picture of a model that went wrong is still a picture.
        padding: width of the lines, in pixels of the picture.
        scale: pixels of the picture per pixel of an image, along each side.

    Returns:
        uint8 `[rows * (scale * height + padding) + padding, ..., 1 or 3]`; places without an image are white.

    Raises:
        ValueError: for images of another shape, or arguments out of range.

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
    rows_of_groups = [-(-len(group) // columns) for group in groups]
    rows = sum(rows_of_groups)
    # The place of each image: each group begins a row.
    begins = np.cumsum([0, *rows_of_groups[:-1]]) * columns
    places = np.concatenate([begin + np.arange(len(g)) for begin, g in zip(begins, groups, strict=True)])
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    tiles = np.full((rows * columns, *pixels.shape[1:]), 255, np.uint8)
    tiles[places] = pixels
    # Lines above and to the left of each tile, then the last ones below and to the right of all.
    lines = [(0, 0), (padding, 0), (padding, 0), (0, 0)]
    tiles = np.pad(tiles, lines, constant_values=255)
    height, width = tiles.shape[1:3]
    tiles = tiles.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    grid = tiles.reshape(rows * height, columns * width, channels)
    return np.pad(grid, [(0, padding), (0, padding), (0, 0)], constant_values=255)


def _groups(images: Any) -> list[np.ndarray] | None:
    """Groups of images of one shape; None where the images are in no groups."""
    ranks = {np.ndim(part) for part in images} if isinstance(images, (list, tuple)) else {np.ndim(images) - 1}
    if ranks != {4} or not len(images):
        return None
    groups = [as_images(group) for group in images]
    if len({group.shape[1:] for group in groups}) > 1:
        raise ValueError(
            "Groups of images must be images of one shape; received groups of shapes "
            f"{', '.join(str(group.shape) for group in groups)}. Resize them, or make a picture of each."
        )
    return groups


def _to_bytes(images: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    low, high = (check_number("value_range", value) for value in value_range)
    if low >= high:
        raise ValueError(f"`value_range` must rise; received ({low:g}, {high:g}). Exchange its values.")
    unit = (images.astype(np.float64) - low) / (high - low)
    return np.rint(255.0 * np.nan_to_num(np.clip(unit, 0.0, 1.0), nan=0.0)).astype(np.uint8)


def write_png(path: str | os.PathLike, grid: np.ndarray) -> None:
    """Writes a picture as a PNG file that appears whole or not at all.

    Args:
        path: the file; an existing one is replaced, missing folders are made.
        grid: uint8 `[height, width, 1 or 3]`, as `image_grid` gives it.

    Raises:
        ValueError: for another array, or a path that cannot be written to.
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
