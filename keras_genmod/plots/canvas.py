"""Figures that are ready to save: without pyplot, so that none stays open and no screen is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_genmod.applications.shown import enlarged_grid
from keras_genmod.core.optional import optional_module

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ImagePanel", "draw_points", "image_figure", "new_figure", "shown_grid", "single_axes"]

# Pixels an inch. One pixel of a grid of images is one pixel of the saved figure.
_DPI = 100
# Pixels between a figure's parts.
_GAP = 14
# Grey between images, since black and white are often the images' own.
_LINE = 150


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """An empty figure, `width` by `height` inches."""
    module = optional_module("matplotlib.figure", what="`kg.plots`")
    return module.Figure(figsize=(width, height), dpi=_DPI, **options)


def single_axes(width: float, height: float, title: str, **labels: Any) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, its title and its labels (`xlabel`, `ylabel`, limits, ...)."""
    figure = new_figure(width, height, layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, **labels)
    return figure, axes


def draw_points(axes: Axes, points: np.ndarray, *, among: int | None = None, **options: Any) -> Any:
    """Draws points `[N, 2]`, the smaller the more there are.

    Args:
        axes: Where to draw.
        points: `[N, 2]`.
        among: Number of points that the size depends on; N by default.
        **options: Passed to matplotlib's `scatter`.
    """
    size = float(np.clip(7000 / max(among or len(points), 1), 3.0, 25.0))
    return axes.scatter(points[:, 0], points[:, 1], s=size, linewidths=0, **options)


def shown_grid(images: Any, columns: int | None, value_range: tuple[float, float]) -> np.ndarray:
    """Images or a list of groups of images, enlarged if small, in a grid with grey lines, uint8."""
    return enlarged_grid(images, columns, value_range=value_range, line=_LINE)


@dataclass(frozen=True)
class ImagePanel:
    """A grid of images with its captions.

    Args:
        grid: uint8 `[height, width, 1 or 3]`.
        caption: What the images are, above them.
        rows: Names of the rows of images, on their left.
        faded: For each row, whether its name is grey.
        columns: Names of the columns of images, below them.
        below: What the names of the columns are.
    """

    grid: np.ndarray
    caption: str = ""
    rows: Sequence[str] = ()
    faded: Sequence[bool] = ()
    columns: Sequence[str] = ()
    below: str = ""


def image_figure(title: str, panels: Sequence[ImagePanel]) -> Figure:
    """A figure of grids of images side by side, each pixel of a grid one pixel of the figure."""
    figure = new_figure(1.0, 1.0)
    heading = figure.text(0.5, 1.0, title, ha="center", va="top", fontsize=12)
    drawn = [_draw(figure, panel) for panel in panels]
    boxes = [_margins(axes) for axes in drawn]
    sizes = [panel.grid.shape[:2] for panel in panels]
    top = max(box[1] for box in boxes)
    bottom = max(box[2] for box in boxes)
    tallest = max(height for height, _ in sizes)
    content = sum(width + box[0] for (_, width), box in zip(sizes, boxes, strict=True))
    content += _GAP * (len(panels) - 1)
    extent = heading.get_window_extent()
    width = 2 * _GAP + max(content, round(extent.width))
    height = 2 * _GAP + (round(extent.height) + _GAP if title else 0) + top + tallest + bottom
    left = (width - content) // 2
    for axes, (rows, columns), box in zip(drawn, sizes, boxes, strict=True):
        lower = _GAP + bottom + tallest - rows
        left += box[0]
        axes.set_position((left / width, lower / height, columns / width, rows / height))
        left += columns + _GAP
    figure.set_size_inches(width / _DPI, height / _DPI)
    heading.set_position((0.5, 1.0 - _GAP / height))
    return figure


def _draw(figure: Figure, panel: ImagePanel) -> Axes:
    """The axes of a panel, not yet in their place."""
    height, width, channels = panel.grid.shape
    axes = figure.add_axes((0.0, 0.0, width / _DPI, height / _DPI), label=str(len(figure.axes)))
    pixels = panel.grid.repeat(3, axis=-1) if channels == 1 else panel.grid
    axes.imshow(pixels, interpolation="nearest", aspect="auto")
    axes.set_title(panel.caption, fontsize=10, pad=4)
    axes.set_xlabel(panel.below)
    axes.set_xticks(_centres(len(panel.columns), width), panel.columns, fontsize=9)
    axes.set_yticks(_centres(len(panel.rows), height), panel.rows, fontsize=9)
    for label, is_faded in zip(axes.get_yticklabels(), panel.faded, strict=False):
        label.set_color("0.6" if is_faded else "black")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return axes


def _centres(number: int, length: int) -> np.ndarray:
    """The middles of `number` equal parts of a side, in pixels of the grid."""
    return (np.arange(number) + 0.5) * length / max(number, 1) - 0.5


def _margins(axes: Axes) -> tuple[int, int, int]:
    """The pixels that captions need on the left of, above and below a grid."""
    inner = axes.get_window_extent()
    outer = axes.get_tightbbox() or inner
    margins = (inner.x0 - outer.x0, outer.y1 - inner.y1, inner.y0 - outer.y0)
    left, top, bottom = (max(0, int(np.ceil(margin))) for margin in margins)
    return left, top, bottom
