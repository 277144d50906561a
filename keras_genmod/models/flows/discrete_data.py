"""A warning about data without a density: constant variables, and values on a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.core.user_warnings import warn_user

__all__ = ["warn_of_discrete_data"]

# With fewer rows, constant variables and grids may be coincidences.
_LEAST_ROWS = 8


def warn_of_discrete_data(x: Any) -> None:
    """Warns if a density can make the data's likelihood arbitrarily large, and says how to preprocess them.

    Args:
        x: The first rows of the data, `[N, *event_shape]`.
    """
    x = np.asarray(x)
    if len(x) < _LEAST_ROWS:
        return
    rows = x.reshape(len(x), -1).astype("float64")
    num_constant = int(np.sum(rows.min(axis=0) == rows.max(axis=0)))
    constant = f"{num_constant} of {rows.shape[1]} variables are constant in the first {len(x)} rows"
    # If all variables are constant, nothing shows whether there is a grid.
    grid = None if num_constant == rows.shape[1] else _grid(rows)
    if grid is not None:
        what, num_levels, scaled = grid
        if num_levels is None:
            advice = "Add uniform noise between 0 and 1 to them, and standardise the result."
        else:
            first = f"Multiply the data by {num_levels - 1} and round them; then pass" if scaled else "Pass"
            advice = (
                f"{first} `dequantization='uniform', num_levels={num_levels}, logit_alpha=1e-6` to the "
                f"model, or put `UniformDequantization({num_levels})` and `Logit()` before your own "
                "bijections."
            )
        also = f" ({constant})" if num_constant else ""
        warn_user(
            f"All values of the data are {what}{also}. A density on discrete values has no upper bound, so "
            f"its values mean little. {advice}"
        )
    elif num_constant:
        inside = rows.min() >= 0.0 and rows.max() <= 1.0
        pixels = (
            "; pass pixels as integers from 0 to 255, with `UniformDequantization` and `Logit` as first "
            "bijections (`dequantization='uniform', logit_alpha=1e-6`)"
        )
        warn_user(
            f"{constant}. The density of a constant variable has no upper bound, so the loss falls forever "
            "and does not reflect the other variables. Remove them and standardise the others"
            f"{pixels if inside else ''}."
        )


def _grid(rows: np.ndarray) -> tuple[str, int | None, bool] | None:
    """The grid on which all values lie: description, number of levels, and whether it is scaled to [0, 1]."""
    low, high = rows.min(), rows.max()
    if np.array_equal(rows, np.round(rows)):
        num_levels = max(2, int(high) + 1)
        # The largest of these rows may be below the largest of a byte.
        num_levels = 256 if 128 < num_levels < 256 else num_levels
        return "integers", None if low < 0 else num_levels, False
    if low < 0.0 or high > 1.0:
        return None
    levels = rows * 255.0
    # Pixels in single precision deviate far less; 16 random values all come this close once in 1e43 cases.
    on_grid = np.abs(levels - np.round(levels)).max() < 1e-3
    return ("multiples of 1/255", 256, True) if on_grid else None
