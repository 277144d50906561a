"""Completion: the values under a mask are drawn anew, given all others."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.explorer.explored import Explored, takes
from keras_genmod.explorer.page import ExampleInput, Page
from keras_genmod.explorer.tab import Tab
from keras_genmod.explorer.uploads import places

__all__ = ["Completion", "complete", "half", "painted"]

_HALVES = ["lower half", "upper half", "left half", "right half", "middle"]
_PAINTED = "what I paint"
# Completions of one example side by side.
_COMPLETIONS = 7
# Side of the area to paint on, in pixels.
_CANVAS = 320


def half(which: str, image_shape: tuple[int, ...]) -> np.ndarray:
    """The pixels of a half or of the middle of a picture, booleans `[height, width]`."""
    height, width = image_shape[:2]
    row, column = np.mgrid[:height, :width]
    return {
        "lower half": row >= height // 2,
        "upper half": row < height // 2,
        "left half": column < width // 2,
        "right half": column >= width // 2,
        "middle": (np.abs(2 * row + 1 - height) < height / 2) & (np.abs(2 * column + 1 - width) < width / 2),
    }[which]


def painted(layers: Any, image_shape: tuple[int, ...]) -> np.ndarray:
    """The pixels of a picture that are painted over, booleans `[height, width]`.

    A pixel is painted over if at least half of its area is.

    Args:
        layers: Layers of paint, uint8 `[H, W, 4]`, whose last channel is opacity, over the whole picture.
        image_shape: `(height, width, channels)` of the picture.

    Raises:
        ValueError: If no pixel is.
    """
    height, width = image_shape[:2]
    mask = np.zeros((height, width), bool)
    for layer in layers or []:
        covered = np.asarray(layer)[..., 3] > 0
        rows = np.linspace(0, covered.shape[0], height + 1).round().astype(int)
        columns = np.linspace(0, covered.shape[1], width + 1).round().astype(int)
        sums = np.zeros((covered.shape[0] + 1, covered.shape[1] + 1))
        sums[1:, 1:] = covered.cumsum(axis=0).cumsum(axis=1)
        corners = sums[np.ix_(rows, columns)]
        count = corners[1:, 1:] - corners[:-1, 1:] - corners[1:, :-1] + corners[:-1, :-1]
        mask |= count >= 0.5 * np.outer(np.diff(rows), np.diff(columns))
    if not mask.any():
        raise ValueError("Nothing is painted over. Paint over the pixels to draw anew, or choose a half.")
    return mask


def complete(
    explored: Explored,
    x: Any,
    missing: np.ndarray,
    number: int,
    seed: int,
    temperature: float,
    condition: Any = None,
) -> np.ndarray:
    """Completions of one example, `[number, *event_shape]`; what is not missing is kept.

    Args:
        explored: The model.
        x: The example, `[*event_shape]`.
        missing: True where values are drawn anew: `event_shape`, or `(height, width)` of pictures.
        number: Number of completions.
        seed: Integer of at least 0.
        temperature: Only passed on to models that take one.
        condition: One condition.

    Raises:
        ValueError: If there is no example.
    """
    if x is None:
        raise ValueError("There is no example yet; choose or upload one.")
    x = np.asarray(x)
    channels = x.size // np.size(missing)
    given = 1 - np.repeat(np.ravel(missing).astype(x.dtype), channels).reshape(x.shape)
    options = {"temperature": float(temperature)} if takes(explored.model.inpaint, "temperature") else {}
    rows = np.repeat(x[None], int(number), axis=0)
    return np.asarray(explored.model.inpaint(rows, given, condition=condition, seed=int(seed), **options))


class Completion(Tab):
    """An example, the mask over it, and several completions."""

    title = "Completion"
    needs = "`inpaint`"

    @staticmethod
    def when(explored: Explored) -> bool:
        return hasattr(explored.model, "inpaint")

    @staticmethod
    def build(page: Page) -> None:
        gr, explored = page.gr, page.explored
        view = explored.view
        after, before = "a lower half", "an upper half"
        if not view.is_picture:
            after, before = "the last values", "the first values"
        page.caption(
            f"**What the model puts where something is missing**: {_COMPLETIONS} draws, each given what is "
            "kept. A model that draws in a fixed order ignores given values that come later in it: "
            f"completions of {after} are exact draws, those of {before} are not."
        )
        result = gr.Column()
        with gr.Row():
            with gr.Column(scale=2):
                example = ExampleInput(page, "completed", "Example", columns=6)
            with gr.Column(scale=1):
                mask, paint = Completion._add_mask(page, example)
                seed = gr.Number(0, precision=0, minimum=0, label="Seed", elem_id="completion_seed")
                temperature = gr.Slider(0.1, 2.0, 1.0, step=0.05, label="Temperature")
                button = gr.Button("Complete", variant="primary", elem_id="complete")
        with result:
            label = f"The example, what is kept of it, {_COMPLETIONS} completions"
            shown = page.output(label if view.is_picture else "Completions", "completions")

        def answer(x: Any, which: str, editor: Any, seed: float, temperature: float, condition: Any) -> Any:
            if view.is_picture:
                on_paper = which == _PAINTED
                missing = painted((editor or {}).get("layers"), view.image_shape) if on_paper else None
                missing = half(which, view.image_shape) if missing is None else missing
            else:
                missing = places(which, int(np.prod(explored.model.event_shape)))
            drawn = complete(explored, x, missing, _COMPLETIONS, int(seed), temperature, condition)
            if not view.is_picture:
                return view.draw(drawn)
            pictures = view.as_pictures(np.concatenate([np.asarray(x)[None], drawn]))
            kept = np.where(missing[..., None], np.mean(explored.value_range), pictures[0])
            together = np.concatenate([pictures[:1], kept[None], pictures[1:]])
            return view.draw(together, columns=len(together))

        inputs = [example.chosen, mask, paint, seed, temperature]
        page.on([button.click, seed.submit], answer, inputs, [shown])

    @staticmethod
    def _add_mask(page: Page, example: ExampleInput) -> tuple[Any, Any]:
        """The components that say which values are missing, and the area to paint on."""
        gr, explored = page.gr, page.explored
        view = explored.view
        if not view.is_picture:
            last = int(np.prod(explored.model.event_shape)) - 1
            text = gr.Textbox(
                f"{(last + 1) // 2}-{last}",
                label=f"Values to draw anew, from 0 to {last}, such as 0-1, {last}",
                elem_id="places",
            )
            return text, gr.State(None)
        mask = gr.Radio([*_HALVES, _PAINTED], value=_HALVES[0], label="Missing", elem_id="mask")
        label = "Paint over the pixels to draw anew"
        page.caption(f"**{label}**")
        empty = np.zeros((_CANVAS, _CANVAS, 3), np.uint8)
        paint = gr.ImageEditor(
            empty if example.value is None else _enlarged(view, example.value),
            label=label,
            show_label=False,
            type="numpy",
            format="png",
            sources=(),
            transforms=(),
            layers=False,
            brush=gr.Brush(default_size=_CANVAS // 8, colors=["#c2410c"], color_mode="fixed"),
            canvas_size=(_CANVAS, _CANVAS),
            fixed_canvas=True,
            buttons=[],
            elem_id="paint",
        )
        example.follow(lambda x, condition: _enlarged(view, x), [example.chosen], [paint])
        return mask, paint


def _enlarged(view: Any, x: np.ndarray) -> np.ndarray:
    """One example over the whole area to paint on, without lines around it."""
    drawn = view.draw(np.asarray(x)[None], size=_CANVAS)
    edge = max(1, _CANVAS // 32)
    return drawn[edge:-edge, edge:-edge]
