"""The one optimisation step: terms to gradients to new weights, right on any number of replicas.

The objective of a player is

    L = (1 / N) sum_i w_i sum_k b_k t_k(x_i)

with terms t_k, their weights b_k, example weights w_i and the number N of examples over all replicas and
micro-batches. Each replica divides its own sum by the global N; the optimizer then sums the gradients
over replicas, and the result is the gradient of L, for a ragged last batch too.

Two kinds of terms are not summed like that, and a player names them:

- a measure, such as an accuracy, is a plain mean over examples, without their weights, and no part of L;
- a statistic of a batch, such as a discrepancy of its rows from other draws, needs a number of rows. Where a
  batch (of all replicas, or a micro-batch of them) has fewer, the term is left out, and N is then the number
  of examples in the batches that have it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import keras
import tensorflow as tf

from keras_genmod.core.batches import Batch, batch_size, micro_batch
from keras_genmod.core.checks import describe
from keras_genmod.core.noise import fold_in
from keras_genmod.core.precision import as_real
from keras_genmod.core.replicas import num_replicas, sum_over_replicas
from keras_genmod.layers.spectral_normalization import SpectralNormalization
from keras_genmod.metrics.means import StatisticSum

__all__ = [
    "MEASURE",
    "Player",
    "SharedForward",
    "Sums",
    "apply_gradients",
    "gradients",
    "keep_state",
    "objective",
]

# What `term_weights` gives for a term that is only a measure. A weight of 0 says another thing: the term is
# a part of the objective whose weight is 0 at this step, perhaps by a schedule.
MEASURE: Final = "measure"

Gradients = list["tf.Tensor | None"]


# Names of logs that are not a family's to give.
_RESERVED = {"loss": "the objective", "regularization": "the sum of the layers' own penalties"}


class Sums(NamedTuple):
    """An objective and its terms, summed over examples.

    Args:
        terms: scalars by name, float32 (float64 for a float64 model), `"loss"` first; without the
            statistics of a batch.
        statistics: what the statistics of a batch add to them, by name.
    """

    terms: dict[str, tf.Tensor]
    statistics: dict[str, StatisticSum]


@dataclass(frozen=True)
class Player:
    """One objective, the networks that it trains, and how.

    Args:
        name: such as "generator"; prefix of its terms in the logs where there are several players.
        networks: the layers whose trainable weights this player updates.
        loss_terms: function `(x, *, condition, training, seed) -> {name: [B]}`; it takes `shared=` too
            where the model has a shared forward pass.
        term_weights: function `() -> {name: weight}`; weights left out are 1, and `MEASURE` is that of a term
            which is logged and not minimised.
        updates_per_step: optimisation steps of this player in one training step.
        after_update: what follows each update, such as the clipping of weights.
        batch_statistics: the terms that are statistics of a batch as a whole, and the number of rows that
            each needs.
    """

    name: str
    networks: Sequence[keras.layers.Layer]
    loss_terms: Callable[..., Mapping[str, tf.Tensor]]
    term_weights: Callable[[], Mapping[str, Any]] = dict
    updates_per_step: int = 1
    after_update: Callable[[], None] | None = None
    batch_statistics: Mapping[str, int] = field(default_factory=dict)

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights that this player updates, each once."""
        weights = {id(w): w for network in self.networks for w in network.trainable_weights}
        return list(weights.values())


