"""How examples are shown: as pictures, as points in the plane, or as lines of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_genmod.core.checks import check_shape_tuple
from keras_genmod.core.images import image_grid
from keras_genmod.core.optional import optional_module

__all__ = ["LARGE", "SMALL", "Lines", "Pictures", "Points", "View", "choose_view"]

# Sides of a picture on the page, in its pixels: one of many, and one alone.
SMALL, LARGE = 72, 320

# Vectors of fewer values are no pictures, unless the user says so.
_FEWEST_PIXELS = 16

# Up to so many points are drawn large.
_FEW = 16
# Colours of the examples for comparison, and of what the model gives.
_DATA, _SHOWN = "#c3c7cf", ("#c2410c", "#1d4ed8")


class View:
    """What the page needs to know of a kind of examples."""

    # "Shown as ...", for captions.
    description = ""
    is_picture = False

    def draw(
        self, x: np.ndarray, *, columns: int | None = None, size: int = SMALL, names: Sequence[str] = ()
    ) -> Any:
        """What is put on the page for examples.

        Args:
            x: Examples `[N, *event_shape]`.
            columns: Number of pictures in a row.
            size: Side of one picture, in pixels of the page.
            names: What each example is, for the legend of a figure, where they are not all alike.

        Returns:
            uint8 `[height, width, 3]` for pictures, otherwise a `matplotlib` figure.
        """
        raise TypeError(f"{type(self).__name__} must define `draw`.")


class Pictures(View):
    """Examples as pictures in a grid, each pixel enlarged to a square.

    Args:
        image_shape: `(height, width, 1 or 3)`; examples are reshaped to it.
        value_range: The values shown as black and as full brightness.
    """

    is_picture = True

    def __init__(self, image_shape: Sequence[int], value_range: tuple[float, float]) -> None:
        self.image_shape = tuple(image_shape)
        self.value_range = value_range
        height, width, channels = self.image_shape
        colours = "grey" if channels == 1 else "colour"
        low, high = value_range
        self.description = (
            f"{colours} pictures of {height} x {width} pixels, enlarged; {low:g} is black, {high:g} is "
            f"{'white' if channels == 1 else 'full brightness'}"
        )

    def as_pictures(self, x: Any) -> np.ndarray:
        """Examples `[N, *event_shape]` as `[N, height, width, channels]`."""
        return np.asarray(x).reshape(-1, *self.image_shape)

    def draw(
        self, x: np.ndarray, *, columns: int | None = None, size: int = SMALL, names: Sequence[str] = ()
    ) -> np.ndarray:
        scale = max(1, round(size / max(self.image_shape[:2])))
        # Lines of a width of its own, so that neighbours are told apart in any enlargement.
        grid = image_grid(
            self.as_pictures(x),
            columns,
            value_range=self.value_range,
            padding=max(1, size // 32),
            scale=scale,
        )
        return np.repeat(grid, 3 // grid.shape[-1], axis=-1)


class _Figures(View):
    """A view that draws with matplotlib.

    Args:
        examples: Examples for comparison, `[N, D]`, drawn in grey.
        told: What they are, for the legend.
    """

    def __init__(self, examples: np.ndarray | None, told: str) -> None:
        self.examples, self.told = examples, told
        # An early error, before the page is built.
        optional_module("matplotlib", what="`explore` of examples that are no pictures", extra="explore")

    def axes(self, **size: float) -> tuple[Any, Any]:
        """A new figure and its axes, outside pyplot's global state, which threads must not share."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(size.get("width", 5.2), size.get("height", 4.4)), layout="constrained")
        return figure, figure.subplots()


class Points(_Figures):
    """Examples of two values as points in the plane."""

    description = "points in the plane, their first value to the right and the second one upwards"

    def draw(
        self, x: np.ndarray, *, columns: int | None = None, size: int = SMALL, names: Sequence[str] = ()
    ) -> Any:
        figure, axes = self.axes()
        if self.examples is not None:
            axes.scatter(*self.examples.T, s=9, color=_DATA, label=self.told, linewidths=0)
        for part, color, name, large in _parts(x, names):
            size_of_dot = 60 if large or len(part) <= _FEW else 14
            axes.scatter(*part.T, s=size_of_dot, color=color, label=name, linewidths=0)
        self.finish(axes)
        return figure

    def draw_density(self, density: np.ndarray, bounds: tuple[float, ...], x: np.ndarray) -> Any:
        """A figure of a density over the plane and of points.

        Args:
            density: p(x) on a grid, `[rows, columns]`; rows from below.
            bounds: Left, right, lower and upper end of the grid.
            x: Points `[N, 2]`.
        """
        figure, axes = self.axes()
        shown = axes.imshow(density, extent=bounds, origin="lower", cmap="viridis", aspect="auto")
        figure.colorbar(shown, label="density p(x)")
        axes.scatter(*np.asarray(x).T, s=5, color="white", linewidths=0, alpha=0.8, label="model's samples")
        axes.set(xlim=bounds[:2], ylim=bounds[2:])
        self.finish(axes)
        return figure

    def finish(self, axes: Any) -> None:
        """Names the axes and adds the legend."""
        axes.set(xlabel="first value", ylabel="second value")
        axes.legend(loc="upper right", fontsize="small")


