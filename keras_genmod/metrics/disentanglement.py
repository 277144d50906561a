r"""Disentanglement: whether each code dimension depends on one known factor, and each factor on one of them.

All scores take codes `[N, L]` of examples and the integer-valued factors `[N, F]` that generated the
examples, such as those of `data.Sprites`. This file holds the scores that predict factors from codes; other
files hold the mutual information gap and the FactorVAE score.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from keras_genmod.core.checks import ValueRange, check_choice, check_integer, describe
from keras_genmod.core.optional import optional_module
from keras_genmod.metrics.mutual_information import check_codes, check_factors

__all__ = ["DCI", "dci", "dci_from_importance", "sap_score"]

# Fraction of the rows held out from fitting: 15,000 rows give the customary 10,000 to fit and 5,000 to test.
_TEST_SHARE = 1 / 3


def sap_score(codes: Any, factors: Any, *, predictor: str = "thresholds", seed: int = 0) -> float:
    r"""SAP: how much better the best code dimension predicts a factor than the second best does.

    $\frac{1}{F} \sum_k (S_{j_k k} - \max_{j \ne j_k} S_{jk})$, where $S_{jk}$ scores how well dimension j
    alone predicts factor k, and $j_k$ is the best dimension. For a factor of K values, guessing already has
    an accuracy of 1/K, so that its gap is at most $1 - 1/K$; a correlation can be 0, and its gap 1.

    * `"thresholds"`: up to K - 1 thresholds cut the dimension into intervals, and each interval predicts one
      value. $S_{jk}$ is the largest balanced accuracy of all such predictors (the mean over the values of the
      fraction of their rows that is predicted correctly), measured on the rows it was fitted to. This is the
      discrete score of Kumar et al. It depends only on the order of a dimension's values.
    * `"linear_svm"`: the accuracy of scikit-learn's `LinearSVC(C=0.01, class_weight="balanced")` on a third
      of the rows, fitted to the others, as in Locatello et al. A linear classifier cannot separate a middle
      value from both its neighbours, and this one depends on the scale of the codes.
    * `"correlation"`: the squared correlation with the factor's number, for factors with ordered values.

    Args:
        codes: Codes `[N, L]`, L at least 2.
        factors: Integer-valued factors `[N, F]`.
        predictor: "thresholds", "linear_svm" or "correlation".
        seed: Integer that seeds the choice of rows to fit. Only "linear_svm" uses it.

    Returns:
        The score, in [0, 1].

    Raises:
        ValueError: If a shape is wrong, the codes have a single dimension, values are not finite, or factors
            are not integer-valued, have a single value, or have a value that is missing in the rows to fit.
        ImportError: If scikit-learn is missing, for "linear_svm".

    Cost: For each of the L F pairs: a sort of N rows and N K^2 ("thresholds"), K linear classifiers of N rows
    ("linear_svm"), or N ("correlation").

    Reference: Variational inference of disentangled latent concepts from unlabeled observations, Kumar,
    Sattigeri and Balakrishnan, 2018; Challenging common assumptions in the unsupervised learning of
    disentangled representations, Locatello et al., 2019.

    >>> factors = np.indices((2, 4)).reshape(2, 8).T  # all pairs of values of two factors
    >>> sap_score(factors, factors)  # (1/2 + 3/4) / 2
    0.625
    >>> round(sap_score(factors, factors, predictor="correlation"), 6)
    1.0
    """
    check_choice("predictor", predictor, ["thresholds", "linear_svm", "correlation"])
    seed = check_integer("seed", seed, minimum=0)
    codes = check_codes(codes, min_dim=2)
    factors = check_factors(factors, len(codes))
    if predictor == "correlation":
        scores = np.square(_standardized(codes).T @ _standardized(factors) / len(codes))
    elif predictor == "thresholds":
        scores = np.array([[_threshold_accuracy(code, factor) for factor in factors.T] for code in codes.T])
    else:
        svm = optional_module("sklearn.svm", what="This predictor")
        train, test = _split(factors, seed)

        def accuracy(code: np.ndarray, factor: np.ndarray) -> float:
            classifier = svm.LinearSVC(C=0.01, class_weight="balanced", dual="auto", random_state=seed)
            return classifier.fit(code[train, None], factor[train]).score(code[test, None], factor[test])

        scores = np.array([[accuracy(code, factor) for factor in factors.T] for code in codes.T])
    second, first = np.sort(scores, axis=0)[-2:]
    return float(np.mean(first - second))


def _standardized(columns: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and variance 1; a constant column becomes zeros."""
    # Subtracting the first row makes constant columns exactly 0.
    centred = columns - columns[0]
    centred -= centred.mean(axis=0)
    std = np.sqrt(np.mean(np.square(centred), axis=0))
    return centred / np.where(std > 0, std, 1.0)


