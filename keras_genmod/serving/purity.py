"""Refuses graphs whose answers on a server would differ from those in memory.

A model server has no Python, disables XLA by default, and runs many requests at once on the same copy of the
weights. So a signature must not run Python functions, must not need compilation by XLA, and must not have
state: it may contain neither stateful random operations nor assignments to variables (Keras' `SeedGenerator`
makes such assignments).
"""

import re
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

__all__ = ["check_pure"]

_PYTHON_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"}

# TensorFlow marks these as stateful, but they only read, call, check, or store what one call computes.
_HARMLESS_STATEFUL_OPS = re.compile(
    "VarHandleOp|ReadVariableOp|ResourceGather(Nd)?|VariableShape|VarIsInitializedOp|DisableCopyOnRead"
    "|HashTableV2|LookupTable(Find|Size)V2"
    "|StatefulPartitionedCall|While|If|Case"
    "|Assert|CheckNumerics(V2)?|GuaranteeConst|Empty|TensorArray.*|CudnnRNN(V2|V3)?|StatelessRandomGetAlg"
)


def check_pure(signature: str, graph: tf.Graph) -> None:
    """Refuses a signature that runs Python, has state or must be compiled by XLA.

    Args:
        signature: The signature's name, for the error message.
        graph: The traced graph. The functions that it calls are checked too.

    Raises:
        ValueError: If the graph is impure; the message names the signature and the operation.
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
    definition = op_def_registry.get(op)  # None for the name of a function, whose body is checked by itself
    return definition is not None and definition.is_stateful
