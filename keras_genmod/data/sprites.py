"""Sprites with known factors: one image of a white shape on black for each combination of factor values.

They resemble dSprites (Matthey, Higgins, Hassabis and Lerchner, "dSprites: Disentanglement testing sprites
dataset", 2017), but are drawn here: a pixel is white if its centre lies in the shape, so that images are
binary and the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_genmod.core.checks import ValueRange, check_integer, check_number, check_rows

__all__ = ["Sprites"]

SHAPES = ("square", "ellipse", "heart")

# The radius of the circle around the largest shape, as a fraction of the image's side.
_RADIUS = 0.22
# This margin makes a pixel on a shape's edge belong to it, whatever the rounding.
_EDGE = 1e-9


class Sprites:
    r"""All images of one sprite, by shape, scale, orientation and position.

    | factor | values |
    |---|---|
    | `shape` | 0 square, 1 ellipse of half the height, 2 heart |
    | `scale` | from half to full size, in equal steps |
    | `orientation` | $2 \pi$ `turn` $i$ / `num_orientations`, counter-clockwise |
    | `x` | position of the centre, from left to right |
    | `y` | position of the centre, from top to bottom |

    The circle around the largest sprite has radius 0.22 `size`. Neighbouring positions are an integer number
    of pixels apart: as many as keep the largest sprite inside the image. As in dSprites, squares look the
    same after a quarter turn and ellipses after half a turn, so that no encoder can distinguish such images.
    With `turn=0.25` and the other defaults all images differ. In images smaller than 64 pixels a few
    neighbouring scales or orientations give the same image.

    Args:
        size: Side of an image in pixels, at least 16.
        num_scales, num_orientations: Number of values of these factors.
        num_positions: Number of values of `x` and of `y`; at most 35 for images of 64 pixels.
        turn: Fraction of a full turn that the orientations divide; above 0 and at most 1.

    Attributes:
        factor_names: Names of the factors, in order.
        factor_sizes: Number of values of each factor.

    Raises:
        ValueError: If an argument is out of range.

    Cost: The constructor draws each shape in each scale and orientation once; images are copied from these.

    Example:
        >>> sprites = Sprites(16, num_positions=3)
        >>> sprites.factor_names, sprites.factor_sizes, len(sprites)
        (('shape', 'scale', 'orientation', 'x', 'y'), (3, 6, 10, 3, 3), 1620)
        >>> sprites.draw([[0, 5, 0, 1, 1]])[0, 5:11, 5:11, 0]  # the largest square, in the middle
        array([[0, 0, 0, 0, 0, 0],
               [0, 1, 1, 1, 1, 0],
               [0, 1, 1, 1, 1, 0],
               [0, 1, 1, 1, 1, 0],
               [0, 1, 1, 1, 1, 0],
               [0, 0, 0, 0, 0, 0]], dtype=uint8)
    """

    factor_names = ("shape", "scale", "orientation", "x", "y")

    def __init__(
        self,
        size: int = 64,
        *,
        num_scales: int = 6,
        num_orientations: int = 10,
        num_positions: int = 16,
        turn: float = 1.0,
    ) -> None:
        self.size = check_integer("size", size, minimum=16)
        num_scales = check_integer("num_scales", num_scales)
        num_orientations = check_integer("num_orientations", num_orientations)
        num_positions = check_integer("num_positions", num_positions)
        self.turn = check_number("turn", turn, above=0.0, maximum=1.0)
        self.factor_sizes = (len(SHAPES), num_scales, num_orientations, num_positions, num_positions)
        radius = _RADIUS * self.size
        reach = math.ceil(radius)
        room = self.size - 2 * reach
        if num_positions > room + 1:
            raise ValueError(
                f"`num_positions` must be at most {room + 1} for images of {self.size} pixels (steps of one "
                f"pixel); received {num_positions}. Lower it, or raise `size`."
            )
        # Positions are edges between pixels; the first and the last are equally far from the image's edges.
        step = room // max(num_positions - 1, 1)
        span = step * (num_positions - 1)
        first = (self.size - span) // 2
        stamps = _stamps(reach, radius, num_scales, num_orientations, self.turn)
        # Each shape is padded so far that every image is a window of its frame.
        before, after = span + first - reach, self.size - first - reach
        frames = np.pad(stamps, [(0, 0), (0, 0), (0, 0), (before, after), (before, after)])
        windows = np.lib.stride_tricks.sliding_window_view(frames, (self.size, self.size), axis=(3, 4))
        # The window further left shows the sprite further right.
        self._images = windows[:, :, :, ::-1, ::-1][:, :, :, :: max(step, 1), :: max(step, 1)]

    def __len__(self) -> int:
        return math.prod(self.factor_sizes)

    def draw(self, factors: Any) -> np.ndarray:
        """Draws the images with given factors.

        Args:
            factors: Integer-valued factors `[N, 5]`, each from 0 to its entry of `factor_sizes` minus 1.

        Returns:
            uint8 `[N, size, size, 1]`, 0 or 1.

        Raises:
            ValueError: If the shape is wrong, or a value is out of range or not an integer.

        Cost: `N * size**2` bytes; 10,000 images of 64 pixels take a fraction of a second.
        """
        shape, scale, orientation, x, y = self._check(factors).T
        return self._images[shape, scale, orientation, y, x][..., None]

    def sample(self, num_samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draws images whose factors are independent and uniform, with replacement.

        Args:
            num_samples: Number of samples to draw.
            seed: Integer that seeds the draw.

        Returns:
            Images, uint8 `[num_samples, size, size, 1]`, and factors, int32 `[num_samples, 5]`.

        Raises:
            ValueError: If an argument is out of range.

        Example:
            >>> images, factors = Sprites(32).sample(100, seed=1)
            >>> images.shape, factors.shape
            ((100, 32, 32, 1), (100, 5))
        """
        num_samples = check_integer("num_samples", num_samples)
        rng = np.random.default_rng(check_integer("seed", seed, minimum=0))
        factors = rng.integers(self.factor_sizes, size=(num_samples, 5), dtype=np.int32)
        return self.draw(factors), factors

    def factors(self, indices: Any) -> np.ndarray:
        """The factors of images by their indices; the last factor changes fastest.

        Args:
            indices: Integers `[N]` from 0 to `len(sprites) - 1`.

        Returns:
            int32 `[N, 5]`.

        Raises:
            ValueError: If an index is out of range or not an integer.
        """
        indices = np.asarray(indices)
        check_rows("indices", indices, ())
        ValueRange(0, len(self) - 1, integer=True, advice="`len` gives the number of images.").check(
            "indices", indices
        )
        return np.stack(np.unravel_index(indices.astype(np.int64), self.factor_sizes), -1).astype(np.int32)

    def batches(self, batch_size: int = 1_024) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All images in the order of their indices; each batch is drawn when it is needed.

        Args:
            batch_size: Number of images in a batch; the last batch may be smaller.

        Yields:
            Images and factors, as `sample` returns them.
        """
        batch_size = check_integer("batch_size", batch_size)
        for start in range(0, len(self), batch_size):
            factors = self.factors(np.arange(start, min(start + batch_size, len(self))))
            yield self.draw(factors), factors

    def split(
        self, num_train: int, num_valid: int = 0, num_test: int = 0, *, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Splits random images into disjoint parts, in the form in which `load` returns data sets.

        Args:
            num_train, num_valid, num_test: Number of images in each part.
            seed: Integer that seeds the choice of images.

        Returns:
            `train`, `valid` and `test`, uint8 `[N, size, size, 1]`, with their factors `train_labels`, ...,
            int32 `[N, 5]`. Empty parts are omitted.

        Raises:
            ValueError: If there are fewer combinations of factors, or an argument is out of range.
        """
        counts = {
            "train": check_integer("num_train", num_train),
            "valid": check_integer("num_valid", num_valid, minimum=0),
            "test": check_integer("num_test", num_test, minimum=0),
        }
        total = sum(counts.values())
        if total > len(self):
            raise ValueError(
                f"The parts must have at most {len(self):,} images in total, one for each combination of "
                f"factors; received {total:,}. Ask for fewer images, or give the factors more values."
            )
        rng = np.random.default_rng(check_integer("seed", seed, minimum=0))
        chosen = self.factors(rng.permutation(len(self))[:total])
        parts: dict[str, np.ndarray] = {}
        start = 0
        for name, count in counts.items():
            if count:
                labels = chosen[start : start + count]
                parts |= {name: self.draw(labels), f"{name}_labels": labels}
                start += count
        return parts

    def _check(self, factors: Any) -> np.ndarray:
        factors = np.asarray(factors)
        check_rows("factors", factors, (5,))
        for column, (name, count) in enumerate(zip(self.factor_names, self.factor_sizes, strict=True)):
            advice = f"This column numbers the {count} values of `{name}`."
            allowed = ValueRange(0, count - 1, integer=True, advice=advice)
            allowed.check(f"factors[:, {column}]", factors[:, column])
        return factors.astype(np.int64)


