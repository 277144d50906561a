r"""A restricted Boltzmann machine as plain tensors: energies, Gibbs steps and temperatures.

$$ E(v, h) = -\log w(v) - c \cdot h - v^T W h, \qquad
   F(v) = -\log w(v) - \sum_j \log(1 + e^{c_j + (v^T W)_j}) $$

At the inverse temperature $\beta$ all terms of the energy but those of the base density $w_0$ are multiplied
by $\beta$: $\log w_\beta(v) = (1 - \beta) \log w_0(v) + \beta \log w(v)$. At $\beta = 0$ units are
independent.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import tensorflow as tf

from keras_genmod.core.partition_functions import log_partition_of_bits
from keras_genmod.models.energy.visible_units import BernoulliUnits, Parameters, VisibleUnits
from keras_genmod.samplers import (
    annealed_importance_sampling,
    bernoulli_rows,
    categorical_rows,
    run_chain,
    swap_neighbours,
)

__all__ = ["MOST_EXACT_UNITS", "RestrictedMachine", "State"]

# The smaller side of a machine whose partition function is a sum over all of that side's states.
MOST_EXACT_UNITS = 20
# Noise streams of a step: hidden units, visible units, classes, swaps.
_STREAMS = 4


class State(NamedTuple):
    """The state of chains.

    Attributes:
        v: Features of the visible units, `[B, F]`.
        inputs: Total inputs of the hidden units, `[B, H]`: kept, so that each step needs one product each
            way.
        classes: Classes, int32 `[B]`, where the machine has a unit for them; `()` elsewhere, which loops pass
            on.
    """

    v: tf.Tensor
    inputs: tf.Tensor
    classes: Any = ()


@dataclasses.dataclass(frozen=True)
class RestrictedMachine:
    """The parameters of a machine, and what follows from them.

    Args:
        units: Kind of the visible units.
        weights: W, `[F, H]`.
        visible: Parameters of the visible units.
        hidden: Biases c of the hidden units, `[H]`, or `[B, H]` for one set a row.
        base: Parameters of the visible units at inverse temperature 0.
        offset: Constant that is subtracted from the energy, a scalar or `[B]`.
        class_weights, class_biases: U `[K, H]` and d `[K]` of a unit of K classes that the chains draw too;
            None without. A class that is given enters `hidden` and `offset` instead.
    """

    units: VisibleUnits
    weights: tf.Tensor
    visible: Parameters
    hidden: tf.Tensor
    base: Parameters
    offset: Any = 0.0
    class_weights: tf.Tensor | None = None
    class_biases: tf.Tensor | None = None

    # ---- energies ---------------------------------------------------------------------------------

    def inputs(self, v: tf.Tensor, classes: tf.Tensor | None = None) -> tf.Tensor:
        """The total inputs of the hidden units, `[B, H]`."""
        total = tf.matmul(v, self.weights) + self.hidden
        return total if classes is None else total + tf.gather(self.class_weights, classes)

    def free_energy(self, v: tf.Tensor, classes: tf.Tensor | None = None, inputs: Any = None) -> tf.Tensor:
        """F(v), or F(v, y) of given classes, `[B]`."""
        if inputs is None:
            inputs = self.inputs(v, classes)
        total = self.units.log_weight(v, self.visible) + tf.reduce_sum(tf.nn.softplus(inputs), axis=-1)
        if classes is not None:
            total += tf.gather(self.class_biases, classes)
        return -total - self.offset

    def field(self, h: tf.Tensor) -> tf.Tensor:
        """The field of hidden units on the visible ones, `[B, F]`."""
        return tf.matmul(h, self.weights, transpose_b=True)

    def visible_mean(self, h: tf.Tensor) -> tf.Tensor:
        """The means of the visible units' features given hidden units, `[B, F]`."""
        return self.units.mean(self.field(h), self.visible)

    def pseudo_nll(self, v: tf.Tensor, inputs: tf.Tensor, units: tf.Tensor) -> tf.Tensor:
        r"""D times $-\log p(v_d \mid v_{-d})$ of one binary unit d of each row, `[B]`.

        Args:
            v: `[B, D]`.
            inputs: The total inputs of the hidden units, `[B, H]`.
            units: d, int32 `[B]`.
        """
        change = 1.0 - 2.0 * tf.gather(v, units, batch_dims=1)
        other = inputs + change[:, None] * tf.gather(self.weights, units)
        # The log-odds of the other value.
        log_odds = change * tf.gather(self.visible[0], units)
        log_odds += tf.reduce_sum(tf.nn.softplus(other) - tf.nn.softplus(inputs), axis=-1)
        return self.units.num_units * tf.nn.softplus(log_odds)

    # ---- chains -----------------------------------------------------------------------------------

    def state(self, v: tf.Tensor, classes: tf.Tensor | None = None) -> State:
        """Rows of features as the state of chains."""
        return State(v, self.inputs(v, classes), () if classes is None else classes)

    def base_state(self, seeds: tf.Tensor) -> State:
        """Draws from the density at inverse temperature 0."""
        nothing = tf.zeros([tf.shape(seeds)[0], self.units.num_features], self.weights.dtype)
        # The streams of steps begin at 0.
        v = self.units.sample(nothing, self.base, seeds, 2**31 - 1)
        if self.class_biases is None:
            return self.state(v)
        zeros = tf.zeros([tf.shape(seeds)[0], self.class_biases.shape[0]], v.dtype)
        return self.state(v, categorical_rows(zeros, seeds, 2**31 - 2))

    def step(self, state: State, seeds: tf.Tensor, step: Any, beta: Any = None) -> State:
        """One step of block Gibbs sampling: hidden units, then visible units and classes.

        Args:
            state: State of the chains.
            seeds: int32 `[B, 2]`.
            step: Number of the step.
            beta: Inverse temperature, a scalar or `[B, 1]`; None is 1.
        """
        scaled = (lambda x: x) if beta is None else (lambda x: beta * x)
        stream = _STREAMS * step
        h = bernoulli_rows(scaled(state.inputs), seeds, stream)
        visible = self.visible if beta is None else self._tempered(beta)
        v = self.units.sample(scaled(self.field(h)), visible, seeds, stream + 1)
        if self.class_biases is None:
            return self.state(v)
        logits = self.class_biases + tf.matmul(h, self.class_weights, transpose_b=True)
        return self.state(v, categorical_rows(scaled(logits), seeds, stream + 2))

    def run(self, state: State, seeds: tf.Tensor, num_steps: Any, first_step: Any = 0) -> State:
        """A number of Gibbs steps."""
        return run_chain(self.step, state, seeds, num_steps, first_step=first_step)

    def clamped(self, v: tf.Tensor, given: tf.Tensor, seeds: tf.Tensor, num_steps: Any) -> tf.Tensor:
        """Gibbs steps that keep the features where `given`, bool `[B, F]`, is true: features `[B, F]`."""

        def transition(state: State, seeds: tf.Tensor, step: Any) -> State:
            return self.state(tf.where(given, v, self.step(state, seeds, step).v))

        start = tf.where(given, v, self.base_state(seeds).v)
        return run_chain(transition, self.state(start), seeds, num_steps).v

    def _tempered(self, beta: Any) -> Parameters:
        pairs = zip(self.base, self.visible, strict=True)
        return tuple((1.0 - beta) * base + beta * own for base, own in pairs)

    def tempered_step(self, state: State, seeds: tf.Tensor, step: Any, betas: tf.Tensor) -> State:
        """A Gibbs step at each temperature, then exchanges between neighbouring temperatures.

        Args:
            state: T C rows, those of the first temperature first.
            seeds: int32 `[T C, 2]`.
            step: Number of the step.
            betas: Inverse temperatures, `[T]`.
        """
        number = betas.shape[0]
        beta = tf.repeat(betas, tf.shape(seeds)[0] // number)[:, None]
        state = self.step(state, seeds, step, beta)
        apart = tf.nest.map_structure(
            lambda part: tf.reshape(part, tf.concat([[number, -1], tf.shape(part)[1:]], axis=0)), state
        )
        # The exchanges of a chain take the seed of its row at the first temperature.
        swapped, _ = swap_neighbours(
            lambda state, betas: self._log_density(state, betas[:, None, None]),
            apart,
            betas,
            seeds[: tf.shape(seeds)[0] // number],
            step,
            stream=_STREAMS * step + 3,
        )
        return tf.nest.map_structure(lambda part, old: tf.reshape(part, tf.shape(old)), swapped, state)

    def _log_density(self, state: State, beta: tf.Tensor) -> tf.Tensor:
        """The unnormalised log-density of states `[T, C, ...]` at inverse temperatures `[T, 1, 1]`."""
        total = self.units.log_weight(state.v, self._tempered(beta))
        total += tf.reduce_sum(tf.nn.softplus(beta * state.inputs), axis=-1)
        if self.class_biases is not None:
            total += beta[..., 0] * tf.gather(self.class_biases, state.classes)
        return total

    # ---- partition functions ------------------------------------------------------------------------

    def exact_log_partition(self) -> tf.Tensor | None:
        """Log Z by enumeration of the smaller side, or None if it has more than 20 units.

        Returns:
            `[]`, or `[B]` where each row has hidden biases of its own.
        """
        num_hidden = self.weights.shape[1]
        binary = isinstance(self.units, BernoulliUnits)
        over_visible = binary and self.units.num_units < num_hidden
        if min(num_hidden, self.units.num_units if binary else num_hidden) > MOST_EXACT_UNITS:
            return None
        # The sum over states is made in float64, and so are their energies.
        wide = self._in_float64()
        energy = wide._energy_of_visible if over_visible else wide._energy_of_hidden
        size = self.units.num_units if over_visible else num_hidden
        value = log_partition_of_bits(energy, size, dtype=tf.float64)
        return tf.cast(value, self.weights.dtype)

    def _in_float64(self) -> RestrictedMachine:
        changes = {
            field.name: tf.nest.map_structure(
                lambda part: tf.cast(part, tf.float64), getattr(self, field.name)
            )
            for field in dataclasses.fields(self)
            if field.name != "units" and getattr(self, field.name) is not None
        }
        return dataclasses.replace(self, **changes)

    def _energy_of_hidden(self, h: tf.Tensor) -> tf.Tensor:
        """-log of the sum of the weights of all visible states, `[..., N]` for states `[N, H]`."""
        biases = (
            tf.linalg.matvec(h, self.hidden) if self.hidden.shape.rank == 1 else self.hidden @ tf.transpose(h)
        )
        offset = self.offset[:, None] if self.hidden.shape.rank == 2 else self.offset
        return -biases - self.units.log_sum(self.field(h), self.visible) - offset

    def _energy_of_visible(self, v: tf.Tensor) -> tf.Tensor:
        """Free energies `[..., N]` of states `[N, D]`."""
        if self.hidden.shape.rank == 1:
            return self.free_energy(v)
        inputs = tf.matmul(v, self.weights) + self.hidden[:, None]
        total = self.units.log_weight(v, self.visible) + tf.reduce_sum(tf.nn.softplus(inputs), axis=-1)
        return -total - self.offset[:, None]

    def base_log_partition(self) -> tf.Tensor:
        """Log Z at inverse temperature 0, without the offset, float64."""
        nothing = tf.zeros([1, self.units.num_features], tf.float64)
        base = tuple(tf.cast(part, tf.float64) for part in self.base)
        hidden = self.weights.shape[1] * math.log(2.0)
        return self.units.log_sum(nothing, base)[0] + tf.constant(hidden, tf.float64)

    def annealed_log_weights(
        self, seeds: tf.Tensor, num_temperatures: int, start: State | None = None
    ) -> tf.Tensor:
        """Log weights of annealed importance sampling from the base, float64 `[B]`: their mean estimates Z.

        Args:
            seeds: int32 `[B, 2]`.
            num_temperatures: Number K of temperatures above the base.
            start: States to go back from, in place of the base's draws; then the inverse of their mean
                estimates Z.

        Returns:
            Log weights with the logarithm of the base's partition function: log w + log Z_0 forward,
            log w - log Z_0 in reverse, without the offset.
        """
        # Differences of neighbouring numbers enter the weights: they must add up to 1.
        betas = tf.cast(
            tf.linspace(tf.constant(0.0, tf.float64), 1.0, num_temperatures + 1), self.weights.dtype
        )
        state, base = start, self.base_log_partition()
        if state is None:
            state = self.base_state(seeds)
        else:
            betas, base = betas[::-1], -base
        result = annealed_importance_sampling(
            self.log_ratio,
            lambda state, beta, seeds, step: self.step(state, seeds, step, beta),
            state,
            seeds,
            betas,
        )
        return result.log_weights + base

    def log_ratio(self, state: State, old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        r"""$\log p^*_{new}(v) - \log p^*_{old}(v)$ for two inverse temperatures, `[B]`."""
        difference = new - old
        linear = self.units.log_weight(state.v, self.visible) - self.units.log_weight(state.v, self.base)
        changes = difference * state.inputs

        # Of softplus at two near points each would be rounded by more than they differ.
        def near() -> tf.Tensor:
            return tf.math.log1p(tf.sigmoid(old * state.inputs) * tf.math.expm1(changes))

        def far() -> tf.Tensor:
            return tf.nn.softplus(new * state.inputs) - tf.nn.softplus(old * state.inputs)

        hidden = tf.cond(tf.reduce_max(tf.abs(changes)) < 1.0, near, far)
        return difference * linear + tf.reduce_sum(hidden, axis=-1)
