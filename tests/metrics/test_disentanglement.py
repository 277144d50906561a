"""SAP and DCI: codes whose scores are known, predictors by plain loops, importances counted by hand."""

import itertools
import sys

import numpy as np
import pytest

from keras_genmod.metrics import dci, dci_from_importance, sap_score

PREDICTORS = ["thresholds", "linear_svm", "correlation"]
TREES = ["gradient_boosting", "random_forest"]
# All combinations of three factors' values, and of two, several times.
GRID = np.indices((2, 3, 4)).reshape(3, 24).T
PAIRS = np.tile(np.indices((3, 3)).reshape(2, 9).T, (40, 1))
MIXTURE = np.array([[1, 1], [1, -1]])


# --- SAP ---


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
@pytest.mark.parametrize("scale", [1.0, [1e-3, -2.0, 1e6]])
def test_sap_of_perfect_codes_in_any_order_and_scale(order, scale):
    codes = GRID[:, order] * scale + 5.0
    # The second best dimension guesses one of 2, of 3 and of 4 values.
    assert sap_score(codes, GRID) == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)
    assert sap_score(codes, GRID, predictor="correlation") == pytest.approx(1)


def test_thresholds_need_the_order_of_the_codes_only():
    rng = np.random.default_rng(0)
    factors = rng.integers(4, size=(300, 2))
    codes = factors + 0.7 * rng.normal(size=(300, 2))
    score = sap_score(codes, factors)
    assert 0.1 < score < 0.7
    for same in (np.exp(codes), -codes, codes[:, ::-1]):
        assert sap_score(same, factors) == pytest.approx(score, rel=1e-12)
    # Names of values are names.
    assert sap_score(codes, np.array([7, -3, 0, 100])[factors]) == pytest.approx(score, rel=1e-12)


def best_pieces(code, factor):
    """The best balanced accuracy of at most as many pieces as values, by trying all cuts and values."""
    order = np.argsort(code)
    factor, values = factor[order], np.unique(factor)
    best = 0.0
    for cuts in itertools.combinations_with_replacement(range(len(code) + 1), len(values) - 1):
        pieces = np.searchsorted(cuts, np.arange(len(code)), side="right")
        for names in itertools.product(values, repeat=len(values)):
            right = np.array(names)[pieces] == factor
            best = max(best, np.mean([right[factor == value].mean() for value in values]))
    return best


@pytest.mark.parametrize("num_values", [2, 3])
def test_thresholds_are_the_best_of_all(num_values):
    rng = np.random.default_rng(num_values)
    for _ in range(5):
        factor = np.concatenate([np.arange(num_values), rng.integers(num_values, size=9 - num_values)])
        code = rng.permutation(9).astype(float)
        expected = best_pieces(code, factor)
        assert 1 / num_values < expected
        # A dimension that never moves guesses.
        score = sap_score(np.stack([code, np.zeros(9)], axis=1), factor[:, None])
        assert score == pytest.approx(expected - 1 / num_values)


def test_equal_codes_are_not_cut_apart():
    """At 0 two rows of each value; at 1 one row of value 1: accuracies 1 and 1/3."""
    codes = np.array([[0.0, 0], [0, 0], [0, 0], [0, 0], [1, 0]])
    factor = np.array([[0], [0], [1], [1], [1]])
    assert sap_score(codes, factor) == pytest.approx((1 + 1 / 3) / 2 - 1 / 2)


def test_correlation_is_numpys():
    rng = np.random.default_rng(0)
    factors = rng.integers(5, size=(200, 2))
    codes = factors @ [[1.0, 0.3], [0.2, 1.0]] + rng.normal(size=(200, 2))
    squares = np.corrcoef(codes.T, factors.T)[:2, 2:] ** 2
    expected = np.mean(np.max(squares, axis=0) - np.min(squares, axis=0))
    for same in (codes, codes * [1e6, -1e-6], codes + 1e4):
        assert sap_score(same, factors, predictor="correlation") == pytest.approx(expected, rel=1e-6)
    # A dimension that never moves predicts nothing, and is the second best beside a single other one.
    still = np.full((200, 1), 0.1)
    single = sap_score(np.hstack([codes[:, :1], still]), factors, predictor="correlation")
    assert single == pytest.approx(np.mean(squares[0]))


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_sap_of_copies_and_mixtures_is_nothing(predictor):
    twice = np.hstack([PAIRS, PAIRS])
    assert sap_score(twice, PAIRS, predictor=predictor) == pytest.approx(0, abs=1e-12)
    # The held-out third of 360 rows decides for the machine; the other predictors see all of them.
    slack = 5 * np.sqrt(2 * 0.25 / 120) if predictor == "linear_svm" else 1e-12
    assert sap_score(PAIRS @ MIXTURE, PAIRS, predictor=predictor) == pytest.approx(0, abs=slack)


