"""Distances between all pairs of two sets, computed in blocks to bound memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_genmod.core.checks import check_integer
from keras_genmod.metrics.measurement import check_features

__all__ = ["mean_pairwise_distance", "neighbour_distances", "squared_distance_blocks"]

_BLOCK_SIZE = 1024
# Number of rows whose median is taken as the centre of a set.
_CENTRE_ROWS = 33
# The accepted relative error of a distance.
RELATIVE_ERROR = 2.0**-40
# Number of float64 differences in memory at a time.
_DIFFERENCES = 2**20


def squared_distance_blocks(
    rows: np.ndarray, columns: np.ndarray, *, block_size: int = _BLOCK_SIZE
) -> Iterator[tuple[slice, np.ndarray]]:
    r"""Squared Euclidean distances $|r_i - c_j|^2 = |r_i|^2 + |c_j|^2 - 2 r_i \cdot c_j$, block by block.

    As in `core.distances`, vectors are measured from the centre of the columns. The rounding error of a pair
    is bounded by the lengths of its two vectors. If the bound exceeds $2^{-40}$ of the distance, the pair is
    computed again from differences. So every distance has at most this relative error, and equal vectors have
    distance 0 wherever they lie.

    Args:
        rows: Float64 `[M, D]`.
        columns: Float64 `[N, D]`.
        block_size: Number of rows in a block.

    Yields:
        The slice of the rows, and distances `[b, N]`.

    Cost: M N D, and D more for each pair that is computed again. These are pairs about 30 times closer to
    each other than to the centre; there are fewer of them in many dimensions.
    """
    # The median of some rows, because outliers move it less than a mean.
    centre = np.median(columns[:: -(-len(columns) // _CENTRE_ROWS)], axis=0)
    centred = columns - centre
    column_sizes = np.einsum("nd,nd->n", centred, centred)
    # The rounding errors of a sum of D terms are independent, so their sum grows with the root of D.
    rounding = (8.0 + columns.shape[1] ** 0.5) * 2.0**-53
    for start in range(0, len(rows), block_size):
        where = slice(start, start + min(block_size, len(rows) - start))
        block = rows[where] - centre
        sizes = column_sizes + np.einsum("nd,nd->n", block, block)[:, None]
        block *= -2.0
        distances = block @ centred.T
        distances += sizes
        sizes *= rounding / RELATIVE_ERROR
        # Written so that NaN, the difference of two infinities, counts as wrong.
        wrong = ~(distances >= sizes)
        if wrong.any():
            row, column = np.nonzero(wrong)
            distances[row, column] = _by_differences(rows[where], columns, row, column)
        yield where, distances


def _by_differences(rows: np.ndarray, columns: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Squared distances of the pairs with these row and column indices, `[P]`."""
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
    r"""Mean Euclidean distance between two different samples; near 0 for a model that always makes the same.

    Args:
        features: Features `[N, D]`, at least two rows.
        max_pairs: If there are more pairs of rows, this many pairs are drawn at random.
        seed: Integer that seeds the draw of pairs.

    Returns:
        The mean distance, in units of the features.

    Raises:
        ValueError: If features are not finite, not `[N, D]`, or fewer than two.

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
