"""`TargetSpec`: the second entry of a batch of pairs, where it is no condition but what `x` becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import ValueRange, describe
from keras_genmod.core.spaces import Space

__all__ = ["TargetSpec"]


@dataclass(frozen=True)
class TargetSpec:
    """The targets of a model that learns from pairs `(x, target)`.

    It answers what feeding asks of a `ConditionSpec`, so that either can be the second entry of a batch.

    Args:
        space: The space of one target; its name stands in errors.
    """

    space: Space
    num_classes: ClassVar[None] = None

    @property
    def name(self) -> str:
        """The name of the entry in errors."""
        return self.space.name

    def __bool__(self) -> bool:
        return True

    def value_range(self) -> ValueRange:
        """The values of targets."""
        return self.space.accepted

    def check_presence(self, target: Any) -> None:
        """Refuses examples without targets."""
        if target is None:
            wanted = ", ".join(["batch", *map(str, self.space.shape)])
            raise ValueError(
                f"This model learns from pairs: it needs a {self.name} of shape [{wanted}] for each example; "
                f"received none. Pass them second, `fit(x, {self.name}s)`; batches are pairs "
                f"`(x, {self.name})`."
            )

    def check_values(self, target: Any) -> None:
        """Refuses targets of another shape, type or range; `target` is an array, one row an example."""
        if isinstance(target, dict):
            raise TypeError(
                f"`{self.name}` must be one array, the second entry of a pair `(x, {self.name})`; received "
                f"{describe(target)}. Unpaired sets, `{{'a': ..., 'b': ...}}`, are for `CycleGAN`."
            )
        self.space.check(np.asarray(target))

    def standardize(self, target: Any) -> tf.Tensor | None:
        """Targets in the dtype of their space."""
        return None if target is None else tf.cast(target, self.space.dtype)
