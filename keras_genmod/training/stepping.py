"""Training and evaluation steps of a generative model, and the logs that they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_genmod.core.batches import Batch, batch_size
from keras_genmod.core.replicas import check_one_value
from keras_genmod.metrics.means import TermMeans
from keras_genmod.training.objective import SharedForward, Sums, objective
from keras_genmod.training.players import Player
from keras_genmod.training.stages import for_its_stage
from keras_genmod.training.step import play

__all__ = ["Stepping"]


class Stepping:
    """The part of `GenerativeModel` that makes steps."""

    # A method `(x, *, condition, training, seed) -> tensors` with one row for each example, where the family
    # has one. The pass is made once a step, or once a micro-batch; `loss_terms` and `advance_state` get what
    # it gives as `shared`.
    shared_forward: Callable[..., Any] | None = None

    # What it needs of the model.
    metrics: list[keras.Metric]
    distribute_strategy: tf.distribute.Strategy
    _noise_state: keras.Variable
    _non_trainable_variables: list[keras.Variable]
    _term_means: TermMeans
    _micro_batches: int
    _watch_terms: bool

    if TYPE_CHECKING:

        @property
        def training_steps(self) -> tf.Tensor: ...

        def players(self) -> Sequence[Player]: ...
        def get_metrics_result(self) -> dict[str, tf.Tensor]: ...
        def make_train_function(self, force: bool = False) -> Callable[..., Any]: ...
        def _optimizer_of(self, player: Player) -> keras.optimizers.Optimizer: ...
        def _training_seed(self) -> tf.Tensor: ...
        def _evaluation_seed(self) -> tf.Tensor: ...
        def _state_seed(self) -> tf.Tensor: ...
        def _unpack(self, data: Any) -> Batch: ...

    def advance_state(self, batch: Batch, *, seed: tf.Tensor, shared: Any) -> None:
        """Moves what moves once a training step, after the updates of all players.

        Persistent chains, pools of images, codebooks, histograms and averaged networks move here.
        `loss_terms` may be evaluated several times in a step, for micro-batches or rounds of updates, and
        must change no state; evaluation never comes here.

        Every replica must end with the same state: compute it from the rows of all replicas with
        `core.replicas.assign_equally`. On several replicas `compile` refuses own state of the model that was
        created without `aggregation="only_first_replica"`. The base class does nothing.

        Args:
            batch: All examples of this replica in the step: `batch.x`, `batch.condition`, `batch.weight`.
            seed: int32 `[2]`, the same on all replicas; `core.noise.replica_seed` gives each its own.
            shared: What `shared_forward` gave for the batch in the last round of updates, as constants;
                None for a model without one.
        """

    def _moves_state(self) -> bool:
        """Whether a training step ends in `advance_state`."""
        return type(self).advance_state is not Stepping.advance_state

    def _check_state(self) -> None:
        """Refuses state of which several replicas would keep and move different values."""
        if self._moves_state() and self.distribute_strategy.num_replicas_in_sync > 1:
            for variable in self._non_trainable_variables:
                check_one_value(variable)

    def _shared_forward(self) -> SharedForward | None:
        return None if self.shared_forward is None else SharedForward(self.shared_forward)

    @for_its_stage
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Updates every player in order, then moves the state that moves once a step.

        Args:
            data: A batch, see `keras_genmod.core.batches`.

        Returns:
            Running means of the objective and its terms.
        """
        batch = self._unpack(data)
        played = play(
            self.players(),
            self._optimizer_of,
            batch,
            self._training_seed(),
            micro_batches=self._micro_batches,
            shared_forward=self.shared_forward,
        )
        sums = self._logs_of(played.sums)
        if self._watch_terms:
            self._term_means.watch(_watched(sums), self.training_steps)
        self._term_means.update_state(sums.terms, batch_size(batch), sums.statistics)
        if self._moves_state():
            shared = None if played.shared is None else played.shared.given(self._micro_batches)
            self.advance_state(batch, seed=self._state_seed(), shared=shared)
        # The one place that advances the saved state of the noise.
        self._noise_state.assign_add([0, 1])
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluates the objective and its terms on a batch; changes no weight and no stream of noise."""
        batch = self._unpack(data)
        seed = self._evaluation_seed()
        shared = self._shared_forward()
        by_player = {
            player.name: objective(player, batch, seed, training=False, shared=shared)
            for player in self.players()
        }
        sums = self._logs_of(by_player)
        self._term_means.update_state(sums.terms, batch_size(batch), sums.statistics)
        return self.get_metrics_result()

    def watch_terms(self, on: bool = True) -> None:
        """Records, from now on, the step at which each term of the objective is first not finite.

        Args:
            on: Whether to watch; watching costs a little in every step.
        """
        self._term_means.forget_bad_terms()
        if on != self._watch_terms:
            self._watch_terms = on
            self.make_train_function(force=True)

    def bad_terms(self) -> dict[str, int]:
        """The terms that were not finite while they were watched, with the number of the first such step."""
        return self._term_means.bad_terms()

    @property
    def metrics_names(self) -> list[str]:
        """Names of the logs, the objective first."""
        return [*self._term_means.names, *self._other_metrics()]

    def _other_metrics(self) -> list[str]:
        return [metric.name for metric in self.metrics if metric is not self._term_means]

    def _logs_of(self, sums: Mapping[str, Sums]) -> Sums:
        """The sums of all players by their names in the logs."""
        flat = _flatten(sums)
        for name in flat.terms.keys() & set(self._other_metrics()):
            raise ValueError(
                f"Two figures would be logged under the name {name!r}: a term and one of the model's "
                "metrics. Rename the term or the metric."
            )
        return flat

    def _flatten_metrics_in_order(self, logs: Mapping[str, float]) -> Any:
        values = [logs[name] for name in self.metrics_names]
        return values[0] if len(values) == 1 else values


def _flatten(sums: Mapping[str, Sums]) -> Sums:
    """The sums of a single player; of several players the total, then each sum under its player's name."""
    if len(sums) == 1:
        return next(iter(sums.values()))
    terms = {"loss": tf.add_n([player.terms["loss"] for player in sums.values()])}
    statistics = {}
    for name, player in sums.items():
        for term, value in player.terms.items():
            if f"{name}_{term}" in terms:
                raise ValueError(
                    f"Two figures would be logged under the name '{name}_{term}'; one is the term "
                    f"{term!r} of the player {name!r}. Rename the term or the player."
                )
            terms[f"{name}_{term}"] = value
        for term, statistic in player.statistics.items():
            statistics[f"{name}_{term}"] = statistic._replace(objectives=("loss", f"{name}_loss"))
    return Sums(terms, statistics)


def _watched(sums: Sums) -> dict[str, tf.Tensor]:
    """The sums of a batch, with the batch statistics added to the objectives that they belong to."""
    terms = dict(sums.terms)
    for name, statistic in sums.statistics.items():
        terms[name] += statistic.total
        for objective_name in statistic.objectives:
            terms[objective_name] += statistic.weighted
    return terms
