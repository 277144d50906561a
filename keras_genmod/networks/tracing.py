"""Reading a network: the layer that computes its output, the layers that take an input, unused inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["consumers", "functional_of", "last_operation", "unused_inputs"]

# Outside training these only rearrange values: every value that comes out went in.
_MOVES_VALUES = (
    *("Reshape", "Flatten", "Permute", "Transpose", "Identity", "Cropping1D", "Cropping2D", "Cropping3D"),
    *("Squeeze", "ExpandDims", "Cast", "Dropout", "SpatialDropout2D", "GaussianNoise", "UpSampling1D"),
    *("UpSampling2D", "UpSampling3D", "DepthToSpace", "SpaceToDepth"),
)


def functional_of(network: Any) -> Any:
    """The functional network behind a Keras model; None for a layer, or a model of another kind."""
    if isinstance(network, keras.Sequential):
        # Keras sets it when the inputs are known; until then it is None.
        return network._functional
    return network if isinstance(network, keras.src.models.Functional) else None


def consumers(network: Any, tensor: keras.KerasTensor) -> Iterator[tuple[Any, Any]]:
    """Yields the operations of a network that take a tensor, each with its node in the network's graph."""
    functional = functional_of(network)
    for operation in [] if functional is None else functional.operations:
        for node in operation._inbound_nodes:
            if any(each is tensor for each in node.input_tensors):
                yield operation, node


def last_operation(network: Any) -> Any:
    """The last layer or operation of a network that computes something, not only rearranges values.

    A layer, and a model that is neither functional nor sequential, is its own last operation.
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
    """Whether an operation is a linear `Activation`, with which networks of mixed precision often end."""
    activation = getattr(operation, "activation", None)
    return isinstance(operation, keras.layers.Activation) and activation is keras.activations.linear


def unused_inputs(network: Any, inputs: Sequence[keras.KerasTensor]) -> list[int]:
    """Positions of the inputs that a network's outputs do not depend on.

    A functional network is read layer by layer, and a layer counts as using all that it is given. Any other
    network is traced once.

    Args:
        network: A built network.
        inputs: What it is called on.
    """
    if len(inputs) < 2:
        return []
    functional = functional_of(network)
    used = _used_in_trace(network, inputs) if functional is None else _used_inputs(functional)
    return [position for position in range(len(inputs)) if position not in used]


def _used_inputs(functional: Any) -> set[int]:
    """Positions of a functional network's inputs that its outputs are computed from."""
    pending, seen = list(functional.outputs), set()
    while pending:
        tensor = pending.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        operation, node_index, _ = tensor._keras_history
        given = operation._inbound_nodes[node_index].input_tensors
        inner = functional_of(operation)
        if inner is not None and len(inner.inputs) == len(given):
            given = [given[position] for position in _used_inputs(inner)]
        pending += given
    return {position for position, tensor in enumerate(functional.inputs) if id(tensor) in seen}


def _used_in_trace(network: Any, inputs: Sequence[keras.KerasTensor]) -> set[int]:
    """Positions of the inputs that a network's outputs are computed from, in a graph of TensorFlow."""
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs]
    traced = tf.function(lambda *tensors: network(list(tensors)), autograph=False)
    graph = traced.get_concrete_function(*specs).graph
    pending, seen = [tensor.op for tensor in graph.outputs], set()
    while pending:
        operation = pending.pop()
        if operation.name not in seen:
            seen.add(operation.name)
            pending += [tensor.op for tensor in operation.inputs]
            pending += operation.control_inputs
    return {position for position in range(len(specs)) if graph.inputs[position].op.name in seen}
