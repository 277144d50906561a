"""What a flow says about data that have no density: constant variables, and values on a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.core.user_warnings import warn_user

__all__ = ["warn_of_discrete_data"]

# Fewer rows say nothing about a variable, and fewer values nothing about a grid.
_LEAST_ROWS = 8


def warn_of_discrete_data(x: Any) -> None:
    """Warns if the likelihood of data under a density has no bound, and says what to put in front.

    Args:
        x: the first rows of the data, `[N, *event_shape]`.
    """
    x = np.asarray(x)
    if len(x) < _LEAST_ROWS:
        return
    rows = x.reshape(len(x), -1).astype("float64")
    num_constant = int(np.sum(rows.min(axis=0) == rows.max(axis=0)))
    constant = f"{num_constant} of {rows.shape[1]} variables are constant in the first {len(x)} rows"
    # If all are constant there is no grid to be seen.
    grid = None if num_constant == rows.shape[1] else _grid(rows)
    if grid is not None:
        what, num_levels, scaled = grid
        if num_levels is None:
            advice = "Add noise between 0 and 1 to them, and standardise the sum."
        else:
            first = f"Multiply the data by {num_levels - 1} and round them; then pass" if scaled else "Pass"
            advice = (
                f"{first} `dequantization='uniform', num_levels={num_levels}, logit_alpha=1e-6` to the "
                f"model, or put `UniformDequantization({num_levels})` and `Logit()` in front of your own "
                "bijections."
            )
        also = f" ({constant})" if num_constant else ""
        warn_user(
            f"All values of the data are {what}{also}. A density over discrete values has no bound, and its "
            f"figures mean little. {advice}"
        )
    elif num_constant:
        inside = rows.min() >= 0.0 and rows.max() <= 1.0
        pixels = (
            "; of pixels, pass the whole numbers from 0 to 255 with `UniformDequantization` and `Logit` in "
            "front (`dequantization='uniform', logit_alpha=1e-6`)"
        )
        warn_user(
            f"{constant}. The density of a variable that never varies has no bound, so the loss falls for "
            f"ever and says nothing about the others. Leave them out and standardise the others"
            f"{pixels if inside else ''}."
        )


def _grid(rows: np.ndarray) -> tuple[str, int | None, bool] | None:
    """The grid that all values lie on: its description, number of levels, and whether it is scaled to 1."""
    low, high = rows.min(), rows.max()
    if np.array_equal(rows, np.round(rows)):
        return "whole numbers", None if low < 0 else max(2, int(high) + 1), False
    if low < 0.0 or high > 1.0:
        return None
    levels = rows * 255.0
    # Pixels in single precision are off by far less; of sixteen random values all are so once in 1e43.
    on_grid = np.abs(levels - np.round(levels)).max() < 1e-3
    return ("multiples of 1/255", 256, True) if on_grid else None
