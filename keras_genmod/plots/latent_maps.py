r"""Maps of the latent space.

Two latent dimensions are drawn as they are. More are projected on their first two principal components: with
the codes' mean subtracted, $Z = U \Sigma V^T$, the map is the first two columns of $U \Sigma$.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_genmod.applications.latents import encode
from keras_genmod.core.checks import describe
from keras_genmod.plots.canvas import draw_points, single_axes
from keras_genmod.plots.capabilities import require
from keras_genmod.plots.events import titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["latent_map"]

# More values than these are a scale of colours, not classes.
_MOST_CLASSES = 20


def latent_map(
    model: Any, x: Any, y: Any = None, *, condition: Any = None, title: str | None = None
) -> Figure:
    r"""Draws the codes of examples as points, coloured by what is known of them.

    Two latent dimensions are the axes. More are projected on their first two principal components, whose
    shares of the variance are on the axes.

    Args:
        model: Any model with `encode` and a continuous latent space.
        x: Examples `[N, *event_shape]`.
        y: `[N]`: classes (integers, strings or booleans, at most 20 different ones), each with its colour in
            the legend, or numbers, which are shown by a scale of colours. None draws all points alike.
        condition: One condition for all examples, or one per example.
        title: Title of the figure; by default the model's class and what is shown.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If the model has no `encode`, or its codes are discrete.
        ValueError: If shapes do not fit, or there are fewer than two latent dimensions.

    Cost: one pass through the encoder, and for more than two dimensions a singular value decomposition of
    the codes, `N * latent_dim^2`.
    """
    require(model, "latent_map")
    codes = encode(model, x, condition, what="`kg.plots.latent_map`")
    codes = codes.reshape(len(codes), -1)
    y = None if y is None else _classes_or_numbers(y, len(codes))
    points, names = _projected(codes)
    what = f"latent space, codes of {len(codes)} examples"
    figure, axes = single_axes(5.8, 4.8, titled(title, model, what), xlabel=names[0], ylabel=names[1])
    if y is None:
        draw_points(axes, points)
    elif _is_scale(y):
        figure.colorbar(draw_points(axes, points, c=y.astype(np.float64)), label="y")
    else:
        _draw_classes(axes, points, y)
    return figure


def _classes_or_numbers(y: Any, number: int) -> np.ndarray:
    """What is known of each example, `[number]`."""
    y = np.asarray(y)
    if y.shape != (number,):
        advice = f"Pass an array [{number}]."
        if y.shape == (number, 1):
            advice = "Remove the axis of length 1: `np.ravel(y)`."
        elif y.ndim == 2 and len(y) == number:
            advice = "Of one-hot vectors pass the classes: `np.argmax(y, axis=-1)`."
        raise ValueError(
            f"`y` must have one class or number for each of the {number} examples; received {describe(y)}. "
            f"{advice}"
        )
    if y.dtype == object:
        # Names beside None or numbers, which have no order of their own.
        y = y.astype(str)
    if np.issubdtype(y.dtype, np.number):
        bad = np.count_nonzero(~np.isfinite(y))
        if bad:
            raise ValueError(
                f"`y` must hold finite numbers or classes; received {bad} NaN or infinite ones. Leave out "
                "those examples, or pass names, such as 'unknown'."
            )
    elif len(np.unique(y)) > _MOST_CLASSES:
        raise ValueError(
            f"`y` must have at most {_MOST_CLASSES} different classes; received {len(np.unique(y))}. Join "
            "the rare ones, or draw some classes only."
        )
    return y


def _is_scale(y: np.ndarray) -> bool:
    """Whether `y` is shown by a scale of colours."""
    is_number = np.issubdtype(y.dtype, np.number)
    return is_number and (np.issubdtype(y.dtype, np.floating) or len(np.unique(y)) > _MOST_CLASSES)


def _projected(codes: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """Two coordinates of each code, `[N, 2]`, and their names."""
    if codes.shape[1] < 2:
        raise ValueError(
            "`kg.plots.latent_map` needs two latent dimensions or more; received codes of one. Draw a "
            "histogram of `model.encode(x)`."
        )
    if codes.shape[1] == 2:
        return codes, ("latent 0", "latent 1")
    centred = codes - codes.mean(axis=0)
    left, scales, axes = np.linalg.svd(centred, full_matrices=False)
    # A component has no sign of its own: its largest loading is made positive.
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    points = (left * scales * signs)[:, :2]
    if points.shape[1] < 2:
        points = np.pad(points, [(0, 0), (0, 1)])
    total = np.sum(scales**2)
    shares = np.pad(scales, (0, 1))[:2] ** 2 / (total if total > 0.0 else 1.0)
    first, second = (
        f"principal component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares)
    )
    return points, (first, second)


def _draw_classes(axes: Axes, points: np.ndarray, y: np.ndarray) -> None:
    """Points in one colour per class, with a legend beside them."""
    classes = np.unique(y)
    colormap = "tab10" if len(classes) <= 10 else "tab20"
    for index, value in enumerate(classes):
        color = _color(colormap, index)
        draw_points(axes, points[y == value], among=len(points), color=color, label=str(value))
    axes.legend(
        title="class",
        markerscale=1.5,
        fontsize=9,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.3,
        ncols=1 if len(classes) <= 12 else 2,
    )


def _color(colormap: str, index: int) -> Any:
    import matplotlib

    return matplotlib.colormaps[colormap](index)
