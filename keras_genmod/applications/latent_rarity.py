r"""How rare examples are by their latent vectors: probabilities of drawing them that favour rare ones.

The density of each latent over the data is a histogram $\hat Q_j$. An example is drawn with the probability

$$ p(x) \propto \prod_j \frac{1}{\hat Q_j(z_j(x)) + \alpha} $$

where $\hat Q_j(z)$ is the fraction of the data in the bin of $z$. The smaller $\alpha$, the stronger rare
examples are favoured; $\alpha = \infty$ draws all alike.

Reference: Uncovering and Mitigating Algorithmic Bias through Learned Latent Structure, Amini, Soleimany,
Schwarting, Bhatia and Rus, 2019.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from keras_genmod.core.checks import check_number

__all__ = ["Rarity", "bins_of", "check_alpha", "effective_sample_size", "rarity"]

# The bins lie between these quantiles; what lies beyond counts to the first or last one. So a single outlier
# does not push all other examples into one bin.
_ENDS = (0.001, 0.999)

# Steps of the bisection for the exponent.
_BISECTIONS = 50


class Rarity(NamedTuple):
    """Probabilities of drawing examples.

    Args:
        probs: Probability of each example, float64 `[N]`; they sum to 1.
        exponent: The power, in (0, 1], to which the weights were raised so that the bound on the effective
            sample size holds; 1 where it holds by itself.
    """

    probs: np.ndarray
    exponent: float


def check_alpha(alpha: Any) -> float:
    """Returns a strength above 0; infinity is allowed.

    Raises:
        ValueError: For anything else.
    """
    if isinstance(alpha, float) and alpha == math.inf:
        return alpha
    try:
        return check_number("alpha", alpha, above=0.0)
    except ValueError as error:
        raise ValueError(
            f"{error} The smaller it is, the more often rare examples are drawn: 0.1 is weak, 0.001 strong, "
            "`math.inf` draws all examples alike."
        ) from None


def effective_sample_size(weights: Any) -> float:
    r"""The number of equally weighted examples that carry as much information, $(\sum w)^2 / \sum w^2$.

    >>> effective_sample_size([1.0, 1.0, 0.0, 0.0])
    2.0
    """
    weights = np.asarray(weights, np.float64)
    weights = weights / weights.max()
    return float(np.sum(weights) ** 2 / np.sum(weights**2))


def bins_of(z: np.ndarray, num_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """The bin of each value, and the edges of the bins.

    The bins divide the range from the 0.1% to the 99.9% quantile into equal parts, so they move and stretch
    with the latents: their units do not matter.

    Args:
        z: Latents `[N, L]`; none is constant.
        num_bins: Number of bins of each latent.

    Returns:
        Bins, integers `[N, L]`, and edges `[L, num_bins + 1]`.
    """
    low, high = np.quantile(z, _ENDS, axis=0)
    # Of a latent that nearly always has one value the other values lie beyond both quantiles.
    same = high <= low
    low, high = np.where(same, z.min(axis=0), low), np.where(same, z.max(axis=0), high)
    edges = np.linspace(low, high, num_bins + 1, axis=-1)
    places = np.floor((z - low) / (high - low) * num_bins)
    return np.clip(places, 0, num_bins - 1).astype(np.int64), edges


def rarity(
    z: np.ndarray,
    *,
    alpha: float,
    num_bins: int,
    labels: np.ndarray | None = None,
    class_probs: np.ndarray | None = None,
    min_effective_share: float = 0.0,
) -> Rarity:
    """Probabilities of drawing examples, from their latents.

    Args:
        z: Latents `[N, L]`. Those that are constant within a class do not count there.
        alpha: See above.
        num_bins: Number of bins of each latent.
        labels: Classes `[N]`, integers from 0 on. The density is then taken within each class.
        class_probs: Probability of each class; by default its share of the data.
        min_effective_share: Smallest effective sample size, as a share of what `class_probs` would have with
            equal probabilities within classes.

    Returns:
        The probabilities and the exponent.

    Cost: `N * L` operations; one count a class and latent.
    """
    labels = np.zeros(len(z), np.int64) if labels is None else labels
    counts = np.bincount(labels)
    if class_probs is None:
        class_probs = counts / len(z)
    log_weights = np.zeros(len(z))
    for label in np.flatnonzero(counts):
        rows = np.flatnonzero(labels == label)
        log_weights[rows] = _log_weights(z[rows], alpha, num_bins)

    def probs(exponent: float) -> np.ndarray:
        weights = np.exp(exponent * log_weights)
        totals = np.bincount(labels, weights, minlength=len(counts))
        return weights * (class_probs / np.where(counts > 0, totals, 1.0))[labels]

    least = min_effective_share * effective_sample_size(probs(0.0))
    if effective_sample_size(probs(1.0)) >= least:
        return Rarity(probs(1.0), 1.0)
    # The effective sample size falls as the exponent grows.
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if effective_sample_size(probs(middle)) >= least:
            low = middle
        else:
            high = middle
    return Rarity(probs(low), low)


def _log_weights(z: np.ndarray, alpha: float, num_bins: int) -> np.ndarray:
    """Logarithms of the product over latents, for the examples of one class; the largest is 0."""
    varies = z.min(axis=0) < z.max(axis=0)
    if alpha == math.inf or not varies.any():
        return np.zeros(len(z))
    bins, _ = bins_of(z[:, varies], num_bins)
    total = np.zeros(len(z))
    for column in bins.T:
        fractions = np.bincount(column, minlength=num_bins) / len(z)
        total -= np.log(fractions[column] + alpha)
    return total - total.max()
