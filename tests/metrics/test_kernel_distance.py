"""Kernel distance: double loops, no bias on equal distributions, the expected value of a shifted one."""

import sys

import numpy as np
import pytest

from keras_genmod.metrics import kernel_distance


def kernel(a, b):
    return (a @ b / len(a) + 1) ** 3


def by_loops(x, y):
    m, n = len(x), len(y)
    within_x = sum(kernel(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    within_y = sum(kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return within_x + within_y - 2 * sum(kernel(a, b) for a in x for b in y) / (m * n)


@pytest.mark.parametrize("counts", [(6, 6), (5, 9), (2, 2)])
def test_single_estimate_is_the_double_loop(counts):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(counts[0], 3)), rng.normal(0.5, size=(counts[1], 3))
    value = kernel_distance(x, y, subset_size=None)
    assert value == pytest.approx(by_loops(x, y), rel=1e-12)
    assert (value.num_real, value.num_generated) == counts


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(37, 3)), rng.normal(0.5, size=(23, 3))
    whole = kernel_distance(x, y, subset_size=None)
    # The package has a function of the name of its module.
    monkeypatch.setattr(sys.modules[kernel_distance.__module__], "_BLOCK_SIZE", 10)
    blocks = kernel_distance(x, y, subset_size=None)
    assert blocks == pytest.approx(whole, rel=1e-12) == by_loops(x, y)
    assert blocks.standard_error == pytest.approx(whole.standard_error, rel=1e-12)


def test_the_same_array_twice_is_two_sets():
    x = np.random.default_rng(0).normal(size=(7, 3))
    assert kernel_distance(x, x, subset_size=None) == pytest.approx(by_loops(x, x), rel=1e-12)


def draws(shift, num_draws=400, size=20, dim=2):
    rng = np.random.default_rng(3)
    sides = [(rng.normal(size=(size, dim)), rng.normal(size=(size, dim)) + shift) for _ in range(num_draws)]
    return [kernel_distance(x, y, subset_size=None) for x, y in sides]


def expected_distance(shift, dim=2):
    """E k(a, b) = E (s + 1)^3 with s = a . b / D, from the moments of two Gaussian vectors.

    For a ~ N(m, I), b ~ N(n, I): given b, a . b is normal with mean m . b and variance |b|^2; what is left
    are moments of b, here by exact Gauss-Hermite quadrature.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = weights / weights.sum()

    def mean_kernel(m, n):
        total = 0.0
        for i, wi in zip(nodes, weights, strict=True):
            for j, wj in zip(nodes, weights, strict=True):
                b = np.array([i, j]) + n
                mean, variance = 1 + m * b.sum() / dim, b @ b / dim**2
                total += wi * wj * (mean**3 + 3 * mean * variance)
        return total

    return mean_kernel(0, 0) + mean_kernel(shift, shift) - 2 * mean_kernel(0, shift)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_the_estimate_is_unbiased(shift):
    """Mean over many draws: nothing for equal distributions, the exact distance for others."""
    estimates = draws(shift)
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    expected = expected_distance(shift)
    assert expected == pytest.approx(0, abs=1e-12) if shift == 0 else expected > 1
    assert abs(np.mean(estimates) - expected) < 3 * error
    # An estimate that kept each sample's product with itself would be too large by far more than that.
    assert min(estimates) < expected


def test_standard_error_is_the_spread_of_fresh_samples():
    estimates = draws(0.7)
    claimed = np.sqrt(np.mean([value.standard_error**2 for value in estimates]))
    assert claimed == pytest.approx(np.std(estimates), rel=0.2)
    # Of equal distributions it is too large rather than too small, by a factor near sqrt(2).
    estimates = draws(0.0)
    claimed = np.sqrt(np.mean([value.standard_error**2 for value in estimates]))
    assert 1.0 < claimed / np.std(estimates) < 2.0


def test_the_standard_error_of_a_single_estimate_by_loops():
    """Twice each sample's own share, its spread counted with n - 1: a hundredth is seen where n is 3."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 2)), rng.normal(0.5, size=(4, 2))
    variance = 0.0
    for own, other in ((x, y), (y, x)):
        n = len(own)
        shares = [
            sum(kernel(own[i], own[j]) for j in range(n) if j != i) / (n - 1)
            - sum(kernel(own[i], b) for b in other) / len(other)
            for i in range(n)
        ]
        mean = sum(shares) / n
        variance += 4 * sum((share - mean) ** 2 for share in shares) / (n - 1) / n
    error = kernel_distance(x, y, subset_size=None).standard_error
    assert error == pytest.approx(variance**0.5, rel=1e-12)


def test_the_standard_error_of_two_subsets_is_half_their_distance():
    """Of a and b: variance (a - b)^2 / 2 with n - 1, and of their mean (a - b)^2 / 4."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(6, 2))
    pairs = set()
    for seed in range(4):
        value = kernel_distance(x, y, subset_size=5, num_subsets=2, seed=seed)
        # Each subset is all of x and all of y but one.
        candidates = [by_loops(x, np.delete(y, i, axis=0)) for i in range(6)]
        ends = [
            (i, j)
            for i, a in enumerate(candidates)
            for j, b in enumerate(candidates)
            if abs((a + b) / 2 - value) < 1e-9 and abs((a - b) / 2 - value.standard_error) < 1e-9
        ]
        assert ends
        pairs.update(ends)
    assert any(i != j for i, j in pairs)


def test_subsets():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), rng.normal(0.5, size=(50, 4))
    options = {"subset_size": 10, "num_subsets": 400}
    value = kernel_distance(x, y, **options)
    whole = kernel_distance(x, y, subset_size=None)
    assert abs(value - whole) < 4 * value.standard_error and value != whole
    assert kernel_distance(x, y, **options) == value
    assert kernel_distance(x, y, **options, seed=1) != value
    # Of sides that are smaller all samples are taken.
    assert kernel_distance(x, y, subset_size=60) == whole
    pairs = kernel_distance(x[:2], y[:2], subset_size=1000)
    assert pairs == pytest.approx(by_loops(x[:2], y[:2]), rel=1e-12)
    assert kernel_distance(x, y[:2], subset_size=30, num_subsets=300) == pytest.approx(
        by_loops(x, y[:2]), abs=1.0
    )


def test_a_subset_repeats_no_sample():
    """Only 9 rows: each subset of 9 of 9 and 9 of 10 is the real side in another order."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 2)), rng.normal(size=(10, 2))
    value = kernel_distance(x, y, subset_size=9, num_subsets=1)
    candidates = [by_loops(x, np.delete(y, i, axis=0)) for i in range(10)]
    assert np.min(np.abs(np.array(candidates) - value)) < 1e-9
    assert np.isnan(value.standard_error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset_size": 1}, "`subset_size` must be an integer of at least 2; received 1"),
        ({"num_subsets": 0}, "`num_subsets` must be an integer of at least 1; received 0"),
        ({"seed": -1}, "`seed` must be None or an integer"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        kernel_distance(np.zeros((9, 3)), np.zeros((9, 3)), **options)


def test_wrong_features_are_refused():
    with pytest.raises(ValueError, match="`real` must hold at least 2 samples; received 1"):
        kernel_distance(np.zeros((1, 3)), np.zeros((9, 3)))
    with pytest.raises(ValueError, match="same number of features; received 3 and 2"):
        kernel_distance(np.zeros((9, 3)), np.zeros((9, 2)))
