"""ONNX files of what `call` computes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_genmod.core.files import replacing_file
from keras_genmod.core.optional import optional_module

__all__ = ["export_onnx"]


def export_onnx(
    filepath: str | os.PathLike, write: Callable[[Path], None], *, name: str, advice: str
) -> None:
    """Writes an ONNX file, whole or not at all, and checks that all of its operations are ONNX operations.

    Args:
        filepath: The file.
        write: Writes the file under a temporary path.
        name: What is exported, for the error.
        advice: What to export instead if ONNX lacks an operation, for the error.

    Raises:
        ImportError: Without tf2onnx and onnx, with the command that installs them.
        ValueError: For a model whose `call` has operations that ONNX lacks.
    """
    for module in ("tf2onnx", "onnx"):
        optional_module(module, what="`export(format='onnx')`")
    # tf2onnx' `handler` is a module of its package.
    _translate_mul_no_nan(optional_module("tf2onnx.handler", what="`export(format='onnx')`"))
    checker = optional_module("onnx.checker", what="`export(format='onnx')`")
    with replacing_file(filepath) as temporary:
        write(temporary)
        try:
            # tf2onnx writes an operation that it could not translate too, and only logs it.
            checker.check_model(os.fspath(temporary), full_check=True)
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"{name} has operations that ONNX lacks, so nothing was written. {advice} ONNX says: {reason}"
            ) from error


def _translate_mul_no_nan(handler: Any) -> None:
    """Teaches tf2onnx the operation `MulNoNan`: x y, and 0 where y is 0. Bernoulli log-densities have it."""

    class MulNoNan:
        @classmethod
        def version_11(cls, graph: Any, node: Any, **kwargs: Any) -> None:
            utils = optional_module("tf2onnx.utils", what="`export(format='onnx')`")
            x, y = node.input
            shapes, dtypes = node.output_shapes, node.output_dtypes
            dtype = utils.map_onnx_to_numpy_type(dtypes[0])
            zero = graph.make_const(utils.make_name("zero"), np.zeros((), dtype)).output[0]
            is_zero = graph.make_node("Equal", [y, zero]).output[0]
            product = graph.make_node("Mul", [x, y]).output[0]
            graph.remove_node(node.name)
            graph.make_node(
                "Where",
                [is_zero, zero, product],
                name=node.name,
                outputs=node.output,
                shapes=shapes,
                dtypes=dtypes,
            )

    handler.tf_op("MulNoNan")(MulNoNan)
