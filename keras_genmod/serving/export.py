"""Writing endpoints as one SavedModel that TensorFlow Serving loads.

Each endpoint becomes a named signature. It is traced once, and the graph that was checked is the graph that
is written. The model's own answers to example requests travel along (see `examples`). The folder gets its
name only when everything in it is written.
"""

import contextlib
import inspect
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.files import check_path, is_remote, replacing_directory
from keras_genmod.serving.endpoints import SERVED_DTYPES, Endpoint, fit_request, is_name
from keras_genmod.serving.examples import Example, write_examples
from keras_genmod.serving.purity import check_pure
from keras_genmod.serving.warmup import import_prediction_log, write_warmup

__all__ = ["export_saved_model"]

# Names of attributes of the archive and of a loaded SavedModel, and the second name of the default endpoint.
_TAKEN = {"serving_default", "signatures", "variables", "trainable_variables", "non_trainable_variables"}

# The file that makes a folder a SavedModel.
_GRAPH = "saved_model.pb"


def export_saved_model(
    filepath: str | os.PathLike,
    endpoints: Mapping[str, Endpoint],
    default: str,
    resource: Any = None,
    *,
    overwrite: bool = False,
    examples: Mapping[str, Mapping[str, Any]] | None = None,
    warmup: bool = False,
    verbose: bool = False,
) -> None:
    """Write `endpoints` as the signatures of a SavedModel, all or nothing.

    TensorFlow Serving loads `<model name>/<version>`, where the version is a non-negative integer, and
    passes over folders with other names: export to `serving/vae/1`. Other names serve for loading in Python.

    Args:
        filepath: The folder to write. Missing parents are created. With a scheme that TensorFlow knows, such
            as "gs://bucket/vae/1", it must not exist yet; its files are copied there, `saved_model.pb` last.
        endpoints: Signature name -> endpoint. Half-precision outputs are cast to float32.
        default: The endpoint that is also written as `serving_default`.
        resource: A Keras layer or model that is tracked as a whole. The variables that the endpoints use are
            saved without it; needed for lookup tables.
        overwrite: Whether an existing SavedModel at `filepath` is replaced.
        examples: Signature name -> input name -> array, a request for every endpoint, such as
            `endpoint.request()`; of two different rows or more where the endpoint is batched. The endpoints
            answer them here, and `serving.verify` compares.
        warmup: Whether the examples also become warm-up records for TensorFlow Serving (see
            `serving.write_warmup`), which then appear together with the SavedModel.
        verbose: Whether to print what was written, and let TensorFlow log it.

    Raises:
        ValueError: An argument is not as described, a signature is not pure, or `filepath` exists or
            cannot be written to. Nothing is left at `filepath`, and an existing SavedModel stays.
        ImportError: `warmup` without the package `tensorflow-serving-api`.
        RuntimeError: `warmup`, and the export does not answer its examples.

    Cost: each endpoint is traced twice, and runs on its example. `warmup` loads
    the export in a process of its own.

    Example:
        >>> import tempfile
        >>> from keras_genmod.core.spaces import Space
        >>> endpoint = Endpoint(lambda x: {"y": 2.0 * x}, [Space("x", (3,))])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export_saved_model(f"{folder}/double/1", {"double": endpoint}, default="double")
        ...     sorted(tf.saved_model.load(f"{folder}/double/1").signatures)
        ['double', 'serving_default']
    """
    _check_endpoints(endpoints, default)
    requests = _check_examples(endpoints, examples)
    if warmup:
        import_prediction_log()
        if not requests:
            raise ValueError(
                "`warmup` needs requests to record; received no `examples`. Give them, or call "
                "`serving.write_warmup` with requests afterwards."
            )
    _check_filepath(filepath)
    with replacing_directory(filepath, overwrite, last=_GRAPH) as folder, _quiet(verbose):
        archive = keras.export.ExportArchive()
        if resource is not None:
            archive.track(resource)
        # The archive writes the endpoint that comes first as `serving_default`.
        for name in sorted(endpoints, key=lambda name: name != default):
            archive.add_endpoint(name, _calling(_trace(name, endpoints[name])))
        archive.write_out(str(folder), verbose=False)  # it would print the temporary name
        if requests:
            answers = [_answer(name, endpoints[name], requests[name], name == default) for name in requests]
            write_examples(folder, answers)
        if warmup:
            write_warmup(folder)
    if verbose:
        print(f"Saved {os.fspath(filepath)!r}: signatures {', '.join(endpoints)}; default {default}.")


def _check_endpoints(endpoints: Mapping[str, Endpoint], default: str) -> None:
    for name, endpoint in endpoints.items():
        if not is_name(name) or name.startswith("_") or name in _TAKEN:
            raise ValueError(
                f"Signature names must be Python identifiers without a leading underscore, other than "
                f"{', '.join(sorted(_TAKEN))}; received {name!r}. Choose another name."
            )
        if not isinstance(endpoint, Endpoint):
            raise ValueError(
                f"`endpoints` must map names to `Endpoint`s; received {endpoint!r} for {name!r}. "
                "Wrap the function: `Endpoint(function, inputs)`."
            )
    if default not in endpoints:
        raise ValueError(
            f"`default` must be one of {', '.join(map(repr, endpoints)) or '`endpoints`, which is empty'}; "
            f"received {default!r}. Name the endpoint that answers requests without a signature name."
        )


