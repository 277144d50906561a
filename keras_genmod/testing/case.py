"""`Case`: what the promises need to know of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_genmod.core.checks import check_event_shape, describe

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """A model, data for it, and the promises that do not apply to it.

    Use the smallest networks and events that still hold all that the model is made of: a promise takes a few
    training steps, and what costs time is tracing them.

    Args:
        name: Name of the case, for messages.
        build: Function `(seed) -> model`, with all noise that the model has: dropout, draws, corruption.
        event_shape: Shape of one example.
        noiseless: Function `(seed) -> model` of the same family whose objective draws no random number, and
            whose terms have fixed weights.
            Two ways to compute it then differ by roundings alone, so that the promises of replicas,
            micro-batches, XLA and precisions can compare them. None takes `build`. Networks are best
            smooth: across a kink a rounding error changes a gradient at once.
        num_classes, condition_shape: Those of the model.
        draw: Function `(num_rows, seed) -> (x,)` or `(x, condition)`, the arguments of `fit`. None draws
            binary data of four patterns and conditions for them.
        adversarial: Whether the loss is a sum over players, which need not fall.
        overfit: Learning rate, number of steps, and the share of a figure that may be left after so many
            steps of the default optimizers on 8 examples. An optimizer with a schedule keeps its own rate.
        overfit_term: The term that is that figure, such as "reconstruction" or "nll"; the model's whole
            objective by default.
        exempt: Names of promises that do not apply.
        without_gradient: Paths of trainable weights whose gradient is 0 by the mathematics.

    Raises:
        TypeError: If a function is no function, such as a model in the place of `build`.
        ValueError: If another argument does not fit.

    Example:
        >>> from keras_genmod.models import MADE
        >>> case = Case("made", lambda seed: MADE((3,), hidden_dims=(4,), seed=seed), (3,))
        >>> case.data(2)[0].shape
        (2, 3)
    """

    name: str
    build: Callable[[int], Any]
    event_shape: tuple[int, ...]
    noiseless: Callable[[int], Any] | None = None
    num_classes: int | None = None
    condition_shape: tuple[int, ...] | None = None
    draw: Callable[[int, int], tuple] | None = None
    adversarial: bool = False
    overfit: tuple[float, int, float] = (1e-2, 150, 0.5)
    overfit_term: str = "loss"
    exempt: frozenset[str] = frozenset()
    without_gradient: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("build", "noiseless", "draw"):
            value = getattr(self, name)
            wanted = "(num_rows, seed) -> data" if name == "draw" else "(seed) -> model"
            is_model = callable(getattr(value, "fit", None)) and not isinstance(value, type)
            if (value is not None or name == "build") and (is_model or not callable(value)):
                raise TypeError(
                    f"`{name}` must be a function {wanted}; received {describe(value)}. Wrap what it returns,"
                    " such as `lambda seed: MyModel((6,), seed=seed)`."
                )
        check_event_shape(self.event_shape)
        if len(self.overfit) != 3:
            raise ValueError(
                "`overfit` must be a learning rate, a number of steps and the share that may be left, such "
                f"as (1e-2, 150, 0.5); received {self.overfit}. Give all three."
            )
        for name in ("exempt", "without_gradient"):
            if isinstance(getattr(self, name), str):
                raise ValueError(
                    f"`{name}` must be a collection of names; received the text {getattr(self, name)!r}. Put "
                    "it into a list."
                )

    def data(self, num_rows: int, seed: int = 0) -> tuple:
        """The arguments of `fit`: `(x,)` or `(x, condition)`.

        Args:
            num_rows: Number of examples.
            seed: Equal seeds give equal data.

        Raises:
            ValueError: If `draw` returns something else, or another number of rows.
        """
        if self.draw is not None:
            drawn = self.draw(num_rows, seed)
            if not isinstance(drawn, tuple) or any(_rows(part) != {num_rows} for part in drawn):
                raise ValueError(
                    f"`draw({num_rows}, {seed})` must return a tuple, (x,) or (x, condition), of {num_rows} "
                    f"rows each; received {describe(drawn)}. Return the arguments of `fit`."
                )
            return drawn
        generator = np.random.default_rng(seed)
        patterns = generator.random((4, *self.event_shape)) < 0.5
        labels = generator.integers(0, 4, num_rows)
        x = patterns[labels].astype("float32")
        if self.num_classes is not None:
            return x, labels % self.num_classes
        if self.condition_shape is not None:
            return x, generator.normal(size=(num_rows, *self.condition_shape)).astype("float32")
        return (x,)

    def condition(self) -> Any:
        """One condition that serves for all rows; None for an unconditional model."""
        if self.num_classes is None and self.condition_shape is None:
            return None
        return self.data(1)[1][0]

    def without_noise(self, seed: int) -> Any:
        """A model with a deterministic objective."""
        return (self.noiseless or self.build)(seed)


def _rows(part: Any) -> set[int]:
    """The numbers of rows of an array, or of the arrays of a dictionary."""
    return {len(array) if np.ndim(array) else -1 for array in keras.tree.flatten(part)}
