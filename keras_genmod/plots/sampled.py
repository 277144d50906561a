"""Samples of a model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_genmod.core.checks import check_integer
from keras_genmod.plots.canvas import ImagePanel, draw_points, image_figure, shown_grid, single_axes
from keras_genmod.plots.capabilities import require
from keras_genmod.plots.events import chosen_columns, columns_named, points_of, titled
from keras_genmod.plots.given import examples_of, range_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["samples"]

_OF_LIKELIHOOD = "from_likelihood"


def samples(
    model: Any,
    num_samples: int | None = None,
    *,
    x: Any = None,
    condition: Any = None,
    seed: Any = 0,
    dims: Sequence[int] | None = None,
    columns: int | None = None,
    value_range: tuple[float, float] | None = None,
    title: str | None = None,
    **options: Any,
) -> Figure:
    """Draws samples of a model, as images or as points of the plane.

    A model with a likelihood p(x|z) gives two panels from the same latent vectors: the likelihood's draws,
    which look like data, and its means, which look smoother than data.

    Args:
        model: Any model with `sample`.
        num_samples: Number of samples; by default 36 images, or 2000 points.
        x: Data to compare with, `[N, *event_shape]`, in a panel of their own (points: in the same axes), with
            values that the model takes. The first `num_samples` are shown.
        condition: One condition for all samples, or one per sample.
        seed: Seeds the samples; None draws anew at every call.
        dims: The two columns to draw, for examples that are vectors; those of length 2 need none.
        columns: Number of images in a row; by default each panel is as square as possible.
        value_range: Values shown as black and white; by default the model's value range, or (0, 1) if that
            is unbounded.
        title: Title of the figure; by default the model's class and what is shown.
        **options: Passed to `model.sample`, such as `temperature=0.8` or `from_likelihood=True`, which leaves
            out the means.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If the model has no `sample`.
        ValueError: If examples are neither images nor points, `x` is out of the model's range, or an argument
            does not fit.

    Cost: `num_samples` samples, for each panel of them.
    """
    require(model, "samples")
    dims = chosen_columns(model, dims, function="samples")
    shown_values = range_of(value_range, model)
    x = None if x is None else examples_of("x", x, model)
    number = check_integer(
        "num_samples", (36 if dims is None else 2000) if num_samples is None else num_samples
    )
    kinds = _kinds(model, options)
    if dims is not None:
        kinds = dict(list(kinds.items())[:1])  # Means beside draws would hide them.
    drawn = {
        caption: np.asarray(model.sample(number, condition=condition, seed=seed, **options, **choice))
        for caption, choice in kinds.items()
    }
    if dims is not None:
        ((caption, points),) = drawn.items()
        return _scatter(titled(title, model, caption), points, x, dims, number)
    shown = {} if x is None else {"data": x[:number]}
    panels = [
        ImagePanel(shown_grid(images, columns, shown_values), caption)
        for caption, images in {**shown, **drawn}.items()
    ]
    what = f"{number} samples" + (" beside data" if shown else "")
    return image_figure(titled(title, model, what), panels)


def _kinds(model: Any, options: Mapping[str, Any]) -> dict[str, dict[str, bool]]:
    """Caption -> the further options of `sample`, for each panel of samples."""
    draws, means = "samples: draws from p(x|z)", "samples: means of p(x|z)"
    if _OF_LIKELIHOOD not in inspect.signature(model.sample).parameters:
        return {"samples": {}}
    if _OF_LIKELIHOOD in options:
        return {draws if options[_OF_LIKELIHOOD] else means: {}}
    return {draws: {_OF_LIKELIHOOD: True}, means: {_OF_LIKELIHOOD: False}}


def _scatter(title: str, drawn: np.ndarray, x: Any, dims: tuple[int, int], number: int) -> Figure:
    """Points of samples, over those of data if there are any."""
    figure, axes = single_axes(5.2, 4.8, title, **columns_named(dims))
    if x is not None:
        data = points_of(x, dims)[:number]
        draw_points(axes, data, c="0.65", label=f"data ({len(data)})")
    draw_points(axes, points_of(drawn, dims), alpha=0.7, label=f"samples ({number})")
    axes.legend(markerscale=2.0, fontsize=9)
    return figure
