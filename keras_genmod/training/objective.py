"""The objective of a player: its terms, their weights, and their sums over the examples of a batch.

The objective of a player is

    L = (1 / N) sum_i w_i sum_k b_k t_k(x_i)

with terms t_k, their weights b_k, example weights w_i and the number N of examples over all replicas and
micro-batches. This file gives the sum over one batch; `training.step` divides it by N.

Two kinds of terms are not summed like that, and a player names them:

- A measure, such as an accuracy, is a plain mean over examples. Example weights do not enter it, and it is no
  part of L.
- A batch statistic, such as the discrepancy of the batch's rows from other draws, needs a number of rows. A
  batch (of all replicas, or a micro-batch of them) with fewer rows leaves the term out, and N is then the
  number of examples in the batches that have it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

import keras
import tensorflow as tf

from keras_genmod.core.batches import Batch, batch_size
from keras_genmod.core.checks import describe
from keras_genmod.core.precision import as_real
from keras_genmod.core.replicas import sum_over_replicas
from keras_genmod.metrics.means import StatisticSum
from keras_genmod.training.players import Player

__all__ = ["MEASURE", "SharedForward", "Sums", "keep_state", "objective"]

# `term_weights` gives it for a term that is only logged. A weight of 0 means something else: the term belongs
# to the objective, and its weight is 0 at this step, perhaps by a schedule.
MEASURE: Final = "measure"

# Names in the logs that no term may have.
_RESERVED = {"loss": "the objective", "regularization": "the sum of the layers' own penalties"}


class Sums(NamedTuple):
    """An objective and its terms, summed over examples.

    Args:
        terms: Scalars by name, float32 (float64 for a float64 model), `"loss"` first; without the batch
            statistics.
        statistics: What the batch statistics add to them, by name.
    """

    terms: dict[str, tf.Tensor]
    statistics: dict[str, StatisticSum]


class SharedForward:
    """A forward pass that several players use, such as the generator's, for one round of updates.

    Args:
        function: `(x, *, condition, training, seed) -> tensors`, with one row for each example.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._tensors: Any = None
        self._parts: list[Any] = []
        self._constant = False
        # Records the pass for the players that differentiate through it.
        self.tape: tf.GradientTape | None = None

    def record(self, batch: Batch, seed: tf.Tensor, *, persistent: bool = False) -> None:
        """Makes the pass once, for training, under a tape of its own.

        Without a recorded pass each player computes it anew, from the same seed and so with the same result.

        Args:
            batch: The examples.
            seed: int32 `[2]`, seed of all noise in the pass.
            persistent: Whether more than one player differentiates through the pass.
        """
        with tf.GradientTape(persistent=persistent) as self.tape:
            self._tensors = self._pass(batch, seed, training=True)

    def as_constant(self) -> SharedForward:
        """The same pass for a player that does not differentiate through it.

        It leaves the state of layers, such as moving averages, as it is.
        """
        shared = SharedForward(self._function)
        shared._tensors, shared._constant = self._tensors, True
        return shared

    def __call__(self, batch: Batch, seed: tf.Tensor, training: bool) -> Any:
        """The result for a batch: the recorded one, or that of a new pass."""
        tensors = self._tensors
        if tensors is None:
            with keep_state() if self._constant else contextlib.nullcontext():
                tensors = self._pass(batch, seed, training)
            self._parts.append(tensors)
        return _as_constants(tensors) if self._constant else tensors

    def given(self, micro_batches: int = 1) -> Any:
        """What the pass gave for all rows of the batch, as constants.

        Args:
            micro_batches: Number of parts that the batch was cut into.
        """
        if self._tensors is not None:
            return _as_constants(self._tensors)
        # A second player that differentiates through the pass has made it again, with the same result.
        parts = self._parts[:micro_batches]
        return _as_constants(keras.tree.map_structure(lambda *rows: tf.concat(rows, axis=0), *parts))

    def _pass(self, batch: Batch, seed: tf.Tensor, training: bool) -> Any:
        return self._function(batch.x, condition=batch.condition, training=training, seed=seed)


def _as_constants(tensors: Any) -> Any:
    return keras.tree.map_structure(tf.stop_gradient, tensors)


def keep_state() -> contextlib.AbstractContextManager:
    """A context in which layers compute as always and their assignments to weights are dropped.

    It is for passes in training mode that must not count: the moving averages of batch normalisation shall
    see each example of a step once.
    """
    return keras.StatelessScope()


