"""Figures of anomaly scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_genmod.core.checks import check_integer, describe
from keras_genmod.plots.canvas import single_axes
from keras_genmod.plots.given import numbers_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["roc", "score_histogram"]


def roc(scores: Any, is_anomaly: Any, *, title: str = "Detection of anomalies") -> Figure:
    r"""Draws the receiver operating characteristic of anomaly scores, with the area under it.

    For each threshold on the score, the fraction of anomalies above it against the fraction of normal
    examples above it. The area is the probability that an anomaly has a larger score than a normal example,
    ties counted half (the Mann-Whitney statistic divided by the number of pairs).

    Args:
        scores: Scores `[N]`, larger = stranger, as `model.anomaly_score(x)` gives.
        is_anomaly: Booleans, or 0 and 1, `[N]`; both must occur.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        ValueError: If shapes or values do not fit.

    Cost: sorting, `N log N`.

    Example:
        >>> figure = roc([0.1, 0.4, 0.3, 0.9], [0, 0, 1, 1])
        >>> figure.axes[0].lines[0].get_label()
        'area 0.750'
    """
    scores = _scores("scores", scores)
    flags = np.asarray(is_anomaly)
    if flags.shape != scores.shape or not np.all((flags == 0) | (flags == 1)):
        raise ValueError(
            f"`is_anomaly` must hold one boolean for each of the {len(scores)} scores; received "
            f"{describe(flags)}. Pass the scores first, then booleans such as `labels == 7`."
        )
    flags = flags.astype(bool)
    if flags.all() or not flags.any():
        raise ValueError(
            f"`is_anomaly` must hold anomalies and normal examples; received {flags.sum()} anomalies among "
            f"{len(flags)}. Pass the scores of both, joined."
        )
    false, true = _curve(scores, flags)
    area = float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2.0))
    figure, axes = single_axes(
        4.6,
        4.4,
        title,
        xlabel=f"false positives, fraction of {np.count_nonzero(~flags)} normal examples",
        ylabel=f"true positives, fraction of {np.count_nonzero(flags)} anomalies",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
    )
    axes.plot(false, true, label=f"area {area:.3f}")
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1.0, label="chance, area 0.5")
    axes.legend(loc="lower right", fontsize=9)
    return figure


def _curve(scores: np.ndarray, flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at all thresholds, from (0, 0) to (1, 1); equal scores fall together."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    found = np.cumsum(flags[order])[ends]
    true = found / np.count_nonzero(flags)
    false = (ends + 1 - found) / np.count_nonzero(~flags)
    return np.append(0.0, false), np.append(0.0, true)


def score_histogram(
    scores: Mapping[str, Any],
    *,
    bins: int = 40,
    label: str = "anomaly score, nats",
    title: str = "Scores by group",
) -> Figure:
    """Draws the distribution of a score in each of several groups, over the same bins.

    Args:
        scores: Name of a group -> its scores `[N]`, such as those of `model.anomaly_score`.
        bins: Number of bins between the smallest and the largest score.
        label: Label of the horizontal axis, with the unit.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If `scores` is no dictionary.
        ValueError: If a group is empty or not a vector of finite numbers.
    """
    if not isinstance(scores, Mapping) or not scores:
        raise TypeError(
            "`scores` must be a dictionary, name of a group -> its scores; received "
            f'{describe(scores)}. For one group pass `{{"test": scores}}`.'
        )
    groups = {str(name): _scores(f"scores[{name!r}]", values) for name, values in scores.items()}
    joined = np.concatenate(list(groups.values()))
    edges = np.histogram_bin_edges(joined, check_integer("bins", bins), _ends(joined))
    figure, axes = single_axes(6.0, 3.8, title, xlabel=label, ylabel="fraction of the group")
    for name, values in groups.items():
        fractions = np.histogram(values, edges)[0] / len(values)
        axes.stairs(fractions, edges, fill=True, alpha=0.45, label=f"{name} ({len(values)})")
    axes.legend(fontsize=9)
    return figure


def _ends(scores: np.ndarray) -> tuple[float, float]:
    """The first and the last edge, far enough apart for bins of a width above the rounding of scores."""
    low, high = float(scores.min()), float(scores.max())
    least = max(1e-9 * max(abs(low), abs(high)), np.finfo(np.float64).tiny)
    return (low, high) if high - low > least else (low - 0.5 - least, high + 0.5 + least)


def _scores(name: str, values: Any) -> np.ndarray:
    """Scores as a vector of finite numbers, float64."""
    advice = "Pass what `anomaly_score` gives, one number per example."
    scores = numbers_of(name, values, advice=advice)
    if not scores.size or not np.isfinite(scores).all():
        bad = np.count_nonzero(~np.isfinite(scores))
        received = f"{bad} NaN or infinite ones among {scores.size}" if scores.size else "none"
        raise ValueError(
            f"`{name}` must be finite numbers, one per example; received {received}. Leave out examples "
            "without a score."
        )
    return scores
