"""Arguments that the autoregressive models share: the order of the variables and the likelihood of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_genmod.core.checks import describe
from keras_genmod.distributions.head import Head
from keras_genmod.distributions.heads import get_head
from keras_genmod.distributions.real_heads import GaussianHead

__all__ = ["check_ordering", "get_factor_head"]


def check_ordering(ordering: Any, event_shape: Sequence[int]) -> Any:
    """Returns "natural", "random", or the numbers of all variables, each once, as a list."""
    size = math.prod(event_shape)
    if isinstance(ordering, str) and ordering in ("natural", "random"):
        return ordering
    numbers = None if isinstance(ordering, str) else np.asarray(ordering)
    if numbers is None or numbers.shape != (size,) or not np.array_equal(np.sort(numbers), np.arange(size)):
        raise ValueError(
            f"`ordering` must be 'natural', 'random' or the numbers 0 to {size - 1} of the variables, each "
            f"once, the first to be drawn in front; received {describe(ordering)}."
        )
    return [int(number) for number in numbers]


def get_factor_head(likelihood: Any, event_shape: Sequence[int]) -> Head:
    """The head of a model's `likelihood` argument, one that can be drawn a variable at a time.

    By name "gaussian" is the one with predicted scale: a factor whose scale does not depend on what came
    before it says little.
    """
    if isinstance(likelihood, str) and likelihood == "gaussian":
        likelihood = GaussianHead("predicted")
    head = get_head(likelihood, event_shape)
    if head.uniforms_per_dim is None:
        raise ValueError(
            "`likelihood` must be a head that can be drawn one variable at a time; received "
            f"{describe(likelihood)}. Use one whose parameters the network gives, such as "
            "`GaussianHead('predicted')`."
        )
    return head
