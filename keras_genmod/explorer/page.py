"""The parts that tabs are made of: answers of the model, the condition, and examples to choose from."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.uploads import numbers, picture_to_example
from keras_genmod.explorer.views import View

__all__ = ["ExampleInput", "Page", "one_at_a_time"]

# Gradio answers in many threads. TensorFlow uses all cores for one answer, and Keras' state is not made for
# several threads, so all pages of the process take turns.
_TURN = threading.RLock()

# Examples among which one is chosen by its picture.
_THUMBNAILS = 20
_THUMBNAIL_SIZE = 64
# Side of the one that is chosen, in pixels.
_SEEN_SIZE = 160


def one_at_a_time(function: Callable) -> Callable:
    """The function, run by one thread of the process at a time."""

    def in_turn(*values: Any) -> Any:
        with _TURN:
            return function(*values)

    return in_turn


class Page:
    """What a tab needs to put its parts on the page.

    Args:
        gr: The module `gradio`.
        explored: The model with its examples.

    Attributes:
        condition: The component in which the condition is chosen; None for an unconditional model.
    """

    def __init__(self, gr: Any, explored: Explored) -> None:
        self.gr = gr
        self.explored = explored
        self.condition: Any = None

    def add_condition(self) -> None:
        """Adds the component in which the condition of all tabs is chosen."""
        explored, kind = self.explored, self.explored.condition_kind
        first = explored.choice_of(0)
        if kind == "class":
            self.condition = self.gr.Dropdown(
                [(str(number), number) for number in range(explored.model.num_classes)],
                value=first,
                label="Class (condition of all tabs)",
                elem_id="condition",
            )
        elif kind == "numbers":
            names = f"{explored.model.condition_shape} numbers"
            self.condition = self.gr.Textbox(
                first, label=f"Condition of all tabs: {names}, with commas between them", elem_id="condition"
            )
        elif kind == "example":
            last = len(explored.conditions) - 1
            self.condition = self.gr.Slider(
                0,
                last,
                first,
                step=1,
                label="Condition of all tabs: that of example number",
                elem_id="condition",
            )

    def on(
        self,
        triggers: Any,
        function: Callable,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        live: bool = False,
    ) -> Any:
        """Answers events with a function of the components' values and, last, the chosen condition.

        Args:
            triggers: Events of components, such as `button.click`; one or a list, which may be empty.
            function: `(*values, condition) -> values`, one for each output.
            inputs: Components whose values it takes.
            outputs: Components that show what it gives.
            live: Whether the event fires while a slider moves: then only the latest one counts.
        """
        if not triggers:
            return None
        return self._listen(functools.partial(self.gr.on, triggers), function, inputs, outputs, live)

    def after(self, event: Any, function: Callable, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """Answers as `on` does, each time another answer has been given.

        Args:
            event: What `on` returned for that answer.
            function, inputs, outputs: As in `on`.
        """
        return self._listen(event.success, function, inputs, outputs, False)

    def _listen(
        self,
        register: Callable,
        function: Callable,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        live: bool,
    ) -> Any:
        gr = self.gr
        own = [] if self.condition is None else [self.condition]

        def answer(*values: Any) -> Any:
            chosen = values[len(inputs)] if own else None
            try:
                return function(*values[: len(inputs)], self.explored.condition(chosen))
            except (ValueError, TypeError, RuntimeError) as error:
                # The model's own words for what is wrong are shown on the page.
                raise gr.Error(str(error), duration=20, print_exception=False) from error

        return register(
            one_at_a_time(answer),
            [*inputs, *own],
            list(outputs),
            show_progress="hidden" if live else "minimal",
            trigger_mode="always_last",
            api_visibility="private",
            concurrency_id="model",
            concurrency_limit=1,
        )

    def output(self, label: str, elem_id: str, value: Any = None) -> Any:
        """A component that shows examples, as `explored.view.draw` gives them, with a line above it."""
        # A label of gradio's own would lie over the picture.
        self.caption(f"**{label}**")
        shared = {"label": label, "show_label": False, "elem_id": elem_id, "format": "png"}
        if not self.explored.view.is_picture:
            return self.gr.Plot(value, **shared)
        # PNG keeps each pixel as it is.
        return self.gr.Image(value, interactive=False, buttons=["download", "fullscreen"], **shared)

    def condition_events(self) -> list[Any]:
        """The events at which a user has chosen another condition."""
        kind = self.explored.condition_kind
        names = {"class": "input", "numbers": "submit", "example": "release"}
        return [] if kind is None else [getattr(self.condition, names[kind])]

    def caption(self, text: str) -> None:
        """A paragraph that says what one sees."""
        self.gr.Markdown(text)


class ExampleInput:
    """The part of a tab in which one example is chosen, typed or uploaded.

    Args:
        page: The page.
        elem_id: Prefix of the components' names on the page.
        label: What the example is for.
        first: Number of the example that is chosen when the page opens.
        columns: Number of pictures in a row, among which one chooses.

    Attributes:
        chosen: The component whose value is the example, `[*event_shape]`; None before there is one.
        value: The example that is chosen when the page opens; None without examples.
    """

    def __init__(self, page: Page, elem_id: str, label: str, first: int = 0, columns: int = 10) -> None:
        self.page, self.elem_id, self.label, self.columns = page, elem_id, label, columns
        explored = page.explored
        examples = explored.examples
        self.first = first if examples is not None and len(examples) > first else 0
        self.value = None if examples is None else examples[self.first]
        self.chosen = page.gr.State(self.value)
        self._events: list[Any] = []
        if explored.view.is_picture:
            self._add_pictures(explored.view)
        else:
            self._add_numbers()

    def follow(self, function: Callable, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Answers as `Page.on` does, each time another example is chosen."""
        for event in self._events:
            self.page.after(event, function, inputs, outputs)

    # ---- pictures -------------------------------------------------------------------------------

    def _add_pictures(self, view: Any) -> None:
        gr, page, explored = self.page.gr, self.page, self.page.explored
        with gr.Row():
            drawn = None if self.value is None else view.draw(self.value[None], size=_SEEN_SIZE)
            with gr.Column():
                seen = page.output(f"{self.label}, as the model sees it", f"{self.elem_id}_seen", drawn)
            with gr.Column():
                upload = gr.Image(
                    label="Upload a picture, or paste one",
                    sources=["upload", "clipboard"],
                    type="numpy",
                    image_mode="RGBA",
                    format="png",
                    height=180,
                    elem_id=f"{self.elem_id}_upload",
                )
                invert = gr.Checkbox(label="Swap dark and bright (dark strokes on light paper)")
                told = gr.Markdown(elem_id=f"{self.elem_id}_told")

        def uploaded(picture: Any, invert: bool, condition: Any) -> tuple:
            if picture is None:
                raise ValueError("No picture is there. Upload one, or choose an example.")
            x, steps = picture_to_example(
                picture, explored.space, view.image_shape, explored.value_range, invert=invert
            )
            return x, view.draw(x[None], size=_SEEN_SIZE), " ".join(steps)

        outputs = [self.chosen, seen, told]
        self._events.append(page.on([upload.upload, invert.input], uploaded, [upload, invert], outputs))
        if explored.examples is not None:
            self._add_gallery(view, seen, told)

    def _add_gallery(self, view: View, seen: Any, told: Any) -> None:
        gr, page, explored = self.page.gr, self.page, self.page.explored
        pictures = explored.examples[:_THUMBNAILS]
        label = f"Examples to choose from ({explored.told})"
        page.caption(f"**{label}**")
        gallery = gr.Gallery(
            [view.draw(x[None], size=_THUMBNAIL_SIZE) for x in pictures],
            label=label,
            show_label=False,
            columns=self.columns,
            height="auto",
            fit_columns=False,
            format="png",
            object_fit="contain",
            allow_preview=False,
            elem_id=f"{self.elem_id}_gallery",
            buttons=[],
            interactive=False,
        )
        # The condition of an example of the data becomes the condition of all tabs.
        takes_condition = page.condition is not None and explored.conditions is not None
        outputs = [self.chosen, seen, told, *([page.condition] if takes_condition else [])]

        def picked(event: Any) -> tuple:
            x = explored.examples[event.index]
            answer = (x, view.draw(x[None], size=_SEEN_SIZE), f"Example {event.index} ({explored.told}).")
            return (*answer, explored.choice_of(event.index)) if takes_condition else answer

        # Gradio passes the event to arguments that are annotated with its class.
        picked.__annotations__ = {"event": gr.SelectData}
        self._events.append(
            gallery.select(picked, None, outputs, show_progress="hidden", api_visibility="private")
        )

    # ---- numbers --------------------------------------------------------------------------------

    def _add_numbers(self) -> None:
        gr, page, explored = self.page.gr, self.page, self.page.explored
        shape = explored.model.event_shape
        text = gr.Textbox(
            "" if self.value is None else _as_text(self.value),
            label=f"{self.label}: {shape[0]} numbers with commas between them; Enter takes them",
            elem_id=f"{self.elem_id}_numbers",
        )

        def typed(text: str, condition: Any) -> tuple:
            x = numbers(text, "The example", shape)
            explored.space.check(x[None])
            return (x.astype(explored.space.dtype.as_numpy_dtype),)

        self._events.append(page.on(text.submit, typed, [text], [self.chosen]))
        if explored.examples is not None:
            slider = gr.Slider(
                0,
                max(1, len(explored.examples) - 1),
                self.first,
                step=1,
                label=f"Example number ({explored.told})",
                elem_id=f"{self.elem_id}_number",
            )

            def picked(index: float, condition: Any) -> tuple:
                x = explored.examples[min(int(index), len(explored.examples) - 1)]
                return x, _as_text(x)

            self._events.append(page.on(slider.input, picked, [slider], [self.chosen, text], live=True))


def _as_text(x: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in np.ravel(x))
