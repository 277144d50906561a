"""The activation that a network ends in, and whether its bounds fit what the output is used for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import keras

from keras_genmod.core.checks import ValueRange
from keras_genmod.networks.tracing import last_operation

__all__ = ["Bounds", "check_reach", "output_bounds", "output_range"]

# Name of an activation, without underscores -> the lowest and highest value that it can give.
_BOUNDS = {
    **dict.fromkeys(("sigmoid", "hardsigmoid", "sparsesigmoid", "softmax", "sparsemax"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "hardtanh", "softsign"), (-1.0, 1.0)),
    **dict.fromkeys(("relu", "softplus", "squareplus", "sparseplus", "exponential", "exp"), (0.0, math.inf)),
    **dict.fromkeys(("logsigmoid", "logsoftmax"), (-math.inf, 0.0)),
    "relu6": (0.0, 6.0),
    "elu": (-1.0, math.inf),
    "celu": (-1.0, math.inf),
    "selu": (-1.7581, math.inf),
    "gelu": (-0.17, math.inf),
    "silu": (-0.279, math.inf),
    "hardsilu": (-0.375, math.inf),
    "mish": (-0.309, math.inf),
}
_OVER_ONE_AXIS = ("softmax", "sparsemax", "logsoftmax")


class Bounds(NamedTuple):
    """The name of an activation, and the lowest and highest value that it can give."""

    name: str
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == -math.inf:
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high == math.inf else f"from {self.low:g} to {self.high:g}"


def output_bounds(network: keras.layers.Layer) -> Bounds | None:
    """The bounds that a network's last activation sets to its output; None if it sets none."""
    operation = last_operation(network)
    activation = getattr(operation, "activation", None)
    while isinstance(activation, keras.layers.Layer):
        operation, activation = activation, getattr(activation, "activation", None)
    name = getattr(activation, "__name__", type(operation).__name__)
    if getattr(operation, "negative_slope", None):
        return None
    bounds = _BOUNDS.get(name.replace("_", "").lower())
    return None if bounds is None else Bounds(name.lower() if activation is None else name, *bounds)


def check_reach(name: str, network: keras.layers.Layer, problem: Callable[[float, float], str]) -> None:
    """Refuses a network whose last activation cannot give values that the model needs.

    Args:
        name: The argument's name.
        network: The network.
        problem: Takes the lowest and the highest output, and returns what goes wrong, or "" if nothing does.

    Raises:
        ValueError: For such a network.
    """
    bounds = output_bounds(network)
    if bounds is None:
        return
    one_output = getattr(network, "output_shape", (None,))[-1] == 1
    if one_output and bounds.name.replace("_", "") in _OVER_ONE_AXIS:
        trouble = f"of one number {bounds.name} gives the same whatever that number is"
    else:
        trouble = problem(bounds.low, bounds.high)
    if trouble:
        raise ValueError(
            f"`{name}` ends in {bounds.name}, whose values are {bounds}, but {trouble}. "
            "Leave its last layer linear: `activation=None`."
        )


def output_range(network: keras.layers.Layer) -> ValueRange:
    """The range of a network's output: that of a last activation with two bounds, else all finite values."""
    bounds = output_bounds(network)
    if bounds is None or not (math.isfinite(bounds.low) and math.isfinite(bounds.high)):
        return ValueRange()
    bytes_to_range = {(-1.0, 1.0): ", bytes by `x / 127.5 - 1`", (0.0, 1.0): ", bytes by `x / 255`"}
    by = bytes_to_range.get((bounds.low, bounds.high), "")
    advice = f"The network ends in {bounds.name}: scale the data to that range{by}."
    return ValueRange(bounds.low, bounds.high, advice=advice)
