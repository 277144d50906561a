"""Comparisons of models with each other and with their exports."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.serving.examples import read_examples

__all__ = ["check_export", "evaluated", "largest_difference", "unlike", "weights_by_name"]


def weights_by_name(model: Any) -> dict[str, np.ndarray]:
    """All weights by a name that two models of one class share."""
    return {f"{i}:{weight.name}": weight.numpy() for i, weight in enumerate(model.weights)}


def largest_difference(first: Any, second: Any) -> float:
    """The largest difference between the weights of two models, the state of their noise included."""
    a, b = weights_by_name(first), weights_by_name(second)
    assert a.keys() == b.keys(), f"Two models must have the same weights; received {list(a)} and {list(b)}."
    for name, weight in a.items():
        assert np.all(np.isfinite(weight)), f"The weight {name!r} must be finite."
    return max(float(np.max(np.abs(a[k].astype("float64") - b[k]), initial=0.0)) for k in a)


def unlike(first: Any, second: Any) -> bool:
    """Whether two models differ in real weights; the integers of the noise state hold seed and steps."""
    pairs = zip(first.weights, second.weights, strict=True)
    real = [(a.numpy(), b.numpy()) for a, b in pairs if tf.as_dtype(a.dtype).is_floating]
    return max(float(np.max(np.abs(a - b))) for a, b in real) > 1e-4


def evaluated(model: Any, data: tuple, **options: Any) -> dict[str, float]:
    """The figures of `evaluate` by name."""
    return model.evaluate(*data, return_dict=True, verbose=0, **options)


def check_export(path: str | os.PathLike, model: Any) -> None:
    """Compares what an export recorded of its endpoints with what a model's methods answer.

    `serving.verify` compares the export with that record, which the exporting model's own endpoints made.
    Methods that draw take one seed for all rows where endpoints take one for each; of these only `sample` is
    compared. Where the default endpoint's method draws, `call` is compared alone. The methods run without
    being traced.

    Args:
        path: The export.
        model: The model that it was made of, or one with the same weights.
    """
    compared = 0
    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        for example in read_examples(path):
            inputs = dict(example.inputs)
            method: Any = getattr(model, example.signature, None)
            if example.signature == "sample":
                answers = [method(int(inputs.pop("num_samples")), **inputs)]
            elif "seed" in inputs:
                continue
            else:
                draws = bool(method) and "seed" in inspect.signature(method).parameters
                asked = [method] * (bool(method) and not draws) + [model] * example.default
                answers = [function(*inputs.values()) for function in asked]
            for answer in answers:
                (recorded,) = example.outputs.values()
                message = f"The endpoint {example.signature!r} must answer as the method does"
                np.testing.assert_allclose(recorded, answer, rtol=1e-5, atol=1e-5, err_msg=message)
            compared += len(answers)
    finally:
        tf.config.run_functions_eagerly(eager)
    assert compared, "An endpoint must have the name of a method, so that the two can be compared."
