"""Sources beside their translations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_genmod.applications.translated import check_translator, translation_rows
from keras_genmod.core.checks import check_integer
from keras_genmod.plots.canvas import ImagePanel, image_figure, shown_grid
from keras_genmod.plots.events import titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["translations"]


def translations(
    model: Any,
    x: Any,
    *,
    targets: Any = None,
    direction: str | None = None,
    seed: Any = None,
    columns: int = 8,
    title: str | None = None,
) -> Figure:
    """Draws sources, below each its translation, and below that its target, or the way back.

    Args:
        model: A model that translates pictures: `Pix2Pix`, `CycleGAN`, `SuperResolution`.
        x: Sources `[N, *source_shape]`; of a `SuperResolution` small pictures. All are shown.
        targets: What the sources should become. Without them a `CycleGAN` translates back.
        direction: "ab" or "ba" of a `CycleGAN`, the first by default.
        seed: Seeds the noise of models that have some; None translates without noise.
        columns: Number of sources in a row.
        title: Title of the figure; by default the model's class and what is shown.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If the model does not translate pictures.
        ValueError: If shapes or the direction do not fit.

    Cost: N translations, twice as many with the way back.
    """
    check_translator(model, "`kg.plots.translations`")
    columns = check_integer("columns", columns)
    kinds = translation_rows(model, x, targets=targets, direction=direction, seed=seed)
    blocks = range(0, len(kinds["source"]), columns)
    rows = [pictures[first : first + columns] for first in blocks for pictures in kinds.values()]
    grid = shown_grid(rows, columns, (0.0, 1.0))
    names = ["translated back" if name == "back" else name for name in kinds]
    title = titled(title, model, "pictures and their translations")
    return image_figure(title, [ImagePanel(grid, rows=names * len(blocks))])
