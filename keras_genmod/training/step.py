"""The one optimisation step: gradients of the players' objectives, and the updates of their weights.

Each replica divides its own sum of an objective (`training.objective`) by the number N of examples over all
replicas. The optimizer then adds the gradients of all replicas, which gives the gradient of the mean, for a
ragged last batch too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_genmod.core.batches import Batch, batch_size, micro_batch
from keras_genmod.core.noise import fold_in
from keras_genmod.core.replicas import num_replicas, sum_over_replicas
from keras_genmod.layers.spectral_normalization import SpectralNormalization
from keras_genmod.metrics.means import StatisticSum
from keras_genmod.training.objective import SharedForward, Sums, objective
from keras_genmod.training.players import Player, teams_of, weights_of

__all__ = ["Played", "apply_gradients", "gradients", "play"]

Gradients = list[Any]
"""A gradient for each weight: a tensor, slices of one, or None."""


class Played(NamedTuple):
    """What the updates of one step leave behind.

    Args:
        sums: Of each player's objective in its last update, by the player's name.
        shared: The shared forward pass of the last round, if the model has one.
    """

    sums: dict[str, Sums]
    shared: SharedForward | None


def play(
    players: Sequence[Player],
    optimizer_of: Callable[[Player], keras.optimizers.Optimizer],
    batch: Batch,
    seed: tf.Tensor,
    *,
    micro_batches: int = 1,
    shared_forward: Callable[..., Any] | None = None,
) -> Played:
    """Updates every player's weights, in the order of the players.

    A step has as many rounds as the largest `updates_per_step`, each with noise of its own. A player with
    fewer updates takes part in the last rounds. The players of the last optimizer differentiate through the
    shared forward pass, for the others it is a constant.

    Args:
        players: The players in the order of their updates.
        optimizer_of: Function from a player to its optimizer.
        batch: This replica's examples.
        seed: int32 `[2]`, seed of all noise of this replica.
        micro_batches: Number of parts to cut the batch into.
        shared_forward: Function of the pass that players share, if the model has one.
    """
    global_num_examples = sum_over_replicas(tf.cast(batch_size(batch), tf.float32))
    teams = teams_of(players)
    rounds = max(player.updates_per_step for player in players)
    sums: dict[str, Sums] = {}
    shared: SharedForward | None = None
    for number in range(rounds):
        round_seed = seed if rounds == 1 else fold_in(seed, number)
        if shared_forward is not None:
            shared = SharedForward(shared_forward)
            if number == rounds - 1 and micro_batches == 1:
                shared.record(batch, round_seed, persistent=len(teams[-1]) > 1)
        for team in teams:
            if number < rounds - team[0].updates_per_step:
                continue
            optimizer = optimizer_of(team[0])
            team_grads = []
            for player in team:
                grads, sums[player.name] = gradients(
                    player,
                    optimizer,
                    batch,
                    round_seed,
                    global_num_examples=global_num_examples,
                    micro_batches=micro_batches,
                    shared=shared if shared is None or team is teams[-1] else shared.as_constant(),
                )
                team_grads.append(grads)
            apply_gradients(team, optimizer, team_grads)
    return Played(sums, shared)


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
    """This replica's share of the gradients of a player's objective, and the sums that `objective` gives.

    Micro-batches are unrolled. Each waits for the gradients of the one before, so that the activations of
    one at a time are in memory.

    Args:
        player: The player whose objective it is.
        optimizer: The player's optimizer, which scales the loss.
        batch: This replica's examples.
        seed: int32 `[2]`, seed of all noise.
        global_num_examples: Number of examples over all replicas, float32.
        micro_batches: Number of parts to cut the batch into.
        shared: The shared forward pass, if the model has one.
    """
    weights = [weight.value for weight in player.weights]
    total: Gradients = [None] * len(weights)
    parts = []
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
            # Without an example on any replica there is no gradient: 0 / 1.
            loss /= tf.cast(tf.maximum(global_num_examples, 1.0), loss.dtype)
            loss = optimizer.scale_loss(loss)
        new = tape.gradient(loss, weights)
        total = [_add(old, more) for old, more in zip(total, new, strict=True)]
        parts.append(sums)
    return total, _add_sums(parts)


def _shares_of_statistics(player: Player, batch: Batch, micro_batches: int) -> dict[str, tf.Tensor]:
    """The share of the examples in micro-batches that are large enough for each statistic, at least 1 / N.

    Without micro-batches a statistic has all examples or none, and nothing must be known beforehand.
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


