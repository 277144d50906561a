"""The reconstruction of an example, and how probable or strange the model finds it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.page import ExampleInput, Page
from keras_genmod.explorer.tab import Tab
from keras_genmod.explorer.views import LARGE

__all__ = ["Scores", "figures", "reconstruction", "share_below"]

_DENSITIES = {
    "exact": "log-density, exact",
    "lower_bound": "log-density, a lower bound",
    "estimate": "log-density, an estimate",
    "unnormalized": "log-density, with an estimated constant",
}


def reconstruction(explored: Explored, x: Any, condition: Any = None) -> np.ndarray:
    """What the model makes of one example, `[*event_shape]`."""
    return np.asarray(explored.model.reconstruct(np.asarray(x)[None], condition=condition))[0]


def figures(explored: Explored, x: Any, condition: Any = None) -> dict[str, float]:
    """Name -> figure of one example: log-density, bits per value, anomaly score, where there are any."""
    model, x = explored.model, np.asarray(x)[None]
    found = {}
    if hasattr(model, "log_prob"):
        nats = float(np.asarray(model.log_prob(x, condition=condition))[0])
        found[f"{_DENSITIES.get(model.density or '', 'log-density')} [nats]"] = nats
        found["negative log-density [bits per value]"] = -nats / (math.log(2.0) * x[0].size)
    if hasattr(model, "anomaly_score"):
        score = np.asarray(model.anomaly_score(x, condition=condition))[0]
        found["anomaly score, larger is stranger [nats]"] = float(score)
    return found


def share_below(explored: Explored, x: Any, condition: Any = None) -> float:
    """The share of the examples whose anomaly score is below that of `x`.

    The examples are scored under their own conditions if these are known, otherwise under the chosen one.
    """
    model = explored.model
    score = np.asarray(model.anomaly_score(np.asarray(x)[None], condition=condition))[0]
    own = condition if explored.conditions is None else explored.conditions
    others = np.asarray(model.anomaly_score(explored.examples, condition=own))
    return float(np.mean(others < score))


def _told(explored: Explored, x: Any, condition: Any) -> str:
    """The figures as a table, and how the score compares with those of the examples."""
    found = figures(explored, x, condition)
    if not found:
        return "This model has neither a density nor an anomaly score."
    rows = "".join(f"| {name} | {value:.2f} |\n" for name, value in found.items())
    text = f"| figure | value |\n|---|---|\n{rows}"
    if hasattr(explored.model, "anomaly_score") and explored.examples is not None:
        share = share_below(explored, x, condition)
        text += f"\nStranger than {100 * share:.0f} % of {len(explored.examples)} examples ({explored.told})."
    return text


class Scores(Tab):
    """An example beside its reconstruction, with its figures."""

    title = "Reconstruction and score"
    needs = "`reconstruct`, `log_prob` or `anomaly_score`"

    @staticmethod
    def when(explored: Explored) -> bool:
        return any(hasattr(explored.model, name) for name in ("reconstruct", "log_prob", "anomaly_score"))

    @staticmethod
    def build(page: Page) -> None:
        gr, explored = page.gr, page.explored
        reconstructs = hasattr(explored.model, "reconstruct")
        names = ["example", "reconstruction"] if reconstructs else ["example"]
        page.caption(
            "**How well the model knows an example.** The score says how strange the model finds it, and how "
            "many of the examples below it finds less strange."
        )

        def answer(x: Any, condition: Any) -> tuple:
            if x is None:
                raise ValueError("There is no example yet; choose or upload one.")
            rows = [np.asarray(x)]
            if reconstructs:
                rows.append(reconstruction(explored, x, condition))
            drawn = [explored.view.draw(np.stack(rows), columns=2, size=LARGE // 2, names=names)]
            return (*drawn, _told(explored, x, condition))

        place = gr.Row()
        example = ExampleInput(page, "scored", "Example")
        first: list[Any] = [None, None]
        if example.value is not None:
            first = list(answer(example.value, explored.first_condition()))
        with place:
            with gr.Column():
                label = "Example (left) and its reconstruction" if reconstructs else "Example"
                shown = page.output(label, "reconstruction", first[0])
            with gr.Column():
                page.caption("**Figures**")
                figures_shown = gr.Markdown(first[1], elem_id="figures")
        outputs = [shown, figures_shown]
        page.on(page.condition_events(), answer, [example.chosen], outputs)
        example.follow(answer, [example.chosen], outputs)
