"""Separate measures of the fidelity and the diversity of samples, from nearest neighbours among features.

A set's manifold is the union of balls around its samples; each ball's radius is the distance to the sample's
k-th nearest neighbour in the same set.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
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

# With fewer samples the balls are so large that they contain almost everything.
RECOMMENDED_NEIGHBOUR_SAMPLES = 1_000
_TOO_FEW = "so few make manifolds that contain almost everything."


def precision_recall(
    real: Any, generated: Any, *, extractor: FeatureExtractor | None = None, num_neighbours: int = 3
) -> dict[str, Measurement]:
    r"""Improved precision and recall: whether samples look real, and whether they cover all real data.

    Precision is the fraction of generated samples inside the manifold of the real samples; recall is the
    fraction of real samples inside the manifold of the generated ones:
    $\frac{1}{N} \sum_j 1[\exists i: |y_j - x_i| \le r_k(x_i)]$, and the same with the sides exchanged.

    Args:
        real, generated: Features `[N, D]`, or data for the extractor; preferably equally many.
        extractor: Computes features from data. None if both are features already.
        num_neighbours: Number k of the nearest neighbour that a ball reaches to.

    Returns:
        `{"precision": ..., "recall": ...}`, fractions in [0, 1].

    Raises:
        ValueError: If there are at most `num_neighbours` samples, values are not finite, or the features'
            sizes differ.

    Warns:
        UserWarning: If there are fewer than `RECOMMENDED_NEIGHBOUR_SAMPLES` samples.

    Cost: Three products of features, N^2 D each; memory holds blocks of 1024 N distances.

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
    real: np.ndarray, generated: np.ndarray, source: Mapping[str, Any], num_neighbours: int
) -> dict[str, Measurement]:
    warn_of_few_samples(
        "Precision and recall",
        len(real),
        len(generated),
        least=RECOMMENDED_NEIGHBOUR_SAMPLES,
        why=_TOO_FEW,
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
    r"""Density and coverage: like precision and recall, but robust to outliers.

    Density is the mean number of real balls that contain a generated sample, divided by k:
    $\frac{1}{kM} \sum_{j=1}^{M} \sum_i 1[|y_j - x_i| \le r_k(x_i)]$. Coverage is the fraction of real balls
    that contain a generated sample: $\frac{1}{N} \sum_i 1[\exists j: |y_j - x_i| \le r_k(x_i)]$. Balls around
    generated samples, which outliers enlarge, are not used.

    Equal points have balls of radius 0 that contain all of them. If all n real and all generated samples are
    one point, the density is n / k, not 1. So the density of data with many equal rows is far above 1.

    Args:
        real, generated: Features `[N, D]`, or data for the extractor.
        extractor: Computes features from data. None if both are features already.
        num_neighbours: Number k of the nearest neighbour that a ball reaches to.

    Returns:
        `{"density": ..., "coverage": ...}`. Density is at least 0 and near 1 for equal distributions; it is
        higher if samples concentrate in dense regions. Coverage lies in [0, 1].

    Raises:
        ValueError: If there are at most `num_neighbours` samples, values are not finite, or the features'
            sizes differ.

    Warns:
        UserWarning: If there are fewer than `RECOMMENDED_NEIGHBOUR_SAMPLES` samples.

    Cost: Two products of features, N^2 D each; memory holds blocks of 1024 N distances.

    Reference: Reliable fidelity and diversity metrics for generative models, Naeem, Oh, Uh, Choi and Yoo,
    2020.
    """
    num_neighbours = check_integer("num_neighbours", num_neighbours)
    pair = extract_pair(real, generated, extractor, min_count=num_neighbours + 1)
    return _density_coverage(*pair, num_neighbours)


def _density_coverage(
    real: np.ndarray, generated: np.ndarray, source: Mapping[str, Any], num_neighbours: int
) -> dict[str, Measurement]:
    warn_of_few_samples(
        "Density and coverage",
        len(real),
        len(generated),
        least=RECOMMENDED_NEIGHBOUR_SAMPLES,
        why=_TOO_FEW,
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
    """Squared radius of the ball around each point, with a margin for rounding."""
    squares = neighbour_distances(points, num_neighbours)
    # Distances between discrete data are often equal, and a point on the boundary counts as inside. The
    # margin covers the rounding of the distances and of the values themselves, for each ball separately.
    radii, sizes = np.sqrt(squares), np.linalg.norm(points, axis=1)
    return squares + 4.0 * RELATIVE_ERROR * squares + 2.0**-50 * radii * (sizes + radii)


def _measurements(values: dict[str, float], source: Mapping[str, Any]) -> dict[str, Measurement]:
    return {name: Measurement(value, metric=name, **source) for name, value in values.items()}


class _NeighbourMetric(BufferedMetric):
    """Base class of both metrics; a subclass gives the function that compares the features."""

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
        return self._compare(real, generated, source, self.num_neighbours)

    @staticmethod
    @abstractmethod
    def _compare(
        real: np.ndarray, generated: np.ndarray, source: Mapping[str, Any], num_neighbours: int
    ) -> dict[str, Measurement]:
        """The results by name."""

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "num_neighbours": self.num_neighbours}


@register
class PrecisionRecall(_NeighbourMetric):
    """Streams features of both sides; the results equal those of `precision_recall` on the kept samples.

    Args:
        extractor: Computes features from data. None if the batches are features already.
        feature_dim: Number of features. Required without an extractor.
        num_neighbours: As for `precision_recall`.
        max_samples: Number of samples kept of each side; later ones are dropped.

    Cost: As for `precision_recall`; memory holds `max_samples * feature_dim` numbers of each side.

    Reference: As for `precision_recall`.
    """

    figures = ("precision", "recall")
    _compare = staticmethod(_precision_recall)

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
    """Streams features of both sides; the results equal those of `density_coverage` on the kept samples.

    Args:
        extractor: Computes features from data. None if the batches are features already.
        feature_dim: Number of features. Required without an extractor.
        num_neighbours: As for `density_coverage`.
        max_samples: Number of samples kept of each side; later ones are dropped.

    Cost: As for `density_coverage`; memory holds `max_samples * feature_dim` numbers of each side.

    Reference: As for `density_coverage`.
    """

    figures = ("density", "coverage")
    _compare = staticmethod(_density_coverage)

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