class SharedForward:
    """A forward pass that several players use, such as the generator's.

    Args:
        function: `(x, *, condition, training, seed) -> tensors`.
        tape: records the pass for the player that differentiates through it; without a tape each player
            computes the pass anew, from the same seed, so with the same result.
        tensors: the result of the pass under that tape.
        constant: whether it is for a player that does not differentiate through the pass; such a pass
            leaves the state of layers, such as moving averages, as it is.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        tape: tf.GradientTape | None = None,
        tensors: Any = None,
        constant: bool = False,
    ) -> None:
        self.function = function
        self.tape = tape
        self.tensors = tensors
        self.constant = constant

    @classmethod
    def recorded(cls, function: Callable[..., Any], batch: Batch, seed: tf.Tensor) -> SharedForward:
        """Makes the pass once, for training, under a tape of its own."""
        with tf.GradientTape() as tape:
            tensors = function(batch.x, condition=batch.condition, training=True, seed=seed)
        return cls(function, tape, tensors)

    def as_constant(self) -> SharedForward:
        """The same result for a player that does not differentiate through the pass."""
        return SharedForward(self.function, None, self.tensors, constant=True)

    def __call__(self, batch: Batch, seed: tf.Tensor, training: bool) -> Any:
        """The result of the pass: the one that was made, or a new one."""
        tensors = self.tensors
        if tensors is None:
            with keep_state() if self.constant else contextlib.nullcontext():
                tensors = self.function(batch.x, condition=batch.condition, training=training, seed=seed)
        return keras.tree.map_structure(tf.stop_gradient, tensors) if self.constant else tensors


def keep_state() -> contextlib.AbstractContextManager:
    """A context in which layers compute as always and their assignments to weights are dropped.

    For passes in training mode that must not count: the moving averages of batch normalisation shall see
    each example of a step once.
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
    """The sum over a batch's examples of the objective (`"loss"`, first) and of each of its terms.

    Args:
        player: whose objective.
        batch: the examples.
        seed: of all noise in the terms.
        training: whether layers act as in training.
        shared: the shared forward pass, if the model has one.

    Returns:
        Sums; terms but measures are weighted by example, `"loss"` by `term_weights` too.
    """
    arguments = {} if shared is None else {"shared": shared(batch, seed, training)}
    terms = player.loss_terms(batch.x, condition=batch.condition, training=training, seed=seed, **arguments)
    if not isinstance(terms, Mapping):
        raise TypeError(
            "`loss_terms` must give a dict of terms by name, such as {'reconstruction': values of shape "
            f"[batch]}}; received {describe(terms)}."
        )
    for name in _RESERVED.keys() & terms.keys():
        raise ValueError(
            f"`loss_terms` must not name a term {name!r}: {_RESERVED[name]} is logged under that name. "
            f"Rename the term, for example to '{name}_term'."
        )
    weights = player.term_weights()
    sums = {
        name: _sum(name, term, None if _is_measure(weights, name) else batch.weight)
        for name, term in terms.items()
    }
    # Penalties of the user's own layers are scalars that enter the mean over examples once: every part
    # of a batch adds them as often as it has examples.
    penalties = [loss for network in player.networks for loss in network.losses]
    if penalties:
        total = tf.add_n([as_real(penalty) for penalty in penalties])
        sums["regularization"] = total * tf.cast(batch_size(batch), total.dtype)
    for what, names in (("term_weights", weights), ("batch_statistics", player.batch_statistics)):
        unknown = sorted(set(names) - set(sums))
        if unknown:
            raise ValueError(f"`{what}` names {unknown}, but the terms are {sorted(sums)}.")
    statistics = _statistics(player, sums, weights, batch)
    sums.update({name: tf.zeros_like(sums[name]) for name in statistics})
    parts = [_weighted(sums[name], weights.get(name, 1.0)) for name in sums if name not in statistics]
    parts = [part for part in parts if part is not None]
    nothing = tf.zeros_like(next(iter(sums.values())))
    return Sums({"loss": tf.add_n(parts) if parts else nothing, **sums}, statistics)


def _is_measure(weights: Mapping[str, Any], name: str) -> bool:
    # A tensor compared with a string would be one more operation, or an error.
    return isinstance(weights.get(name), str) and weights[name] == MEASURE


