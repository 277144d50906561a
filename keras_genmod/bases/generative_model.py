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
from keras_genmod.core.batches import Batch, unpack
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
    replica_seed,
    stream_seed,
)
from keras_genmod.core.rows import GraphCache
from keras_genmod.core.spaces import check_parts
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.metrics.means import TermMeans
from keras_genmod.training.arguments import ExplainsCalls, explained
from keras_genmod.training.compiling import Compilable
from keras_genmod.training.fitting import Fittable
from keras_genmod.training.players import Player
from keras_genmod.training.progress import add_data_position
from keras_genmod.training.stepping import Stepping

__all__ = ["GenerativeModel"]


class GenerativeModel(
    Compilable, Stepping, Fittable, RowWise, Saveable, Exportable, Summarizable, ExplainsCalls, keras.Model
):
    """Base of all families: a `keras.Model` whose objective is a sum of named terms.

    A family with one objective writes `loss_terms`, and `term_weights` if not all weights are 1. The base
    does the rest: the step, noise, replicas, logs, data checks, saving and export.

    Networks compute in the dtype of their policy, which may be half precision. `call` and every other answer
    cast their outputs to `real_dtype`; terms of the objective are cast by the step.

    A condition is the second argument, after the rows that it belongs to: `fit(x, condition)`,
    `log_prob(x, condition)`, `decode(z, condition)`, `model([x, condition])`. `sample` takes it by name,
    `sample(10, condition=3)`, since a number without a name could be a seed.

    Args:
        event_shape: Shape of one example, such as `(784,)` or `(28, 28, 1)`.
        num_classes: Number of classes that the model is conditioned on; conditions are int `[B]` or one-hot
            `[B, num_classes]`. None: the model is not conditioned on classes.
        condition_shape: Shape of one condition, for a model conditioned on arrays; conditions are float
            `[B, *condition_shape]`. None: the model is not conditioned on arrays.
        seed: Seeds the default networks' initial weights, all noise and the data order. None takes a fresh
            seed, which `keras.utils.set_random_seed` makes repeatable.
        name, dtype, trainable: As for every Keras model.
    """

    # "exact", "lower_bound", "estimate" or "unnormalized" where the family has a `log_prob`.
    density: str | None = None
    # Terms that describe a batch as a whole -> number of rows that each needs. Their means leave out smaller
    # batches; if all batches are smaller, these terms and the objective are NaN.
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
        # The position of a run that `BackupAndRestore` backs up.
        self._run_position = None
        self._next_batch = 0
        self._term_means = TermMeans()
        self._micro_batches = 1
        self._watch_terms = False
        self._run = None
        self._warned_of_half = False
        # `next` is atomic, so that threads that draw at once get different numbers.
        self._sampling_numbers = itertools.count(1)
        self._graphs = GraphCache(version=lambda: self.stage)
        # The constructor builds every network, as `compile` checks: `fit` and `save` need no call before.
        self.built = type(self).build is keras.Model.build

    # ---- what a family writes -------------------------------------------------------------------

    def loss_terms(
        self, x: Any, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The terms of the objective, one value per example.

        A step may evaluate them several times, for micro-batches or rounds of updates. So they must change no
        state of the model: that moves in `advance_state`. Metrics may be updated here, since their means do
        not depend on how often a batch is evaluated.

        Args:
            x: Data `[B, *event_shape]`.
            condition: `[B, ...]`, None for an unconditional model.
            training: Whether layers act as in training.
            seed: int32 `[2]`, seed of all noise in the terms.

        Returns:
            `{name: [B]}`, in nats where the family has a density.
        """
        raise TypeError(f"{type(self).__name__} must define `loss_terms`, or `players`.")

    def term_weights(self) -> Mapping[str, Any]:
        """The weights of the terms by name, numbers or scalar tensors; a term that is left out has weight 1.

        The weight `keras_genmod.training.MEASURE` marks a term that is logged and not minimised, such as an
        accuracy. Example weights do not enter its mean.
        """
        return {}

    def value_range(self) -> ValueRange:
        """The values of `x` that the model accepts."""
        return ValueRange()

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """The optimizers that `compile()` takes for arguments that are not given, by the argument's name."""
        return {"optimizer": keras.optimizers.Adam(1e-3)}

    def _network_options(self, number: int) -> dict[str, Any]:
        """The options that default network number `number` is built with; each has a seed of its own."""
        return {
            "num_classes": self.num_classes,
            "condition_shape": self.condition_shape,
            "dtype": self.dtype_policy,
            "seed": None if self.seed is None else self.seed + number,
        }

    def _require_call(self) -> None:
        """Refuses `predict` and `export` of a subclass that has no `call`."""
        if type(self).call is keras.Model.call:
            raise TypeError(
                f"{type(self).__name__} must define `call(self, x, condition=None, training=False)`: "
                "`predict` and `export` give what it computes, such as a reconstruction or a log-density."
            )

    # ---- players --------------------------------------------------------------------------------

    def players(self) -> Sequence[Player]:
        """The players in the order of their updates; a model with one objective has one player."""
        return (
            Player(
                "model",
                (self,),
                self.loss_terms,
                self.term_weights,
                batch_statistics=self.batch_statistics,
            ),
        )

    # ---- noise ----------------------------------------------------------------------------------

    @property
    def training_steps(self) -> tf.Tensor:
        """Number of training steps done, int64; saved with the weights."""
        return tf.convert_to_tensor(self._noise_state)[1]

    def _training_seed(self) -> tf.Tensor:
        """The seed of this training step on this replica."""
        state = tf.convert_to_tensor(self._noise_state)
        return replica_seed(stream_seed(state[0], Purpose.TRAINING, state[1]))

    def _state_seed(self) -> tf.Tensor:
        """The seed of `advance_state` in this training step, the same on all replicas."""
        state = tf.convert_to_tensor(self._noise_state)
        return stream_seed(state[0], Purpose.STATE, state[1])

    def _evaluation_seed(self) -> tf.Tensor:
        """A fixed seed for each batch of an evaluation, from the number of examples before it."""
        seed = tf.convert_to_tensor(self._noise_state)[0]
        return replica_seed(stream_seed(seed, Purpose.EVALUATION, self._term_means.num_examples()))

    def _sampling_seed(self, seed: Any) -> tf.Tensor:
        """The seed of a draw: the caller's, or the next of a stream of its own, which is not saved."""
        if seed is not None:
            return as_seed(seed)
        state = tf.convert_to_tensor(self._noise_state)
        return stream_seed(state[0], Purpose.SAMPLING, next(self._sampling_numbers))

    def _fixed_seed(self) -> tf.Tensor:
        """The seed of results that must not change from call to call, such as anomaly scores."""
        return stream_seed(0, Purpose.EVALUATION, 0)

    # ---- steps ----------------------------------------------------------------------------------

    def _unpack(self, data: Any) -> Batch:
        batch = unpack(data)
        # Bytes and booleans become floats here and one-hot classes numbers, a batch at a time.
        x = keras.tree.map_structure(lambda x: tf.cast(x, self.real_dtype), batch.x)
        return batch._replace(x=x, condition=self._second_entry.standardize(batch.condition))

    def predict_step(self, data: Any) -> Any:
        """The result of `call` for a batch; unlike Keras' own step it passes the condition on."""
        self._require_call()
        batch = self._unpack(data)
        if self._condition_spec:
            self._condition_spec.check_presence(batch.condition)
            return self(batch.x, condition=batch.condition, training=False)
        return self(batch.x, training=False)

    # ---- building and checking --------------------------------------------------------------------

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Nothing to build: every network is built in the constructor."""

    def check_data(self, x: Any, condition: Any = None) -> None:
        """Refuses data of a wrong shape, type or range, before they are used.

        Args:
            x: Array `[N, *event_shape]`, or a dictionary of arrays of the model's `data_spaces`.
            condition: Array `[N, ...]`, None for an unconditional model. In paired translation the targets.

        Raises:
            TypeError: For values that are not numbers.
            ValueError: For a wrong shape, for NaN, infinite values or values out of range, or for a
                condition that is missing or not expected.
        """
        spaces = self.data_spaces()
        if spaces:
            check_parts("x", x, spaces)
            for space in spaces:
                self._warn_of_half(space.name, space.value_range, np.asarray(x[space.name][:256]))
        else:
            check_rows("x", x, self.event_shape)
            accepted = self.value_range()
            accepted.check("x", np.asarray(x))
            self._warn_of_half("x", accepted, np.asarray(x[:256]))
        self._second_entry.check_presence(condition)
        if condition is not None:
            self._second_entry.check_values(condition)

    def _warn_of_half(self, name: str, accepted: ValueRange, x: np.ndarray) -> None:
        """Warns once if data use only the upper half of a symmetric range, such as pixels in [0, 1]."""
        symmetric = np.isfinite(accepted.high) and accepted.low == -accepted.high
        if self._warned_of_half or not symmetric or len(x) < 2 or x.min() < 0 or x.max() == x.min():
            return
        self._warned_of_half = True
        warn_user(
            f"`{name}` has values from {x.min():g} to {x.max():g} only, the upper half of the {accepted} "
            f"that this {type(self).__name__} is made for. Scale pixels to the whole range, `2 * x - 1` of "
            "values in [0, 1], or build the model with an output in [0, 1], such as a sigmoid."
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