def _stamps(reach: int, radius: float, num_scales: int, num_orientations: int, turn: float) -> np.ndarray:
    """Each centred shape in each scale and orientation: uint8 `[3, S, O, 2 reach, 2 reach]`."""
    radii = radius * np.linspace(1.0, 0.5, num_scales)[::-1, None, None, None]
    angles = 2.0 * np.pi * turn * np.arange(num_orientations)[:, None, None] / num_orientations
    centres = np.arange(-reach, reach) + 0.5
    right, up = centres[None, :], -centres[:, None]
    # Coordinates of the pixels in the shape's own axes, in which the shape lies in the unit circle.
    u = (np.cos(angles) * right + np.sin(angles) * up) / radii
    v = (np.cos(angles) * up - np.sin(angles) * right) / radii
    return np.stack([_square(u, v), _ellipse(u, v), _heart(u, v)]).astype(np.uint8)


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) <= math.sqrt(0.5) + _EDGE


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u**2 + 4.0 * v**2 <= 1.0 + _EDGE


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A square standing on its tip with half discs on its upper sides, relative to its centre of mass."""
    # With the square's centre at 0 and sides of 1, the half discs (area pi/8 each) have their centres of mass
    # at distance 1/2 + 2/(3 pi) from it, in the directions between the axes.
    disc = math.pi / 8.0
    centre = 2.0 * disc * (0.5 + 2.0 / (3.0 * math.pi)) * math.sqrt(0.5) / (1.0 + 2.0 * disc)
    # The tip is the point farthest from the centre of mass, so it lies on the unit circle.
    side = 1.0 / (math.sqrt(0.5) + centre)
    u, v = np.abs(u) / side, v / side + centre
    square = u + np.abs(v) <= math.sqrt(0.5) + _EDGE
    middle = math.sqrt(0.125)
    return square | ((u - middle) ** 2 + (v - middle) ** 2 <= 0.25 + _EDGE)
