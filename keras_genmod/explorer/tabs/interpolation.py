"""Paths through the latent space between two examples, or between two draws of the noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.applications.interpolation import interpolate
from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.latent_sliders import has_latent_vectors, random_latent
from keras_genmod.explorer.page import ExampleInput, Page
from keras_genmod.explorer.tab import Tab

__all__ = ["Interpolation", "path_between_draws", "path_between_examples"]


def path_between_examples(
    explored: Explored, a: Any, b: Any, num_steps: int, method: str, condition: Any = None
) -> np.ndarray:
    """The decoded points of the path between the codes of two examples, `[num_steps, *event_shape]`."""
    if a is None or b is None:
        raise ValueError("A path needs two examples; choose or upload both.")
    return interpolate(explored.model, a, b, num_steps=num_steps, method=method, condition=condition)


def path_between_draws(
    explored: Explored, seed_a: int, seed_b: int, num_steps: int, method: str, condition: Any = None
) -> np.ndarray:
    """The decoded points of the path between two draws of the prior, `[num_steps, *event_shape]`."""
    ends = [random_latent(explored, int(seed), condition) for seed in (seed_a, seed_b)]
    return interpolate(
        explored.model, *ends, num_steps=num_steps, method=method, latent=True, condition=condition
    )


class Interpolation(Tab):
    """A path from one example to another."""

    title = "Interpolation"
    needs = "latent vectors with `encode`, or a `prior`"

    @staticmethod
    def when(explored: Explored) -> bool:
        model = explored.model
        return has_latent_vectors(model) and (hasattr(model, "encode") or hasattr(model, "prior"))

    @staticmethod
    def build(page: Page) -> None:
        gr, explored = page.gr, page.explored
        encodes = hasattr(explored.model, "encode")
        ends = "the codes of two examples" if encodes else "two draws of the noise"
        page.caption(
            f"**A path between {ends}**, decoded at equal steps. A model that has learnt the data shows a "
            "plausible example at each step, not two examples laid over each other."
        )
        with gr.Row():
            steps = gr.Slider(2, 16, 8, step=1, label="Number of steps", elem_id="steps")
            method = gr.Radio(
                ["linear", "spherical"],
                value="linear" if encodes else "spherical",
                label="Path",
                info="Spherical paths keep the typical length of noise vectors.",
                elem_id="method",
            )
        if encodes:

            def compute(a: Any, b: Any, steps: float, method: str, condition: Any) -> np.ndarray:
                return path_between_examples(explored, a, b, int(steps), method, condition)
        else:

            def compute(a: Any, b: Any, steps: float, method: str, condition: Any) -> np.ndarray:
                return path_between_draws(explored, a, b, int(steps), method, condition)

        def show(*values: Any) -> Any:
            path = compute(*values)
            return explored.view.draw(path, columns=len(path))

        place = gr.Column()
        with gr.Row():
            if encodes:
                inputs = []
                for side, label, first in (("a", "Start", 0), ("b", "End", 1)):
                    with gr.Column():
                        inputs.append(ExampleInput(page, f"end_{side}", label, first, columns=5))
                chosen, values = [one.chosen for one in inputs], [one.value for one in inputs]
            else:
                chosen = [
                    gr.Number(
                        seed, precision=0, minimum=0, label=f"Seed of the {name}", elem_id=f"seed_{name}"
                    )
                    for seed, name in ((0, "start"), (1, "end"))
                ]
                inputs, values = [], [0, 1]
        with place:
            known = all(value is not None for value in values)
            begin = show(*values, 8, method.value, explored.first_condition()) if known else None
            shown = page.output("From the start (left) to the end (right)", "path", begin)
        arguments = [*chosen, steps, method]
        events = [steps.release, method.input, *page.condition_events()]
        events += [] if encodes else [number.submit for number in chosen]
        page.on(events, show, arguments, [shown])
        for one in inputs:
            one.follow(show, arguments, [shown])
