"""The picture of a density is the density: its values, its places, its mass."""

import numpy as np
import pytest

from keras_genmod import FVSBN, KernelDensity, NormalizingFlow
from keras_genmod.plots import density_2d

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def normal():
    """A flow without any bijection: the standard normal distribution of the plane."""
    return NormalizingFlow((2,), [], seed=0)


def shown(figure):
    """The values of the picture, and the middles of its pixels along both axes."""
    (image,) = figure.axes[0].images
    assert image.origin == "lower", "the first row is the lowest"
    values = np.asarray(image.get_array())
    left, right, low, high = image.get_extent()
    rows, columns = values.shape
    across = left + (np.arange(columns) + 0.5) * (right - left) / columns
    up = low + (np.arange(rows) + 0.5) * (high - low) / rows
    return values, across, up


def test_values_are_the_density_at_the_middles_of_pixels(normal):
    values, across, up = shown(density_2d(normal, limits=((-5.0, 4.0), (-4.0, 6.0)), num_points=50))
    x = across[:, None].T, up[:, None]
    expected = np.exp(-0.5 * (x[0] ** 2 + x[1] ** 2)) / (2 * np.pi)
    # Log-densities of at most 26 nats in float32, whose rounding becomes relative.
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_the_mass_of_the_picture_is_one(normal):
    """The default limits leave out little, and the midpoint rule is exact to more digits than that."""
    values, across, up = shown(density_2d(normal, num_points=80))
    mass = values.sum() * (across[1] - across[0]) * (up[1] - up[0])
    # A sample of 4000 reaches beyond 3 standard deviations at each side, which 0.3% of either axis pass.
    assert 0.99 < mass < 1.0 + 1e-4


def test_data_give_the_limits_and_are_drawn(normal):
    x = np.random.default_rng(0).normal([10.0, -3.0], [2.0, 0.1], (500, 2))
    figure = density_2d(normal, x=x, num_points=4)
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), x)
    assert axes.get_xlim()[0] < x[:, 0].min() and axes.get_xlim()[1] > x[:, 0].max()
    assert axes.get_ylim()[0] < x[:, 1].min() and axes.get_ylim()[1] > x[:, 1].max()
    assert axes.get_title() == "NormalizingFlow: density p(x) and data"
    assert figure.axes[1].get_ylabel() == "density p(x), per unit of area"


def test_a_bound_is_called_a_bound(normal):
    class Bound(NormalizingFlow):
        density = "lower_bound"

    figure = density_2d(Bound((2,), [], seed=0), limits=(-1, 1), num_points=2)
    assert figure.axes[0].get_title() == "Bound: lower bound on the density p(x)"


def test_errors_say_what_to_do(normal):
    with pytest.raises(ValueError, match=r"received a model of examples of shape \(4,\).*score_histogram"):
        density_2d(FVSBN((4,), seed=0))
    for limits in ((1.0, 1.0), (2, 1), (0, np.inf), (1, 2, 3), "ab"):
        with pytest.raises(ValueError, match="`limits` must be"):
            density_2d(normal, limits=limits)
    with pytest.raises(ValueError, match=r"`x` must have shape \[batch, 2\]"):
        density_2d(normal, x=np.zeros((3, 3)))


def test_options_reach_the_model():
    model = KernelDensity((2,), bandwidth=0.5)
    model.compile()
    model.fit(np.zeros((4, 2)), verbose=0)
    with pytest.raises(TypeError, match="num_draws"):
        density_2d(model, num_draws=3)
    values, across, up = shown(density_2d(model, limits=(-0.1, 0.1), num_points=3, batch_size=2))
    np.testing.assert_allclose(values[1, 1], 1 / (2 * np.pi * 0.25), rtol=1e-5)
