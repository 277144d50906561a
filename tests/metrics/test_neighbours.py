"""Precision, recall, density, coverage: sets whose figures are counted by hand, and plain loops."""

import warnings

import numpy as np
import pytest

from keras_genmod.metrics import density_coverage, mean_pairwise_distance, precision_recall
from keras_genmod.metrics.neighbours import RECOMMENDED_NEIGHBOUR_SAMPLES
from keras_genmod.metrics.pairwise import squared_distance_blocks

pytestmark = pytest.mark.filterwarnings("ignore:.*manifolds that contain almost everything")


def radius(points, i, k):
    return sorted(np.linalg.norm(points[i] - other) for j, other in enumerate(points) if j != i)[k - 1]


def by_loops(real, generated, k):
    """All four figures, pair by pair."""
    r = [radius(real, i, k) for i in range(len(real))]
    g = [radius(generated, i, k) for i in range(len(generated))]
    inside = np.array([[np.linalg.norm(y - x) <= s for x, s in zip(real, r, strict=True)] for y in generated])
    recalled = [any(np.linalg.norm(y - x) <= s for y, s in zip(generated, g, strict=True)) for x in real]
    return {
        "precision": inside.any(axis=1).mean(),
        "recall": np.mean(recalled),
        "density": inside.sum() / (k * len(generated)),
        "coverage": inside.any(axis=0).mean(),
    }


def both(real, generated, k):
    options = {"num_neighbours": k}
    return {**precision_recall(real, generated, **options), **density_coverage(real, generated, **options)}


@pytest.mark.parametrize(("counts", "k"), [((40, 40), 3), ((25, 60), 5), ((60, 7), 1)])
def test_figures_are_those_of_plain_loops(counts, k):
    rng = np.random.default_rng(k)
    real, generated = rng.normal(size=(counts[0], 3)), rng.normal(0.7, 0.8, size=(counts[1], 3))
    figures = both(real, generated, k)
    assert figures == by_loops(real, generated, k)
    assert 0 < figures["precision"] < 1 or counts[1] == 7
    for value in figures.values():
        assert (value.num_real, value.num_generated) == counts


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(50, 3)), rng.normal(0.7, size=(30, 3))
    whole = both(real, generated, 3)
    monkeypatch.setattr(squared_distance_blocks, "__kwdefaults__", {"block_size": 7})
    assert both(real, generated, 3) == whole


def test_a_line_counted_by_hand():
    """k=1: real balls [-1, 1], [0, 2], [1, 5], [3, 11], generated [-.5, 1.5], [.5, 2.5] and more."""
    real = np.array([[0.0], [1.0], [3.0], [7.0]])
    generated = np.array([[0.5], [1.5], [20.0]])
    figures = both(real, generated, 1)
    # 0.5 lies in two real balls; 1.5 in [0, 2] and [1, 5]; 20 in none.
    assert figures["precision"] == pytest.approx(2 / 3)
    assert figures["density"] == pytest.approx(4 / 3)
    assert figures["coverage"] == pytest.approx(3 / 4)
    assert figures["recall"] == 1.0


def test_identical_and_disjoint_sets():
    real = np.random.default_rng(0).normal(size=(50, 4))
    same, far = both(real, real, 3), both(real, real + 1e3, 3)
    assert same["precision"] == same["recall"] == same["coverage"] == 1.0 and same["density"] >= 1.0
    assert set(far.values()) == {0.0} and len(far) == 4


def test_one_mode_of_two():
    """All that is generated is real, and half of what is real is generated."""
    rng = np.random.default_rng(0)
    mode, other = rng.normal(size=(60, 4)), rng.normal(size=(60, 4)) + 100
    figures = both(np.concatenate([mode, other]), mode, 3)
    assert figures["precision"] == 1.0
    assert figures["recall"] == figures["coverage"] == 0.5
    # Each ball of the mode holds its own centre besides its three neighbours.
    assert figures["density"] == pytest.approx(4 / 3)


