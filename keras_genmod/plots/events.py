"""How the examples of a model are drawn: as images, or as points of the plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_genmod.core.checks import check_integer
from keras_genmod.plots.given import check_list

__all__ = ["check_images", "chosen_columns", "columns_named", "points_of", "titled"]

# Vectors of this length or longer are images where it is a square: shorter ones are rather tables.
_SMALLEST_IMAGE = 16


def chosen_columns(model: Any, dims: Sequence[int] | None, *, function: str) -> tuple[int, int] | None:
    """The two columns to draw as points; None for a model of images.

    Args:
        model: A model with an `event_shape`.
        dims: The columns that were asked for, or None.
        function: The name of the function, for errors.

    Raises:
        ValueError: If the model's examples are neither, or the columns do not exist.
    """
    shape = tuple(model.event_shape)
    if dims is not None:
        given = check_list("dims", dims, example="(0, 1)")
        dims = tuple(check_integer("dims", dim, minimum=0) for dim in given)
        if len(shape) != 1 or len(set(dims)) != 2 or len(dims) != 2 or max(dims) >= shape[0]:
            raise ValueError(
                f"`dims` must be two columns of examples that are vectors, such as (0, 1); received {dims} "
                f"for examples of shape {shape}. Choose two columns that exist, or omit it for images."
            )
        return dims[0], dims[1]
    if shape == (2,):
        return 0, 1
    if _is_image(shape):
        return None
    advice = "Draw the figure yourself from the arrays that the model gives."
    if len(shape) == 1 and shape[0] > 1:
        advice = (
            "Choose two columns with `dims=(0, 1)`; `kg.plots.latent_map` and `kg.plots.score_histogram` "
            "show all columns at once, for models with `encode` or `anomaly_score`."
        )
    raise ValueError(
        f"`kg.plots.{function}` draws images ([height, width, 1 or 3], or flat ones of square length) and "
        f"points of the plane; received a model of examples of shape {shape}. {advice}"
    )


def check_images(model: Any, *, function: str) -> None:
    """Refuses a model whose examples are no images."""
    shape = tuple(model.event_shape)
    if not _is_image(shape):
        raise ValueError(
            f"`kg.plots.{function}` draws images ([height, width, 1 or 3], or flat ones of square length); "
            f"received a model of examples of shape {shape}. Draw the figure yourself from the arrays of "
            "`kg.applications.traverse`."
        )


def _is_image(shape: tuple[int, ...]) -> bool:
    if len(shape) == 1:
        return shape[0] >= _SMALLEST_IMAGE and math.isqrt(shape[0]) ** 2 == shape[0]
    return len(shape) == 3 and shape[-1] in (1, 3)


def points_of(x: Any, dims: tuple[int, int]) -> np.ndarray:
    """Two columns of vectors, `[N, 2]`."""
    return np.asarray(x)[:, list(dims)]


def columns_named(dims: tuple[int, int]) -> dict[str, str]:
    """The labels of the axes for two columns."""
    return {"xlabel": f"column {dims[0]} of x", "ylabel": f"column {dims[1]} of x"}


def titled(title: str | None, model: Any, what: str) -> str:
    """The given title, or the model's class and what is shown."""
    return f"{type(model).__name__}: {what}" if title is None else title
