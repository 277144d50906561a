"""Pictures and numbers that a user brings, turned into examples of a model."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.core.spaces import Space

__all__ = ["numbers", "picture_to_example", "places"]

# Brightness of red, green and blue (ITU-R BT.601).
_BRIGHTNESS = (0.299, 0.587, 0.114)


def picture_to_example(
    picture: Any,
    space: Space,
    image_shape: tuple[int, ...],
    value_range: tuple[float, float],
    *,
    invert: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """A picture of any size as one example, and what was done to it.

    Args:
        picture: uint8 `[height, width]` or `[height, width, 1, 3 or 4]`; a fourth channel is opacity.
        space: The model's event space.
        image_shape: `(height, width, channels)` of the example as a picture.
        value_range: The values of black and of full brightness.
        invert: Whether to swap dark and bright.

    Returns:
        The example, `event_shape` in the space's dtype, and a list of short sentences.

    Raises:
        ValueError: If the array is no picture.
    """
    pixels = np.asarray(picture)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4) or 0 in pixels.shape:
        raise ValueError(
            "A picture must be uint8 [height, width, 1, 3 or 4]; received "
            f"{pixels.dtype} {pixels.shape}. Choose a PNG or JPEG file."
        )
    told = []
    unit = pixels.astype(np.float32) / 255.0
    if unit.shape[-1] == 4:
        unit = unit[..., :3] * unit[..., 3:] + (1.0 - unit[..., 3:])
        if pixels[..., 3].min() < 255:
            told.append("Transparent parts became white.")
    height, width, channels = image_shape
    if channels == 1 and unit.shape[-1] == 3:
        if np.any(pixels[..., :1] != pixels[..., 1:3]):
            told.append("Colours became grey.")
        unit = unit @ np.asarray(_BRIGHTNESS, np.float32)[:, None]
    elif channels == 3 and unit.shape[-1] == 1:
        unit = np.repeat(unit, 3, axis=-1)
    unit, cropped = _cropped(unit, width / height)
    told += cropped
    if unit.shape[:2] != (height, width):
        told.append(f"Resized from {unit.shape[0]} x {unit.shape[1]} to {height} x {width} pixels.")
        unit = tf.image.resize(unit, (height, width), antialias=True).numpy()
    unit = np.clip(unit, 0.0, 1.0)
    if invert:
        told.append("Dark and bright swapped.")
        unit = 1.0 - unit
    low, high = value_range
    value = low + (high - low) * unit
    told.append(f"Brightness scaled to values from {low:g} to {high:g}.")
    accepted = space.accepted
    if accepted.integer:
        told.append("Rounded to integers.")
        value = np.rint(value)
    value = np.clip(value, accepted.low, accepted.high)
    return value.reshape(space.shape).astype(space.dtype.as_numpy_dtype), told


def _cropped(unit: np.ndarray, aspect: float) -> tuple[np.ndarray, list[str]]:
    """The largest part around the centre with a ratio of width to height, and what was cut off."""
    height, width = unit.shape[:2]
    new_width = min(width, max(1, round(height * aspect)))
    new_height = min(height, max(1, round(width / aspect)))
    if (new_height, new_width) == (height, width):
        return unit, []
    top, left = (height - new_height) // 2, (width - new_width) // 2
    told = f"Cut to the middle {new_height} x {new_width} of {height} x {width} pixels."
    return unit[top : top + new_height, left : left + new_width], [told]


def numbers(text: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that a user typed, with commas, semicolons or spaces between them.

    Args:
        text: The text.
        name: What the numbers are, for errors.
        shape: The shape that they fill.

    Raises:
        ValueError: If something is no number, or their number is another one.

    Example:
        >>> numbers("1, -2.5", "The example", (2,)).tolist()
        [1.0, -2.5]
    """
    parts = [part for part in re.split(r"[,;\s]+", text or "") if part]
    wanted = int(np.prod(shape))
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if len(values) != wanted or not np.all(np.isfinite(values)):
        raise ValueError(
            f"{name} must be {wanted} numbers with commas between them; received {text!r}. Correct the text."
        )
    return np.asarray(values).reshape(shape)


def places(text: str, size: int) -> np.ndarray:
    """Numbers of values that a user typed, such as "0-3, 7", as booleans `[size]`.

    Args:
        text: Numbers from 0 to `size - 1` and ranges of them, both ends included.
        size: Number of values.

    Raises:
        ValueError: For anything else, or no number at all.

    Example:
        >>> places("0-1, 3", 5).tolist()
        [True, True, False, True, False]
    """
    chosen = np.zeros(size, bool)
    for part in (part.strip() for part in (text or "").split(",") if part.strip()):
        match = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, size)
        if not first <= last < size:
            raise ValueError(
                f"The values to draw must be numbers from 0 to {size - 1} and ranges of them, such as "
                f"'0-3, 7'; received {text!r}. Correct the text."
            )
        chosen[first : last + 1] = True
    if not chosen.any():
        raise ValueError("No value is to be drawn anew; name some, such as '0'.")
    return chosen
