"""Figures of what a classifier reads from features, by the number of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_genmod.applications.probes import ProbeReport
from keras_genmod.core.checks import describe
from keras_genmod.plots.canvas import single_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["probe_accuracy"]

# Where "all" stands, as a multiple of the largest number of labels.
_ALL = 4.0


def probe_accuracy(report: ProbeReport, *, title: str = "Linear classifiers on features") -> Figure:
    """Draws the accuracy on each kind of features against the number of labels per class.

    Args:
        report: What `applications.linear_probe` returned.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`. Bars are standard deviations over the choices of labels.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If `report` is something else.
    """
    if not isinstance(report, ProbeReport):
        raise TypeError(
            f"`report` must be what `applications.linear_probe` returned; received {describe(report)}."
        )
    counts = report.label_counts
    numbers = [count for count in counts if count is not None]
    last = _ALL * max(numbers, default=1)
    places = np.array([last if count is None else count for count in counts], float)
    order = np.argsort(places)
    figure, axes = single_axes(6.2, 4.2, title, xlabel="labels per class", ylabel="accuracy, %")
    for name in report.accuracy:
        means = 100 * np.array([report.mean(name, count) for count in counts])
        errors = 100 * np.array([report.deviation(name, count) for count in counts])
        axes.errorbar(
            places[order], means[order], errors[order], marker="o", markersize=3, linewidth=1.2, label=name
        )
    axes.axhline(100 * report.chance, color="0.6", linestyle="--", linewidth=1.0, label="chance")
    axes.set_xscale("log")
    names = ["all" if count is None else str(count) for count in counts]
    axes.set_xticks(places[order], [names[place] for place in order])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    return figure
