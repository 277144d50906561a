"""Fidelity and variety apart from each other, by nearest neighbours among features.

A set's manifold is the union of balls around its samples, each reaching to the sample's k-th nearest
neighbour of the same set.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register
from keras_genmod.metrics.features import FeatureExtractor
from keras_genmod.metrics.measurement import Measurement, check_features, extract_pair, warn_of_few_samples
from keras_genmod.metrics.pairwise import RELATIVE_ERROR, neighbour_distances, squared_distance_blocks
from keras_genmod.metrics.streams import SIDES, BufferedMetric

__all__ = [
    "RECOMMENDED_NEIGHBOUR_SAMPLES",
    "DensityCoverage",
    "PrecisionRecall",
    "density_coverage",
    "precision_recall",
]

# With fewer samples the balls are so wide that they hold nearly anything.
RECOMMENDED_NEIGHBOUR_SAMPLES = 1_000


def precision_recall(
    real: Any, generated: Any, *, extractor: FeatureExtractor | None = None, num_neighbours: int = 3
) -> dict[str, Measurement]:
    r"""Improved precision and recall: are samples real-looking, is all that is real produced.

    Precision is the share of generated samples inside the manifold of the real ones, recall the share of
    real samples inside that of the generated ones:
    $\frac{1}{N} \sum_j 1[\exists i: |y_j - x_i| \le r_k(x_i)]$ and the same with the sides exchanged.

    Args:
        real, generated: features `[N, D]`, or data for the extractor; best of equal counts.
        extractor: what turns data into features.
        num_neighbours: the k of the radius.

    Returns:
        `{"precision": ..., "recall": ...}`, shares in [0, 1].

    Raises:
        ValueError: for no more than `num_neighbours` samples, values that are not finite, or features
            that do not match.

    Warns:
        UserWarning: for fewer than `RECOMMENDED_NEIGHBOUR_SAMPLES`.

    Cost: three products of features, N^2 D each; blocks of 1024 N distances in memory.

    Reference: Improved precision and recall metric for assessing generative models, Kynkäänniemi, Karras,
    Laine, Lehtinen and Aila, 2019.

    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     precision_recall([[0.0], [1.0], [9.0], [10.0]], [[0.2], [0.8]], num_neighbours=1)["recall"]
    <recall 0.5 (given features, resize none, 4 real, 2 generated)>
    """
    num_neighbours = check_integer("num_neighbours", num_neighbours)
    pair = extract_pair(real, generated, extractor, min_count=num_neighbours + 1)
    return _precision_recall(*pair, num_neighbours)


def _precision_recall(
    real: np.ndarray, generated: np.ndarray, source: dict, num_neighbours: int
) -> dict[str, Measurement]:
    warn_of_few_samples(
        "Precision and recall",
        len(real),
        len(generated),
        least=RECOMMENDED_NEIGHBOUR_SAMPLES,
        why="so few make manifolds that hold nearly anything.",
    )
    real_radii, generated_radii = _radii(real, num_neighbours), _radii(generated, num_neighbours)
    precise = np.empty(len(generated), bool)
    recalled = np.zeros(len(real), bool)
    for where, distances in squared_distance_blocks(generated, real):
        precise[where] = np.any(distances <= real_radii, axis=1)
        recalled |= np.any(distances <= generated_radii[where, None], axis=0)
    return _measurements({"precision": precise.mean(), "recall": recalled.mean()}, source)


def density_coverage(
    real: Any, generated: Any, *, extractor: FeatureExtractor | None = None, num_neighbours: int = 5
) -> dict[str, Measurement]:
    r"""Density and coverage: as precision and recall, but robust to outliers.

    Density is the mean number of real balls around a generated sample in units of k,
    $\frac{1}{kM} \sum_{j=1}^{M} \sum_i 1[|y_j - x_i| \le r_k(x_i)]$; coverage is the share of real balls
    with a generated sample in them, $\frac{1}{N} \sum_i 1[\exists j: |y_j - x_i| \le r_k(x_i)]$. Balls around
    generated samples, which outliers inflate, play no part.

    Points that lie exactly on each other have balls of radius 0 that hold all of them: if all n real and all
    generated samples are one point, the density is n / k and not 1. So data with many equal rows have a
    density far above 1.

    Args:
        real, generated: features `[N, D]`, or data for the extractor.
        extractor: what turns data into features.
        num_neighbours: the k of the radius.

    Returns:
        `{"density": ..., "coverage": ...}`: density is at least 0 and near 1 for equal distributions (more
        where samples crowd in dense places), coverage lies in [0, 1].

    Raises:
        ValueError: for no more than `num_neighbours` samples, values that are not finite, or features
            that do not match.

    Warns:
        UserWarning: for fewer than `RECOMMENDED_NEIGHBOUR_SAMPLES`.

    Cost: two products of features, N^2 D each; blocks of 1024 N distances in memory.

    Reference: Reliable fidelity and diversity metrics for generative models, Naeem, Oh, Uh, Choi and Yoo,
    2020.
    """
    num_neighbours = check_integer("num_neighbours", num_neighbours)
    pair = extract_pair(real, generated, extractor, min_count=num_neighbours + 1)
    return _density_coverage(*pair, num_neighbours)


def _density_coverage(
    real: np.ndarray, generated: np.ndarray, source: dict, num_neighbours: int
) -> dict[str, Measurement]:
    warn_of_few_samples(
        "Density and coverage",
        len(real),
        len(generated),
        least=RECOMMENDED_NEIGHBOUR_SAMPLES,
        why="so few make manifolds that hold nearly anything.",
    )
    radii = _radii(real, num_neighbours)
    num_inside = 0
    covered = np.zeros(len(real), bool)
    for _, distances in squared_distance_blocks(generated, real):
        inside = distances <= radii
        num_inside += np.count_nonzero(inside)
        covered |= inside.any(axis=0)
    density = num_inside / (num_neighbours * len(generated))
    return _measurements({"density": density, "coverage": covered.mean()}, source)


def _radii(points: np.ndarray, num_neighbours: int) -> np.ndarray:
    """Squared radius of the ball of each point, with its edge."""
    squares = neighbour_distances(points, num_neighbours)
    # Distances of discrete data are often equal, and what lies on the edge is in, whatever the rounding: that
    # of the distances, and that of the values themselves. Each ball has the edge that its own point needs.
    radii, sizes = np.sqrt(squares), np.linalg.norm(points, axis=1)
    return squares + 4.0 * RELATIVE_ERROR * squares + 2.0**-50 * radii * (sizes + radii)


def _measurements(values: dict[str, float], source: dict) -> dict[str, Measurement]:
    return {name: Measurement(value, metric=name, **source) for name, value in values.items()}


class _NeighbourMetric(BufferedMetric):
    """What both metrics share; a subclass says how pairs of features are measured."""

    # The function of (real, generated, source, num_neighbours); static, as it is no method.
    _function = None

    def __init__(
        self,
        extractor: FeatureExtractor | None,
        feature_dim: int | None,
        num_neighbours: int,
        max_samples: int,
        name: str,
        **kwargs,
    ) -> None:
        self.num_neighbours = check_integer("num_neighbours", num_neighbours)
        super().__init__(extractor, feature_dim, max_samples, name=name, **kwargs)

    def _measure(self, *state: np.ndarray) -> dict[str, Measurement]:
        real, generated = (
            check_features(side, rows, min_count=self.num_neighbours + 1)
            for side, rows in zip(SIDES, state, strict=True)
        )
        source = {**self._origin(), "num_real": len(real), "num_generated": len(generated)}
        return self._function(real, generated, source, self.num_neighbours)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "num_neighbours": self.num_neighbours}


@register
class PrecisionRecall(_NeighbourMetric):
    """Streams features of both sides; the figures are those of `precision_recall` on the samples kept.

    Args:
        extractor: what turns data into features; None if the batches are features.
        feature_dim: number of features; needed without an extractor.
        num_neighbours: as for `precision_recall`.
        max_samples: samples kept of each side, the first that come.

    Cost: as for `precision_recall`; `max_samples * feature_dim` numbers a side.

    Reference: as for `precision_recall`.
    """

    figures = ("precision", "recall")
    _function = staticmethod(_precision_recall)

    def __init__(
        self,
        extractor: FeatureExtractor | None = None,
        feature_dim: int | None = None,
        num_neighbours: int = 3,
        max_samples: int = 10_000,
        name: str = "precision_recall",
        **kwargs,
    ) -> None:
        super().__init__(extractor, feature_dim, num_neighbours, max_samples, name, **kwargs)


@register
class DensityCoverage(_NeighbourMetric):
    """Streams features of both sides; the figures are those of `density_coverage` on the samples kept.

    Args:
        extractor: what turns data into features; None if the batches are features.
        feature_dim: number of features; needed without an extractor.
        num_neighbours: as for `density_coverage`.
        max_samples: samples kept of each side, the first that come.

    Cost: as for `density_coverage`; `max_samples * feature_dim` numbers a side.

    Reference: as for `density_coverage`.
    """

    figures = ("density", "coverage")
    _function = staticmethod(_density_coverage)

    def __init__(
        self,
        extractor: FeatureExtractor | None = None,
        feature_dim: int | None = None,
        num_neighbours: int = 5,
        max_samples: int = 10_000,
        name: str = "density_coverage",
        **kwargs,
    ) -> None:
        super().__init__(extractor, feature_dim, num_neighbours, max_samples, name, **kwargs)