def test_linear_machines():
    rng = np.random.default_rng(0)
    factors = rng.integers(2, size=(3_000, 2))
    codes = 4.0 * factors + rng.normal(size=(3_000, 2))
    score = sap_score(codes, factors, predictor="linear_svm")
    # A normal deviation of two decides; the other dimension guesses, right in half of 1,000 rows.
    assert score == pytest.approx(0.97725 - 0.5, abs=5 * np.sqrt(0.25 / 1_000))
    assert sap_score(codes, factors, predictor="linear_svm") == score
    assert sap_score(codes, factors, predictor="linear_svm", seed=1) != score
    # Ten of thirty rows are judged, so accuracies are whole tenths.
    for seed in range(5):
        tenths = 10 * sap_score(codes[:30], factors[:30, :1], predictor="linear_svm", seed=seed)
        assert tenths == pytest.approx(round(tenths), abs=1e-9)
    # Of three values in a row the middle one is lost.
    assert sap_score(PAIRS, PAIRS, predictor="linear_svm") < 0.5 < sap_score(PAIRS, PAIRS)


# --- DCI ---


def test_importances_counted_by_hand():
    assert dci_from_importance(np.eye(4)[[2, 0, 3, 1]] * [1, 2, 3, 4]) == (1, 1)
    assert dci_from_importance(np.ones((4, 3))) == pytest.approx((0, 0), abs=1e-12)
    # Two dimensions share a factor: each is pure, one of the two factors is in halves.
    halves = np.log(2) / np.log(3)
    assert dci_from_importance([[1, 0], [1, 0], [0, 2]]) == pytest.approx((1, 1 - 0.5 * halves))
    assert dci_from_importance(np.transpose([[1, 0], [1, 0], [0, 2]])) == pytest.approx((1 - 0.5 * halves, 1))
    # Weights: the mixed dimension has a fifth of the importance, the mixed factor four fifths and a half.
    mixed = [[3.0, 1.0], [0.0, 16.0]]
    disentanglement = 1 - 4 / 20 * entropy(3 / 4) / np.log(2)
    completeness = 1 - 17 / 20 * entropy(1 / 17) / np.log(2)
    assert dci_from_importance(mixed) == pytest.approx((disentanglement, completeness))


def entropy(share):
    return -share * np.log(share) - (1 - share) * np.log(1 - share)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rounding_below_zero_counts_as_zero(dtype):
    table = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 2.0]], dtype)
    exact = dci_from_importance(table)
    rounded = table.copy()
    rounded[0, 1] = -np.finfo(dtype).eps / 4
    assert dci_from_importance(rounded) == exact
    assert dci_from_importance(1e6 * rounded) == pytest.approx(exact)
    rounded[0, 1] = -1e-3
    with pytest.raises(ValueError, match="from -0.001.* Take the absolute values"):
        dci_from_importance(rounded)


def test_order_and_unit_of_importances_do_not_matter():
    table = np.random.default_rng(0).exponential(size=(5, 3))
    scores = dci_from_importance(table)
    assert all(0 < score < 1 for score in scores)
    assert dci_from_importance(1e-9 * table[::-1][:, [1, 2, 0]]) == pytest.approx(scores)
    # A dimension that nothing needs is no impurity, but one more place to look for a factor.
    wider = dci_from_importance(np.vstack([table, np.zeros((1, 3))]))
    assert wider[0] == pytest.approx(scores[0]) and wider[1] > scores[1]
    assert dci_from_importance(np.zeros((3, 2))) == (0, 0)


@pytest.mark.parametrize("predictor", TREES)
def test_dci_of_perfect_codes_in_any_order_and_scale(predictor):
    codes = PAIRS[:, ::-1] * [-3.0, 1e3] + 1.0
    scores = dci(codes, PAIRS, predictor=predictor)
    assert scores[:3] == pytest.approx((1, 1, 1), abs=1e-3)
    np.testing.assert_allclose(scores.importance, [[0, 1], [1, 0]], atol=1e-4)


