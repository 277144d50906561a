"""What pictures of a model show, whoever draws them: reconstructions, value ranges, enlargement."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from keras_genmod.core.checks import check_number, describe
from keras_genmod.core.images import as_images, image_grid

__all__ = ["check_shown_range", "enlarged_grid", "reconstruct", "shown_range"]

# Small images are enlarged to about this many pixels a side.
_VISIBLE = 48


def shown_range(model: Any) -> tuple[float, float]:
    """The values that are black and white: the model's range if it is bounded, else (0, 1)."""
    if hasattr(model, "value_range"):
        accepted = model.value_range()
        if np.isfinite(accepted.low) and np.isfinite(accepted.high):
            return accepted.low, accepted.high
    return 0.0, 1.0


def check_shown_range(value: Any) -> tuple[float, float]:
    """Returns the values that are shown as black and as white, two increasing numbers.

    Raises:
        ValueError: For anything else.
    """
    try:
        low, high = value
    except (TypeError, ValueError):
        raise ValueError(
            "`value_range` must be two numbers, the values shown as black and as white; received "
            f"{describe(value)}. Pass both, such as (0, 1)."
        ) from None
    low, high = check_number("value_range", low), check_number("value_range", high)
    if low >= high:
        raise ValueError(
            f"`value_range` must be increasing; received ({low:g}, {high:g}). Pass the value of black first."
        )
    return low, high


def enlarged_grid(
    images: Any,
    columns: int | None = None,
    *,
    value_range: tuple[float, float],
    scale: int | None = None,
    line: int = 255,
) -> np.ndarray:
    """A grid of images, uint8 `[height, width, channels]`, with lines as wide as the enlargement needs.

    Args:
        images: `[N, height, width, 1 or 3]` or `[N, side * side]`, or a list of groups `[n, height, width, 1
            or 3]`, each of which starts a new row.
        columns, value_range, line: As in `image_grid`.
        scale: Factor of enlargement; None enlarges small images to about 48 pixels a side.
    """
    first = images[0] if isinstance(images, list) else as_images(images)
    scale = scale or max(1, round(_VISIBLE / first.shape[1]))
    # The lines between images must be wide enough to be visible beside enlarged pixels.
    padding = max(1, scale // 2)
    return image_grid(images, columns, value_range=value_range, padding=padding, scale=scale, line=line)


def reconstruct(model: Any, x: Any, condition: Any, seed: Any) -> np.ndarray:
    """Reconstructions of `x`, `[N, *event_shape]`; models that draw them take the seed."""
    takes_seed = "seed" in inspect.signature(model.reconstruct).parameters
    return np.asarray(model.reconstruct(x, condition=condition, **({"seed": seed} if takes_seed else {})))
