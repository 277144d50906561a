"""Players: the objectives of a model, the networks that each trains, and the optimizer that each names.

Most models have one player. An adversarial model has a player for each side; a model between two domains may
have more. Players that name one optimizer form a team: the optimizer makes one update for all of them, as it
would for one player with all their weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

__all__ = ["Player", "check_players", "teams_of", "weights_of"]


@dataclass(frozen=True)
class Player:
    """One objective, the networks that it trains, and the optimizer that updates them.

    Args:
        name: Prefix of the player's terms in the logs where a model has several players, such as "generator".
        networks: The layers whose trainable weights this player updates.
        loss_terms: Function `(x, *, condition, training, seed) -> {name: [B]}`; it takes `shared=` too where
            the model has a `shared_forward`. It must be pure: a step may evaluate it several times.
        term_weights: Function `() -> {name: weight}`. The weight of a term that is left out is 1; `MEASURE`
            marks a term that is logged and not minimised.
        updates_per_step: Number of updates in one training step.
        after_update: Called after each update, to clip weights for example.
        batch_statistics: Terms that describe a batch as a whole -> number of rows that each needs.
        optimizer: The argument of `compile` that gives this player's optimizer. Players with one optimizer
            are updated together: they stand side by side in `players()` and have equal `updates_per_step`;
            a weight that two of them train gets the sum of their gradients.
    """

    name: str
    networks: Sequence[keras.layers.Layer]
    loss_terms: Callable[..., Mapping[str, tf.Tensor]]
    term_weights: Callable[[], Mapping[str, Any]] = dict
    updates_per_step: int = 1
    after_update: Callable[[], None] | None = None
    batch_statistics: Mapping[str, int] = field(default_factory=dict)
    optimizer: str = "optimizer"

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights that this player updates, each once."""
        return _without_repetition(w for network in self.networks for w in network.trainable_weights)


def teams_of(players: Sequence[Player]) -> list[list[Player]]:
    """The players in their order, those beside each other that name one optimizer together."""
    return [list(team) for _, team in itertools.groupby(players, lambda player: player.optimizer)]


def weights_of(players: Sequence[Player]) -> list[keras.Variable]:
    """The weights that any of the players updates, each once."""
    return _without_repetition(weight for player in players for weight in player.weights)


def check_players(players: Sequence[Player], optimizers: Sequence[str]) -> None:
    """Refuses players that a step could not update.

    Args:
        players: What a model's `players()` gives.
        optimizers: The arguments of the model's `compile` that are optimizers.

    Raises:
        ValueError: For two players of one name, for an optimizer that does not exist, or for players of one
            optimizer that do not stand side by side or differ in `updates_per_step`.
    """
    names = [player.name for player in players]
    if len(set(names)) < len(names):
        # Their terms and losses would take each other's place in the logs.
        raise ValueError(f"`players` must give each player a name of its own; received {names}. Rename one.")
    for player in players:
        if player.optimizer not in optimizers:
            raise ValueError(
                f"The player {player.name!r} must name an optimizer that `compile` takes; received "
                f"optimizer={player.optimizer!r}. Name one of {list(optimizers)}."
            )
    teams = teams_of(players)
    for optimizer in optimizers:
        own = [team for team in teams if team[0].optimizer == optimizer]
        if len(own) > 1:
            raise ValueError(
                f"The players that name the optimizer {optimizer!r} must stand side by side, since "
                f"one update serves them all; received the players in the order {names}. Let `players` give "
                "them one after the other, or name another optimizer."
            )
        steps = {player.name: player.updates_per_step for team in own for player in team}
        if len(set(steps.values())) > 1:
            raise ValueError(
                f"The players that name the optimizer {optimizer!r} must have equal `updates_per_step`, "
                f"since one update serves them all; received {steps}. Make them equal, or name another "
                "optimizer."
            )


def _without_repetition(weights: Any) -> list[keras.Variable]:
    return list({id(weight): weight for weight in weights}.values())
