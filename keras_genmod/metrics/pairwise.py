"""Distances between all pairs of two sets, in blocks, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_genmod.core.checks import check_integer
from keras_genmod.metrics.measurement import check_features

__all__ = ["mean_pairwise_distance", "neighbour_distances", "squared_distance_blocks"]

_BLOCK_SIZE = 1024
# Rows whose median is the middle of a set.
_ROWS_OF_MIDDLE = 33
# Error of a distance that is accepted, as a part of it.
RELATIVE_ERROR = 2.0**-40
# Numbers of the differences that are in memory at a time.
_DIFFERENCES = 2**20


def squared_distance_blocks(
    rows: np.ndarray, columns: np.ndarray, *, block_size: int = _BLOCK_SIZE
) -> Iterator[tuple[slice, np.ndarray]]:
    r"""Squared Euclidean distances $|r_i - c_j|^2 = |r_i|^2 + |c_j|^2 - 2 r_i \cdot c_j$, block by block.

    As in `core.distances`, vectors are measured from the middle of the columns, the rounding of each pair is
    bounded by the sizes of its own two vectors, and a pair whose bound exceeds $2^{-40}$ of its distance is
    computed anew by differences. So every distance is right to that part of it, and equal vectors have
    the distance 0, wherever they lie.

    Args:
        rows: float64 `[M, D]`.
        columns: float64 `[N, D]`.
        block_size: rows per block.

    Yields:
        The slice of the rows, and distances `[b, N]`.

    Cost: M N D; D more for each pair that is computed anew: those about 30 times nearer to each other than
    to the middle, fewer in many dimensions.
    """
    # The median of some rows: far ones do not move it as they do a mean.
    middle = np.median(columns[:: -(-len(columns) // _ROWS_OF_MIDDLE)], axis=0)
    centred = columns - middle
    column_sizes = np.einsum("nd,nd->n", centred, centred)
    # Roundings of a sum of D terms are independent of each other, so their sum grows with the root of D.
    rounding = (8.0 + columns.shape[1] ** 0.5) * 2.0**-53
    for start in range(0, len(rows), block_size):
        where = slice(start, start + min(block_size, len(rows) - start))
        block = rows[where] - middle
        sizes = column_sizes + np.einsum("nd,nd->n", block, block)[:, None]
        block *= -2.0
        distances = block @ centred.T
        distances += sizes
        sizes *= rounding / RELATIVE_ERROR
        # Written such that a difference of infinities, which is no number, counts as wrong.
        wrong = ~(distances >= sizes)
        if wrong.any():
            row, column = np.nonzero(wrong)
            distances[row, column] = _by_differences(rows[where], columns, row, column)
        yield where, distances


def _by_differences(rows: np.ndarray, columns: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Squared distances of the rows and the columns of these numbers, `[P]`."""
    distances = np.empty(len(row))
    step = max(1, _DIFFERENCES // rows.shape[1])
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        differences = rows[row[part]] - columns[column[part]]
        distances[part] = np.einsum("nd,nd->n", differences, differences)
    return distances


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
