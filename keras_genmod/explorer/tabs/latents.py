"""Sliders over the latent dimensions, and the example that they give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_genmod.applications.latents import decode, encode
from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.latent_sliders import has_latent_vectors, latent_sliders, random_latent
from keras_genmod.explorer.page import ExampleInput, Page
from keras_genmod.explorer.tab import Tab
from keras_genmod.explorer.views import LARGE

__all__ = ["Latents", "decode_vector"]

# Dimensions that get a slider; the others keep their values.
_MOST_SLIDERS = 16


def decode_vector(explored: Explored, z: Any, condition: Any = None) -> np.ndarray:
    """The example of one latent vector `[latent_dim]`, `[1, *event_shape]`."""
    return decode(explored.model, np.asarray(z, np.float64)[None], condition, what="`explore`")


def _moved(z: Any, dims: Sequence[int], values: Sequence[float]) -> np.ndarray:
    """A latent vector in which some dimensions have other values."""
    z = np.array(z, np.float64)
    z[list(dims)] = values
    return z


class Latents(Tab):
    """The latent dimensions by their use, each with a slider."""

    title = "Latent dimensions"
    needs = "`decode` or a generator, over vectors of real numbers"

    @staticmethod
    def when(explored: Explored) -> bool:
        return has_latent_vectors(explored.model)

    @staticmethod
    def build(page: Page) -> None:
        gr, explored = page.gr, page.explored
        info = latent_sliders(explored)
        dims = [int(dim) for dim in info.order[:_MOST_SLIDERS]]
        count = len(info.start)
        rest = "" if count <= len(dims) else f" The {len(dims)} most used of {count} have a slider."
        page.caption(
            f"**What each latent dimension changes.** The sliders are sorted by use: {info.measure}.{rest} "
            "A dimension that is marked as unused hardly changes the example."
        )

        def show(z: Any, condition: Any) -> Any:
            return explored.view.draw(decode_vector(explored, z, condition), size=LARGE)

        with gr.Row():
            with gr.Column(scale=1):
                with gr.Row():
                    sliders = [
                        gr.Slider(
                            float(info.low[dim]),
                            float(info.high[dim]),
                            float(info.start[dim]),
                            step=info.step(dim),
                            label=info.label(dim),
                            info=f"{info.figure} {info.use[dim]:.3g}",
                            min_width=200,
                            elem_id=f"z_{dim}",
                        )
                        for dim in dims
                    ]
            with gr.Column(scale=1):
                first = show(info.start, explored.first_condition())
                shown = page.output("Decoded example", "decoded", first)
                with gr.Row():
                    middle = gr.Button("Back to the middle", elem_id="middle")
                    another = gr.Button("Draw one at random", elem_id="another", variant="primary")
                drawn = gr.State(0)
        vector = gr.State(info.start)

        def move(z: Any, *values: Any) -> tuple:
            *chosen, condition = values
            z = _moved(z, dims, chosen)
            return z, show(z, condition)

        events = [*(slider.input for slider in sliders), *page.condition_events()]
        page.on(events, move, [vector, *sliders], [vector, shown], live=True)

        def place(dim: int, value: float) -> Any:
            low, high = info.ends(dim, value)
            return gr.update(value=value, minimum=low, maximum=high)

        def jump(z: Any, condition: Any) -> tuple:
            # The example is that of the numbers that the sliders show.
            z = info.rounded(z)
            return z, show(z, condition), *(place(dim, float(z[dim])) for dim in dims)

        outputs = [vector, shown, *sliders]
        page.on(middle.click, lambda condition: jump(info.start, condition), [], outputs)
        if hasattr(explored.model, "prior") or hasattr(explored.model, "encode"):
            Latents._add_jumps(page, jump, outputs, another, drawn)
        else:
            another.visible = False

    @staticmethod
    def _add_jumps(page: Page, jump: Any, outputs: list, another: Any, drawn: Any) -> None:
        """Adds what sets all sliders at once: a random vector, and the code of an example."""
        gr, explored = page.gr, page.explored
        if hasattr(explored.model, "sample"):

            def draw(count: int, condition: Any) -> tuple:
                return count + 1, *jump(random_latent(explored, count + 1, condition), condition)

            page.on(another.click, draw, [drawn], [drawn, *outputs])
        else:
            another.visible = False
        if hasattr(explored.model, "encode"):
            with gr.Accordion("Start from an example", open=False):
                example = ExampleInput(page, "start", "Example")

                def start(x: Any, condition: Any) -> tuple:
                    return jump(encode(explored.model, x[None], condition, what="`explore`")[0], condition)

                example.follow(start, [example.chosen], outputs)
