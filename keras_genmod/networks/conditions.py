"""The condition as a user's network takes it: class numbers `[B]` or `[B, 1]`, or one-hot vectors."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.networks.tracing import consumers, functional_of

__all__ = ["network_condition", "network_inputs"]

# What these layers and operations do with a class number is arithmetic.
_COMPUTES = {
    *("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "BatchNormalization", "LayerNormalization"),
    *("Rescaling", "Normalization", "Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply"),
    *("Subtract", "Divide", "TrueDivide", "Matmul", "Stack"),
}
# They pass a class number on as it is.
_PASSES_ON = {
    *("Reshape", "Flatten", "Identity", "RepeatVector", "Squeeze", "ExpandDims", "BroadcastTo", "Cast"),
}


def network_inputs(
    name: str, network: Any, x: keras.KerasTensor, condition: ConditionSpec
) -> list[keras.KerasTensor]:
    """What a network is called on, to try it with: `[x]`, or `[x, condition]` in the form that it takes.

    Args:
        name: the network's argument, for the error.
        network: the network.
        x: the first input.
        condition: the model's.

    Raises:
        ValueError: for a network whose input for the condition has another shape, or that computes with the
            numbers of classes.
    """
    if not condition:
        return [x]
    declared = _declared_input(network)
    if declared is None:
        return [x, condition.keras_input()]
    shape = tuple(declared.shape[1:])
    first, second = (tuple(each.shape) for each in network.inputs)
    takes = f"`{name}` takes inputs of shape {first} and {second}, the second for the condition"
    if condition.num_classes is None:
        if not _fits(shape, condition.row_shape):
            raise ValueError(
                f"{takes}; the model's `condition_shape` is {condition.row_shape}. Declare it with "
                f"`keras.Input({condition.row_shape})`, or build the model with another `condition_shape`."
            )
        return [x, condition.keras_input()]
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
    return [x, keras.Input(shape, dtype=declared.dtype, name="condition")]


def network_condition(network: Any, condition: tf.Tensor, spec: ConditionSpec) -> tf.Tensor:
    """The rows of a condition in the form that a network takes.

    Args:
        network: the network, as `network_inputs` has seen it.
        condition: rows in the model's form, see `ConditionSpec.standardize`.
        spec: the model's.
    """
    declared = _declared_input(network)
    if spec.num_classes is None or declared is None:
        return condition
    rank = len(declared.shape)
    if rank == 2 and declared.shape[1] != 1:
        return tf.one_hot(condition, spec.num_classes, dtype=declared.dtype)
    return tf.cast(condition if rank == 1 else condition[:, None], declared.dtype)


def _declared_input(network: Any) -> keras.KerasTensor | None:
    """The input for the condition of a functional network; None of one that declares no two inputs."""
    declared = getattr(network, "inputs", None)
    return declared[1] if isinstance(declared, (list, tuple)) and len(declared) == 2 else None


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
