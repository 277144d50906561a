"""`GenerativeModel`: what every family shares, from the constructor to the training step."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.bases.exporting import Exportable
from keras_genmod.bases.row_wise import RowWise
from keras_genmod.bases.saving import Saveable
from keras_genmod.bases.summarizing import Summarizable
from keras_genmod.core.batches import Batch, batch_size, unpack
from keras_genmod.core.checks import (
    ValueRange,
    check_event_shape,
    check_rows,
)
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.noise import (
    Purpose,
    add_noise_state,
    as_seed,
    check_seed,
    fold_in,
    replica_seed,
    stream_seed,
)
from keras_genmod.core.replicas import sum_over_replicas
from keras_genmod.core.rows import GraphCache
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.metrics.means import TermMeans
from keras_genmod.training.arguments import ExplainsCalls, explained
from keras_genmod.training.compiling import Compilable
from keras_genmod.training.fitting import Fittable
from keras_genmod.training.progress import add_data_position
from keras_genmod.training.stages import for_its_stage
from keras_genmod.training.step import (
    Player,
    SharedForward,
    Sums,
    apply_gradients,
    gradients,
    objective,
)

__all__ = ["GenerativeModel"]


class GenerativeModel(
    Compilable, Fittable, RowWise, Saveable, Exportable, Summarizable, ExplainsCalls, keras.Model
):
    """Base of all families: a `keras.Model` whose objective is a sum of named terms.

    A family with one objective writes `loss_terms` (and `term_weights` if not all weights are 1); the
    step, noise, replicas, logs, data checks, saving and export are here.

    A condition stands second, behind the rows that it belongs to: `fit(x, condition)`,
    `log_prob(x, condition)`, `decode(z, condition)`, `model([x, condition])`. `sample` takes it by name,
    `sample(10, condition=3)`, since a bare number there could be a seed.

    Args:
        event_shape: shape of one example, such as `(784,)` or `(28, 28, 1)`.
        num_classes: for a model conditioned on classes: how many; conditions are int `[B]` or one-hot
            `[B, num_classes]`.
        condition_shape: for a model conditioned on arrays: the shape of one; conditions are float
            `[B, *condition_shape]`.
        seed: of initial weights of default networks, of all noise and of the order of the data. None
            takes a fresh one, which `keras.utils.set_random_seed` makes repeatable.
        name, dtype, trainable: as for every Keras model.
    """

    # "exact", "lower_bound", "estimate" or "unnormalized" where the family has a `log_prob`.
    density: str | None = None
    # The terms that are statistics of a batch as a whole, and the number of rows that each needs. A smaller
    # batch is left out of their means; if every batch is, they and the objective are NaN.
    batch_statistics: Mapping[str, int] = {}

    @explained
    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_classes: int | None = None,
        condition_shape: Sequence[int] | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.event_shape = check_event_shape(event_shape)
        self._condition_spec = ConditionSpec.of(num_classes, condition_shape, self.real_dtype)
        self.num_classes = self._condition_spec.num_classes
        self.condition_shape = self._condition_spec.shape
        self.seed = check_seed(seed)
        # Only `train_step` advances it.
        self._noise_state = add_noise_state(self, self.seed, "noise_state")
        # Written when `fit` begins.
        self._data_position = add_data_position(self)
        # Of a run that `BackupAndRestore` backs up.
        self._run_position = None
        self._next_batch = 0
        self._term_means = TermMeans()
        self._micro_batches = 1
        self._watch_terms = False
        self._run = None
        self._warned_of_half = False
        # Its step cannot be divided: threads that draw at once get numbers of their own.
        self._sampling_numbers = itertools.count(1)
        self._graphs = GraphCache(version=lambda: self.stage)

    # ---- what a family writes -------------------------------------------------------------------

    def loss_terms(
        self, x: Any, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The terms of the objective, one value per example.

        Args:
            x: data `[B, *event_shape]`.
            condition: `[B, ...]`, None for an unconditional model.
            training: whether layers act as in training.
            seed: int32 `[2]`, of all noise in the terms.

        Returns:
            `{name: [B]}`, in nats where the family has a density.
        """
        raise TypeError(f"{type(self).__name__} must define `loss_terms`, or `players`.")

    def term_weights(self) -> Mapping[str, Any]:
        """Weights of terms by name, numbers or scalar tensors; those left out are 1.

        A term that is only a measure, logged and not minimised, has `keras_genmod.training.MEASURE` for a
        weight. Its mean is over examples without their weights.
        """
        return {}

    def value_range(self) -> ValueRange:
        """The values of `x` that the model accepts."""
        return ValueRange()

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """The optimizers of `compile()` without arguments, by name of the argument."""
        return {"optimizer": keras.optimizers.Adam(1e-3)}

    def _network_options(self, number: int) -> dict[str, Any]:
        """What default network number `number` is built with; each has a seed of its own."""
        return {
            "num_classes": self.num_classes,
            "condition_shape": self.condition_shape,
            "dtype": self.dtype_policy,
            "seed": None if self.seed is None else self.seed + number,
        }

    def _require_call(self) -> None:
        """Refuses to answer by `call` where a subclass has written none."""
        if type(self).call is keras.Model.call:
            raise TypeError(
                f"{type(self).__name__} must define `call(self, x, condition=None, training=False)`: "
                "`predict` and `export` give what it computes, such as a reconstruction or a log-density."
            )

    # ---- players --------------------------------------------------------------------------------

    def players(self) -> Sequence[Player]:
        """The players in the order of their updates; one objective is one player."""
        own = {"term_weights": self.term_weights, "batch_statistics": self.batch_statistics}
        return (Player("model", (self,), self.loss_terms, **own),)

    def _optimizer_of(self, player: Player) -> keras.optimizers.Optimizer:
        return self.optimizer

    def _shared_forward(self) -> SharedForward | None:
        return None

    # ---- noise ----------------------------------------------------------------------------------

    @property
    def training_steps(self) -> tf.Tensor:
        """Number of training steps done, int64; saved with the weights."""
        return tf.convert_to_tensor(self._noise_state)[1]

    def _training_seed(self) -> tf.Tensor:
        """The seed of this training step on this replica."""
        state = tf.convert_to_tensor(self._noise_state)
        return replica_seed(stream_seed(state[0], Purpose.TRAINING, state[1]))

    def _evaluation_seed(self) -> tf.Tensor:
        """A fixed seed for each batch of an evaluation: its number is the count of examples before it."""
        seed = tf.convert_to_tensor(self._noise_state)[0]
        return replica_seed(stream_seed(seed, Purpose.EVALUATION, self._term_means.num_examples()))

    def _sampling_seed(self, seed: Any) -> tf.Tensor:
        """The seed of a draw: the caller's, or the next of a stream that touches nothing saved."""
        if seed is not None:
            return as_seed(seed)
        state = tf.convert_to_tensor(self._noise_state)
        return stream_seed(state[0], Purpose.SAMPLING, next(self._sampling_numbers))

    def _fixed_seed(self) -> tf.Tensor:
        """The seed of figures that must not change from call to call, such as anomaly scores."""
        return stream_seed(0, Purpose.EVALUATION, 0)

    # ---- steps ----------------------------------------------------------------------------------

    def _unpack(self, data: Any) -> Batch:
        batch = unpack(data)
        # Bytes and booleans become floats here and one-hot classes numbers, a batch at a time.
        x = keras.tree.map_structure(lambda x: tf.cast(x, self.real_dtype), batch.x)
        return batch._replace(x=x, condition=self._condition_spec.standardize(batch.condition))

    @for_its_stage
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One update of every player, in their order.

        Args:
            data: a batch, see `keras_genmod.core.batches`.

        Returns:
            Running means of the objective and its terms.
        """
        batch = self._unpack(data)
        num_examples = batch_size(batch)
        global_num_examples = sum_over_replicas(tf.cast(num_examples, tf.float32))
        step = self.training_steps
        seed = self._training_seed()
        players = self.players()
        rounds = max(player.updates_per_step for player in players)
        sums = {}
        for number in range(rounds):
            round_seed = seed if rounds == 1 else fold_in(seed, number)
            shared = self._shared_forward()
            if shared is not None and number == rounds - 1 and self._micro_batches == 1:
                shared = SharedForward.recorded(shared.function, batch, round_seed)
            for player in players:
                # A player with fewer updates plays the last rounds.
                if number < rounds - player.updates_per_step:
                    continue
                optimizer = self._optimizer_of(player)
                grads, sums[player.name] = gradients(
                    player,
                    optimizer,
                    batch,
                    round_seed,
                    global_num_examples=global_num_examples,
                    micro_batches=self._micro_batches,
                    # The last player differentiates through the shared pass.
                    shared=shared if shared is None or player is players[-1] else shared.as_constant(),
                )
                apply_gradients(player, optimizer, grads)
        flat = self._logs_of(sums)
        if self._watch_terms:
            self._term_means.watch(_watched(flat), step)
        self._term_means.update_state(flat.terms, num_examples, flat.statistics)
        # The one place that advances the saved state of the noise.
        self._noise_state.assign_add([0, 1])
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The objective and its terms on a batch; changes no weight and no stream of noise."""
        batch = self._unpack(data)
        seed = self._evaluation_seed()
        shared = self._shared_forward()
        sums = {
            player.name: objective(player, batch, seed, training=False, shared=shared)
            for player in self.players()
        }
        sums = self._logs_of(sums)
        self._term_means.update_state(sums.terms, batch_size(batch), sums.statistics)
        return self.get_metrics_result()

    def predict_step(self, data: Any) -> Any:
        """What `call` gives; unlike Keras' own, it passes the condition on."""
        self._require_call()
        batch = self._unpack(data)
        if self._condition_spec:
            self._condition_spec.check_presence(batch.condition)
            return self(batch.x, condition=batch.condition, training=False)
        return self(batch.x, training=False)

    def watch_terms(self, on: bool = True) -> None:
        """Notes, from now on, the step at which a term of the objective was first not finite.

        Args:
            on: whether to watch; it costs a little of every step.
        """
        self._term_means.forget_bad_terms()
        if on != self._watch_terms:
            self._watch_terms = on
            self.make_train_function(force=True)

    def bad_terms(self) -> dict[str, int]:
        """The terms that were not finite while watched, with the number of the first such step."""
        return self._term_means.bad_terms()

    @property
    def metrics_names(self) -> list[str]:
        """Names of the logs, the objective first."""
        return [*self._term_means.names, *self._other_metrics()]

    def _other_metrics(self) -> list[str]:
        return [metric.name for metric in self.metrics if metric is not self._term_means]

    def _logs_of(self, sums: Mapping[str, Sums]) -> Sums:
        """The sums of all players under the names of the logs."""
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

    # ---- building and checking --------------------------------------------------------------------

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Nothing to build: every network is built in the constructor."""

    def check_data(self, x: Any, condition: Any = None) -> None:
        """Refuses data of a wrong shape, type or range, before anything is done with it.

        Args:
            x: array `[N, *event_shape]`.
            condition: array `[N, ...]`, None for an unconditional model.

        Raises:
            TypeError: for values that are no numbers.
            ValueError: for a wrong shape, NaN, infinite or outlying values, or a condition too many or
                too few.
        """
        check_rows("x", x, self.event_shape)
        accepted = self.value_range()
        accepted.check("x", np.asarray(x))
        self._warn_of_half(accepted, np.asarray(x[:256]))
        self._condition_spec.check_presence(condition)
        if condition is not None:
            self._condition_spec.check_values(condition)

    def _warn_of_half(self, accepted: ValueRange, x: np.ndarray) -> None:
        """Warns once of data in the upper half of a range about 0, such as pixels in [0, 1]."""
        symmetric = np.isfinite(accepted.high) and accepted.low == -accepted.high
        if self._warned_of_half or not symmetric or len(x) < 2 or x.min() < 0 or x.max() == x.min():
            return
        self._warned_of_half = True
        warn_user(
            f"`x` has values from {x.min():g} to {x.max():g} only, the upper half of the {accepted} that "
            f"this {type(self).__name__} is made for. Scale pixels to the whole range, `2 * x - 1` of values "
            "in [0, 1], or build the model with an output in [0, 1], such as a sigmoid."
        )

    # ---- configuration --------------------------------------------------------------------------

    def get_config(self) -> dict:
        """The constructor arguments that all families share."""
        return {
            **super().get_config(),
            "event_shape": self.event_shape,
            "num_classes": self.num_classes,
            "condition_shape": self.condition_shape,
            "seed": self.seed,
        }


def _flatten(sums: Mapping[str, Sums]) -> Sums:
    """The sums of one player as they are; of several the total, then each under its player's name."""
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
    """The sums of a batch, the statistics where they belong."""
    terms = dict(sums.terms)
    for name, statistic in sums.statistics.items():
        terms[name] += statistic.total
        for objective_name in statistic.objectives:
            terms[objective_name] += statistic.weighted
    return terms
