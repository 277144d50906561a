"""Sprites with known factors: white shapes on black, one for each combination of the factors' values.

In the manner of dSprites (Matthey, Higgins, Hassabis and Lerchner, "dSprites: Disentanglement testing
sprites dataset", 2017), but drawn here: a pixel is white if its centre lies in the shape, so that pictures
are binary and the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_genmod.core.checks import ValueRange, check_integer, check_number, check_rows

__all__ = ["Sprites"]

SHAPES = ("square", "ellipse", "heart")

# The radius of the circle around the largest shape, as a share of the picture's side.
_RADIUS = 0.22
# A pixel on a shape's edge is in it, whatever the rounding.
_EDGE = 1e-9


class Sprites:
    r"""All pictures of one sprite, by shape, scale, orientation and place.

    | factor | values |
    |---|---|
    | `shape` | 0 square, 1 ellipse with half the height, 2 heart |
    | `scale` | from half the full size to the full one, in equal steps |
    | `orientation` | $2 \pi$ `turn` $i$ / `num_orientations`, counter-clockwise |
    | `x` | of the centre, from left to right |
    | `y` | of the centre, from top to bottom |

    The circle around the largest sprite has a radius of 0.22 `size`. A step of a place is a whole number of
    pixels, as many as leave the largest sprite inside. Squares look the same after a quarter of the circle
    and ellipses after half of it, as in dSprites, and no encoder tells such pictures apart. With `turn=0.25`
    and 64 pixels all pictures of the default differ; in smaller ones a few of neighbouring scales or
    orientations are the same.

    Args:
        size: side of a picture in pixels, at least 16.
        num_scales, num_orientations: values of the factors.
        num_positions: values of `x` and of `y`; 35 at most for pictures of 64 pixels.
        turn: share of the circle that the orientations divide, above 0 up to 1.

    Attributes:
        factor_names: names of the factors, in their order.
        factor_sizes: number of values of each factor.

    Raises:
        ValueError: for arguments out of range.

    Cost: the constructor draws each shape in each scale and orientation once; a picture is a copy of it.

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
                f"`num_positions` must be at most {room + 1} for pictures of {self.size} pixels, a step of "
                f"one pixel; received {num_positions}. Lower it, or raise `size`."
            )
        # Places are edges between pixels, their first and last equally far from the picture's edges.
        step = room // max(num_positions - 1, 1)
        span = step * (num_positions - 1)
        first = (self.size - span) // 2
        stamps = _stamps(reach, radius, num_scales, num_orientations, self.turn)
        # Each stamp in a frame so wide that a picture is the window at the right place of it.
        before, after = span + first - reach, self.size - first - reach
        frames = np.pad(stamps, [(0, 0), (0, 0), (0, 0), (before, after), (before, after)])
        windows = np.lib.stride_tricks.sliding_window_view(frames, (self.size, self.size), axis=(3, 4))
        # The window further left shows the sprite further right.
        self._pictures = windows[:, :, :, ::-1, ::-1][:, :, :, :: max(step, 1), :: max(step, 1)]

    def __len__(self) -> int:
        return math.prod(self.factor_sizes)

    def draw(self, factors: Any) -> np.ndarray:
        """Draws pictures of given factors.

        Args:
            factors: whole numbers `[N, 5]`, each from 0 to its entry of `factor_sizes` less one.

        Returns:
            uint8 `[N, size, size, 1]` of 0 and 1.

        Raises:
            ValueError: for another shape, or values that are no such numbers.

        Cost: N `size`^2 bytes; 10,000 pictures of 64 pixels in a fraction of a second.
        """
        shape, scale, orientation, x, y = self._check(factors).T
        return self._pictures[shape, scale, orientation, y, x][..., None]

    def sample(self, num_samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Pictures whose factors are drawn independently and evenly, with replacement.

        Args:
            num_samples: number of pictures.
            seed: integer that the draws depend on.

        Returns:
            Pictures, uint8 `[num_samples, size, size, 1]`, and factors, int32 `[num_samples, 5]`.

        Raises:
            ValueError: for numbers out of range.

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
        """Factors of pictures by their numbers; the last factor changes from one number to the next.

        Args:
            indices: whole numbers `[N]` from 0 to `len(sprites) - 1`.

        Returns:
            int32 `[N, 5]`.

        Raises:
            ValueError: for other numbers.
        """
        indices = np.asarray(indices)
        check_rows("indices", indices, ())
        ValueRange(0, len(self) - 1, integer=True, advice="`len` says how many pictures there are.").check(
            "indices", indices
        )
        return np.stack(np.unravel_index(indices.astype(np.int64), self.factor_sizes), -1).astype(np.int32)

    def batches(self, batch_size: int = 1_024) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All pictures in the order of their numbers, drawn when they are asked for.

        Args:
            batch_size: pictures at a time; the last ones may be fewer.

        Yields:
            Pictures and factors, as `sample` gives them.
        """
        batch_size = check_integer("batch_size", batch_size)
        for start in range(0, len(self), batch_size):
            factors = self.factors(np.arange(start, min(start + batch_size, len(self))))
            yield self.draw(factors), factors

    def split(
        self, num_train: int, num_valid: int = 0, num_test: int = 0, *, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Random pictures in parts that share none, as `load` gives its sets.

        Args:
            num_train, num_valid, num_test: pictures of each part.
            seed: integer that the choice depends on.

        Returns:
            `train`, `valid` and `test`, uint8 `[N, size, size, 1]`, with their factors `train_labels`, ...,
            int32 `[N, 5]`; parts of no pictures are left out.

        Raises:
            ValueError: if there are fewer combinations of factors, or for numbers out of range.
        """
        counts = {
            "train": check_integer("num_train", num_train),
            "valid": check_integer("num_valid", num_valid, minimum=0),
            "test": check_integer("num_test", num_test, minimum=0),
        }
        total = sum(counts.values())
        if total > len(self):
            raise ValueError(
                f"The parts must have at most {len(self):,} pictures together, one of each combination of "
                f"factors; received {total:,}. Ask for fewer, or for more values of the factors."
            )
        rng = np.random.default_rng(check_integer("seed", seed, minimum=0))
        chosen = self.factors(rng.permutation(len(self))[:total])
        parts, start = {}, 0
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
    """Each shape in each scale and orientation around the middle: uint8 `[3, S, O, 2 reach, 2 reach]`."""
    radii = radius * np.linspace(1.0, 0.5, num_scales)[::-1, None, None, None]
    angles = 2.0 * np.pi * turn * np.arange(num_orientations)[:, None, None] / num_orientations
    centres = np.arange(-reach, reach) + 0.5
    right, up = centres[None, :], -centres[:, None]
    # Where a pixel lies in the shape's own axes, with the shape in the unit circle.
    u = (np.cos(angles) * right + np.sin(angles) * up) / radii
    v = (np.cos(angles) * up - np.sin(angles) * right) / radii
    return np.stack([_square(u, v), _ellipse(u, v), _heart(u, v)]).astype(np.uint8)


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) <= math.sqrt(0.5) + _EDGE


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u**2 + 4.0 * v**2 <= 1.0 + _EDGE


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A square on its tip with half discs on its upper sides, about its centre of mass."""
    # With the square's middle at 0 and sides of 1, half discs (area pi/8 each) have their centres of mass
    # 1/2 + 2/(3 pi) away from it along the diagonals of the axes.
    disc = math.pi / 8.0
    centre = 2.0 * disc * (0.5 + 2.0 / (3.0 * math.pi)) * math.sqrt(0.5) / (1.0 + 2.0 * disc)
    # The tip is farthest from the centre of mass: it lies on the unit circle.
    side = 1.0 / (math.sqrt(0.5) + centre)
    u, v = np.abs(u) / side, v / side + centre
    square = u + np.abs(v) <= math.sqrt(0.5) + _EDGE
    middle = math.sqrt(0.125)
    return square | ((u - middle) ** 2 + (v - middle) ** 2 <= 0.25 + _EDGE)