def _sum(name: str, term: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    term = as_real(term)
    if term.shape.rank != 1:
        raise ValueError(
            f"The term {name!r} must have one value per example, shape [batch]; received shape "
            f"{tuple(term.shape)}. Sum it over the axes of one example."
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
    """The sums of the statistics, and of how many examples they are; 0 of each for too small a batch."""
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


def gradients(
    player: Player,
    optimizer: keras.optimizers.Optimizer,
    batch: Batch,
    seed: tf.Tensor,
    *,
    global_num_examples: tf.Tensor,
    micro_batches: int = 1,
    shared: SharedForward | None = None,
) -> tuple[Gradients, Sums]:
    """This replica's share of the gradients of a player's objective, and `objective`'s sums.

    Micro-batches are unrolled, each waiting for the gradients of the one before, so that the activations
    of one at a time are in memory.

    Args:
        player: whose objective.
        optimizer: for its loss scale.
        batch: this replica's examples.
        seed: of all noise.
        global_num_examples: examples over all replicas, float32.
        micro_batches: parts to cut the batch into.
        shared: the shared forward pass, if the model has one.
    """
    weights = [weight.value for weight in player.weights]
    total: Gradients = [None] * len(weights)
    total_sums: Sums | None = None
    shares = _shares_of_statistics(player, batch, micro_batches)
    for index in range(micro_batches):
        part, part_seed = batch, seed
        if micro_batches > 1:
            part = _after(micro_batch(batch, index, micro_batches), total)
            part_seed = fold_in(seed, index)
        with (shared and shared.tape) or tf.GradientTape() as tape:
            sums = objective(player, part, part_seed, training=True, shared=shared)
            loss = sums.terms["loss"]
            for name, statistic in sums.statistics.items():
                share = shares.get(name, 1.0)
                loss += statistic.weighted / tf.cast(share, loss.dtype)
            # No example on any replica, no gradient: 0 / 1.
            loss /= tf.cast(tf.maximum(global_num_examples, 1.0), loss.dtype)
            loss = optimizer.scale_loss(loss)
        new = tape.gradient(loss, weights)
        total = [_add(old, more) for old, more in zip(total, new, strict=True)]
        total_sums = sums if total_sums is None else _add_sums(total_sums, sums)
    return total, total_sums


def _shares_of_statistics(player: Player, batch: Batch, micro_batches: int) -> dict[str, tf.Tensor]:
    """The share of the examples that are in micro-batches large enough for each statistic, at least 1 / N.

    Without micro-batches a statistic has all examples or none, and nothing is to be known before.
    """
    if micro_batches == 1 or not player.batch_statistics:
        return {}
    parts = [batch_size(micro_batch(batch, index, micro_batches)) for index in range(micro_batches)]
    rows = sum_over_replicas(tf.cast(tf.stack(parts), tf.float32))
    total = tf.maximum(tf.reduce_sum(rows), 1.0)
    return {
        name: tf.maximum(tf.reduce_sum(tf.where(rows >= needed, rows, 0.0)), 1.0) / total
        for name, needed in player.batch_statistics.items()
    }


def _add_sums(a: Sums, b: Sums) -> Sums:
    terms = {name: value + b.terms[name] for name, value in a.terms.items()}
    statistics = {
        name: StatisticSum(
            statistic.total + b.statistics[name].total,
            statistic.weighted + b.statistics[name].weighted,
            statistic.num_examples + b.statistics[name].num_examples,
        )
        for name, statistic in a.statistics.items()
    }
    return Sums(terms, statistics)


def _after(batch: Batch, tensors: Gradients) -> Batch:
    """The batch, not to be read before `tensors` are there."""
    with tf.control_dependencies([tf.convert_to_tensor(t) for t in tensors if t is not None]):
        return keras.tree.map_structure(lambda x: x if x is None else tf.identity(x), batch)


def _add(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return tf.convert_to_tensor(a) + tf.convert_to_tensor(b)


def apply_gradients(player: Player, optimizer: keras.optimizers.Optimizer, grads: Gradients) -> None:
    """Updates the player's weights with the sum of `grads` over replicas, and what follows them.

    Keras checks finiteness and clips before it sums over replicas: one replica that overflows would
    poison the others, and R clipped gradients may add up to R times the bound. Where either matters, the
    sum is made here first, and each replica hands in the R-th part of the result.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    scaled, clips = inner is not optimizer, _clips(inner)
    if clips:
        # The norm of a lookup's gradient is that of its sum, not of its slices.
        grads = [None if grad is None else tf.convert_to_tensor(grad) for grad in grads]
    if num_replicas() > 1 and (scaled or clips):
        present = [index for index, grad in enumerate(grads) if grad is not None]
        summed = sum_over_replicas([tf.convert_to_tensor(grads[index]) for index in present])
        if clips:
            scale = tf.convert_to_tensor(optimizer.dynamic_scale) if scaled else 1.0
            summed = [grad * scale for grad in _clip([grad / scale for grad in summed], inner)]
        grads = list(grads)
        for index, grad in zip(present, summed, strict=True):
            grads[index] = grad / num_replicas()
    optimizer.apply(grads, player.weights)
    for layer in (layer for network in player.networks for layer in network._flatten_layers()):
        if isinstance(layer, SpectralNormalization):
            layer.update()
    if player.after_update is not None:
        player.after_update()


def _clips(optimizer: keras.optimizers.Optimizer) -> bool:
    return any((optimizer.clipnorm, optimizer.global_clipnorm, optimizer.clipvalue))


def _clip(grads: list[tf.Tensor], optimizer: keras.optimizers.Optimizer) -> list[tf.Tensor]:
    if optimizer.clipnorm:
        return [tf.clip_by_norm(grad, optimizer.clipnorm) for grad in grads]
    if optimizer.global_clipnorm:
        return tf.clip_by_global_norm(grads, optimizer.global_clipnorm)[0]
    bound = optimizer.clipvalue
    return [tf.clip_by_value(grad, -bound, bound) for grad in grads]