def test_the_edge_of_a_ball_is_in_it():
    """Distances of discrete data are often equal; rounding must not decide, near zero or far from it."""
    real = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]) * 0.1
    centre_edge = np.array([[0.2, 0.0], [0.0, -0.1]])
    for offset in (0.0, 0.3, 1e3):
        assert precision_recall(real + offset, centre_edge + offset, num_neighbours=1)["precision"] == 1.0
    # Copies of points that are there several times have balls of no size.
    copies = np.repeat(np.random.default_rng(0).normal(size=(5, 30)), 4, axis=0)
    assert set(both(copies, copies[::4].repeat(4, axis=0) * 1.0, 3).values()) >= {1.0}


def test_far_from_zero_distances_keep_their_digits():
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(60, 3)), rng.normal(0.7, size=(60, 3))
    near, far = both(real, generated, 3), both(real + 1e6, generated + 1e6, 3)
    assert near == far


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("far", [3e7, -1e12])
def test_one_far_row_widens_no_other_ball(side, far):
    """Samples 30 deviations away from what is real, and one row of either side far away."""
    rng = np.random.default_rng(0)
    sides = [rng.normal(size=(40, 4)), rng.normal(size=(40, 4)) + 30]
    sides[side][0] = far
    assert both(*sides, 3) == by_loops(*sides, 3)
    sides[1 - side][0] = far + 10
    assert both(*sides, 3) == by_loops(*sides, 3)


@pytest.mark.parametrize("dim", [1, 3, 500])
def test_distances_are_right_to_their_own_size(dim):
    """Vectors of all sizes, some of them equal, against sums of squared differences."""
    rng = np.random.default_rng(1)
    rows, columns = (rng.normal(size=(n, dim)) * 10.0 ** rng.integers(-9, 10, size=(n, 1)) for n in (50, 40))
    rows[:10] = columns[:10] + np.repeat([0.0, 1e-6], 5)[:, None] * rng.normal(size=(10, dim))
    exact = np.sum(np.square(rows[:, None] - columns), axis=-1)
    received = np.concatenate([block for _, block in squared_distance_blocks(rows, columns, block_size=7)])
    # The sums of the reference are right to some units of the last place each.
    assert np.all(abs(received - exact) <= (2.0**-40 + 2.0**-48) * exact)
    assert np.all(received[np.arange(5), np.arange(5)] == 0.0)


def test_few_samples_warn():
    enough = np.random.default_rng(0).normal(size=(RECOMMENDED_NEIGHBOUR_SAMPLES, 2))
    for function, name in ((precision_recall, "Precision and recall"), (density_coverage, "Density and")):
        with pytest.warns(UserWarning, match=f"{name}.* from 1,000 real and 999 generated"):
            function(enough, enough[1:])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            function(enough, enough)


@pytest.mark.parametrize("function", [precision_recall, density_coverage])
def test_wrong_input_is_refused(function):
    with pytest.raises(ValueError, match="`generated` must hold at least 4 samples; received 3"):
        function(np.zeros((9, 2)), np.zeros((3, 2)), num_neighbours=3)
    with pytest.raises(ValueError, match="`num_neighbours` must be an integer of at least 1; received 0"):
        function(np.zeros((9, 2)), np.zeros((9, 2)), num_neighbours=0)
    with pytest.raises(ValueError, match="`real` must hold finite values; received 9 of 9 rows"):
        function(np.full((9, 2), np.inf), np.zeros((9, 2)))


def test_mean_pairwise_distance():
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert mean_pairwise_distance(square) == pytest.approx((4 + 2 * np.sqrt(2)) / 6)
    assert mean_pairwise_distance(np.ones((100, 3)) * 0.1) == 0.0
    # Of pairs drawn at random: two Gaussian numbers are 2 / sqrt(pi) apart, with a deviation of 0.85.
    numbers = np.random.default_rng(0).normal(size=(5_000, 1))
    value = mean_pairwise_distance(numbers, max_pairs=20_000)
    assert value == pytest.approx(2 / np.sqrt(np.pi), abs=4 * 0.85 / np.sqrt(5_000))
    assert mean_pairwise_distance(numbers, max_pairs=20_000) == value
    assert mean_pairwise_distance(numbers, max_pairs=20_000, seed=1) != value
    # No sample is paired with itself: two of them are always 3 apart.
    assert mean_pairwise_distance([[0.0], [3.0], [3.0 / 2]], max_pairs=1) >= 1.5
    with pytest.raises(ValueError, match="`features` must hold at least 2 samples; received 1"):
        mean_pairwise_distance(np.zeros((1, 2)))
