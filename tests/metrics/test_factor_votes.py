"""The FactorVAE score: codes whose votes are known."""

import numpy as np
import pytest

from keras_genmod.metrics import factor_vae_score

# All combinations of three factors' values.
GRID = np.indices((3, 4, 5)).reshape(3, 60).T


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [0, 0, 1, 1, 2]])
@pytest.mark.parametrize("scale", [1.0, -7.0, 1e6])
def test_perfect_codes_in_any_order_number_and_scale(order, scale):
    assert factor_vae_score(GRID[:, order] * scale + 1e3, GRID, num_votes=200) == 1


def test_noise_beside_perfect_codes_gets_no_vote():
    noise = np.random.default_rng(0).normal(size=(60, 4))
    assert factor_vae_score(np.hstack([noise, GRID]), GRID, num_votes=200) == 1


def test_the_scale_of_a_dimension_does_not_matter():
    """Each follows its factor with noise; variances that were not divided would choose the smallest."""
    rng = np.random.default_rng(0)
    factors = np.tile(GRID, (50, 1))
    codes = factors + 0.3 * rng.normal(size=factors.shape)
    score = factor_vae_score(codes * [100.0, 10.0, 1.0], factors, num_votes=500)
    assert score == factor_vae_score(codes, factors, num_votes=500) == 1


def test_codes_that_tell_no_factor_get_what_chance_gives():
    rng = np.random.default_rng(0)
    factors = np.tile(GRID, (100, 1))
    score = factor_vae_score(rng.normal(size=(6_000, 5)), factors, num_votes=6_000)
    # 9,000 votes are judged, and the majority of five dimensions was chosen among chances.
    assert score == pytest.approx(1 / 3, abs=5 * np.sqrt(2 / 9 / 9_000))


def test_votes_that_chose_the_majority_are_not_judged():
    """Of ten votes spread over sixty dimensions most are a majority by themselves."""
    rng = np.random.default_rng(0)
    factors, codes = np.tile(GRID, (20, 1)), rng.normal(size=(1_200, 60))
    scores = [factor_vae_score(codes, factors, num_votes=20, seed=seed) for seed in range(10)]
    assert np.mean(scores) == pytest.approx(1 / 3, abs=5 * np.sqrt(2 / 9 / 300))


def test_one_dimension_stands_for_one_factor():
    """All votes go to it, and one factor's votes are a third of them."""
    assert factor_vae_score(GRID @ [[1.0], [1.0], [1.0]], GRID, num_votes=100) == 1 / 3
    # Factor 0 has a dimension of its own; in the other one, factor 1 outvotes factor 2.
    score = factor_vae_score(GRID @ [[1, 0], [0, 100], [0, 1]], GRID, num_votes=100)
    assert score == pytest.approx(2 / 3)


def test_mixed_codes():
    """A sum and a difference stand still to the same extent, whichever factor is held fixed."""
    rng = np.random.default_rng(0)
    factors = np.tile(np.indices((6, 6)).reshape(2, 36).T, (50, 1))
    codes = factors @ [[1, 1], [1, -1]] + 0.5 * rng.normal(size=factors.shape)
    score = factor_vae_score(codes, factors, num_votes=4_000)
    assert score == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / 4_000))


def test_dead_dimensions_have_no_vote():
    rng = np.random.default_rng(0)
    factors = np.tile(GRID[:, :2], (20, 1))
    # The second dimension follows a factor, in steps of 0.01; the first one follows nothing.
    codes = np.stack([rng.normal(size=len(factors)), 0.01 * factors[:, 0]], axis=1)
    assert factor_vae_score(codes, factors, num_votes=200) == 0.5
    assert factor_vae_score(codes, factors, num_votes=200, min_std=0.001) > 0.6
    assert factor_vae_score(0.01 * GRID, GRID) == 0
    # What never moves is dead whatever the threshold, also where its mean has a rounding error.
    noisy = factors + rng.normal(size=factors.shape)
    score = factor_vae_score(noisy, factors, num_votes=200, min_std=0.0)
    for value in (0.1, 0.3, 0.7, 1 / 3):
        still = np.hstack([np.full((len(factors), 3), value), noisy])
        assert factor_vae_score(still, factors, num_votes=200, min_std=0.0) == score


def test_values_are_fixed_as_often_as_rows_have_them():
    factors = np.stack([np.repeat([0, 0, 0, 1], 200), np.tile([-1, 1], 400)], axis=1)
    rare = factors[:, 0] == 1
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=800)
    # The first dimension is the second factor, but stands still where the first has its rare value; the
    # second one moves least where it has the other. A quarter of the first factor's votes go astray.
    codes = np.stack([np.where(rare, 0, factors[:, 1]), np.where(rare, 3, 1) * signs], axis=1)
    score = factor_vae_score(codes, factors, num_votes=4_000)
    assert score == pytest.approx((1 + 0.75) / 2, abs=5 * np.sqrt(0.75 * 0.25 / 2_000) / 2)


def test_seeds():
    rng = np.random.default_rng(0)
    factors = np.tile(GRID, (10, 1))
    codes = factors + 2.0 * rng.normal(size=factors.shape)
    scores = [factor_vae_score(codes, factors, num_votes=400, batch_size=8, seed=seed) for seed in (1, 1, 2)]
    assert scores[0] == scores[1] != scores[2]
    # 600 votes are judged.
    assert scores[2] == pytest.approx(scores[0], abs=5 * np.sqrt(2 * 0.25 / 600))
    assert 1 / 3 < scores[0] < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: factor_vae_score(GRID, GRID[:, :1]), r"at least 2 columns; received shape \(60, 1\)"),
        (lambda: factor_vae_score(GRID, GRID + 0.5), "`factors` must hold integers; received fractions"),
        (lambda: factor_vae_score(GRID[:59], GRID), "for each of the 59 rows of `codes`; received 60 rows"),
        (lambda: factor_vae_score(np.full((60, 3), np.inf), GRID), "`codes` must hold finite values"),
        (lambda: factor_vae_score(GRID[:21], GRID[:21]), "received one row with the value 1 in column 0"),
        (lambda: factor_vae_score(GRID, GRID, num_votes=1), "`num_votes` must be an integer of at least 2"),
        (lambda: factor_vae_score(GRID, GRID, batch_size=1), "`batch_size` must be an integer of at least 2"),
        (lambda: factor_vae_score(GRID, GRID, min_std=-1), "`min_std` must be a finite number at least 0"),
        (lambda: factor_vae_score(GRID, GRID, seed=None), "`seed` must be an integer of at least 0"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
