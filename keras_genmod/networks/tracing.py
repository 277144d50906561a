"""Reading a functional network: what an output came from, and what an input goes into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

__all__ = ["consumers", "functional_of", "last_operation"]

# They move values about, or leave them as they are outside training: every value that comes out went in.
_MOVES_VALUES = (
    *("Reshape", "Flatten", "Permute", "Transpose", "Identity", "Cropping1D", "Cropping2D", "Cropping3D"),
    *("Squeeze", "ExpandDims", "Cast", "Dropout", "SpatialDropout2D", "GaussianNoise", "UpSampling1D"),
    *("UpSampling2D", "UpSampling3D", "DepthToSpace", "SpaceToDepth"),
)


def functional_of(network: Any) -> Any:
    """The functional network behind a Keras model, None where there is none (a layer, a subclass)."""
    if isinstance(network, keras.Sequential):
        # None until it knows its inputs.
        return network._functional
    return network if isinstance(network, keras.src.models.Functional) else None


def consumers(network: Any, tensor: keras.KerasTensor) -> Iterator[tuple[Any, Any]]:
    """The operations of a network that take a tensor, each with its node of the graph."""
    functional = functional_of(network)
    for operation in [] if functional is None else functional.operations:
        for node in operation._inbound_nodes:
            if any(each is tensor for each in node.input_tensors):
                yield operation, node


def last_operation(network: Any) -> Any:
    """The layer or operation that computes a network's output, behind those that only move values about.

    That is the network itself for a layer, and for a model that is neither functional nor sequential.
    """
    functional = functional_of(network)
    if functional is None:
        return network
    tensor = functional.outputs[0]
    while True:
        operation, node_index, tensor_index = tensor._keras_history
        inner = functional_of(operation)
        if inner is not None:
            moved = last_operation(inner) if len(inner.outputs) == 1 else None
            if moved is not None and not isinstance(moved, keras.layers.InputLayer):
                return moved
            return operation
        if type(operation).__name__ not in _MOVES_VALUES and not _is_linear(operation):
            return operation
        inputs = operation._inbound_nodes[node_index].input_tensors
        if len(inputs) != 1:
            return operation
        (tensor,) = inputs


def _is_linear(operation: Any) -> bool:
    """Whether it is an `Activation` without effect, such as ends a network of mixed precision."""
    activation = getattr(operation, "activation", None)
    return isinstance(operation, keras.layers.Activation) and activation is keras.activations.linear
