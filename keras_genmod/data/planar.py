"""Samples of two-dimensional densities, each difficult to model in its own way."""

from __future__ import annotations

import numpy as np

from keras_genmod.core.checks import check_choice, check_integer

__all__ = ["PLANAR_SETS", "planar"]


def planar(name: str, num_samples: int, *, seed: int | None = None) -> np.ndarray:
    """Draws points from one of the two-dimensional densities that are customary for showing flows.

    Args:
        name: "moons", "circles", "rings", "spirals", "checkerboard", "eight_gaussians", "pinwheel" or
            "swiss_roll".
        num_samples: Number of samples to draw.
        seed: Integer; None draws anew at every call.

    Returns:
        Float32 `[num_samples, 2]`, within about [-4, 4].

    Reference: FFJORD, Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud, 2019 (the customary densities).

    Example:
        >>> planar("moons", 100, seed=0).shape
        (100, 2)
    """
    check_choice("name", name, PLANAR_SETS)
    num_samples = check_integer("num_samples", num_samples)
    generator = np.random.default_rng(seed)
    return _DRAWS[name](num_samples, generator).astype("float32")


def _around(angle: np.ndarray, radius: np.ndarray | float = 1.0) -> np.ndarray:
    """Points with these angles and radii, `[N, 2]`."""
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _moons(count: int, generator: np.random.Generator) -> np.ndarray:
    upper = generator.random(count) < 0.5
    points = _around(generator.uniform(0, np.pi, count))
    points = np.where(upper[:, None], points, [1.0, 0.5] - points)
    return 2.0 * (points - [0.5, 0.25]) + generator.normal(scale=0.15, size=(count, 2))


def _of_radii(radii: list[float], noise: float):
    def draw(count: int, generator: np.random.Generator) -> np.ndarray:
        radius = generator.choice(radii, count) + generator.normal(scale=noise, size=count)
        return _around(generator.uniform(0, 2 * np.pi, count), radius)

    return draw


def _spirals(count: int, generator: np.random.Generator) -> np.ndarray:
    turn = 3 * np.pi * np.sqrt(generator.random(count))
    sign = generator.choice([-1.0, 1.0], count)
    points = sign[:, None] * _around(turn, turn / 3.0)
    return points + generator.normal(scale=0.1, size=(count, 2))


def _checkerboard(count: int, generator: np.random.Generator) -> np.ndarray:
    row = generator.integers(0, 4, count)
    column = 2 * generator.integers(0, 2, count) + row % 2
    return 2.0 * (np.stack([column, row], axis=1) + generator.random((count, 2))) - 4.0


def _eight_gaussians(count: int, generator: np.random.Generator) -> np.ndarray:
    centres = _around(np.arange(8) * np.pi / 4, 3.0)
    return centres[generator.integers(0, 8, count)] + generator.normal(scale=0.25, size=(count, 2))


def _pinwheel(count: int, generator: np.random.Generator) -> np.ndarray:
    arm = generator.integers(0, 5, count)
    along = 1.0 + 0.3 * generator.normal(size=count)
    across = 0.1 * generator.normal(size=count)
    angle = arm * 2 * np.pi / 5 + 0.25 * np.exp(along)
    cosine, sine = np.cos(angle), np.sin(angle)
    return 2.0 * np.stack([along * cosine - across * sine, along * sine + across * cosine], axis=1)


def _swiss_roll(count: int, generator: np.random.Generator) -> np.ndarray:
    turn = 1.5 * np.pi * (1.0 + 2.0 * generator.random(count))
    return _around(turn, turn / 3.5) + generator.normal(scale=0.15, size=(count, 2))


_DRAWS = {
    "moons": _moons,
    "circles": _of_radii([1.5, 3.0], 0.1),
    "rings": _of_radii([0.9, 1.8, 2.7, 3.6], 0.08),
    "spirals": _spirals,
    "checkerboard": _checkerboard,
    "eight_gaussians": _eight_gaussians,
    "pinwheel": _pinwheel,
    "swiss_roll": _swiss_roll,
}
PLANAR_SETS = tuple(_DRAWS)
