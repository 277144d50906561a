"""Information between codes and factors: tables counted by hand, grids of known score, closed forms."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from keras_genmod.metrics import gaussian_total_correlation, mutual_information, mutual_information_gap

# All combinations of three factors' values.
GRID = np.indices((3, 4, 5)).reshape(3, 60).T


def test_a_table_counted_by_hand():
    """Six of eight pairs agree; a second dimension agrees with all but one; a third never moves."""
    factor = np.array([0, 0, 0, 0, 1, 1, 1, 1])[:, None]
    codes = np.array([[0, 0, 0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 1, 1, 1, 0], [7] * 8]).T * 0.1
    first = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    # Cells of 4, 0, 1 and 3 eighths; margins of 5 and 3, and of 4 and 4.
    second = 4 / 8 * np.log(8 / 5) + 1 / 8 * np.log(2 / 5) + 3 / 8 * np.log(2)
    expected = np.array([[first], [second], [0.0]])
    np.testing.assert_allclose(mutual_information(codes, factor, num_bins=2), expected, atol=1e-14)
    gap = mutual_information_gap(codes, factor, num_bins=2)
    assert gap == pytest.approx((second - first) / np.log(2))


def test_bins_are_of_equal_width_from_the_least_to_the_largest_value():
    """Edges at 0.25, 0.5 and 0.75; 1 itself is in the last bin."""
    code = np.array([0.0, 0.24, 0.26, 0.49, 0.51, 0.74, 0.76, 1.0])[:, None]
    pairs = np.repeat(np.arange(4), 2)[:, None]
    assert mutual_information(code, pairs, num_bins=4)[0, 0] == pytest.approx(np.log(4))
    assert mutual_information(code, np.arange(8)[:, None], num_bins=4)[0, 0] == pytest.approx(np.log(4))
    assert mutual_information(code, pairs, num_bins=2)[0, 0] == pytest.approx(np.log(2))


def test_quantile_bins_hold_equally_many_examples():
    """Eight values in four bins of two; of equal values none is parted from the others."""
    code = np.array([0.0, 1.0, 2.0, 3.0, 40.0, 500.0, 6e3, 7e4])[:, None]
    pairs = np.repeat(np.arange(4), 2)[:, None]
    assert mutual_information(code, pairs, num_bins=4, binning="quantiles")[0, 0] == pytest.approx(np.log(4))
    tied = np.array([0, 0, 0, 0, 0, 0, 1, 2])[:, None]
    # The first three quarters are one value, so that the bins hold 6 and 2.
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert mutual_information(tied, tied, num_bins=4, binning="quantiles")[0, 0] == pytest.approx(entropy)


def test_quantile_bins_depend_on_the_order_alone():
    rng = np.random.default_rng(0)
    codes, factors = rng.normal(size=(300, 3)), rng.integers(4, size=(300, 2))
    expected = mutual_information(codes, factors, binning="quantiles")
    np.testing.assert_array_equal(mutual_information(np.exp(codes), factors, binning="quantiles"), expected)


def test_one_outlier_is_told_of_and_does_not_matter_to_quantiles():
    rng = np.random.default_rng(0)
    factors = rng.integers(5, size=(4000, 2))
    codes = factors + rng.uniform(-0.1, 0.1, size=(4000, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = [
            mutual_information_gap(codes, factors, binning=kind) for kind in ("equal_width", "quantiles")
        ]
    codes[0] = 1e4
    with pytest.warns(UserWarning, match='3999 of 4000 examples in one of 20 bins.*binning="quantiles"'):
        fallen = mutual_information_gap(codes, factors)
    quantiles = mutual_information_gap(codes, factors, binning="quantiles")
    assert whole[0] > 0.98 and fallen < 0.01
    # One example in 4000 changes an entropy by less than (ln(4000) + 1) / 4000 nats, of which a gap has four.
    assert quantiles == pytest.approx(whole[1], abs=4 * 9.3 / 4000 / np.log(5))


def test_a_value_that_most_examples_share_is_no_outlier():
    """97% zeros and a few ones: two bins tell all."""
    code = np.repeat([0.0, 1.0], [97, 3])[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        information = mutual_information(code, code)
    assert information[0, 0] == pytest.approx(-(0.97 * np.log(0.97) + 0.03 * np.log(0.03)))


def test_random_codes_give_scikit_learns_figures():
    rng = np.random.default_rng(0)
    factors = rng.integers(-2, 3, size=(500, 2))
    codes = rng.normal(size=(500, 3)) + factors @ rng.normal(size=(2, 3))
    bins = [np.digitize(code, np.histogram(code, 20)[1][:-1]) for code in codes.T]
    expected = [[mutual_info_score(factor, code) for factor in factors.T] for code in bins]
    np.testing.assert_allclose(mutual_information(codes, factors), expected, atol=1e-12)


def test_independent_codes_have_the_documented_excess():
    """2 N I is chi-squared with (bins - 1) (values - 1) degrees of freedom."""
    rng = np.random.default_rng(0)
    codes, factors = rng.uniform(size=(20_000, 8)), rng.integers(5, size=(20_000, 1))
    information = mutual_information(codes, factors, num_bins=10)
    freedom = 8 * 9 * 4
    assert 2 * 20_000 * information.sum() == pytest.approx(freedom, abs=5 * np.sqrt(2 * freedom))


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 0, 2]])
@pytest.mark.parametrize("scale", [1.0, [1e-3, -2.0, 1e6]])
def test_gap_of_perfect_codes_in_any_order_and_scale(order, scale):
    codes = GRID[:, order] * scale + 3.0
    assert mutual_information_gap(codes, GRID) == pytest.approx(1)


def test_gap_of_codes_that_share():
    noise = np.zeros((60, 1))
    # Two dimensions that tell the same, of one factor in three.
    assert mutual_information_gap(np.hstack([GRID, GRID[:, :1]]), GRID) == pytest.approx(2 / 3)
    assert mutual_information_gap(np.hstack([GRID, -GRID]), GRID) == 0
    # One dimension that tells everything.
    together = np.hstack([GRID @ [[20], [5], [1]], noise])
    assert mutual_information_gap(together, GRID, num_bins=60) == pytest.approx(1)
    assert mutual_information_gap(noise + [0.0, 0.0], GRID) == 0


def test_gap_of_mixed_codes():
    two = np.indices((5, 5)).reshape(2, 25).T
    assert mutual_information_gap(two @ [[1, 1], [1, -1]], two) == pytest.approx(0, abs=1e-12)
    # Draws, and a mixture of all three factors in each dimension: it tells little, and none alone.
    rng = np.random.default_rng(0)
    factors = rng.integers(5, size=(5_000, 3))
    signs = np.array([[1, 1, 1], [1, -1, 1], [1, 1, -1]])
    assert mutual_information_gap(factors @ signs.T, factors) < 0.03
    assert mutual_information_gap(factors, factors) > 0.99


def with_covariance(covariance, num_rows=50):
    """Codes with exactly this covariance."""
    draws = np.random.default_rng(0).normal(size=(num_rows, len(covariance)))
    white = np.linalg.qr(draws - draws.mean(axis=0))[0]
    return white @ np.linalg.cholesky(covariance).T


def test_total_correlation_is_the_closed_form():
    covariance = np.array([[4.0, 1.0, 0.0], [1.0, 1.0, 0.3], [0.0, 0.3, 0.25]])
    # By the rule of Sarrus: 1 - 0 - 4 * 0.09 - 0.25 = 0.39, against 4 * 1 * 0.25 of the diagonal.
    expected = -0.5 * np.log(0.39)
    codes = with_covariance(covariance)
    for same in (codes, codes[:, [2, 0, 1]], codes * [1e-8, -3.0, 1e8], codes + [0.0, 1e3, -1e3]):
        assert gaussian_total_correlation(same) == pytest.approx(expected, rel=1e-9)
    still = np.hstack([codes, np.full((50, 2), 0.1)])
    assert gaussian_total_correlation(still) == pytest.approx(expected, rel=1e-9)


def test_total_correlation_of_two_dimensions():
    for correlation in (0.0, 0.5, -0.999):
        codes = with_covariance(np.array([[1.0, correlation], [correlation, 1.0]]))
        expected = -0.5 * np.log1p(-(correlation**2))
        assert gaussian_total_correlation(codes) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_total_correlation_at_its_ends():
    codes = with_covariance(np.eye(3))
    assert gaussian_total_correlation(codes[:, :1]) == 0
    assert gaussian_total_correlation(GRID) == pytest.approx(0, abs=1e-12)
    for dependent in (codes[:, :1], -2 * codes[:, 1:2], codes @ [[1.0], [-0.5], [3.0]]):
        assert gaussian_total_correlation(np.hstack([codes, dependent])) == np.inf


def test_total_correlation_of_independent_draws_has_the_documented_excess():
    """2 N times it is about chi-squared with L (L - 1) / 2 degrees of freedom."""
    codes = np.random.default_rng(0).normal(size=(20_000, 10))
    assert 2 * 20_000 * gaussian_total_correlation(codes) == pytest.approx(45, abs=5 * np.sqrt(90))


@pytest.mark.parametrize("function", [mutual_information, mutual_information_gap])
@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (GRID[:, 0], GRID, r"`codes` must have shape \[num_examples, code_dim\]; received .*\(60,\)"),
        (np.where(GRID == 0, np.nan, GRID), GRID, "`codes` must hold finite values"),
        (GRID, GRID[:, 0], r"`factors` must have shape \[num_examples, num_factors\]; .*\(60,\)"),
        (GRID, GRID[:59], "for each of the 60 rows of `codes`; received 59 rows"),
        (GRID, GRID / 2, "`factors` must hold integers; received fractions. Number the values"),
        (GRID, GRID * [1, 0, 1] + 2, "received 2 in all rows of column 1. Leave out"),
        (GRID[:19], GRID[:19], "at least as many examples as there are bins, 20; received 19"),
    ],
)
def test_wrong_input_is_refused(function, codes, factors, message):
    with pytest.raises(ValueError, match=message):
        function(codes, factors)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mutual_information(GRID, GRID, num_bins=1), "`num_bins` must be an integer of at least 2"),
        (lambda: mutual_information(GRID, GRID, binning="log"), "'equal_width', 'quantiles'; received 'log'"),
        (lambda: mutual_information(GRID, GRID[:, :0]), r"at least 1 columns; received shape \(60, 0\)"),
        (lambda: mutual_information_gap(GRID[:, :1], GRID), "at least 2 dimensions to compare; received"),
        (lambda: gaussian_total_correlation(GRID[:3]), "more examples than dimensions, 3, .*; received 3"),
        (lambda: gaussian_total_correlation(GRID[:1]), "at least 2 examples; received 1. Encode more"),
        (lambda: gaussian_total_correlation([[0.0], [np.inf]]), "`codes` must hold finite values"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
