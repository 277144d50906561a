r"""Information that codes hold about known factors and about each other, in nats.

Codes are an encoder's output for examples. Factors are the discrete causes that generated the examples, such
as the shape and the position of a sprite. For a binned code dimension $z_j$ and a factor $v_k$,
$I(z_j; v_k) = \sum_{z, v} p(z, v) \ln \frac{p(z, v)}{p(z) p(v)}$, where $p$ are fractions of the examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.core.checks import ValueRange, check_choice, check_integer, describe
from keras_genmod.core.user_warnings import warn_user

__all__ = [
    "check_codes",
    "check_factors",
    "gaussian_total_correlation",
    "mutual_information",
    "mutual_information_gap",
]

# The ways to divide a code dimension into bins.
_BINNINGS = ("equal_width", "quantiles")
# A bin with a larger fraction of the examples hides the dimension's information.
_LARGEST_SHARE = 0.95
_FINITE = ValueRange()
_INTEGERS = ValueRange(integer=True, advice="Number the values of each factor: 0, 1, 2, ...")


def check_codes(codes: Any, *, min_rows: int = 2, min_dim: int = 1) -> np.ndarray:
    """Returns codes as a finite float64 array `[N, L]`, always a copy."""
    array = np.asarray(codes)
    if array.ndim != 2:
        raise ValueError(
            f"`codes` must have shape [num_examples, code_dim]; received {describe(codes)}. "
            "Flatten the code of each example."
        )
    if array.shape[1] < min_dim:
        raise ValueError(
            f"`codes` must have at least {min_dim} dimensions to compare; received shape {array.shape}. "
            "Pass all dimensions of the code together."
        )
    if len(array) < min_rows:
        raise ValueError(
            f"`codes` must hold at least {min_rows} examples; received {len(array)}. Encode more examples."
        )
    _FINITE.check("codes", array)
    return array.astype(np.float64)


def check_factors(factors: Any, num_rows: int, *, min_factors: int = 1) -> np.ndarray:
    """Returns integer-valued factors as float64 `[num_rows, F]`, with at least two values in each column."""
    array = np.asarray(factors)
    if array.ndim != 2:
        raise ValueError(
            f"`factors` must have shape [num_examples, num_factors]; received {describe(factors)}. "
            "Put the factors side by side with `np.stack(factors, axis=1)`."
        )
    if len(array) != num_rows:
        raise ValueError(
            f"`factors` must have a row for each of the {num_rows} rows of `codes`; received {len(array)} "
            "rows. Encode the examples that the factors belong to, in the same order."
        )
    if array.shape[1] < min_factors:
        raise ValueError(
            f"`factors` must have at least {min_factors} columns; received shape {array.shape}. "
            "Pass all factors together."
        )
    _INTEGERS.check("factors", array)
    array = array.astype(np.float64)
    constant = np.flatnonzero(np.ptp(array, axis=0) == 0)
    if len(constant):
        raise ValueError(
            f"`factors` must have two values or more in each column; received {array[0, constant[0]]:g} in "
            f"all rows of column {constant[0]}. Leave out that column, or pass examples in which it varies."
        )
    return array


def mutual_information(
    codes: Any, factors: Any, *, num_bins: int = 20, binning: str = "equal_width"
) -> np.ndarray:
    r"""Mutual information of each code dimension with each factor, from counts.

    Each code dimension is divided into `num_bins` bins:

    * `"equal_width"`: bins of equal width between the smallest and the largest value. A single far outlier
      puts all other examples into one bin, so that the estimate falls to about 0; a warning says so.
    * `"quantiles"`: bins with equally many examples; examples with equal values share a bin. The estimate
      depends only on the order of the values, so outliers do not matter.

    The estimate from N examples is biased upwards, for an independent pair by about
    `(num_bins - 1) * (num_values - 1) / (2 * N)` nats (less if bins are empty).

    Args:
        codes: Codes `[N, L]`.
        factors: Integer-valued factors `[N, F]`.
        num_bins: Number of bins of each code dimension. Fewer bins than values of a factor limit its
            information.
        binning: "equal_width" or "quantiles".

    Returns:
        Float64 `[L, F]`, nats, at least 0.

    Raises:
        ValueError: If a shape is wrong, values are not finite, factors are not integer-valued or have a
            single value, there are fewer than two bins or fewer examples than bins, or `binning` is unknown.

    Warns:
        UserWarning: If one bin of equal width holds over 95% of the examples, and these are not all equal.

    Cost: N L F; quantiles also sort.

    Reference: Challenging common assumptions in the unsupervised learning of disentangled representations,
    Locatello et al., 2019 (the bins).

    >>> information = mutual_information([[0.1], [0.2], [0.8], [0.9]], [[0], [0], [1], [1]], num_bins=2)
    >>> information / np.log(2)
    array([[1.]])
    """
    codes, factors, num_bins = _check(codes, factors, num_bins, binning)
    return _information(codes, factors, num_bins, binning)


def mutual_information_gap(
    codes: Any, factors: Any, *, num_bins: int = 20, binning: str = "equal_width"
) -> float:
    r"""MIG, the mutual information gap: whether a single code dimension holds each factor's information.

    $\frac{1}{F} \sum_k \frac{1}{H(v_k)} (I(z_{j_k}; v_k) - \max_{j \ne j_k} I(z_j; v_k))$, where $j_k$ is the
    dimension with the most information about factor k. A factor's gap is 1 if one dimension determines it and
    every other dimension is independent of it; it is 0 if two dimensions have equal information. One
    dimension may hold several factors without loss.

    The information is that of `mutual_information`, from binned codes as in Locatello et al.; Chen et al.
    integrate over the posterior instead. Compare only values from equal numbers of examples and bins.

    Args:
        codes: Codes `[N, L]`, L at least 2; usually the means of posteriors.
        factors: Integer-valued factors `[N, F]`.
        num_bins: Number of bins of each code dimension; use at least as many as the factors have values.
        binning: "equal_width" or "quantiles", as for `mutual_information`. Compare only values from the same
            binning.

    Returns:
        The gap, in [0, 1].

    Raises:
        ValueError: As for `mutual_information`, or if there is a single code dimension.

    Warns:
        UserWarning: As for `mutual_information`.

    Cost: N L F.

    Reference: Isolating sources of disentanglement in variational autoencoders, Chen, Li, Grosse and
    Duvenaud, 2018; Challenging common assumptions in the unsupervised learning of disentangled
    representations, Locatello et al., 2019.

    >>> factors = np.indices((3, 4)).reshape(2, 12).T  # all pairs of values of two factors
    >>> round(mutual_information_gap(factors, factors, num_bins=4), 6)
    1.0
    >>> round(mutual_information_gap(factors @ [[1, 1], [1, -1]], factors, num_bins=12), 6)
    0.0
    """
    codes, factors, num_bins = _check(codes, factors, num_bins, binning, min_dim=2)
    second, first = np.sort(_information(codes, factors, num_bins, binning), axis=0)[-2:]
    entropies = [_entropy(np.unique(column, return_counts=True)[1]) for column in factors.T]
    return float(np.mean((first - second) / entropies))


def _check(
    codes: Any, factors: Any, num_bins: Any, binning: Any, *, min_dim: int = 1
) -> tuple[np.ndarray, np.ndarray, int]:
    check_choice("binning", binning, _BINNINGS)
    num_bins = check_integer("num_bins", num_bins, minimum=2)
    codes = check_codes(codes, min_dim=min_dim)
    if len(codes) < num_bins:
        raise ValueError(
            f"`codes` must hold at least as many examples as there are bins, {num_bins}; received "
            f"{len(codes)}. Encode more examples, or lower `num_bins`."
        )
    return codes, check_factors(factors, len(codes)), num_bins


def _equal_width_bins(codes: np.ndarray, num_bins: int) -> np.ndarray:
    """The bin index of each code, `[N, L]`."""
    start = codes.min(axis=0)
    # A constant dimension has one bin.
    width = np.where(codes.max(axis=0) > start, codes.max(axis=0) - start, 1.0)
    # The largest value belongs to the last bin, not to an extra one.
    bins = np.minimum(((codes - start) / width * num_bins).astype(np.int64), num_bins - 1)
    crowded = []
    for j, (code, own) in enumerate(zip(codes.T, bins.T, strict=True)):
        counts = np.bincount(own)
        fullest = code[own == counts.argmax()]
        if len(fullest) > _LARGEST_SHARE * len(code) and np.ptp(fullest) > 0:
            crowded.append((j, len(fullest), code))
    if crowded:
        (j, count, code), *others = crowded
        too = f" The same holds for {', '.join(str(each) for each, _, _ in others)}." if others else ""
        warn_user(
            f"Dimension {j} of `codes` has {count} of {len(code)} examples in one of {num_bins} "
            f"bins of equal width, because its values range from {code.min():.3g} to {code.max():.3g}; their "
            f'information is lost.{too} Pass `binning="quantiles"`, or remove the outliers.',
        )
    return bins


def _quantile_bins(codes: np.ndarray, num_bins: int) -> np.ndarray:
    """The bin index of each code, `[N, L]`; each bin's upper edge is one of the codes."""
    levels = np.arange(1, num_bins) / num_bins
    edges = np.quantile(codes, levels, axis=0, method="inverted_cdf")
    return np.stack(
        [np.searchsorted(edge, code) for edge, code in zip(edges.T, codes.T, strict=True)], axis=1
    )


