r"""Disentanglement: whether each dimension of a code follows one known factor, and each factor one dimension.

All scores take codes `[N, L]` of examples and the factors `[N, F]` that the examples were drawn with, whole
numbers, such as `data.Sprites` gives. Here are the scores that predict factors from codes; other files hold
the mutual information gap and the FactorVAE score.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from keras_genmod.core.checks import ValueRange, check_choice, check_integer, describe
from keras_genmod.core.optional import optional_module
from keras_genmod.metrics.mutual_information import check_codes, check_factors

__all__ = ["DCI", "dci", "dci_from_importance", "sap_score"]

# Share of the rows that a fitted predictor does not see: 5,000 beside the customary 10,000.
_TEST_SHARE = 1 / 3


def sap_score(codes: Any, factors: Any, *, predictor: str = "thresholds", seed: int = 0) -> float:
    r"""SAP: how much better the best code dimension predicts a factor than the second best.

    $\frac{1}{F} \sum_k (S_{j_k k} - \max_{j \ne j_k} S_{jk})$, where $S_{jk}$ says how well dimension j alone
    predicts factor k and $j_k$ is the best dimension. A predictor of classes is right in a share of 1/K by
    mere guessing, so that factors of K values have at most $1 - 1/K$; a correlation can be 0.

    * `"thresholds"`: the line is cut at K - 1 places at most, each piece predicts one value, and $S_{jk}$ is
      the largest balanced accuracy (mean over the values of the share of their rows that is right) of all
      such predictors, on the same rows. The discrete score of Kumar et al.; it depends on the order of a
      dimension only.
    * `"linear_svm"`: accuracy of scikit-learn's `LinearSVC(C=0.01, class_weight="balanced")` on a third of
      the rows, fitted to the others, as in Locatello et al. A linear machine cannot tell a middle value from
      both its neighbours, and this one depends on the scale of the codes.
    * `"correlation"`: squared correlation with the factor's number, for factors whose values are in order.

    Args:
        codes: `[N, L]`, L at least 2.
        factors: whole numbers `[N, F]`.
        predictor: "thresholds", "linear_svm" or "correlation".
        seed: integer that the choice of rows depends on; used by "linear_svm".

    Returns:
        The score, in [0, 1].

    Raises:
        ValueError: for other shapes, a single code dimension, values that are not finite, or factors that
            are not whole numbers, have one value only or lack a value among the rows to fit.
        ImportError: for "linear_svm" without scikit-learn.

    Cost: for each of the L F pairs a sort of N rows and N K^2 ("thresholds"), K linear machines of N rows, or
    N.

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
    """Columns of mean 0 and variance 1; of zeros where a column never moves."""
    # From the first row on, what never moves stays at exactly 0.
    centred = columns - columns[0]
    centred -= centred.mean(axis=0)
    std = np.sqrt(np.mean(np.square(centred), axis=0))
    return centred / np.where(std > 0, std, 1.0)


def _threshold_accuracy(code: np.ndarray, factor: np.ndarray) -> float:
    """The best balanced accuracy of predicting K values by K pieces of a line."""
    places, where = np.unique(code, return_inverse=True)
    values, index = np.unique(factor, return_inverse=True)
    counts = np.zeros((len(places) + 1, len(values)))
    np.add.at(counts, (where + 1, index), 1.0)
    # Shares of each value to the left of a cut.
    left = np.cumsum(counts, axis=0) / counts.sum(axis=0)
    # best[i]: the largest sum of shares of what lies left of cut i, with as many pieces as rounds so far. The
    # last piece of value v from cut h to cut i adds left[i, v] - left[h, v].
    best = np.zeros(len(left))
    for _ in values:
        best = np.max(left + np.maximum.accumulate(best[:, None] - left, axis=0), axis=1)
    return float(best[-1] / len(values))


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness, each at best 1.

    Attributes:
        disentanglement: whether a code dimension matters for one factor only, in [0, 1].
        completeness: whether a factor is predicted from one dimension only, in [0, 1].
        informativeness: accuracy of the predictions on rows that were not fitted, mean over the factors.
        importance: of dimension j for factor k, float64 `[L, F]`; each column sums to 1, or to 0 for a factor
            that nothing predicts.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: np.ndarray