def test_dci_of_mixed_codes():
    rng = np.random.default_rng(0)
    factors = rng.integers(3, size=(1_500, 2))
    mixed = dci(factors @ MIXTURE, factors, predictor="random_forest")
    # Both dimensions together tell everything, and each matters for both factors alike.
    assert mixed.informativeness == 1
    assert mixed.disentanglement < 0.05 and mixed.completeness < 0.05
    twice = dci(np.hstack([factors, factors]), factors, predictor="random_forest")
    assert twice.disentanglement == pytest.approx(1)
    # Of two copies trees choose either: half of the entropy of four dimensions.
    assert twice.completeness == pytest.approx(0.5, abs=0.05)
    assert twice.informativeness == 1


def test_dci_of_codes_that_tell_nothing():
    rng = np.random.default_rng(0)
    factors = rng.integers([2, 4], size=(600, 2))
    scores = dci(rng.normal(size=(600, 3)), factors, predictor="random_forest")
    # 200 rows of each factor are judged.
    assert scores.informativeness == pytest.approx((1 / 2 + 1 / 4) / 2, abs=5 * np.sqrt(0.25 / 200 / 2))
    assert scores.disentanglement < 0.05 and scores.completeness < 0.05
    still = dci(np.zeros((600, 3)), factors, predictor="random_forest")
    assert still[:2] == (0, 0) and not still.importance.any()


def test_dci_is_repeatable():
    rng = np.random.default_rng(0)
    factors = rng.integers(2, size=(90, 2))
    codes = factors + rng.normal(size=(90, 2))
    for predictor in TREES:
        first, again, other = (dci(codes, factors, predictor=predictor, seed=seed) for seed in (1, 1, 2))
        assert first[:3] == again[:3] != other[:3]
        np.testing.assert_array_equal(first.importance, again.importance)
        np.testing.assert_allclose(first.importance.sum(axis=0), 1)


# --- what is refused ---


def test_without_scikit_learn_the_error_names_it(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        dci(PAIRS, PAIRS)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        sap_score(PAIRS, PAIRS, predictor="linear_svm")
    assert sap_score(PAIRS, PAIRS) == pytest.approx(2 / 3)


@pytest.mark.parametrize("function", [sap_score, dci])
@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (PAIRS[:, 0], PAIRS, r"`codes` must have shape \[num_examples, code_dim\]; received .*\(360,\)"),
        (PAIRS[:, :1], PAIRS, r"at least 2 dimensions to compare; received shape \(360, 1\)"),
        (np.where(PAIRS == 0, np.inf, PAIRS), PAIRS, "`codes` must hold finite values; received 240 NaN"),
        (PAIRS, PAIRS[:359], "for each of the 360 rows of `codes`; received 359 rows"),
        (PAIRS, PAIRS + 0.5, "`factors` must hold integers; received fractions. Number the values"),
        (PAIRS, PAIRS * [1, 0], "received 0 in all rows of column 1. Leave out"),
        (PAIRS[:1], PAIRS[:1], "at least 2 examples; received 1. Encode more"),
    ],
)
def test_wrong_input_is_refused(function, codes, factors, message):
    with pytest.raises(ValueError, match=message):
        function(codes, factors)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: sap_score(PAIRS, PAIRS, predictor="svm"),
            "one of 'thresholds', 'linear_svm', 'correlation'",
        ),
        (lambda: sap_score(PAIRS, PAIRS, seed=-1), "`seed` must be an integer of at least 0; received -1"),
        (
            lambda: dci(PAIRS, PAIRS, predictor="lasso"),
            "one of 'gradient_boosting', 'random_forest'; received",
        ),
        (lambda: dci(PAIRS, PAIRS[:, :1]), r"at least 2 columns; received shape \(360, 1\)"),
        (
            lambda: dci(GRID, np.arange(24)[:, None] * [1, 1]),
            "the 16 rows to fit hold it; received the value .* of column 0 in other rows only",
        ),
        (lambda: dci_from_importance([1.0, 2.0]), r"\[code_dim, num_factors\], both at least 2; received"),
        (lambda: dci_from_importance([[1.0], [2.0]]), "there is nothing to compare"),
        (lambda: dci_from_importance([[1.0, -2.0], [0, 1]]), "from -2.0 to 1.0. Take the absolute values"),
        (lambda: dci_from_importance([[1.0, np.nan], [0, 1]]), "`importance` must hold finite values"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
