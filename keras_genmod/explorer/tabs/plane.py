"""The density of a model of points in the plane."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.page import Page
from keras_genmod.explorer.tab import Tab
from keras_genmod.explorer.views import Points

__all__ = ["Plane", "density_on_grid"]

# Points of the grid along each axis, and samples over it.
_GRID, _SAMPLES = 120, 300


def density_on_grid(
    explored: Explored, points: np.ndarray, condition: Any = None
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """The density p(x) over the part of the plane in which points lie.

    Args:
        explored: A model of points with `log_prob`.
        points: Points `[N, 2]`; the grid extends beyond them by a tenth of their range.
        condition: One condition.

    Returns:
        The density `[120, 120]`, rows from below, and the ends of the grid: left, right, below, above.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.1 * np.maximum(high - low, 1e-3)
    low, high = low - margin, high + margin
    # At the middles of the grid's cells.
    axes = [low[i] + (high[i] - low[i]) * (np.arange(_GRID) + 0.5) / _GRID for i in range(2)]
    first, second = np.meshgrid(*axes)
    grid = np.stack([first.ravel(), second.ravel()], axis=1).astype(explored.space.dtype.as_numpy_dtype)
    nats = np.asarray(explored.model.log_prob(grid, condition=condition), np.float64)
    return np.exp(nats).reshape(_GRID, _GRID), (low[0], high[0], low[1], high[1])


class Plane(Tab):
    """The density as a map, with samples over it."""

    title = "Density"
    needs = "points in the plane and `log_prob`"

    @staticmethod
    def when(explored: Explored) -> bool:
        return isinstance(explored.view, Points) and hasattr(explored.model, "log_prob")

    @staticmethod
    def build(page: Page) -> None:
        explored = page.explored
        page.caption(
            "**The density of the model over the plane**, bright where it expects points, and the model's "
            "own samples in white. Samples lie where the density is bright if the model draws what it says."
        )

        def draw(condition: Any) -> Any:
            samples = np.zeros((0, 2))
            if hasattr(explored.model, "sample"):
                samples = explored.sample(_SAMPLES, 0, 1.0, condition)
            known = [part for part in (explored.examples, samples) if part is not None and len(part)]
            corners = np.asarray([[-3.0, -3.0], [3.0, 3.0]])
            density, bounds = density_on_grid(
                explored, np.concatenate(known) if known else corners, condition
            )
            return explored.view.draw_density(density, bounds, samples)

        shown = page.output("Density and samples", "density", draw(explored.first_condition()))
        page.on(page.condition_events(), draw, [], [shown])
