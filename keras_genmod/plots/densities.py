"""Densities of the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_genmod.core.checks import check_integer, describe
from keras_genmod.plots.canvas import draw_points, single_axes
from keras_genmod.plots.capabilities import require
from keras_genmod.plots.events import columns_named, titled
from keras_genmod.plots.given import examples_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["density_2d"]

# Samples or data whose extent gives the limits, and their part that is left out at each end.
_NUM_SAMPLES = 4000
_LEFT_OUT = 0.001

_NAMES = {
    "lower_bound": "lower bound on the density p(x)",
    "estimate": "estimate of the density p(x)",
}


def density_2d(
    model: Any,
    *,
    x: Any = None,
    limits: Any = None,
    num_points: int = 200,
    condition: Any = None,
    seed: Any = 0,
    title: str | None = None,
    **options: Any,
) -> Figure:
    r"""Draws the density $p(x) = \exp(\log p(x))$ of a model of points of the plane.

    Args:
        model: A model with `log_prob` and `event_shape` (2,).
        x: Data `[N, 2]`, drawn over the density.
        limits: The part of the plane: `(low, high)` for both axes, or one such pair for each. By default that
            which holds nearly all of `x`, or else of the model's samples.
        num_points: Number of points along each axis at which the density is computed, each in the middle of
            its pixel. So the sum of the values times a pixel's area is about 1 if the limits hold nearly all
            of the mass and the density is smooth at this resolution.
        condition: One condition for all points.
        seed: Seeds the samples that give the limits.
        title: Title of the figure; by default the model's class and what is shown.
        **options: Passed to `model.log_prob`, such as `num_samples=500` for a bound.

    Returns:
        A `matplotlib.figure.Figure`. `figure.axes[0].images[0].get_array()` are the values,
        `[num_points, num_points]`: the first axis is the second column of x.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If the model has no `log_prob`.
        ValueError: If its examples are not points of the plane, or an argument does not fit.

    Cost: `num_points^2` log-densities.
    """
    require(model, "density_2d")
    if tuple(model.event_shape) != (2,):
        raise ValueError(
            "`kg.plots.density_2d` draws densities of points of the plane, `event_shape` (2,); received a "
            f"model of examples of shape {tuple(model.event_shape)}. Compare log-densities of such examples "
            "with `kg.plots.score_histogram`."
        )
    num_points = check_integer("num_points", num_points, minimum=2)
    x = None if x is None else examples_of("x", x, model)
    (left, right), (low, high) = _limits(limits, model, x, condition, seed)
    across, up = (
        start + (np.arange(num_points) + 0.5) * (end - start) / num_points
        for start, end in ((left, right), (low, high))
    )
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2).astype(np.float32)
    log_prob = np.asarray(model.log_prob(grid, condition=condition, **options), np.float64)
    density = np.exp(log_prob).reshape(num_points, num_points)
    name = _NAMES.get(str(getattr(model, "density", "")), "density p(x)")
    what = name + ("" if x is None else " and data")
    figure, axes = single_axes(5.6, 4.6, titled(title, model, what), **columns_named((0, 1)))
    image = axes.imshow(density, origin="lower", extent=(left, right, low, high), aspect="auto", vmin=0.0)
    figure.colorbar(image, label=f"{name}, per unit of area")
    if x is not None:
        draw_points(axes, x, c="white", alpha=0.5, label=f"data ({len(x)})")
        axes.set(xlim=(left, right), ylim=(low, high))
        axes.legend(markerscale=2.0, fontsize=9, facecolor="0.3", labelcolor="white")
    return figure


def _limits(
    limits: Any, model: Any, x: np.ndarray | None, condition: Any, seed: Any
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ends of both axes."""
    if limits is not None:
        try:
            given = np.broadcast_to(np.asarray(limits, np.float64), (2, 2))
        except ValueError:
            given = np.full((2, 2), np.nan)
        if not (np.isfinite(given).all() and np.all(given[:, 0] < given[:, 1])):
            raise ValueError(
                "`limits` must be (low, high), or one such pair for each axis; received "
                f"{describe(limits)}. Pass increasing finite numbers, such as (-4, 4)."
            )
        (left, right), (low, high) = given
        return (float(left), float(right)), (float(low), float(high))
    if x is None:
        if not hasattr(model, "sample"):
            raise ValueError(
                f"The part of the plane to draw is not known: a {type(model).__name__} has no `sample`. Pass "
                "`limits=(low, high)`, or data `x`."
            )
        x = np.asarray(model.sample(_NUM_SAMPLES, condition=condition, seed=seed))
    ends = np.quantile(np.asarray(x, np.float64), [_LEFT_OUT, 1.0 - _LEFT_OUT], axis=0)
    # At least a little space, also where all points are one.
    space = np.maximum(0.12 * (ends[1] - ends[0]), 1e-3)
    (left, low), (right, high) = ends[0] - space, ends[1] + space
    return (float(left), float(right)), (float(low), float(high))
