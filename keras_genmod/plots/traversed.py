"""Latent traversals with their captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_genmod.applications.latent_use import dims_by_use, latent_use
from keras_genmod.applications.latents import check_capability
from keras_genmod.applications.traversal import traverse
from keras_genmod.core.checks import as_array, check_integer
from keras_genmod.plots.canvas import ImagePanel, image_figure, shown_grid
from keras_genmod.plots.capabilities import require
from keras_genmod.plots.events import check_images, titled
from keras_genmod.plots.given import check_list, numbers_of, range_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_genmod.metrics.latent_usage import LatentUsage

__all__ = ["traversals"]


def traversals(
    model: Any,
    x: Any = None,
    *,
    values: Sequence[float] | None = None,
    dims: Sequence[int] | None = None,
    max_dims: int = 16,
    condition: Any = None,
    value_range: tuple[float, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Draws one row of images per latent dimension, which varies along it while the others stay.

    Dimensions that the model does not use are marked: the variance of their codes over the data is at most
    0.01 (`kg.metrics.active_units`). Their rows should not change. The use is known if `x` holds several
    examples, or right after `fit` and `evaluate` of a model that measures it (`latent_usage`). Then the rows
    are sorted by it, most used first.

    Args:
        model: Any model of images with latent vectors and `decode`, or a `generator`.
        x: The example to start from, `[*event_shape]`, or examples `[N, *event_shape]`: all measure the use
            of the dimensions, and the first one is the start; the model needs `encode`. None starts from the
            latent vector 0, the mean of a standard normal prior.
        values: Values that a varied dimension takes; by default 9 values from -3 to 3.
        dims: Dimensions to vary, in this order; by default the `max_dims` most used ones.
        max_dims: Largest number of rows.
        condition: One condition, without the batch axis, or for examples one per example, classes also as
            one-hot vectors.
        value_range: Values shown as black and white; by default the model's value range, or (0, 1) if that
            is unbounded.
        title: Title of the figure; by default the model's class and what is shown.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If the model lacks a method, or its codes are discrete.
        ValueError: If examples are no images, or an argument does not fit.

    Cost: one pass through the decoder per image, and one through the encoder per example.

    Reference: beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, Higgins
    et al., 2017.
    """
    require(model, "traversals")
    check_capability(model, "latent_dim", what="`kg.plots.traversals`")
    check_images(model, function="traversals")
    shown_values = range_of(value_range, model)
    advice = "Pass those that each latent dimension takes, such as [-2, 0, 2]."
    given = np.linspace(-3.0, 3.0, 9) if values is None else values
    grid = numbers_of("values", given, advice=advice)
    dims = None if dims is None else check_list("dims", dims, example="(0, 1)")
    if x is not None:
        if not hasattr(model, "encode"):
            raise TypeError(
                f"`x` needs a model with `encode`; received a {type(model).__name__}, which has none. Omit "
                "it: traversals then start from the latent vector 0."
            )
        x = as_array("x", x)
    several = x is not None and x.ndim == len(model.event_shape) + 1
    usage = latent_use(model, x if several else None, condition if several else None)
    start, single = (x[0], _first(model, condition)) if several else (x, condition)
    max_dims = check_integer("max_dims", max_dims)
    varied = dims_by_use(model, usage)[:max_dims] if dims is None else dims
    pictures = traverse(model, start, dims=varied, values=grid, condition=single)
    unused = _unused(model, usage)[np.asarray(varied)]
    images = pictures.reshape(-1, *pictures.shape[2:])
    panel = ImagePanel(
        shown_grid(images, grid.size, shown_values),
        rows=[
            f"latent {dim % model.latent_dim}" + "\nnot used" * bool(idle)
            for dim, idle in zip(varied, unused, strict=True)
        ],
        faded=unused.tolist(),
        columns=[f"{value:.3g}" for value in grid],
        below="value of the latent dimension",
    )
    is_sorted = usage is not None and dims is None
    what = "traversals of the latent dimensions" + ", most used first" * is_sorted
    return image_figure(titled(title, model, what), [panel])


def _first(model: Any, condition: Any) -> Any:
    """The condition of the first example."""
    if condition is None or np.ndim(condition) <= len(model.condition_shape or ()):
        return condition
    first = np.asarray(condition)[0]
    # Of a class it is the number: one one-hot vector alone would look like a number per example.
    return int(first.argmax() if first.size > 1 else first.item()) if model.num_classes else first


def _unused(model: Any, usage: LatentUsage | None) -> np.ndarray:
    """For each latent dimension, whether it is known to be unused, `[latent_dim]`.

    Only a prior gives codes a scale of which a variance can be called small.
    """
    if usage is None or not hasattr(model, "prior"):
        return np.zeros(model.latent_dim, bool)
    return usage.variance_per_latent() <= usage.threshold