def objective(
    player: Player,
    batch: Batch,
    seed: tf.Tensor,
    *,
    training: bool,
    shared: SharedForward | None = None,
) -> Sums:
    """The sums over a batch's examples of the objective (`"loss"`, first) and of each of its terms.

    Args:
        player: The player whose objective it is.
        batch: The examples.
        seed: int32 `[2]`, seed of all noise in the terms.
        training: Whether layers act as in training.
        shared: The shared forward pass, if the model has one.

    Returns:
        The sums. Example weights enter all terms but measures, and `term_weights` enter `"loss"`.

    Raises:
        TypeError: For terms that are not a dict.
        ValueError: For a term that has not one value per example or has the name of another log, or for a
            weight or a batch statistic that no term has.
    """
    arguments = {} if shared is None else {"shared": shared(batch, seed, training)}
    terms = player.loss_terms(batch.x, condition=batch.condition, training=training, seed=seed, **arguments)
    if not isinstance(terms, Mapping):
        raise TypeError(
            "`loss_terms` must give a dict of terms by name, such as {'reconstruction': values of shape "
            f"[batch]}}; received {describe(terms)}."
        )
    weights = player.term_weights()
    sums = _term_sums(player, terms, weights, batch)
    _check_names("term_weights", weights, sums)
    _check_names("batch_statistics", player.batch_statistics, sums)
    statistics = _statistics(player, sums, weights, batch)
    sums.update({name: tf.zeros_like(sums[name]) for name in statistics})
    parts = [_weighted(sums[name], weights.get(name, 1.0)) for name in sums if name not in statistics]
    parts = [part for part in parts if part is not None]
    nothing = tf.zeros_like(next(iter(sums.values())))
    return Sums({"loss": tf.add_n(parts) if parts else nothing, **sums}, statistics)


def _term_sums(
    player: Player, terms: Mapping[str, tf.Tensor], weights: Mapping[str, Any], batch: Batch
) -> dict[str, tf.Tensor]:
    """The sum of each term over the examples, and that of the penalties of the player's layers."""
    for name in _RESERVED.keys() & terms.keys():
        raise ValueError(
            f"`loss_terms` must not name a term {name!r}: {_RESERVED[name]} is logged under that name. "
            f"Rename the term, for example to '{name}_term'."
        )
    lengths = {tf.TensorShape(part.shape)[0] for part in keras.tree.flatten(batch.x)}
    sums = {
        name: _sum(name, term, None if _is_measure(weights, name) else batch.weight, lengths)
        for name, term in terms.items()
    }
    # A penalty of the user's own layer is a scalar that enters the mean over examples once, so that each part
    # of a batch adds it once for each of its examples.
    penalties = [loss for network in player.networks for loss in network.losses]
    if penalties:
        total = tf.add_n([as_real(penalty) for penalty in penalties])
        sums["regularization"] = total * tf.cast(batch_size(batch), total.dtype)
    return sums


def _check_names(what: str, names: Mapping[str, Any], sums: Mapping[str, tf.Tensor]) -> None:
    unknown = sorted(set(names) - set(sums))
    if unknown:
        raise ValueError(
            f"`{what}` must name terms of the player, which are {sorted(sums)}; received {unknown}. Rename "
            "them, or add the terms."
        )


def _is_measure(weights: Mapping[str, Any], name: str) -> bool:
    # Comparing a tensor with a string would be one more operation, or an error.
    return isinstance(weights.get(name), str) and weights[name] == MEASURE


def _sum(name: str, term: tf.Tensor, weight: tf.Tensor | None, lengths: Collection[int | None]) -> tf.Tensor:
    """The sum of a term over the examples.

    Args:
        name: Name of the term.
        term: One value per example.
        weight: Weights of the examples, None without.
        lengths: Numbers of examples in the parts of the batch, None where only the running graph knows it.
    """
    term = as_real(term)
    if term.shape.rank != 1:
        shape = "unknown" if term.shape.rank is None else tuple(term.shape)
        advice = "Sum it over the axes of one example."
        if term.shape.rank == 0:
            advice = "Leave the batch axis as it is: the step takes the mean over examples."
        raise ValueError(
            f"The term {name!r} must have one value per example, shape [batch]; received shape {shape}. "
            f"{advice}"
        )
    if term.shape[0] is not None and term.shape[0] not in lengths:
        # Its sum is divided by the number of examples, so it would be no mean, and silently so.
        (size,) = lengths if len(lengths) == 1 else (None,)
        raise ValueError(
            f"The term {name!r} must have one value per example, shape [batch]; received {term.shape[0]} "
            f"values for a batch of {'any number of' if size is None else size} examples. Repeat what does "
            "not depend on the examples, such as a mean over chains: `tf.fill(tf.shape(x)[:1], mean)`."
        )
    return tf.reduce_sum(term if weight is None else term * tf.cast(weight, term.dtype))


def _weighted(value: tf.Tensor, weight: Any) -> tf.Tensor | None:
    """A term's part of the objective; None if it has none."""
    if isinstance(weight, str):
        return None
    fixed = isinstance(weight, (int, float))
    # A weight of 1 costs nothing, and a weight of 0 does not turn an infinite term into NaN.
    if fixed and weight == 1:
        return value
    return None if fixed and weight == 0 else tf.cast(weight, value.dtype) * value


def _statistics(
    player: Player, sums: Mapping[str, tf.Tensor], weights: Mapping[str, Any], batch: Batch
) -> dict[str, StatisticSum]:
    """The sums of the batch statistics and their numbers of examples; 0 of each for too small a batch."""
    if not player.batch_statistics:
        return {}
    own_rows = tf.cast(batch_size(batch), tf.float32)
    rows = sum_over_replicas(own_rows)
    result = {}
    for name, needed in player.batch_statistics.items():
        total = tf.where(rows >= needed, sums[name], tf.zeros_like(sums[name]))
        weighted = _weighted(total, weights.get(name, 1.0))
        weighted = tf.zeros_like(total) if weighted is None else weighted
        result[name] = StatisticSum(total, weighted, tf.where(rows >= needed, own_rows, 0.0))
    return result
