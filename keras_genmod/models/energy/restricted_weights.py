"""The weights of a restricted Boltzmann machine: parameters, persistent chains, and their start from data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.bases import assign_equally, fold_in, row_seeds
from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import ValueRange
from keras_genmod.core.replicas import num_replicas, replica_id
from keras_genmod.models.energy.restricted_answers import RestrictedAnswers
from keras_genmod.models.energy.restricted_machine import RestrictedMachine, State

__all__ = ["RestrictedWeights"]

# Rows of the data that the start depends on.
_INITIAL_ROWS = 10_000
# How much of the mean activities is kept in a step.
_ACTIVITY_DECAY = 0.9


class RestrictedWeights(RestrictedAnswers):
    """The part of `RBM` that owns its weights and its state."""

    visible: str
    method: str
    num_gibbs_steps: int
    num_temperatures: int
    num_values: int | None
    centering: bool
    sparsity_target: float | None
    seed: int | None
    distribute_strategy: tf.distribute.Strategy

    if TYPE_CHECKING:

        def _state_seed(self) -> tf.Tensor: ...

    # ---- weights --------------------------------------------------------------------------------------

    def _add_parameters(self) -> None:
        num, dtype = self._units.num_features, self.real_dtype.name
        normal = keras.initializers.RandomNormal(stddev=0.01, seed=self.seed)

        def add(name: str, shape: Sequence[int], start: Any = "zeros") -> keras.Variable:
            return self.add_weight(shape=shape, initializer=start, dtype=dtype, autocast=False, name=name)

        self._kernel = add("kernel", (num, self.hidden_dim), normal)
        self._visible_bias = add("visible_bias", (num,))
        self._hidden_bias = add("hidden_bias", (self.hidden_dim,))
        self._others = [add(name, (num,)) for name in self._units.other_parameters]
        self._class_weights = self._class_biases = None
        if self.num_classes is not None:
            normal = keras.initializers.RandomNormal(
                stddev=0.01, seed=None if self.seed is None else self.seed + 1
            )
            self._class_weights = add("class_weights", (self.num_classes, self.hidden_dim), normal)
            self._class_biases = add("class_biases", (self.num_classes,))

    def _add_state(
        self, name: str, shape: Sequence[int], start: Any, dtype: str | None = None
    ) -> keras.Variable:
        return self.add_weight(
            shape=shape,
            initializer=start,
            dtype=dtype or self.real_dtype.name,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name=name,
        )

    def _add_chains(self) -> None:
        num = self._units.num_features
        centre = keras.initializers.Constant(self._units.centre)
        # What is subtracted from the features, and the parameters of the base density.
        self._offsets = self._add_state("offsets", (num,), centre if self.centering else "zeros")
        base = self._units.parameters_of(np.full(num, self._units.centre), np.ones(num))
        self._base = [
            self._add_state(f"base_{index}", (num,), keras.initializers.Constant(float(part[0])))
            for index, part in enumerate(base)
        ]
        self._started = self._add_state("started", (), "zeros", "int32")
        self._chains = self._chain_classes = self._activity = None
        if self.sparsity_target is not None:
            start = keras.initializers.Constant(self.sparsity_target)
            self._activity = self._add_state("activity", (self.hidden_dim,), start)
        if self.method != "cd":
            rows = self.num_chains * (self.num_temperatures if self.method == "tempering" else 1)
            self._chains = self._add_state("chains", (rows, num), "zeros")
            if self.num_classes is not None:
                self._chain_classes = self._add_state("chain_classes", (rows,), "zeros", "int32")
            self._start_chains()

    def _start_chains(self) -> None:
        """Starts the persistent chains at draws of the base density."""
        if self._chains is None:
            return
        seeds = row_seeds(fold_in(self._state_seed(), -1), 0, self._chains.shape[0])
        state = self._machine(joint=True).base_state(seeds)
        self._chains.assign(state.v)
        if self._chain_classes is not None:
            self._chain_classes.assign(state.classes)

    def _machine(self, condition: Any = None, *, joint: bool = False) -> RestrictedMachine:
        """The machine given classes; `joint` has a unit for the class instead."""
        weights, visible, hidden, offsets = (
            tf.convert_to_tensor(w)
            for w in (self._kernel, self._visible_bias, self._hidden_bias, self._offsets)
        )
        if self.centering:
            visible = visible - 0.5 * tf.reduce_sum(weights, axis=1)
            hidden = hidden - tf.linalg.matvec(weights, offsets, transpose_a=True)
        parameters = (visible, *(tf.exp(tf.convert_to_tensor(w)) for w in self._others))
        base = tuple(tf.convert_to_tensor(part) for part in self._base)
        if self._class_weights is None:
            return RestrictedMachine(self._units, weights, parameters, hidden, base)
        class_weights, biases = (tf.convert_to_tensor(w) for w in (self._class_weights, self._class_biases))
        if joint:
            return RestrictedMachine(
                self._units, weights, parameters, hidden, base, 0.0, class_weights, biases
            )
        if condition is None:
            return RestrictedMachine(self._units, weights, parameters, hidden, base)
        hidden = hidden + tf.gather(class_weights, condition)
        return RestrictedMachine(self._units, weights, parameters, hidden, base, tf.gather(biases, condition))

    # ---- state that moves once a step --------------------------------------------------------------------

    def _chain_state(self) -> State:
        """The persistent chains (at temperature 1), without their inputs."""
        if self._chains is None:
            raise RuntimeError("method='cd' keeps no chains. Use method='pcd' or 'tempering'.")
        v = tf.convert_to_tensor(self._chains)[-self.num_chains :]
        if self._chain_classes is None:
            return State(v, tf.zeros([0]))
        return State(v, tf.zeros([0]), tf.convert_to_tensor(self._chain_classes)[-self.num_chains :])

    def advance_state(self, batch: Batch, *, seed: tf.Tensor, shared: Any) -> None:
        """Moves the persistent chains and the mean activities.

        Args:
            batch: The examples of this replica.
            seed: int32 `[2]`, the same on all replicas.
            shared: None.
        """
        if self._chains is not None:
            self._move_chains(seed)
        if self._activity is not None:
            machine = self._machine(joint=True)
            rows = tf.sigmoid(machine.inputs(self._units.features(batch.x), batch.condition))
            assign_equally(
                self._activity,
                lambda old, rows: (
                    _ACTIVITY_DECAY * old + (1.0 - _ACTIVITY_DECAY) * tf.reduce_mean(rows, axis=0)
                ),
                rows=rows,
            )

    def _move_chains(self, seed: tf.Tensor) -> None:
        """Moves each replica's share of the chains, each chain with noise of its own."""
        machine = self._machine(joint=True)
        v = tf.convert_to_tensor(self._chains)
        classes = None if self._chain_classes is None else tf.convert_to_tensor(self._chain_classes)
        seeds = row_seeds(seed, 0, v.shape[0])
        replicas = num_replicas()
        if self.method == "tempering":
            betas = tf.linspace(tf.zeros([], v.dtype), tf.ones([], v.dtype), self.num_temperatures)
            state = machine.state(v, classes)
            for step in range(self.num_gibbs_steps):
                state = machine.tempered_step(state, seeds, step, betas)
            moved, share = state, None
        elif replicas > 1 and v.shape[0] % replicas == 0 and replica_id() is not None:
            size = v.shape[0] // replicas
            first = size * replica_id()
            share = slice(first, first + size)
            part = machine.state(v[share], None if classes is None else classes[share])
            moved = machine.run(part, seeds[share], self.num_gibbs_steps)
        else:
            moved, share = machine.run(machine.state(v, classes), seeds, self.num_gibbs_steps), None

        def move(variable: keras.Variable, part: tf.Tensor) -> None:
            if share is None:
                assign_equally(variable, lambda old, rows: part)
            else:
                assign_equally(variable, lambda old, rows: rows, rows=part)

        move(self._chains, moved.v)
        if self._chain_classes is not None:
            move(self._chain_classes, moved.classes)

    # ---- data ---------------------------------------------------------------------------------------------

    def value_range(self) -> ValueRange:
        """The values that the visible units have."""
        return self._units.value_range()

    def initialize(self, x: Any, condition: Any = None) -> None:
        """Data-dependent start: visible biases, offsets and chains from the data's rates. `fit` does it once.

        Args:
            x: Data `[B, *event_shape]`; at least some hundred examples.
            condition: One class per row.
        """
        rows = self._as_rows(x)
        self._units.check(rows.numpy())
        v = self._units.features(rows).numpy().astype(np.float64)
        mean, variance = v.mean(axis=0), v.var(axis=0)
        # One more example of equal rates: no rate is 0 or 1, no variance 0.
        if self.visible != "gaussian":
            mean = (len(v) * mean + self._units.centre) / (len(v) + 1)
        parameters = self._units.parameters_of(mean, np.maximum(variance, 1e-2))
        for variable, value in zip(self._base, parameters, strict=True):
            variable.assign(value)
        self._visible_bias.assign(parameters[0])
        for variable, value in zip(self._others, parameters[1:], strict=True):
            variable.assign(np.log(value))
        if self.centering:
            self._offsets.assign(mean)
        if condition is not None and self._class_biases is not None:
            classes = np.asarray(self._condition_spec.rows(condition, len(v)))
            counts = np.bincount(classes, minlength=int(self._class_biases.shape[0])) + 1.0
            self._class_biases.assign(np.log(counts / counts.sum()))
        self._start_chains()
        self._started.assign(1)

    def _initialize_from_data(self, initial_rows: Callable[[int], Batch] | None) -> None:
        if initial_rows is None or int(self._started.numpy()):
            return
        batch = initial_rows(_INITIAL_ROWS)
        with self.distribute_strategy.scope():
            self.initialize(np.asarray(batch.x), batch.condition)

    def set_parameters(self, *, weights: Any, visible_bias: Any, hidden_bias: Any) -> None:
        """Sets the parameters of the energy, such as those of another program; `fit` continues from them.

        Args:
            weights: W, `[F, hidden_dim]`, where F is the number of values of an example (of indicators, for
                categorical units).
            visible_bias: b, `[F]`.
            hidden_bias: c, `[hidden_dim]`.

        Raises:
            ValueError: If a shape does not fit.
        """
        given = {"weights": weights, "visible_bias": visible_bias, "hidden_bias": hidden_bias}
        variables = (self._kernel, self._visible_bias, self._hidden_bias)
        for (name, value), variable in zip(given.items(), variables, strict=True):
            if np.shape(value) != tuple(variable.shape):
                raise ValueError(
                    f"`{name}` must have shape {tuple(variable.shape)}; received {np.shape(value)}. "
                    "Transpose it, or build the model for it."
                )
        weights = np.asarray(weights, np.float64)
        visible, hidden = np.asarray(visible_bias, np.float64), np.asarray(hidden_bias, np.float64)
        if self.centering:
            visible = visible + 0.5 * weights.sum(axis=1)
            hidden = hidden + self._offsets.numpy() @ weights
        for variable, value in zip(variables, (weights, visible, hidden), strict=True):
            variable.assign(value)
        self._started.assign(1)

    def parameters(self) -> dict[str, tf.Tensor]:
        """The parameters of the energy: `weights` `[F, H]`, `visible_bias` `[F]`, `hidden_bias` `[H]`."""
        machine = self._machine()
        return {"weights": machine.weights, "visible_bias": machine.visible[0], "hidden_bias": machine.hidden}