def _check_examples(
    endpoints: Mapping[str, Endpoint], examples: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, dict[str, np.ndarray]]:
    """The example requests as arrays of the types of the signatures."""
    if examples is None:
        return {}
    if set(examples) != set(endpoints):
        raise ValueError(
            f"`examples` must hold one request for every endpoint, {sorted(endpoints)}; received "
            f"{sorted(examples)}. An export is checked as a whole: add the missing ones."
        )
    requests = {}
    for signature, endpoint in endpoints.items():
        what = f"The example of `{signature}`"
        arrays = fit_request(what, {spec.name: spec for spec in endpoint.specs}, examples[signature])
        rows = {len(array) for array in arrays.values()} if endpoint.batched else {2}
        if len(rows) > 1 or min(rows) < 2:
            raise ValueError(
                f"{what} must have the same number of rows, two or more, in each input; "
                f"received {sorted(rows)}. One row cannot show whether rows mix: give more."
            )
        requests[signature] = arrays
    return requests


def _check_filepath(filepath: str | os.PathLike) -> None:
    folder = Path(check_path(filepath))
    if re.fullmatch(r"-\d+", folder.name):
        raise ValueError(
            f"A version folder must be a non-negative integer; received {folder.name!r} in "
            f"{os.fspath(filepath)!r}. "
            "TensorFlow Serving passes over negative ones: choose another version."
        )
    # `overwrite=True` with a mistyped path must not cost anybody a home folder.
    if is_remote(filepath):
        return  # nothing is replaced there
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _GRAPH).is_file():
        raise ValueError(
            f"`filepath` must be a new folder or hold a SavedModel; received {str(folder)!r}, which "
            "holds other files. Choose another folder, or empty it yourself."
        )


def _trace(signature: str, endpoint: Endpoint) -> tf.types.experimental.GenericFunction:
    """The endpoint as a function with a single trace, which is checked."""

    def function(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        return _call(signature, endpoint, tensors)

    # So that the functions of a loaded SavedModel can be called by keyword, like the model's own.
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in endpoint.names]
    vars(function)["__signature__"] = inspect.Signature(parameters)
    traced = tf.function(function, input_signature=endpoint.specs, autograph=False)
    check_pure(signature, traced.get_concrete_function().graph)
    return traced


def _calling(traced: tf.types.experimental.GenericFunction) -> tf.types.experimental.GenericFunction:
    """A function that calls the one trace: TensorFlow traces anew while it saves, and this costs nothing."""
    concrete = traced.get_concrete_function()

    def function(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        return concrete(*tensors)

    vars(function)["__signature__"] = inspect.signature(traced.python_function)
    return tf.function(function, input_signature=traced.input_signature, autograph=False)


def _answer(signature: str, endpoint: Endpoint, request: dict[str, np.ndarray], default: bool) -> Example:
    """The answer of the model in memory.

    It comes from a second trace, so that an endpoint that depends on Python's state answers otherwise than
    its export. It is traced because a sampling loop over pixels would take a minute eagerly.
    """
    answer = _trace(signature, endpoint)(*[tf.constant(request[name]) for name in endpoint.names])
    outputs = {name: tensor.numpy() for name, tensor in answer.items()}
    return Example(signature, endpoint.batched, request, outputs, default)


def _call(signature: str, endpoint: Endpoint, tensors: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    """The endpoint's answer, checked, in types that can be served."""
    answer = endpoint.function(*tensors)
    if not isinstance(answer, Mapping) or not answer or not all(map(is_name, answer)):
        raise ValueError(
            f"The function of `{signature}` must return a non-empty dict, output name -> tensor, with Python "
            f"identifiers for names; received {answer!r}. Return `{{'name': tensor}}`."
        )
    return {name: _servable(f"Output `{name}` of `{signature}`", endpoint, answer[name]) for name in answer}


def _servable(what: str, endpoint: Endpoint, value: Any) -> tf.Tensor:
    value = tf.convert_to_tensor(value)
    if value.dtype in (tf.bfloat16, tf.float16):
        value = tf.cast(value, tf.float32)
    if value.dtype not in SERVED_DTYPES:
        raise ValueError(
            f"{what} must be a real number, an integer or a boolean; received {value.dtype.name}. Convert it."
        )
    rank = value.shape.rank
    fixed = tf.inside_function() and rank and value.shape[0] is not None
    if endpoint.batched and (rank == 0 or fixed):
        raise ValueError(
            f"{what} must have the batch in front, [None, ...]; received shape {value.shape}. "
            "Return one row for each row of the inputs, or pass `batched=False`."
        )
    return value


@contextlib.contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    logger = tf.get_logger()
    level = logger.level
    if not verbose:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
