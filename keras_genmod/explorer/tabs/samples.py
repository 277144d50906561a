"""Samples, with a seed and a temperature."""

from __future__ import annotations

from typing import Any

from keras_genmod.explorer.explored import Explored, takes
from keras_genmod.explorer.page import Page
from keras_genmod.explorer.tab import Tab

__all__ = ["Samples"]

_FIRST_NUMBER, _MOST = 16, 100


class Samples(Tab):
    """New examples; the same ones for the same seed."""

    title = "Samples"
    needs = "`sample`"

    @staticmethod
    def when(explored: Explored) -> bool:
        return hasattr(explored.model, "sample")

    @staticmethod
    def build(page: Page) -> None:
        gr, explored = page.gr, page.explored
        has_temperature = takes(explored.model.sample, "temperature")
        has_seed = takes(explored.model.sample, "seed")

        def draw(number: float, seed: float, temperature: float, condition: Any) -> Any:
            return explored.view.draw(explored.sample(int(number), int(seed), temperature, condition))

        page.caption(
            f"**Examples that the model draws**, shown as {explored.view.description}. The same seed gives "
            "the same noise, so that only what you change makes a difference."
        )
        with gr.Row():
            with gr.Column(scale=1):
                number = gr.Slider(1, _MOST, _FIRST_NUMBER, step=1, label="Number of samples")
                seed = gr.Number(0, precision=0, minimum=0, label="Seed", visible=has_seed, elem_id="seed")
                temperature = gr.Slider(
                    0.1,
                    2.0,
                    1.0,
                    step=0.05,
                    label="Temperature",
                    info="1 is the model itself; below 1 samples are closer to the most probable ones.",
                    visible=has_temperature,
                    elem_id="temperature",
                )
                button = gr.Button("Draw others", variant="primary", elem_id="draw")
            with gr.Column(scale=2):
                first = draw(_FIRST_NUMBER, 0, 1.0, explored.first_condition())
                shown = page.output("Samples", "samples", first)
        inputs = [number, seed, temperature]
        events = [number.release, seed.submit, temperature.release, *page.condition_events()]
        page.on(events, draw, inputs, [shown])

        def draw_next(number: float, seed: float, temperature: float, condition: Any) -> tuple:
            return int(seed) + 1, draw(number, seed + 1, temperature, condition)

        page.on(button.click, draw_next, inputs, [seed, shown])
