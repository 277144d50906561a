"""The FactorVAE score: which code dimension stays constant while one factor is held fixed."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.core.checks import check_integer, check_number
from keras_genmod.metrics.mutual_information import check_codes, check_factors

__all__ = ["factor_vae_score"]


def factor_vae_score(
    codes: Any,
    factors: Any,
    *,
    num_votes: int = 2_000,
    batch_size: int = 64,
    min_std: float = 0.05,
    seed: int = 0,
) -> float:
    """FactorVAE score: whether the code dimension that varies least identifies the factor held fixed.

    For each vote, `batch_size` rows are drawn that share one value of one factor. The vote is the code
    dimension whose variance over these rows, divided by its variance over all rows, is smallest. Half of the
    votes are for fitting: by majority, each dimension predicts one factor. The score is the accuracy of these
    predictions on the other half.

    Args:
        codes: Codes `[N, L]`.
        factors: Integer-valued factors `[N, F]`, F at least 2. Among the rows that share a value of one
            factor, the other factors must vary: use all combinations, or many random rows.
        num_votes: Number of votes for each factor; half of them are for fitting.
        batch_size: Number of rows of each vote, drawn with replacement.
        min_std: Dimensions with at most this standard deviation are dead and get no votes. The default is for
            latents whose prior has standard deviation 1.
        seed: Integer that seeds the draws.

    Returns:
        The accuracy, in [0, 1]: about 1/F by chance, 0 if all dimensions are dead.

    Raises:
        ValueError: If a shape is wrong, there is a single factor, values are not finite, or factors are not
            integer-valued, have a single value, or have a value that only one row has.

    Cost: F `num_votes` `batch_size` L; memory holds this for one factor.

    Reference: Disentangling by factorising, Kim and Mnih, 2018; Challenging common assumptions in the
    unsupervised learning of disentangled representations, Locatello et al., 2019 (sizes, dead dimensions).

    >>> factors = np.indices((3, 4, 5)).reshape(3, 60).T  # all triples of values
    >>> factor_vae_score(factors, factors, num_votes=100)
    1.0
    """
    num_votes = check_integer("num_votes", num_votes, minimum=2)
    batch_size = check_integer("batch_size", batch_size, minimum=2)
    min_std = check_number("min_std", min_std, minimum=0.0)
    rng = np.random.default_rng(check_integer("seed", seed, minimum=0))
    codes = check_codes(codes)
    factors = check_factors(factors, len(codes), min_factors=2)
    # Subtracting the first row gives constant dimensions a deviation of exactly 0.
    codes -= codes[0]
    codes = codes[:, codes.std(axis=0) > min_std]
    if not codes.shape[1]:
        return 0.0
    codes /= codes.std(axis=0)
    votes = np.empty((2, codes.shape[1], factors.shape[1]), np.int64)
    for k, factor in enumerate(factors.T):
        values, index, counts = np.unique(factor, return_inverse=True, return_counts=True)
        if counts.min() < 2:
            raise ValueError(
                "`factors` must have each value in two rows or more; received one row with the value "
                f"{values[counts.argmin()]:g} in column {k}. Encode more examples."
            )
        # A value is drawn as often as it occurs; then rows are drawn among those that share the value.
        drawn = index[rng.integers(len(codes), size=(num_votes, 1))]
        first = np.cumsum(counts) - counts
        places = first[drawn] + rng.integers(counts[drawn], size=(num_votes, batch_size))
        rows = np.argsort(index, kind="stable")[places]
        least = codes[rows].var(axis=1).argmin(axis=1)
        for half in range(2):
            votes[half, :, k] = np.bincount(least[half::2], minlength=codes.shape[1])
    majority = votes[0].argmax(axis=1)
    return float(votes[1][np.arange(len(majority)), majority].sum() / votes[1].sum())