def _threshold_accuracy(code: np.ndarray, factor: np.ndarray) -> float:
    """The best balanced accuracy of predicting K values from K intervals of a line."""
    places, where = np.unique(code, return_inverse=True)
    values, index = np.unique(factor, return_inverse=True)
    counts = np.zeros((len(places) + 1, len(values)))
    np.add.at(counts, (where + 1, index), 1.0)
    # left[i, v]: the fraction of the rows with value v that lies to the left of cut i.
    left = np.cumsum(counts, axis=0) / counts.sum(axis=0)
    # Dynamic programming. After n rounds best[i] is the largest sum of correctly predicted fractions to the
    # left of cut i with n intervals. A last interval from cut h to cut i that predicts v adds
    # left[i, v] - left[h, v].
    best = np.zeros(len(left))
    for _ in values:
        best = np.max(left + np.maximum.accumulate(best[:, None] - left, axis=0), axis=1)
    return float(best[-1] / len(values))


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness; the best value of each is 1.

    Attributes:
        disentanglement: Whether each code dimension matters for one factor only, in [0, 1].
        completeness: Whether each factor is predicted from one dimension only, in [0, 1].
        informativeness: Accuracy of the predictions on held-out rows, averaged over the factors.
        importance: Importance of dimension j for factor k, float64 `[L, F]`. Each column sums to 1, or to 0
            if no dimension predicts the factor.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: np.ndarray


def dci(codes: Any, factors: Any, *, predictor: str = "gradient_boosting", seed: int = 0) -> DCI:
    """DCI: disentanglement, completeness and informativeness, from tree classifiers that predict the factors.

    For each factor a classifier is fitted to all code dimensions, on two thirds of the rows. The importance
    of a dimension is its share of the total gain of the trees' splits. `dci_from_importance` then gives
    disentanglement and completeness.

    * `"gradient_boosting"`: scikit-learn's `GradientBoostingClassifier()`, as in Locatello et al.
    * `"random_forest"`: scikit-learn's `RandomForestClassifier(max_features=None)`. Each split chooses among
      all dimensions, so that no dimension is important only because a better one was not offered. Many times
      faster for factors with many values.

    Eastwood and Williams treat factors as numbers and report the regression error, best at 0, as
    informativeness. Here factors are classes, and informativeness is an accuracy.

    Args:
        codes: Codes `[N, L]`, L at least 2.
        factors: Integer-valued factors `[N, F]`, F at least 2.
        predictor: "gradient_boosting" or "random_forest".
        seed: Integer that seeds the choice of rows to fit and the trees.

    Returns:
        A `DCI`.

    Raises:
        ValueError: If a shape is wrong, there is a single code dimension or factor, values are not finite, or
            factors are not integer-valued, have a single value, or have a value that is missing in the rows
            to fit.
        ImportError: If scikit-learn is missing.

    Cost: For a factor with K values 100 K trees (random forest: 100 trees), each N L log N.

    Reference: A framework for the quantitative evaluation of disentangled representations, Eastwood and
    Williams, 2018; Challenging common assumptions in the unsupervised learning of disentangled
    representations, Locatello et al., 2019.

    >>> factors = np.indices((2, 3, 20)).reshape(3, 120).T[:, :2]  # all pairs of values, 20 times
    >>> scores = dci(factors, factors, predictor="random_forest")
    >>> [round(score, 6) for score in scores[:3]]
    [1.0, 1.0, 1.0]
    """
    check_choice("predictor", predictor, ["gradient_boosting", "random_forest"])
    seed = check_integer("seed", seed, minimum=0)
    codes = check_codes(codes, min_dim=2)
    factors = check_factors(factors, len(codes), min_factors=2)
    ensemble = optional_module("sklearn.ensemble", what="This predictor")
    train, test = _split(factors, seed)
    importance = np.zeros((codes.shape[1], factors.shape[1]))
    accuracies = []
    for k, factor in enumerate(factors.T):
        if predictor == "gradient_boosting":
            classifier = ensemble.GradientBoostingClassifier(random_state=seed)
        else:
            classifier = ensemble.RandomForestClassifier(max_features=None, random_state=seed)
        classifier.fit(codes[train], factor[train])
        importance[:, k] = classifier.feature_importances_
        accuracies.append(classifier.score(codes[test], factor[test]))
    importance = _without_rounding(importance)
    return DCI(*dci_from_importance(importance), float(np.mean(accuracies)), importance)


