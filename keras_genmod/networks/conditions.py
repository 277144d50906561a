"""The condition in the form that a user's network takes: class numbers or one-hot vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.spaces import Space
from keras_genmod.networks.tracing import consumers, functional_of

__all__ = ["network_condition", "network_inputs"]

# These layers and operations would compute with a class number.
_COMPUTES = {
    *("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "BatchNormalization", "LayerNormalization"),
    *("Rescaling", "Normalization", "Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply"),
    *("Subtract", "Divide", "TrueDivide", "Matmul", "Stack"),
}
# These pass a class number on unchanged.
_PASSES_ON = {
    *("Reshape", "Flatten", "Identity", "RepeatVector", "Squeeze", "ExpandDims", "BroadcastTo", "Cast"),
}


def network_inputs(
    name: str, network: Any, spaces: Sequence[Space], condition: ConditionSpec
) -> list[keras.KerasTensor]:
    """The symbolic inputs to try a network with: one of each space, then the condition if there is one.

    A network of classes gets integers `[B]`, a column of numbers or one-hot vectors, as it declares them.

    Args:
        name: The network's argument, for the error.
        network: The network.
        spaces: What it takes beside the condition, in the order of its inputs.
        condition: The model's condition.

    Raises:
        ValueError: For a network whose input for the condition has another shape, or that computes with the
            numbers of classes.
    """
    inputs = [space.keras_input() for space in spaces]
    if not condition:
        return inputs
    (space,) = condition.spaces()
    declared = _declared_condition(network, len(inputs) + 1)
    if declared is None:
        return [*inputs, space.keras_input()]
    shape = tuple(declared.shape[1:])
    *others, last = (str(tuple(each.shape)) for each in network.inputs)
    takes = f"`{name}` takes inputs of shape {', '.join(others)} and {last}, the last for the condition"
    if condition.num_classes is None:
        if not _fits(shape, condition.row_shape):
            raise ValueError(
                f"{takes}; the model's `condition_shape` is {condition.row_shape}. Declare it with "
                f"`keras.Input({condition.row_shape})`, or build the model with another `condition_shape`."
            )
        return [*inputs, space.keras_input()]
    num_classes = condition.num_classes
    if not (shape in ((), (1,)) or _fits(shape, (num_classes,))):
        raise ValueError(
            f"{takes}; a model with num_classes={num_classes} gives classes. "
            f"{_how_to_take_classes(num_classes)}"
        )
    if shape in ((), (1,)) and _computes_with(network, declared):
        raise ValueError(
            f"{takes}, and computes with the number of the class itself, as if class 2 were twice class 1. "
            f"{_how_to_take_classes(num_classes)}"
        )
    return [*inputs, keras.Input(shape, dtype=declared.dtype, name=space.name)]


def network_condition(network: Any, condition: tf.Tensor, spec: ConditionSpec) -> tf.Tensor:
    """The rows of a condition in the form that a network takes.

    Args:
        network: A network that `network_inputs` has accepted.
        condition: Rows in the model's form, see `ConditionSpec.standardize`.
        spec: The model's condition.
    """
    declared = _declared_condition(network)
    if spec.num_classes is None or declared is None:
        return condition
    rank = len(declared.shape)
    if rank == 2 and declared.shape[1] != 1:
        return tf.one_hot(condition, spec.num_classes, dtype=declared.dtype)
    return tf.cast(condition if rank == 1 else condition[:, None], declared.dtype)


def _declared_condition(network: Any, num_inputs: int | None = None) -> keras.KerasTensor | None:
    """The last input of a functional network, which is for the condition.

    None for a network that declares no inputs, a single one, or another number than `num_inputs`.
    """
    declared = getattr(network, "inputs", None)
    if not isinstance(declared, (list, tuple)) or len(declared) < 2:
        return None
    return declared[-1] if num_inputs in (None, len(declared)) else None


def _fits(declared: tuple, wanted: tuple) -> bool:
    return len(declared) == len(wanted) and all(
        have in (None, want) for have, want in zip(declared, wanted, strict=True)
    )


def _computes_with(network: Any, tensor: keras.KerasTensor) -> bool:
    """Whether the network uses class numbers as quantities, as far as its layers show."""
    for operation, node in consumers(network, tensor):
        kind = type(operation).__name__
        inner = functional_of(operation)
        if inner is not None:
            position = [each is tensor for each in node.input_tensors].index(True)
            if _computes_with(inner, inner.inputs[position]):
                return True
        elif kind in _COMPUTES:
            return True
        elif kind in _PASSES_ON and any(_computes_with(network, each) for each in node.output_tensors):
            return True
    return False


def _how_to_take_classes(num_classes: int) -> str:
    return (
        f"Take one-hot vectors, `condition = keras.Input(({num_classes},))`, or embed class numbers:\n"
        '    condition = keras.Input((), dtype="int32")\n'
        f"    embedded = keras.layers.Embedding({num_classes}, 8)(condition)\n"
        "    h = keras.layers.Concatenate()([x, embedded])\n"
        "    network = keras.Model([x, condition], ...)"
    )
