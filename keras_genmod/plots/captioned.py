"""Images of any origin, with captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_genmod.applications.shown import check_shown_range
from keras_genmod.core.checks import as_array, check_integer
from keras_genmod.core.images import as_images
from keras_genmod.plots.canvas import ImagePanel, image_figure, shown_grid
from keras_genmod.plots.given import check_list, warn_outside

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
        names: Names of the columns, which `columns` numbers.
        below: What the columns are.
        value_range: Values shown as black and white.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If the images are no arrays.
        ValueError: If the images have another shape, or there is not one name for each column.

    Warns:
        UserWarning: If values lie far outside `value_range`, such as bytes beside (0, 1).

    Example:
        >>> import numpy as np
        >>> rows = {"even": np.eye(4)[::2], "odd": np.eye(4)[1::2]}
        >>> figure = images(rows, title="Unit vectors", names=["first", "second"])
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['even', 'odd']
    """
    value_range = check_shown_range(value_range)
    names = check_list("names", names, example="['first', 'second']")
    if not isinstance(images, Mapping):
        pictures = as_images(as_array("images", images))
        warn_outside("images", pictures, value_range)
        grid, rows, width = shown_grid(pictures, columns, value_range), [], columns
    else:
        if not images:
            raise ValueError("`images` must hold a group of images at least; received an empty dictionary.")
        groups = [as_images(as_array(f"images[{name!r}]", group)) for name, group in images.items()]
        for name, group in zip(images, groups, strict=True):
            warn_outside(f"images[{name!r}]", group, value_range)
        width = check_integer("columns", max(map(len, groups)) if columns is None else columns)
        grid = shown_grid(groups, width, value_range)
        rows = [
            str(name) if start == 0 else ""
            for name, group in zip(images, groups, strict=True)
            for start in range(0, len(group), width)
        ]
    if len(names) not in (0, width):
        wanted = f"for each of the `columns`, {width}" if width else "for each column, beside `columns=`"
        raise ValueError(
            f"`names` must have one name {wanted}; received {len(names)}. Pass `columns`, or correct the "
            "names."
        )
    return image_figure(title, [ImagePanel(grid, rows=rows, columns=names, below=below)])
