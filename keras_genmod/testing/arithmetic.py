"""Tolerances that follow from the arithmetic: how large the terms are, and what roundings do to a map.

Two computations of one thing differ by roundings, and by which depends on the processor's instructions, the
libraries' kernels and the number of threads. No tolerance may come from what one machine printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.training.objective import MEASURE

__all__ = ["SAME", "UNIT", "loss_tolerance", "rounding_spread", "term_sizes", "terms_of"]

# The largest relative error of one rounding.
UNIT = {"bfloat16": 2.0**-9, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}

# Two trainings in float64 that differ in the order of their sums alone, in their weights of size 1: a few
# steps of rates below 1e-2, each with gradients from sums of some thousand terms.
SAME = 1e-11


def terms_of(model: Any, data: tuple, *, training: bool = False) -> Iterator[tuple]:
    """Each player of a model, the prefix of its terms in the logs, and its terms `[B]` on the data.

    Args:
        model: The model.
        data: The arguments of `fit`.
        training: Whether layers act as in training.
    """
    players = model.players()
    batch = model._unpack(tuple(tf.nest.map_structure(tf.convert_to_tensor, data)))
    seed = tf.constant([0, 1])
    shared = model._shared_forward()
    extra = {} if shared is None else {"shared": shared(batch, seed, training)}
    for player in players:
        prefix = "" if len(players) == 1 else f"{player.name}_"
        terms = player.loss_terms(batch.x, condition=batch.condition, training=training, seed=seed, **extra)
        yield player, prefix, terms


def term_sizes(model: Any, data: tuple) -> dict[str, float]:
    """The mean absolute value of each term over the examples, by its name in the logs.

    Those of objectives are sums of their weighted terms' sizes: what a rounding error is relative to, however
    much of the terms cancels.
    """
    sizes, total = {}, 0.0
    for player, prefix, terms in terms_of(model, data):
        weights = player.term_weights()
        own = 0.0
        for name, term in terms.items():
            sizes[prefix + name] = float(np.mean(np.abs(term)))
            if weights.get(name) is not MEASURE:
                own += abs(float(weights.get(name, 1.0))) * sizes[prefix + name]
        sizes[prefix + "loss"] = own
        total += own
    sizes["loss"] = total
    return sizes


def rounding_spread(function: Callable[[], Any], variables: Sequence[Any], unit: float) -> np.ndarray:
    """How far a function of variables moves when each number of theirs is rounded to a relative `unit`.

    A rounding error is uniform up to the unit. Drawing it a few times gives the condition of the whole map,
    however deep: every later rounding acts on the result as one of the inputs, or less.

    Args:
        function: without arguments, of the values of the variables.
        variables: TensorFlow or Keras variables; they have their values again afterwards.
        unit: such as `UNIT["float32"]`.

    Returns:
        The root mean square of the change of each of the function's values.
    """
    generator = np.random.default_rng(0)
    values = [np.asarray(variable) for variable in variables]
    exact = np.asarray(function(), "float64")
    changes = []
    for _ in range(6):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value * (1.0 + generator.uniform(-unit, unit, value.shape)))
        changes.append(np.asarray(function(), "float64") - exact)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return np.sqrt(np.mean(np.square(changes), axis=0))


def loss_tolerance(model: Any, data: tuple, dtype: str) -> float:
    """How far the loss of a model may be from that of the same model computed in `dtype`.

    Rounding the weights alone gives a spread. In a layer the product, the bias and the activation are rounded
    too, and some kernels round each partial sum of a product of n terms, which adds up to the root of n / 2
    such errors. Five times all together are allowed, and ten roundings of the terms themselves.

    Args:
        model: compiled, of float32 or float64.
        data: the arguments of `evaluate`.
        dtype: the coarser one.
    """

    def loss() -> float:
        return model.evaluate(*data, return_dict=True, verbose=0)["loss"]

    spread = rounding_spread(loss, model.trainable_weights, UNIT[dtype])
    num_terms = max(np.prod(weight.shape[:-1]) for weight in model.trainable_weights)
    rounded_terms = 10 * UNIT["float32"] * term_sizes(model, data)["loss"]
    return 5 * (4 + num_terms / 2) ** 0.5 * float(spread) + rounded_terms
