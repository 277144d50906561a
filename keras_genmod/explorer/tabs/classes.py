"""Samples of every class, and the class of an example by Bayes' rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.page import ExampleInput, Page
from keras_genmod.explorer.tab import Tab

__all__ = ["Classes", "class_probabilities", "samples_by_class"]

# Classes and samples of each that are shown.
_MOST_CLASSES, _EACH = 20, 8
# Densities that may be compared between classes.
_COMPARABLE = ("exact", "lower_bound")


def samples_by_class(explored: Explored, number: int, seed: int) -> np.ndarray:
    """Samples of the first classes, `[classes, number, *event_shape]`; each class from the same noise."""
    classes = min(explored.model.num_classes, _MOST_CLASSES)
    return np.stack([explored.sample(number, seed, 1.0, one) for one in range(classes)])


def class_probabilities(explored: Explored, x: Any) -> np.ndarray:
    r"""The probabilities p(c | x) of all classes, `[num_classes]`, if they are equally frequent.

    $$ p(c \mid x) = \frac{p(x \mid c)}{\sum_k p(x \mid k)} $$

    Where the model has only a bound on the density, they are those of the bounds.
    """
    classes = np.arange(explored.model.num_classes)
    rows = np.repeat(np.asarray(x)[None], len(classes), axis=0)
    nats = np.asarray(explored.model.log_prob(rows, condition=classes), np.float64)
    weights = np.exp(nats - nats.max())
    return weights / weights.sum()


class Classes(Tab):
    """One row of samples for each class, and the probabilities of an example's class."""

    title = "Classes"
    needs = "`num_classes`, and `sample` or `log_prob`"

    @staticmethod
    def when(explored: Explored) -> bool:
        model = explored.model
        return model.num_classes is not None and (hasattr(model, "sample") or Classes._classifies(explored))

    @staticmethod
    def _classifies(explored: Explored) -> bool:
        return hasattr(explored.model, "log_prob") and explored.model.density in _COMPARABLE

    @staticmethod
    def build(page: Page) -> None:
        explored = page.explored
        if hasattr(explored.model, "sample"):
            Classes._add_samples(page)
        if Classes._classifies(explored):
            Classes._add_probabilities(page)

    @staticmethod
    def _add_samples(page: Page) -> None:
        gr, explored = page.gr, page.explored
        shown_classes = min(explored.model.num_classes, _MOST_CLASSES)
        page.caption(
            f"**Samples of each class**: one row for each class from 0 to {shown_classes - 1}. All samples "
            "of a column come from the same noise, so that only the class differs."
        )

        def draw(seed: float, condition: Any) -> Any:
            x = samples_by_class(explored, _EACH, int(seed))
            return explored.view.draw(x.reshape(-1, *x.shape[2:]), columns=_EACH)

        with gr.Row():
            with gr.Column(scale=1):
                seed = gr.Number(0, precision=0, minimum=0, label="Seed", elem_id="class_seed")
                button = gr.Button("Draw", variant="primary", elem_id="draw_classes")
            with gr.Column(scale=2):
                shown = page.output("One row for each class", "classes")
        page.on([button.click, seed.submit], draw, [seed], [shown])

    @staticmethod
    def _add_probabilities(page: Page) -> None:
        gr, explored = page.gr, page.explored
        bound = "" if explored.model.density == "exact" else ", from lower bounds on the densities"
        page.caption(
            "**The class of an example** by Bayes' rule, if all classes are equally frequent: "
            f"p(class | x) is proportional to p(x | class){bound}."
        )

        def answer(x: Any, condition: Any) -> dict[str, float]:
            if x is None:
                raise ValueError("There is no example yet; choose or upload one.")
            return {str(one): float(p) for one, p in enumerate(class_probabilities(explored, x))}

        with gr.Row():
            with gr.Column(scale=2):
                example = ExampleInput(page, "classified", "Example", columns=6)
            with gr.Column(scale=1):
                first = None if example.value is None else answer(example.value, None)
                label = gr.Label(
                    first, num_top_classes=5, label="Most probable classes", elem_id="probabilities"
                )
        example.follow(answer, [example.chosen], [label])
