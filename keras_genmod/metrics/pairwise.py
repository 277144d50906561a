"""Distances between all pairs of two sets, in blocks, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_genmod.core.checks import check_integer
from keras_genmod.metrics.measurement import check_features

__all__ = ["centre", "mean_pairwise_distance", "neighbour_distances", "squared_distance_blocks"]

_BLOCK_SIZE = 1024


def centre(*arrays: np.ndarray) -> None:
    """Subtracts the first array's mean from all, in place, which leaves distances as they are.

    A squared distance is computed as a difference of squared norms; far from the origin those are large
    and nothing would be left of it.
    """
    mean = arrays[0].mean(axis=0)
    for array in arrays:
        array -= mean


def squared_distance_blocks(
    rows: np.ndarray, columns: np.ndarray, *, block_size: int = _BLOCK_SIZE
) -> Iterator[tuple[slice, np.ndarray]]:
    r"""Squared Euclidean distances $|r_i - c_j|^2 = |r_i|^2 + |c_j|^2 - 2 r_i \cdot c_j$, block by block.

    Args:
        rows: float64 `[M, D]`.
        columns: float64 `[N, D]`.
        block_size: rows per block.

    Yields:
        The slice of the rows, and distances `[b, N]`.
    """
    column_norms = np.einsum("nd,nd->n", columns, columns)
    for start in range(0, len(rows), block_size):
        block = rows[start : start + block_size]
        distances = block @ columns.T
        distances *= -2.0
        distances += column_norms
        distances += np.einsum("nd,nd->n", block, block)[:, None]
        # Rounding may leave a little less than nothing.
        yield slice(start, start + len(block)), np.maximum(distances, 0.0, out=distances)


def neighbour_distances(points: np.ndarray, num_neighbours: int) -> np.ndarray:
    """Squared distance of each point to its `num_neighbours`-th nearest other point, `[N]`."""
    distances = np.empty(len(points))
    for where, block in squared_distance_blocks(points, points):
        own = np.arange(len(block))
        block[own, where.start + own] = np.inf
        distances[where] = np.partition(block, num_neighbours - 1, axis=1)[:, num_neighbours - 1]
    return distances


def mean_pairwise_distance(features: Any, *, max_pairs: int = 10_000, seed: int = 0) -> float:
    r"""Mean Euclidean distance of two different samples: near 0 for a model that makes one thing only.

    Args:
        features: `[N, D]`, two rows at least.
        max_pairs: if there are more pairs of rows than this, as many are drawn at random.
        seed: integer that the draw depends on.

    Returns:
        The mean distance, in units of the features.

    Raises:
        ValueError: for features that are not finite, not `[N, D]` or fewer than two.

    Cost: `max_pairs * D`.

    >>> mean_pairwise_distance([[0.0, 0.0], [3.0, 4.0]])
    5.0
    """
    features = check_features("features", features)
    max_pairs = check_integer("max_pairs", max_pairs)
    count = len(features)
    if count * (count - 1) // 2 <= max_pairs:
        first, second = np.triu_indices(count, k=1)
    else:
        generator = np.random.default_rng(seed)
        first = generator.integers(count, size=max_pairs)
        second = (first + generator.integers(1, count, size=max_pairs)) % count
    total = 0.0
    for start in range(0, len(first), _BLOCK_SIZE):
        part = slice(start, start + _BLOCK_SIZE)
        total += np.linalg.norm(features[first[part]] - features[second[part]], axis=1).sum()
    return float(total / len(first))
