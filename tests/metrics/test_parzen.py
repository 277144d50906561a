"""Parzen windows: a density that integrates to one, the formula pair by pair, and no underflow."""

import numpy as np
import pytest

from keras_genmod.metrics import choose_bandwidth, parzen_log_prob


def direct(samples, x, h):
    """One sum of Gaussian densities a point."""
    distances = [np.sum((samples - point) ** 2, axis=1) for point in x]
    normalizer = (2 * np.pi * h**2) ** (samples.shape[1] / 2)
    densities = [np.mean(np.exp(-squares / (2 * h**2))) / normalizer for squares in distances]
    return np.log(densities)


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_formula_pair_by_pair(batch_size):
    rng = np.random.default_rng(0)
    samples, x = rng.normal(size=(30, 3)), rng.normal(size=(20, 3))
    for h in (0.5, 2.0):
        value = parzen_log_prob(samples, x, h, batch_size=batch_size)
        np.testing.assert_allclose(value, direct(samples, x, h), rtol=1e-10)


def test_one_kernel_is_a_gaussian():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    expected = -np.log(2 * np.pi * 4) - np.array([0.0, 25.0]) / 8
    np.testing.assert_allclose(parzen_log_prob([[0.0, 0.0]], x, 2.0), expected, rtol=1e-12)


def test_the_density_integrates_to_one():
    grid = np.linspace(-15, 15, 3001)
    density = np.exp(parzen_log_prob([[-3.0], [0.5], [4.0]], grid[:, None], 0.7))
    assert np.trapezoid(density, grid) == pytest.approx(1, rel=1e-6)


def test_far_points_do_not_underflow_and_offsets_do_not_matter():
    samples = np.zeros((4, 100))
    far = parzen_log_prob(samples, np.full((1, 100), 50.0), 0.1)
    assert far[0] == pytest.approx(-50 * np.log(2 * np.pi * 0.01) - 250_000 / 0.02, rel=1e-12)
    rng = np.random.default_rng(0)
    samples, x = rng.normal(size=(30, 3)), rng.normal(size=(20, 3))
    moved = parzen_log_prob(samples + 1e6, x + 1e6, 0.5)
    np.testing.assert_allclose(moved, parzen_log_prob(samples, x, 0.5), rtol=1e-7)


@pytest.mark.parametrize("far", [-1e7, 1e9])
def test_a_far_sample_spoils_nothing(far):
    rng = np.random.default_rng(0)
    samples, x = rng.normal(size=(30, 3)), rng.normal(size=(20, 3))
    samples[0], x[0] = far, far + 0.5
    np.testing.assert_allclose(parzen_log_prob(samples, x, 0.5)[1:], direct(samples, x[1:], 0.5), rtol=1e-9)
    expected = -np.log(30) - 1.5 * np.log(2 * np.pi * 0.25) - 0.5 * 3 * 0.25 / 0.25
    assert parzen_log_prob(samples, x, 0.5)[0] == pytest.approx(expected, rel=1e-9)


def test_chosen_bandwidth_is_the_likeliest():
    rng = np.random.default_rng(0)
    samples, x = rng.normal(size=(200, 2)), rng.normal(size=(100, 2))
    bandwidths = [0.01, 0.1, 0.3, 1.0, 5.0]
    means = [parzen_log_prob(samples, x, h).mean() for h in bandwidths]
    best = choose_bandwidth(samples, x, bandwidths, batch_size=9)
    assert best == bandwidths[int(np.argmax(means))] == 0.3
    # Around two samples a variance of h^2 is likeliest where it is that of the data.
    assert choose_bandwidth([[0.0]], [[2.0], [-2.0]], [1.0, 2.0, 3.0]) == 2.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: parzen_log_prob(x, x, 0.0), "`bandwidth` must be a finite number above 0; received 0.0"),
        (lambda x: parzen_log_prob(x, x[:, :1], 1.0), r"`x` must have shape \[num_points, 2\] .*\(3, 1\)"),
        (lambda x: parzen_log_prob(x[:0], x, 1.0), "`samples` must hold at least 1 samples; received 0"),
        (lambda x: choose_bandwidth(x, x * np.nan, [1.0]), "`x_valid` must hold finite values"),
        (lambda x: choose_bandwidth(x, x, []), "`bandwidths` must hold at least one positive number"),
        (lambda x: choose_bandwidth(x, x, [1.0, -1.0]), r"`bandwidths\[1\]` must be a finite number above 0"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((3, 2)))