def _information(codes: np.ndarray, factors: np.ndarray, num_bins: int, binning: str) -> np.ndarray:
    """The information `[L, F]`, for arguments that were checked."""
    bins = (_equal_width_bins if binning == "equal_width" else _quantile_bins)(codes, num_bins)
    information = np.empty((codes.shape[1], factors.shape[1]))
    for k, factor in enumerate(factors.T):
        values, index = np.unique(factor, return_inverse=True)
        for j, code in enumerate(bins.T):
            pairs = np.bincount(code * len(values) + index, minlength=num_bins * len(values))
            pairs = pairs.reshape(num_bins, len(values))
            information[j, k] = _entropy(pairs.sum(axis=0)) + _entropy(pairs.sum(axis=1)) - _entropy(pairs)
    # For independent counts, rounding may leave a tiny negative value.
    return np.maximum(information, 0.0)


def _entropy(counts: np.ndarray) -> float:
    """Entropy of the normalised counts, nats; the counts may have any shape."""
    shares = counts[counts > 0] / counts.sum()
    return float(-np.sum(shares * np.log(shares)))


def gaussian_total_correlation(codes: Any) -> float:
    r"""Total correlation of the Gaussian with the codes' covariance: the linear dependence of the dimensions.

    $KL(\mathcal{N}(\mu, C) \| \prod_j \mathcal{N}(\mu_j, C_{jj})) = \frac{1}{2} (\sum_j \ln C_{jj} -
    \ln \det C)$. It needs no factors. It is 0 for uncorrelated codes, even if they depend on each other
    nonlinearly, and does not depend on the scale of a dimension. Constant dimensions are ignored. For N
    independent codes the estimate is about $L (L - 1) / (4 N)$.

    Args:
        codes: Codes `[N, L]`, N above L; means of posteriors or draws from them.

    Returns:
        Nats, at least 0; infinite if one dimension is a linear function of the others.

    Raises:
        ValueError: If the shape is wrong, values are not finite, or there are not more examples than
            dimensions.

    Cost: N L^2 + L^3.

    Reference: Information theoretical analysis of multivariate correlation, Watanabe, 1960; Challenging
    common assumptions in the unsupervised learning of disentangled representations, Locatello et al., 2019.

    >>> codes = [[1, 1], [-1, -1], [1, 0], [-1, 0]]  # squared correlation 1/2
    >>> round(gaussian_total_correlation(codes), 4)  # ln(2) / 2
    0.3466
    """
    codes = check_codes(codes)
    if len(codes) <= codes.shape[1]:
        raise ValueError(
            f"`codes` must hold more examples than dimensions, {codes.shape[1]}, so that the covariance is "
            f"not singular; received {len(codes)}. Encode more examples."
        )
    codes = codes[:, np.ptp(codes, axis=0) > 0]
    if codes.shape[1] < 2:
        return 0.0
    # With columns of unit length the covariance is the correlation matrix, whose diagonal has logarithms 0.
    codes -= codes.mean(axis=0)
    codes /= np.linalg.norm(codes, axis=0)
    # The squared singular values are the eigenvalues of the correlation matrix.
    roots = np.linalg.svd(codes, compute_uv=False)
    if roots[-1] <= np.finfo(np.float64).eps * len(codes) * roots[0]:
        return float("inf")
    return max(-float(np.sum(np.log(roots))), 0.0)
