"""Examples beside their reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_genmod.applications.shown import reconstruct
from keras_genmod.core.checks import check_integer
from keras_genmod.core.images import as_images
from keras_genmod.plots.canvas import ImagePanel, draw_points, image_figure, shown_grid, single_axes
from keras_genmod.plots.capabilities import require
from keras_genmod.plots.events import chosen_columns, columns_named, points_of, titled
from keras_genmod.plots.given import examples_of, range_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["reconstructions"]


def reconstructions(
    model: Any,
    x: Any,
    *,
    originals: Any = None,
    condition: Any = None,
    seed: Any = 0,
    dims: Sequence[int] | None = None,
    columns: int = 12,
    value_range: tuple[float, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Draws examples, and below each its reconstruction; points of the plane are joined with theirs.

    Args:
        model: Any model with `reconstruct`.
        x: The examples, `[N, *event_shape]`; all are shown.
        originals: What `x` was before it was damaged, for a denoising model: a third row of images, above;
            of points a third colour.
        condition: One condition for all examples, or one per example.
        seed: Seeds the reconstructions of models that draw them; None draws anew at every call.
        dims: The two columns to draw, for examples that are vectors; those of length 2 need none.
        columns: Number of images in a row.
        value_range: Values shown as black and white; by default the model's value range, or (0, 1) if that
            is unbounded.
        title: Title of the figure; by default the model's class and what is shown.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If the model has no `reconstruct`.
        ValueError: If examples are neither images nor points, or shapes do not fit.

    Cost: N reconstructions.
    """
    require(model, "reconstructions")
    dims = chosen_columns(model, dims, function="reconstructions")
    columns = check_integer("columns", columns)
    shown_values = range_of(value_range, model)
    x = examples_of("x", x, model)
    kinds = {"data" if originals is None else "damaged": x}
    if originals is not None:
        originals = examples_of("originals", originals, model)
        if len(originals) != len(x):
            raise ValueError(
                f"`originals` must have one example for each of `x`, {len(x)}; received {len(originals)}. "
                "Pass the same examples before and after the damage."
            )
        kinds = {"original": originals, **kinds}
    kinds[_name(model)] = reconstruct(model, x, condition, seed)
    title = titled(title, model, "data and their reconstructions")
    if dims is not None:
        return _scatter(title, {name: points_of(points, dims) for name, points in kinds.items()}, dims)
    blocks = range(0, len(x), columns)
    rows = [as_images(images)[first : first + columns] for first in blocks for images in kinds.values()]
    pictures = shown_grid(rows, None, shown_values)
    return image_figure(title, [ImagePanel(pictures, rows=list(kinds) * len(blocks))])


def _name(model: Any) -> str:
    """What reconstructions are called."""
    return "reconstruction:\nmean of p(x|z)" if hasattr(model, "likelihood") else "reconstruction"


def _scatter(title: str, kinds: Mapping[str, np.ndarray], dims: tuple[int, int]) -> Figure:
    """Points, each joined with its reconstruction, which is the last kind."""
    figure, axes = single_axes(5.2, 4.8, title, **columns_named(dims))
    axes.plot(*np.stack(list(kinds.values())[-2:]).transpose(2, 0, 1), color="0.8", linewidth=0.7, zorder=0)
    colors = {"data": "0.45", "damaged": "0.45", "original": "C2"}
    for name, points in kinds.items():
        label = name if name in colors else "reconstruction"
        draw_points(axes, points, c=colors.get(name, "C0"), label=label)
    axes.legend(markerscale=1.5, fontsize=9)
    return figure
