"""Drawn densities in the plane: repeatable, where they should lie, in the right shares."""

import numpy as np
import pytest

from keras_genmod.data import PLANAR_SETS, planar

COUNT = 20_000


@pytest.mark.parametrize("name", PLANAR_SETS)
def test_repeatable_and_within_the_picture(name):
    points = planar(name, COUNT, seed=0)
    np.testing.assert_array_equal(points, planar(name, COUNT, seed=0))
    assert not np.array_equal(points, planar(name, COUNT, seed=1))
    assert points.dtype == np.float32 and np.abs(points).max() < 5.0
    assert np.abs(points).max() > 2.0


def test_eight_gaussians():
    points = planar("eight_gaussians", COUNT, seed=0)
    angle = np.arange(8) * np.pi / 4
    centres = 3.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    nearest = np.argmin(np.linalg.norm(points[:, None] - centres, axis=-1), axis=1)
    shares = np.bincount(nearest, minlength=8) / COUNT
    np.testing.assert_allclose(shares, 1 / 8, atol=5 * np.sqrt(1 / 8 * 7 / 8 / COUNT))
    for number, centre in enumerate(centres):
        own = points[nearest == number]
        np.testing.assert_allclose(own.mean(axis=0), centre, atol=5 * 0.25 / np.sqrt(len(own)))
        np.testing.assert_allclose(own.std(axis=0), 0.25, rtol=0.1)


def test_checkerboard():
    """Eight of sixteen cells, no two of them neighbours, each with an eighth of the points."""
    cells = np.floor(planar("checkerboard", COUNT, seed=0) / 2.0 + 2.0).astype(int)
    column, row = cells.T
    assert np.all((column + row) % 2 == 0) and cells.min() == 0 and cells.max() == 3
    shares = np.unique(4 * row + column, return_counts=True)[1] / COUNT
    assert len(shares) == 8
    np.testing.assert_allclose(shares, 1 / 8, atol=5 * np.sqrt(1 / 8 * 7 / 8 / COUNT))


@pytest.mark.parametrize(
    "name,radii,noise", [("circles", [1.5, 3.0], 0.1), ("rings", [0.9, 1.8, 2.7, 3.6], 0.08)]
)
def test_circles_and_rings(name, radii, noise):
    radius = np.linalg.norm(planar(name, COUNT, seed=0), axis=1)
    offset = np.min(np.abs(radius[:, None] - radii), axis=1)
    assert np.sqrt(np.mean(offset**2)) == pytest.approx(noise, rel=0.05)
    shares = np.bincount(np.argmin(np.abs(radius[:, None] - radii), axis=1)) / COUNT
    np.testing.assert_allclose(shares, 1 / len(radii), atol=0.02)


@pytest.mark.parametrize("name,turns,arms", [("spirals", 3.0, 2), ("swiss_roll", 3.5, 1)])
def test_spirals_wind(name, turns, arms):
    """The angle of a point is its radius times a constant, on one of the arms."""
    points = planar(name, COUNT, seed=0)
    radius = np.linalg.norm(points, axis=1)
    far = points[radius > 1.5], radius[radius > 1.5]
    angle = np.arctan2(far[0][:, 1], far[0][:, 0]) - turns * far[1]
    # Two arms stand half a turn apart: twice the angle is the same on both.
    mean = np.abs(np.mean(np.exp(1j * arms * angle)))
    assert mean > 0.75


def test_moons_and_pinwheel():
    moons = planar("moons", COUNT, seed=0)
    centre = np.where(moons[:, 1:] > 0, [[-1.0, -0.5]], [[1.0, 0.5]])
    assert np.median(np.abs(np.linalg.norm(moons - centre, axis=1) - 2.0)) < 0.2
    pinwheel = planar("pinwheel", COUNT, seed=0)
    # The same after a fifth of a turn.
    angle = 2 * np.pi / 5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    bins = np.linspace(-5, 5, 9)
    before, after = (np.histogram2d(*p.T, bins=[bins, bins])[0] for p in (pinwheel, pinwheel @ turn.T))
    assert np.abs(before - after).sum() / COUNT < 0.08


def test_bad_input():
    with pytest.raises(ValueError, match="'moons'.*received 'moon'"):
        planar("moon", 10)
    with pytest.raises(ValueError, match="`num_samples` must be an integer of at least 1"):
        planar("moons", 0)
