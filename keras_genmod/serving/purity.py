"""Refusing graphs that answer otherwise on a server than in memory.

A model server has no Python, disables XLA by default, and asks the same copy of the weights many times at
once. So a signature may run no Python function, hold nothing that must be compiled by XLA, and keep no state:
neither a stateful random operation nor an assignment (Keras' `SeedGenerator` is one: it
counts in a variable).
"""

import re
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

__all__ = ["check_pure"]

_PYTHON_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"}

# TensorFlow marks these as stateful, but they only read, call, check, or hold what one call computes.
_HARMLESS_STATEFUL_OPS = re.compile(
    "VarHandleOp|ReadVariableOp|ResourceGather(Nd)?|VariableShape|VarIsInitializedOp|DisableCopyOnRead"
    "|HashTableV2|LookupTable(Find|Size)V2"
    "|StatefulPartitionedCall|While|If|Case"
    "|Assert|CheckNumerics(V2)?|GuaranteeConst|Empty|TensorArray.*|CudnnRNN(V2|V3)?|StatelessRandomGetAlg"
)


def check_pure(signature: str, graph: tf.Graph) -> None:
    """Refuse a signature that runs Python, keeps state or must be compiled by XLA.

    Args:
        signature: Its name, for the error.
        graph: The graph that was traced for it. The functions that it calls are looked through too.

    Raises:
        ValueError: Naming the signature and the operation.
    """
    graph_def = graph.as_graph_def()
    for function in graph_def.library.function:
        if function.attr["_XlaMustCompile"].b:
            raise ValueError(
                f"Signature `{signature}` must run without XLA; received the function "
                f"`{function.signature.name}` with `jit_compile=True` (attribute `_XlaMustCompile`), "
                "which a model server refuses to run. Call the function without `jit_compile`."
            )
    for op in _op_types(graph_def):
        if op in _PYTHON_OPS:
            raise ValueError(
                f"Signature `{signature}` must consist of TensorFlow operations; received a Python function "
                f"(op `{op}`), which a model server cannot run. Write it with TensorFlow operations."
            )
        if _is_stateful(op) and not _HARMLESS_STATEFUL_OPS.fullmatch(op):
            raise ValueError(
                f"Signature `{signature}` must give the same answer to the same request; received the "
                f"stateful op `{op}`. Draw with `tf.random.stateless_*` from a `seed` input, and assign "
                "to no variable."
            )


def _op_types(graph_def: tf.compat.v1.GraphDef) -> Iterator[str]:
    for node in graph_def.node:
        yield node.op
    for function in graph_def.library.function:
        for node in function.node_def:
            yield node.op


def _is_stateful(op: str) -> bool:
    definition = op_def_registry.get(op)  # None: the name of a function, whose body is looked at by itself
    return definition is not None and definition.is_stateful
