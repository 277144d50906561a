r"""Where a mixture starts: centres that lie far apart, by k-means++.

The first centre is drawn at random, each further one with a probability that grows with its squared distance
from the nearest centre before it, $p(x) \propto w(x) \min_k \lVert x - c_k \rVert^2$. Of some such draws the
one that leaves the smallest sum of squared distances is taken.

Reference: k-means++: The Advantages of Careful Seeding, Arthur and Vassilvitskii, 2007.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["k_means_plus_plus"]

# Share of its terms below which a difference is computed otherwise.
_CANCELLED = 1e-2


def k_means_plus_plus(
    x: np.ndarray, num_centres: int, generator: np.random.Generator, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Centres among the rows, and the number of the centre that is nearest to each row.

    Args:
        x: `[N, D]`, with at least as many rows of a weight above 0 as centres.
        num_centres: K.
        generator: of the draws.
        weight: of each row, `[N]`; rows of weight 0 become no centres.

    Returns:
        The centres' rows, int `[K]`, each once, and the labels of all rows, int `[N]`.

    Cost: N D K (2 + log K).

    >>> rows, labels = k_means_plus_plus(np.array([[0.0], [0.1], [9.0]]), 2, np.random.default_rng(0))
    >>> labels[0] == labels[1] != labels[2]
    np.True_
    """
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
    x = np.asarray(x, np.result_type(x, np.float32))
    centred = x - np.average(x, axis=0, weights=weight).astype(x.dtype)
    norms = np.einsum("nd,nd->n", centred, centred)
    num_trials = 2 + int(math.log(num_centres))

    def distances(rows: np.ndarray) -> np.ndarray:
        """Squared distances of all rows from some, `[N, len(rows)]`; 0 from itself whatever the rounding."""
        lengths = norms[:, None] + norms[rows]
        squares = lengths - 2.0 * (centred @ centred[rows].T)
        squares[rows, np.arange(len(rows))] = 0.0
        for number, row in enumerate(rows):
            # Where terms cancel, the digits of their difference are lost.
            close = np.flatnonzero(squares[:, number] < _CANCELLED * lengths[:, number])
            differences = x[close] - x[row]
            squares[close, number] = np.einsum("nd,nd->n", differences, differences)
        return squares

    chosen = [int(generator.choice(len(x), p=weight / weight.sum()))]
    nearest, labels = distances(np.array(chosen))[:, 0], np.zeros(len(x), np.int64)
    for number in range(1, num_centres):
        mass = weight * nearest
        mass[chosen] = 0.0
        if mass.sum() <= 0.0:
            # All that are left are copies of centres.
            mass = weight.copy()
            mass[chosen] = 0.0
        rows = generator.choice(len(x), size=num_trials, p=mass / mass.sum())
        candidates = distances(rows)
        left = np.einsum("n,nt->t", weight, np.minimum(candidates, nearest[:, None]))
        best = int(np.argmin(left))
        chosen.append(int(rows[best]))
        closer = candidates[:, best] < nearest
        nearest, labels = np.where(closer, candidates[:, best], nearest), np.where(closer, number, labels)
    # A copy of another centre keeps at least itself.
    labels[chosen] = np.arange(num_centres)
    return np.array(chosen), labels