class Lines(_Figures):
    """Examples of any number of values, each as a line over the number of the value."""

    description = "lines: each is one example, its values in their order from left to right"

    def draw(
        self, x: np.ndarray, *, columns: int | None = None, size: int = SMALL, names: Sequence[str] = ()
    ) -> Any:
        figure, axes = self.axes(width=7.0, height=3.6)
        if self.examples is not None:
            self._lines(axes, self.examples[:64], _DATA, self.told, linewidth=0.8)
        for part, color, name, large in _parts(x, names):
            self._lines(axes, part, color, name, linewidth=2.0 if large else 1.2, alpha=0.8)
        axes.set(xlabel="number of the value", ylabel="value")
        axes.legend(loc="upper right", fontsize="small")
        return figure

    @staticmethod
    def _lines(axes: Any, x: np.ndarray, color: str, label: str, **style: float) -> None:
        x = x.reshape(len(x), -1)
        lines = axes.plot(np.arange(x.shape[1]), x.T, marker="o", markersize=3, color=color, **style)
        lines[0].set_label(label)


def _parts(x: np.ndarray, names: Sequence[str]) -> list[tuple[np.ndarray, str, str, bool]]:
    """What a figure draws: examples with their colour and name, and whether each is one that has a name."""
    x = np.asarray(x)
    if not names:
        return [(x, _SHOWN[0], "model", False)]
    return [(x[i : i + 1], _SHOWN[i % len(_SHOWN)], name, True) for i, name in enumerate(names)]


def choose_view(
    event_shape: tuple[int, ...],
    image_shape: Any,
    value_range: tuple[float, float],
    examples: np.ndarray | None,
    told: str,
) -> View:
    """The view that suits a model's examples.

    Args:
        event_shape: Shape of one example.
        image_shape: "auto", the shape of a picture, or None for no pictures.
        value_range: The values shown as black and as full brightness.
        examples: Examples for comparison `[N, *event_shape]`.
        told: What they are.

    Raises:
        ValueError: If the shape of pictures does not fit, or the examples can be shown in no way.
    """
    shape = _auto_shape(event_shape) if image_shape == "auto" else image_shape
    if shape is not None:
        return Pictures(_check_image_shape(shape, event_shape), value_range)
    if len(event_shape) > 1:
        raise ValueError(
            "`explore` shows pictures (height, width, 1 or 3) and vectors of numbers; received a model whose "
            f"examples have shape {event_shape}. Name the shape of a picture with as many values, such as "
            f"`image_shape=({math.prod(event_shape[:-1])}, {event_shape[-1]})`."
        )
    if examples is not None:
        examples = examples.reshape(len(examples), -1)
    return Points(examples, told) if event_shape == (2,) else Lines(examples, told)


def _auto_shape(event_shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of pictures if the examples look like some, else None."""
    if len(event_shape) == 2 or (len(event_shape) == 3 and event_shape[-1] in (1, 3)):
        return event_shape
    side = math.isqrt(event_shape[0])
    if len(event_shape) == 1 and side * side == event_shape[0] >= _FEWEST_PIXELS:
        return side, side
    return None


def _check_image_shape(image_shape: Any, event_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of pictures with its channels, checked."""
    shape = check_shape_tuple("image_shape", image_shape, ranks=(2, 3))
    shape = (*shape, 1) if len(shape) == 2 else shape
    if shape[-1] not in (1, 3) or math.prod(shape) != math.prod(event_shape):
        raise ValueError(
            f"`image_shape` must be (height, width) or (height, width, 1 or 3) with as many values as an "
            f"example, {math.prod(event_shape)}; received {image_shape}. Pass None to show numbers."
        )
    return shape
