"""Figures of a resampled training set, and of accuracies by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_genmod.applications.debiasing import DebiasingSampler
from keras_genmod.applications.group_reports import GroupReport
from keras_genmod.applications.latent_rarity import bins_of
from keras_genmod.core.checks import check_integer, describe
from keras_genmod.plots.canvas import new_figure, single_axes
from keras_genmod.plots.captioned import images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["group_accuracy", "latent_histograms", "rare_and_common"]

# Latents in one row of a figure, and its size in inches.
_COLUMNS, _WIDTH, _HEIGHT = 4, 2.4, 1.9
# Width that all bars of one group share.
_GROUP_WIDTH = 0.8


def latent_histograms(
    sampler: DebiasingSampler, *, dims: Sequence[int] | None = None, title: str = "Latents, before and after"
) -> Figure:
    """Draws the histogram of each latent over the data, and over what a sampler draws from them.

    Args:
        sampler: A sampler that has measured its data.
        dims: Latent dimensions to draw; None takes the first eight that the sampler uses.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If the sampler has measured no latents, or does not use one of `dims`.
    """
    latents, used = _checked(sampler).latents, sampler.used_dims
    if latents is None or used is None:
        raise ValueError(
            "`sampler` must have measured latents; received one that draws all examples alike and needs "
            "none. Choose another `alpha`."
        )
    chosen = (
        used[: 2 * _COLUMNS].tolist() if dims is None else [check_integer("dims", d, minimum=0) for d in dims]
    )
    unknown = [dim for dim in chosen if dim not in used]
    if unknown or not chosen:
        raise ValueError(
            f"`dims` must be latent dimensions that the sampler uses, {used.tolist()}; received "
            f"{describe(dims)}."
        )
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = new_figure(_WIDTH * columns + 0.4, _HEIGHT * rows + 0.7, layout="constrained")
    figure.suptitle(title)
    all_axes = np.reshape(figure.subplots(rows, columns, squeeze=False), -1)
    places = [int(np.flatnonzero(used == dim)[0]) for dim in chosen]
    bins, edges = bins_of(latents[:, places], sampler.num_bins)
    for number, (dim, axes) in enumerate(zip(chosen, all_axes, strict=False)):
        before = np.bincount(bins[:, number], minlength=sampler.num_bins) / len(bins)
        after = np.bincount(bins[:, number], sampler.probs, minlength=sampler.num_bins)
        axes.stairs(before, edges[number], fill=True, alpha=0.45, label="data")
        axes.stairs(after, edges[number], linewidth=1.6, label="draws")
        axes.set_title(f"latent {dim}", fontsize=9)
        axes.tick_params(labelsize=8)
    for axes in all_axes[len(chosen) :]:
        axes.set_visible(False)
    all_axes[0].legend(fontsize=8)
    figure.supylabel("fraction of the examples", fontsize=9)
    return figure


def rare_and_common(
    sampler: DebiasingSampler,
    x: Any,
    *,
    count: int = 10,
    labels: Sequence[int] | None = None,
    title: str = "Drawn more and less often",
    value_range: tuple[float, float] = (0.0, 1.0),
) -> Figure:
    """Draws the images that a sampler draws most often, and those that it draws least often.

    Args:
        sampler: A sampler that has measured its data.
        x: The images that were measured, `[N, height, width, 1 or 3]`.
        count: Number of images in a row.
        labels: Classes to choose from, each with two rows of its own; None chooses among all images.
        title: Title of the figure.
        value_range: Values shown as black and white.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If the images are not as many as were measured, or a class does not occur.
    """
    probs = _checked(sampler).probs
    x = np.asarray(x)
    if probs is None or len(x) != len(probs):
        measured = 0 if probs is None else len(probs)
        raise ValueError(
            f"`x` must be the {measured} examples that the sampler measured; received {describe(x)}."
        )
    rows = {}
    for label in [None] if labels is None else labels:
        which = "" if label is None else f"{label}, "
        rows[f"{which}more"] = x[sampler.rarest(count, label=label)]
        rows[f"{which}less"] = x[sampler.commonest(count, label=label)]
    return images(rows, title=title, value_range=value_range)


def group_accuracy(reports: Mapping[str, GroupReport], *, title: str = "Accuracy by group") -> Figure:
    """Draws the accuracy in each group, for one classifier or several, with standard errors.

    Args:
        reports: Name of a classifier -> its `applications.group_report`, all over the same groups.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If `reports` is no such dictionary.
        ValueError: If the groups differ.
    """
    is_reports = isinstance(reports, Mapping) and reports
    if not is_reports or not all(isinstance(report, GroupReport) for report in reports.values()):
        raise TypeError(
            "`reports` must be a dictionary, name of a classifier -> `applications.group_report(...)`; "
            f"received {describe(reports)}."
        )
    groups = list(next(iter(reports.values())).accuracy)
    for name, report in reports.items():
        if list(report.accuracy) != groups:
            raise ValueError(
                f"All reports must be over the same groups, {groups}; received {list(report.accuracy)} for "
                f"{name!r}."
            )
    figure, axes = single_axes(
        max(4.5, 1.0 + 0.28 * len(groups) * (len(reports) + 1)), 3.6, title, ylabel="accuracy, %"
    )
    width = _GROUP_WIDTH / len(reports)
    lowest = 100.0
    for number, (name, report) in enumerate(reports.items()):
        heights = 100 * np.array([report.accuracy[group] for group in groups])
        errors = 100 * np.array([report.standard_errors[group] for group in groups])
        places = np.arange(len(groups)) + (number - (len(reports) - 1) / 2) * width
        axes.bar(places, heights, width, yerr=errors, error_kw={"elinewidth": 0.8}, label=name)
        lowest = min(lowest, float(np.min(heights - errors)))
    axes.set_xticks(range(len(groups)), [str(group) for group in groups])
    # Bars begin at 0 unless all are high, where differences would be too small to see.
    axes.set_ylim(0 if lowest < 50 else 10 * np.floor(lowest / 10), 100)
    axes.legend(fontsize=8, loc="lower left")
    return figure


def _checked(sampler: Any) -> DebiasingSampler:
    if not isinstance(sampler, DebiasingSampler):
        raise TypeError(
            f"`sampler` must be a `DebiasingSampler`; received {describe(sampler)}. Measure the data with "
            "one."
        )
    if sampler.probs is None:
        raise ValueError("`sampler` has measured no data yet: call its `measure` or `batches` first.")
    return sampler
