r"""Initialises a mixture by k-means++, which chooses centres that are far apart.

The first centre is drawn at random; each further one is drawn with a probability proportional to its squared
distance from the nearest earlier centre, $p(x) \propto w(x) \min_k \lVert x - c_k \rVert^2$. Of several such
draws, the one that leaves the smallest sum of squared distances is chosen.

Reference: k-means++: The Advantages of Careful Seeding, Arthur and Vassilvitskii, 2007.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["choose_rows", "k_means_plus_plus"]

# Differences below this fraction of their terms are computed in a more exact way.
_CANCELLED = 1e-2


def choose_rows(
    weight: np.ndarray, num_components: int, most: int, generator: np.random.Generator
) -> np.ndarray:
    """Indices of the rows to start from: those of a weight above 0, or `most` of them, drawn at random.

    Raises:
        ValueError: If there are fewer such rows than components.
    """
    rows = np.flatnonzero(weight > 0)
    if len(rows) < num_components:
        of_weight = "" if len(rows) == len(weight) else " of a weight above 0"
        raise ValueError(
            f"A mixture of {num_components} components needs at least as many examples{of_weight} to start "
            f"from; received {len(rows)}. Pass more, or build the model with a smaller `num_components`."
        )
    return rows if len(rows) <= most else np.sort(generator.choice(rows, most, replace=False))


def k_means_plus_plus(
    x: np.ndarray, num_centres: int, generator: np.random.Generator, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses rows as centres and labels each row with its nearest centre.

    Args:
        x: Rows `[N, D]`, at least as many of a weight above 0 as centres.
        num_centres: Number K of centres.
        generator: Generator of the random draws.
        weight: Weight of each row, `[N]`; rows of weight 0 do not become centres.

    Returns:
        Indices of the centres' rows, int `[K]`, all different, and the labels of all rows, int `[N]`.

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
        """Squared distances of all rows from the given ones, `[N, len(rows)]`; exactly 0 from themselves."""
        lengths = norms[:, None] + norms[rows]
        squares = lengths - 2.0 * (centred @ centred[rows].T)
        squares[rows, np.arange(len(rows))] = 0.0
        for number, row in enumerate(rows):
            # Where the terms cancel, their difference would lose its digits.
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
            # All remaining rows are copies of centres.
            mass = weight.copy()
            mass[chosen] = 0.0
        rows = generator.choice(len(x), size=num_trials, p=mass / mass.sum())
        candidates = distances(rows)
        left = np.einsum("n,nt->t", weight, np.minimum(candidates, nearest[:, None]))
        best = int(np.argmin(left))
        chosen.append(int(rows[best]))
        closer = candidates[:, best] < nearest
        nearest, labels = np.where(closer, candidates[:, best], nearest), np.where(closer, number, labels)
    # A centre that is a copy of another one must keep at least itself.
    labels[chosen] = np.arange(num_centres)
    return np.array(chosen), labels
