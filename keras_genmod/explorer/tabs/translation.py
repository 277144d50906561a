"""Translation: a picture of one domain, what the model makes of it, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.applications.shown import enlarged_grid
from keras_genmod.applications.translated import translation_rows
from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.page import ExampleInput, Page
from keras_genmod.explorer.tab import Tab

__all__ = ["Translation", "sources", "translated"]

# Side of one picture, in pixels of the page.
_SIDE = 192


def sources(explored: Explored, x: Any) -> np.ndarray:
    """What the model translates for examples: the examples, or small pictures of a super-resolution."""
    degrade = getattr(explored.model, "degrade", None)
    if degrade is None:
        return np.asarray(x)
    accepted = explored.space.accepted
    return np.clip(degrade(np.asarray(x)), accepted.low, accepted.high)


def translated(explored: Explored, x: Any, direction: str | None = None, seed: Any = None) -> dict:
    """Name -> pictures in [0, 1], as `translation_rows` gives them.

    Args:
        explored: The model.
        x: Examples of the domain that the direction begins with.
        direction: Of a model that has several.
        seed: Integer of at least 0, the seed of the generator's noise; None for none.

    Raises:
        ValueError: If there is no example.
    """
    if x is None:
        raise ValueError("There is no example yet; choose or upload one.")
    rows = np.asarray(x)[None] if np.ndim(x) == len(explored.model.event_shape) else np.asarray(x)
    given = rows if direction == "ba" else sources(explored, rows)
    return translation_rows(explored.model, given, direction=direction, seed=seed)


class Translation(Tab):
    """An example, its translation, and for models with two directions the way back."""

    title = "Translation"
    needs = "`translate` or `upscale`"

    @staticmethod
    def when(explored: Explored) -> bool:
        return hasattr(explored.model, "translation_spaces")

    @staticmethod
    def build(page: Page) -> None:
        gr, explored = page.gr, page.explored
        model = explored.model
        noisy = bool(getattr(model, "has_noise", False))
        two_ways = "From left to right: the picture, its translation"
        page.caption(
            f"**What the model makes of a picture**. {two_ways}"
            + (", and that translated back, which shows what was kept." if model.directions else ".")
        )
        choices = [f"{name[0]} to {name[1]}" for name in model.directions]
        with gr.Row():
            with gr.Column(scale=2):
                label = "Picture of domain a" if choices else "Picture"
                example = ExampleInput(page, "translated", label, columns=6)
            with gr.Column(scale=1):
                direction = gr.State(None)
                number = gr.State(0)
                if choices:
                    known = choices if explored.others is not None else choices[:1]
                    direction = gr.Radio(known, value=choices[0], label="Direction", elem_id="direction")
                if choices and explored.others is not None:
                    last = len(explored.others) - 1
                    number = gr.Slider(
                        0, max(1, last), 0, step=1, label="Picture of domain b, by number", elem_id="number_b"
                    )
                seed = gr.State(None)
                if noisy:
                    seed = gr.Number(0, precision=0, minimum=0, label="Seed of the noise", elem_id="noise")
                button = gr.Button("Translate", variant="primary", elem_id="translate")

        def answer(x: Any, chosen: Any, number: Any, seed: Any, condition: Any) -> Any:
            name = None if chosen is None else chosen.replace(" to ", "")
            if name == "ba":
                x = explored.others[min(int(number), len(explored.others) - 1)][None]
            rows = translated(explored, x, name, None if seed is None else int(seed))
            pictures = np.concatenate(list(rows.values()))
            scale = max(1, round(_SIDE / pictures.shape[1]))
            return enlarged_grid(pictures, len(pictures), value_range=(0.0, 1.0), scale=scale)

        inputs = [example.chosen, direction, number, seed]
        chosen = choices[0] if choices else None
        first = None
        if example.value is not None:
            first = answer(example.value, chosen, 0, 0 if noisy else None, None)
        shown = gr.Image(
            first,
            label="The picture and its translation",
            interactive=False,
            format="png",
            elem_id="translation",
        )
        events = [button.click, *([direction.input] if choices else [])]
        page.on(events, answer, inputs, [shown])
        example.follow(answer, inputs, [shown])
