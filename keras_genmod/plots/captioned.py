"""Images of any origin, with captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_genmod.core.checks import check_integer
from keras_genmod.core.images import as_images
from keras_genmod.plots.canvas import ImagePanel, image_figure, shown_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["images"]


def images(
    images: Any,
    *,
    title: str = "",
    columns: int | None = None,
    names: Sequence[str] = (),
    below: str = "",
    value_range: tuple[float, float] = (0.0, 1.0),
) -> Figure:
    """Draws images in a grid, with names of the rows on the left and of the columns below.

    Args:
        images: Name -> group of images `[n, height, width, 1 or 3]` or flat `[n, side * side]`; each group
            starts a new row, which has its name. Or images without names, `[N, height, width, 1 or 3]`.
        title: Title of the figure.
        columns: Number of images in a row; by default that of the largest group, and without groups as square
            as possible.
        names: Names of the columns.
        below: What the columns are.
        value_range: Values shown as black and white.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If the images have another shape, or there is not one name for each column.

    Example:
        >>> import numpy as np
        >>> rows = {"even": np.eye(4)[::2], "odd": np.eye(4)[1::2]}
        >>> figure = images(rows, title="Unit vectors", names=["first", "second"])
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['even', 'odd']
    """
    if not isinstance(images, Mapping):
        grid, rows, width = shown_grid(as_images(images), columns, value_range), [], columns
    else:
        if not images:
            raise ValueError("`images` must hold a group of images at least; received an empty dictionary.")
        groups = [as_images(group) for group in images.values()]
        width = check_integer("columns", max(map(len, groups)) if columns is None else columns)
        grid = shown_grid(groups, width, value_range)
        rows = [
            str(name) if start == 0 else ""
            for name, group in zip(images, groups, strict=True)
            for start in range(0, len(group), width)
        ]
    if len(names) not in (0, width):
        raise ValueError(
            f"`names` must have one name for each of the `columns`, {width}; received {len(names)}. Pass "
            "`columns`, or correct the names."
        )
    return image_figure(title, [ImagePanel(grid, rows=rows, columns=list(names), below=below)])