def dci(codes: Any, factors: Any, *, predictor: str = "gradient_boosting", seed: int = 0) -> DCI:
    """DCI: disentanglement, completeness and informativeness, from what trees that predict factors look at.

    For each factor a classifier is fitted to all code dimensions, on two thirds of the rows. The importance
    of a dimension is its share in what the splits of the trees gain. Scores as in `dci_from_importance`.

    * `"gradient_boosting"`: scikit-learn's `GradientBoostingClassifier()`, as in Locatello et al.
    * `"random_forest"`: scikit-learn's `RandomForestClassifier(max_features=None)`: each split chooses among
      all dimensions, so that none is important only because others were held back. Many times faster for
      factors of many values.

    Eastwood and Williams regress numbers and report their error, best at 0, as informativeness; here factors
    are classes, and the figure is an accuracy.

    Args:
        codes: `[N, L]`, L at least 2.
        factors: whole numbers `[N, F]`, F at least 2.
        predictor: "gradient_boosting" or "random_forest".
        seed: integer that the choice of rows and the trees depend on.

    Returns:
        A `DCI`.

    Raises:
        ValueError: for other shapes, a single code dimension or factor, values that are not finite, or
            factors that are not whole numbers, have one value only or lack a value among the rows to fit.
        ImportError: without scikit-learn.

    Cost: of a factor with K values 100 K trees (forest: 100 trees) of N L log N each.

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
    r"""Disentanglement and completeness of a table of importances.

    With $P_{jk} = R_{jk} / \sum_k R_{jk}$ of the importance R of code dimension j for factor k, dimension j
    has the disentanglement $D_j = 1 + \sum_k P_{jk} \log_F P_{jk}$: 1 if it matters for one factor, 0 if for
    all F alike. The score is the mean with weights $\sum_k R_{jk}$, so that dimensions without importance
    play no part. Completeness is the same with the roles of dimensions and factors exchanged.

    Args:
        importance: at least 0, `[L, F]`, both at least 2; numbers below 0 by no more than rounding count as
            0.

    Returns:
        Disentanglement and completeness, in [0, 1]; both 0 for a table of zeros.

    Raises:
        ValueError: for another shape, or values that are not finite or below 0.

    Cost: L F.

    Reference: as for `dci`.

    >>> dci_from_importance([[1, 0], [1, 0], [0, 2]])  # two dimensions share a factor
    (1.0, 0.6845...)
    """
    table = np.asarray(importance)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(
            "`importance` must have shape [code_dim, num_factors], both at least 2; received "
            f"{describe(importance)}. Among one dimension or factor there is nothing to compare."
        )
    table = _without_rounding(table)
    ValueRange(0.0, advice="Take the absolute values of coefficients.").check("importance", table)
    table = table.astype(np.float64)
    return _concentration(table), _concentration(table.T)


def _without_rounding(table: np.ndarray) -> np.ndarray:
    """The table with 0 where a number is below 0 by rounding, as differences of sums over many trees are."""
    if table.dtype.kind != "f":
        return table
    rounding = 100 * np.finfo(table.dtype).eps * np.max(np.abs(table))
    return np.where((table < 0) & (table >= -rounding), 0, table)


def _concentration(table: np.ndarray) -> float:
    """One minus the relative entropy of the rows, weighted by their sums."""
    sums = table.sum(axis=1)
    table, sums = table[sums > 0], sums[sums > 0]
    if not len(table):
        return 0.0
    shares = table / sums[:, None]
    entropies = -np.sum(shares * np.log(np.where(shares > 0, shares, 1.0)), axis=1)
    return max(1.0 - float(np.average(entropies, weights=sums) / np.log(table.shape[1])), 0.0)


def _split(factors: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to fit and to test on; all values of all factors are among the first."""
    rows = np.random.default_rng(seed).permutation(len(factors))
    test, train = np.split(rows, [max(1, round(len(rows) * _TEST_SHARE))])
    for k, factor in enumerate(factors.T):
        missing = np.setdiff1d(factor, factor[train])
        if len(missing):
            raise ValueError(
                f"`factors` must have each value in several rows, so that it is among the {len(train)} rows "
                f"to fit; received the value {missing[0]:g} of column {k} in other rows only. Encode more "
                "examples."
            )
    return train, test