def _add_sums(parts: Sequence[Sums]) -> Sums:
    total = parts[0]
    for part in parts[1:]:
        terms = {name: value + part.terms[name] for name, value in total.terms.items()}
        statistics = {
            name: StatisticSum(
                statistic.total + part.statistics[name].total,
                statistic.weighted + part.statistics[name].weighted,
                statistic.num_examples + part.statistics[name].num_examples,
            )
            for name, statistic in total.statistics.items()
        }
        total = Sums(terms, statistics)
    return total


def _after(batch: Batch, tensors: Gradients) -> Batch:
    """The batch, which is not read before `tensors` are there."""
    with tf.control_dependencies([tf.convert_to_tensor(t) for t in tensors if t is not None]):
        return keras.tree.map_structure(lambda x: x if x is None else tf.identity(x), batch)


def _add(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return tf.convert_to_tensor(a) + tf.convert_to_tensor(b)


def apply_gradients(
    team: Sequence[Player], optimizer: keras.optimizers.Optimizer, grads: Sequence[Gradients]
) -> None:
    """Updates the weights of the players of one optimizer, and does what follows an update.

    Keras checks finiteness and clips before it sums over replicas: one replica that overflows would
    poison the others, and R clipped gradients may add up to R times the bound. Where either matters, the
    sum is made here first, and each replica hands in the R-th part of the result.

    Args:
        team: The players that name the optimizer.
        optimizer: Their optimizer. It makes one update: its iterations, its clipping by the global norm and
            its loss scale are those of the whole team.
        grads: Each player's gradients on this replica, in the order of the player's weights.
    """
    weights, total = _of_team(team, grads)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    scaled, clips = inner is not optimizer, _clips(inner)
    if clips:
        # The norm of a lookup's gradient is that of its sum, not of its slices.
        total = [None if grad is None else tf.convert_to_tensor(grad) for grad in total]
    if num_replicas() > 1 and (scaled or clips):
        present = [index for index, grad in enumerate(total) if grad is not None]
        summed = sum_over_replicas([tf.convert_to_tensor(total[index]) for index in present])
        if clips:
            scale = tf.convert_to_tensor(optimizer.dynamic_scale) if scaled else 1.0
            summed = [grad * scale for grad in _clip([grad / scale for grad in summed], inner)]
        for index, grad in zip(present, summed, strict=True):
            total[index] = grad / num_replicas()
    optimizer.apply(total, weights)
    layers = (layer for player in team for network in player.networks for layer in network._flatten_layers())
    for layer in {id(layer): layer for layer in layers}.values():
        if isinstance(layer, SpectralNormalization):
            layer.update()
    for player in team:
        if player.after_update is not None:
            player.after_update()


def _of_team(team: Sequence[Player], grads: Sequence[Gradients]) -> tuple[list[keras.Variable], Gradients]:
    """The weights of a team, and the sum of its players' gradients by each of them."""
    weights = weights_of(team)
    places = {id(weight): place for place, weight in enumerate(weights)}
    total: Gradients = [None] * len(weights)
    for player, own in zip(team, grads, strict=True):
        for weight, grad in zip(player.weights, own, strict=True):
            place = places[id(weight)]
            total[place] = _add(total[place], grad)
    return weights, total


def _clips(optimizer: keras.optimizers.Optimizer) -> bool:
    return any((optimizer.clipnorm, optimizer.global_clipnorm, optimizer.clipvalue))


def _clip(grads: list[tf.Tensor], optimizer: keras.optimizers.Optimizer) -> list[tf.Tensor]:
    if optimizer.clipnorm:
        return [tf.clip_by_norm(grad, optimizer.clipnorm) for grad in grads]
    if optimizer.global_clipnorm:
        return tf.clip_by_global_norm(grads, optimizer.global_clipnorm)[0]
    bound = optimizer.clipvalue
    return [tf.clip_by_value(grad, -bound, bound) for grad in grads]
