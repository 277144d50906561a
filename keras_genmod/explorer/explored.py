"""`Explored`: a model with all that its page knows of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_genmod.bases.generative_model import GenerativeModel
from keras_genmod.core.batches import unpack
from keras_genmod.core.checks import as_array, check_rows, describe
from keras_genmod.core.replicas import in_multi_worker
from keras_genmod.core.spaces import check_parts
from keras_genmod.explorer.uploads import numbers
from keras_genmod.explorer.views import choose_view

__all__ = ["Explored", "takes"]

# Examples that are kept for choosing and comparing.
_MOST_EXAMPLES = 256
# Examples drawn from a model that came without data.
_DRAWN_EXAMPLES = 16
# Largest number of values of a condition that are typed by hand.
_MOST_NUMBERS = 16


class Explored:
    """A model, how its examples are shown, and examples to choose from.

    Args:
        model: The model.
        data: Examples `[N, *event_shape]`, or `(examples, conditions)`; `{"a": ..., "b": ...}` of a model
            between two domains. None draws some from the model, if it can.
        image_shape: "auto", the shape of a picture, or None for no pictures.

    Attributes:
        examples: At most 256 rows of the data, or samples; None without either.
        conditions: Their conditions, where the data have them.
        others: At most 256 examples of the second domain, of a model between two.
        from_data: Whether the examples are data.
        told: What the examples are, in words.
        value_range: The values shown as black and as full brightness.
        view: How examples are shown.

    Raises:
        TypeError: For anything but a `GenerativeModel` with an event space.
        ValueError: If the data do not fit, the examples can be shown in no way, conditions cannot be chosen,
            or several processes train the model.
    """

    def __init__(self, model: Any, data: Any = None, image_shape: Any = "auto") -> None:
        if not isinstance(model, GenerativeModel):
            raise TypeError(
                f"`explore` needs a model of this package, or a subclass of `kg.GenerativeModel`; received "
                f"{describe(model)}. Build or load one."
            )
        if in_multi_worker(model.distribute_strategy):
            raise ValueError(
                "`explore` serves a model of one process; received one under a strategy of several "
                "processes, which all would have to answer together. Save it, and explore the file's model: "
                "`kg.explore(keras.saving.load_model(path))`."
            )
        self.model: Any = model
        self.space = model.event_space()
        # Arrays, or None.
        self.examples: Any = None
        self.conditions: Any = None
        self.others: Any = None
        self.from_data = data is not None
        self.told = "given data" if self.from_data else "drawn from the model"
        if self.from_data:
            self._take(data)
        self._check_conditions()
        if not self.from_data and hasattr(model, "sample"):
            self.examples = self.sample(_DRAWN_EXAMPLES, 0, 1.0, self.first_condition())
        self.value_range = self._value_range()
        self.view: Any = choose_view(
            model.event_shape, image_shape, self.value_range, self.examples, self.told
        )

    def _take(self, data: Any) -> None:
        # Nested lists of numbers are examples; arrays in a tuple or list are examples and conditions.
        nested = isinstance(data, list) and not all(hasattr(part, "shape") for part in data)
        batch = unpack(np.asarray(data)) if nested and _is_regular(data) else unpack(data)
        spaces = self.model.data_spaces()
        if spaces and isinstance(batch.x, Mapping):
            check_parts("data", batch.x, spaces)
            _, other = spaces
            self.others = np.asarray(batch.x[other.name][:_MOST_EXAMPLES])
            batch = batch._replace(x=batch.x[spaces[0].name])
        x = as_array("data", batch.x)
        check_rows("data", x, self.model.event_shape)
        condition = None if batch.condition is None else np.asarray(batch.condition)
        if condition is not None and condition.shape[:1] != (len(x),):
            received = f"{len(condition)}" if condition.ndim else f"one for all, {condition}"
            raise ValueError(
                f"`data` must hold one condition for each of the {len(x)} examples; received {received}. "
                "Cut the longer one, or repeat one condition with `np.full`."
            )
        x = x[:_MOST_EXAMPLES]
        self.space.check(x)
        self.examples = x.astype(self.space.dtype.as_numpy_dtype)
        # Labels beside the examples of an unconditional model are not used.
        if condition is not None and self.is_conditional:
            condition = condition[:_MOST_EXAMPLES]
            self.model.check_data(x, condition)
            self.conditions = np.asarray(self.model._condition_spec.standardize(condition))

    # ---- conditions -----------------------------------------------------------------------------

    @property
    def is_conditional(self) -> bool:
        """Whether the model takes conditions."""
        return self.model.num_classes is not None or self.model.condition_shape is not None

    @property
    def condition_kind(self) -> str | None:
        """How a condition is chosen: "class", "numbers" (typed), "example" (that of an example), or None."""
        if self.model.num_classes is not None:
            return "class"
        if self.model.condition_shape is None:
            return None
        return "numbers" if np.prod(self.model.condition_shape) <= _MOST_NUMBERS else "example"

    def _check_conditions(self) -> None:
        if self.condition_kind == "example" and self.conditions is None:
            raise ValueError(
                f"This model's conditions have shape {self.model.condition_shape}, too many values to type. "
                "Pass examples with their conditions, `data=(x, condition)`: the page lets you choose among "
                "these."
            )

    def condition(self, chosen: Any) -> Any:
        """The condition that a user chose: a class, an array `condition_shape`, or None.

        Args:
            chosen: A class number, a text of numbers, or the number of an example, as `condition_kind` says.

        Raises:
            ValueError: For a text that does not hold the condition's numbers.
        """
        kind = self.condition_kind
        if kind == "class":
            return int(chosen)
        if kind == "numbers":
            return numbers(chosen, "The condition", self.model.condition_shape).astype("float32")
        return None if kind is None else self.conditions[int(chosen)]

    def choice_of(self, index: int) -> Any:
        """What a user would choose to get the condition of example `index`; the first choice without data."""
        if self.condition_kind == "example":
            return index
        known = self.conditions is not None
        if self.condition_kind == "class":
            return int(self.conditions[index]) if known else 0
        if self.condition_kind is None:
            return None
        values = self.conditions[index] if known else np.zeros(self.model.condition_shape)
        return ", ".join(f"{value:g}" for value in np.ravel(values))

    def first_condition(self) -> Any:
        """The condition that the page begins with."""
        return self.condition(self.choice_of(0))

    # ---- answers --------------------------------------------------------------------------------

    def sample(self, number: int, seed: int, temperature: float, condition: Any = None) -> np.ndarray:
        """Samples `[number, *event_shape]`; the same for the same seed.

        Args:
            number: Number of samples.
            seed: Integer of at least 0.
            temperature: Only passed on to models that take one.
            condition: One condition, or one per sample.
        """
        options: dict[str, Any] = {"seed": int(seed), "temperature": float(temperature)}
        options = {name: value for name, value in options.items() if takes(self.model.sample, name)}
        if condition is not None:
            options["condition"] = condition
        return np.asarray(self.model.sample(int(number), **options))

    def _value_range(self) -> tuple[float, float]:
        accepted = self.space.accepted
        if np.isfinite(accepted.low) and np.isfinite(accepted.high):
            return float(accepted.low), float(accepted.high)
        if self.from_data and self.examples is not None and np.ptp(self.examples) > 0:
            return float(self.examples.min()), float(self.examples.max())
        return 0.0, 1.0


def _is_regular(data: list) -> bool:
    """Whether nested lists fill an array."""
    try:
        return np.asarray(data).dtype != object
    except ValueError:
        return False


def takes(method: Any, name: str) -> bool:
    """Whether a method has an argument of that name."""
    return name in inspect.signature(method).parameters