def dci_from_importance(importance: Any) -> tuple[float, float]:
    r"""Disentanglement and completeness from a table of importances.

    Let $R_{jk}$ be the importance of code dimension j for factor k, and $P_{jk} = R_{jk} / \sum_k R_{jk}$.
    The disentanglement of dimension j is $D_j = 1 + \sum_k P_{jk} \log_F P_{jk}$: 1 if it matters for a
    single factor, 0 if it matters equally for all F. The score is the mean of $D_j$ with weights
    $\sum_k R_{jk}$, so that unimportant dimensions have no influence. Completeness is the same with
    dimensions and factors exchanged.

    Args:
        importance: Importances `[L, F]`, at least 0, with L and F at least 2. Values that are negative only
            by rounding count as 0.

    Returns:
        Disentanglement and completeness, in [0, 1]; both are 0 for a table of zeros.

    Raises:
        ValueError: If the shape is wrong, or values are negative or not finite.

    Cost: L F.

    Reference: As for `dci`.

    >>> dci_from_importance([[1, 0], [1, 0], [0, 2]])  # two dimensions share a factor
    (1.0, 0.6845...)
    """
    table = np.asarray(importance)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(
            "`importance` must have shape [code_dim, num_factors], both at least 2; received "
            f"{describe(importance)}. With a single dimension or factor there is nothing to compare."
        )
    table = _without_rounding(table)
    ValueRange(0.0, advice="Take the absolute values of coefficients.").check("importance", table)
    table = table.astype(np.float64)
    return _concentration(table), _concentration(table.T)


def _without_rounding(table: np.ndarray) -> np.ndarray:
    """Replaces values that are negative by rounding by 0; sums over many trees leave such values."""
    if table.dtype.kind != "f":
        return table
    rounding = 100 * np.finfo(table.dtype).eps * np.max(np.abs(table))
    return np.where((table < 0) & (table >= -rounding), 0, table)


def _concentration(table: np.ndarray) -> float:
    """One minus the normalised entropy of the rows, averaged with their sums as weights."""
    sums = table.sum(axis=1)
    table, sums = table[sums > 0], sums[sums > 0]
    if not len(table):
        return 0.0
    shares = table / sums[:, None]
    entropies = -np.sum(shares * np.log(np.where(shares > 0, shares, 1.0)), axis=1)
    return max(1.0 - float(np.average(entropies, weights=sums) / np.log(table.shape[1])), 0.0)


def _split(factors: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to fit and to test on. The rows to fit hold every value of every factor."""
    rows = np.random.default_rng(seed).permutation(len(factors))
    test, train = np.split(rows, [max(1, round(len(rows) * _TEST_SHARE))])
    for k, factor in enumerate(factors.T):
        missing = np.setdiff1d(factor, factor[train])
        if len(missing):
            raise ValueError(
                f"`factors` must have each value in several rows, so that the {len(train)} rows to fit hold "
                f"it; received the value {missing[0]:g} of column {k} in other rows only. Encode more "
                "examples."
            )
    return train, test
