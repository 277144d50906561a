"""What a restricted Boltzmann machine answers: samples, hidden units, reconstructions, classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.bases import ROW_SEEDS, SamplesByRow
from keras_genmod.core.checks import ValueRange, check_integer
from keras_genmod.core.noise import row_seeds
from keras_genmod.core.spaces import Space
from keras_genmod.models.energy.annealed_density import AnnealedDensity
from keras_genmod.models.energy.restricted_machine import RestrictedMachine, State
from keras_genmod.models.energy.visible_units import CategoricalUnits, VisibleUnits
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["RestrictedAnswers"]


class RestrictedAnswers(SamplesByRow, AnnealedDensity):
    """The part of `RBM` that answers questions; all answers follow from `_machine`."""

    hidden_dim: int
    sampling_steps: int
    num_chains: int
    _units: VisibleUnits

    if TYPE_CHECKING:

        def _machine(self, condition: Any = None, *, joint: bool = False) -> RestrictedMachine: ...

    # ---- energies -----------------------------------------------------------------------------------

    def _energy(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        return self._machine(condition).free_energy(self._units.features(x))

    def _exact_log_partition(self, condition: Any = None) -> tf.Tensor | None:
        return self._machine(condition).exact_log_partition()

    def _annealed_log_weights(
        self, seeds: tf.Tensor, num_temperatures: int, condition: Any, start: Any
    ) -> tf.Tensor:
        machine = self._machine(condition)
        state = None if start is None else machine.state(self._units.features(start))
        log_weights = machine.annealed_log_weights(seeds, num_temperatures, state)
        offset = tf.cast(machine.offset, tf.float64)
        return log_weights + (offset if start is None else -offset)

    # ---- hidden units -------------------------------------------------------------------------------

    def hidden_space(self) -> Space:
        """The space of hidden units, or of their probabilities."""
        return Space("z", (self.hidden_dim,), self.real_dtype, ValueRange(0.0, 1.0))

    def latent_space(self) -> Space:
        """The space of hidden units, which are this model's latent variables."""
        return self.hidden_space()

    def encode(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The probabilities of the hidden units given examples, `[B, hidden_dim]`.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One class for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows("encode", self._encode, x, condition, batch_size=batch_size)

    def decode(self, z: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The means of the visible units given hidden ones, `[B, *event_shape]`.

        Categorical units give their most probable value.

        Args:
            z: Hidden units, or their probabilities, `[B, hidden_dim]`.
            condition: One class for all rows, or one per row. It does not enter, since visible units depend
                on the hidden ones alone.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows(
            "decode", self._decode, z, condition, space=self.hidden_space(), batch_size=batch_size
        )

    def reconstruct(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The means of the visible units given the hidden units' probabilities, `[B, *event_shape]`.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One class for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows("reconstruct", self._reconstruct, x, condition, batch_size=batch_size)

    def _encode(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return tf.sigmoid(self._machine(condition).inputs(self._units.features(x)))

    def _decode(self, z: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return self._units.values(self._machine().visible_mean(z))

    def _reconstruct(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return self._decode(self._encode(x, condition), condition)

    # ---- samples ------------------------------------------------------------------------------------

    def sample(
        self,
        num_samples: int,
        *,
        condition: Any = None,
        num_steps: int | None = None,
        start: Any = None,
        thinning: int | None = None,
        seed: Any = None,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """Draws by Gibbs sampling, `[num_samples, *event_shape]`.

        Every sample is the end of a chain of its own, unless `thinning` is given. A model that was trained
        by few steps from a given start (`method="cd"`) may give its best samples after as many steps from
        such a start: then say so by `start` and `num_steps`.

        Args:
            num_samples: Number of samples to draw.
            condition: One class for all samples, or one per sample.
            num_steps: Number of steps from the start; None takes `sampling_steps`.
            start: Examples `[S, *event_shape]` to start from, in turn; None draws independent units with the
                rates of the training data.
            thinning: Number of steps between two samples of one chain. There are then S chains
                (`num_chains` of them without a start), and their samples depend on each other.
            seed: Integer or two integers; None gives new samples at every call.
            batch_size: Chains in one pass, which bounds memory; None uses the model's default.

        Cost: `num_steps` times two products with the weights for each chain.

        Reference: Equilibrium and Non-Equilibrium Regimes in the Learning of Restricted Boltzmann Machines,
        Decelle, Furtlehner and Seoane, 2021.
        """
        num_samples = check_integer("num_samples", num_samples)
        steps = self.sampling_steps if num_steps is None else check_integer("num_steps", num_steps, minimum=0)
        if start is None and thinning is None:
            return self._sample(num_samples, condition, seed, batch_size, num_steps=steps)
        rows = None if start is None else self._units.features(self._as_rows(start))
        number = num_samples
        if thinning is not None:
            thinning = check_integer("thinning", thinning)
            number = min(number, self.num_chains if rows is None else int(rows.shape[0]))
        seeds = row_seeds(self._sampling_seed(seed), 0, number)
        condition = self._condition_spec.rows(condition, number)
        if rows is None:
            v = self._graphs.get("base", lambda seeds: self._machine().base_state(seeds).v)(seeds)
        else:
            v = tf.gather(rows, tf.range(number) % tf.shape(rows)[0])
        run = self._graphs.get("chain", self._moved)
        v = run(v, seeds, condition, tf.constant(steps), tf.constant(0))
        parts = [v]
        while len(parts) * number < num_samples:
            apart = int(thinning or 1)
            first = tf.constant(steps + (len(parts) - 1) * apart)
            v = run(v, seeds, condition, tf.constant(apart), first)
            parts.append(v)
        return self._units.values(tf.concat(parts, axis=0)[:num_samples])

    def _moved(self, v: tf.Tensor, seeds: tf.Tensor, condition: Any, num_steps: Any, first: Any) -> tf.Tensor:
        machine = self._machine(condition)
        return machine.run(machine.state(v), seeds, num_steps, first).v

    def _sample_rows(
        self, seeds: tf.Tensor, condition: Any = None, num_steps: int | None = None
    ) -> tf.Tensor:
        machine = self._machine(condition)
        num_steps = self.sampling_steps if num_steps is None else num_steps
        return self._units.values(machine.run(machine.base_state(seeds), seeds, num_steps).v)

    def inpaint(
        self,
        x: Any,
        mask: Any,
        condition: Any = None,
        *,
        num_steps: int | None = None,
        seed: Any = None,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """Draws the values that are not given, and keeps the others, `[B, *event_shape]`.

        A Gibbs chain whose given values are put back after each step has p(rest | given) as its stationary
        distribution.

        Args:
            x: Data `[B, *event_shape]`. Values at places that are not given do not matter, but must be in the
                model's range.
            mask: 1 where a value is given, 0 where it is to be drawn: `event_shape` for all rows or
                `[B, *event_shape]`.
            condition: One class for all rows, or one per row.
            num_steps: Number of steps; None takes `sampling_steps`.
            seed: Integer or two integers; None gives new samples at every call.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.

        Cost: as `sample`.
        """
        steps = self.sampling_steps if num_steps is None else check_integer("num_steps", num_steps, minimum=0)
        x = self._as_rows(x)
        mask = np.asarray(mask)
        if mask.shape == self.event_shape:
            mask = np.broadcast_to(mask, x.shape)
        seeds = row_seeds(self._sampling_seed(seed), 0, tf.shape(x)[0])
        return self._map_rows(
            ("inpaint", steps),
            lambda x, mask, seeds, condition: self._inpainted(x, mask, seeds, condition, steps),
            (x, mask, seeds),
            condition,
            space=(self.event_space(), self._mask_space(), ROW_SEEDS),
            batch_size=batch_size,
        )

    def _mask_space(self) -> Space:
        return Space("mask", self.event_shape, self.real_dtype, ValueRange(0, 1, integer=True))

    def _inpainted(
        self, x: tf.Tensor, mask: tf.Tensor, seeds: tf.Tensor, condition: Any = None, steps: int | None = None
    ) -> tf.Tensor:
        given = mask
        if isinstance(self._units, CategoricalUnits):
            given = tf.repeat(tf.reshape(mask, [-1, self._units.num_units]), self._units.num_values, axis=-1)
        given = tf.reshape(given, [-1, self._units.num_features]) > 0.5
        steps = self.sampling_steps if steps is None else steps
        drawn = self._machine(condition).clamped(self._units.features(x), given, seeds, steps)
        return tf.where(mask > 0.5, x, self._units.values(drawn))

    # ---- classes ------------------------------------------------------------------------------------

    def class_probs(self, x: Any, *, batch_size: int | None = None) -> tf.Tensor:
        r"""The exact probabilities of the classes, `[B, num_classes]`.

        $$ p(y \mid x) = \frac{e^{-F(x, y)}}{\sum_{y'} e^{-F(x, y')}} $$

        Args:
            x: Data `[B, *event_shape]`.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.

        Raises:
            ValueError: If the model has no classes.

        Cost: a product with the weights, and `num_classes` sums over hidden units.
        """
        if self.num_classes is None:
            raise ValueError(
                f"This {type(self).__name__} was built without `num_classes`, so it has no classes to tell "
                "apart. Build it with num_classes=..., and fit it on `(x, classes)`."
            )
        number = self.num_classes

        def probs(x: tf.Tensor, condition: Any = None) -> tf.Tensor:
            return self._class_probs(x)

        # The base asks for a condition, which does not enter.
        return self._map_rows("class_probs", probs, x, number - 1, batch_size=batch_size)

    def predict_classes(self, x: Any, *, batch_size: int | None = None) -> tf.Tensor:
        """The most probable class of each example, int32 `[B]`; arguments as in `class_probs`.

        Args:
            x: Data `[B, *event_shape]`.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return tf.argmax(self.class_probs(x, batch_size=batch_size), axis=-1, output_type=tf.int32)

    def _class_probs(self, x: tf.Tensor) -> tf.Tensor:
        machine = self._machine(joint=True)
        common = machine.inputs(self._units.features(x))
        inputs = common[:, None] + machine.class_weights
        return tf.nn.softmax(machine.class_biases + tf.reduce_sum(tf.nn.softplus(inputs), axis=-1))

    # ---- state and endpoints --------------------------------------------------------------------------

    def chains(self) -> tf.Tensor:
        """The present states of the persistent chains, `[num_chains, *event_shape]`."""
        return self._units.values(self._chain_state().v[-self.num_chains :])

    if TYPE_CHECKING:

        def _chain_state(self) -> State: ...

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """The endpoints by name.

        They are `energy`, `anomaly_score`, `log_prob`, `encode`, `decode`, `reconstruct`, `inpaint`,
        `sample`, `sample_rows`, and `class_probs` where there are classes. Chains take `sampling_steps`
        steps.

        Args:
            max_samples: Largest number of samples that one request to `sample` may ask for.
            num_samples: Ignored.
        """
        x = self._inputs(self.event_space())

        def named(output: str, function: Callable) -> Callable:
            return lambda *inputs: {output: function(*inputs)}

        endpoints = {
            **self._density_endpoints(),
            "encode": Endpoint(named("z", self._encode), x),
            "decode": Endpoint(named("x", self._decode), self._inputs(self.hidden_space())),
            "reconstruct": Endpoint(named("reconstruction", self._reconstruct), x),
            "inpaint": Endpoint(
                named("x", self._inpainted), self._inputs(self.event_space(), self._mask_space(), ROW_SEEDS)
            ),
            **self._sample_endpoints(max_samples),
        }
        if self.num_classes is not None:
            endpoints["class_probs"] = Endpoint(named("probs", self._class_probs), [self.event_space()])
        return endpoints

    def filters(self) -> tf.Tensor:
        """The weights of each hidden unit in the shape of an example, `[hidden_dim, *event_shape]`.

        Categorical units have one picture for each value, `[hidden_dim, *event_shape, num_values]`.
        """
        shape = list(self.event_shape)
        if isinstance(self._units, CategoricalUnits):
            shape.append(self._units.num_values)
        return tf.reshape(tf.transpose(self._machine().weights), [-1, *shape])

    def _weights_of_energy(self) -> list[keras.Variable]:
        return [*self.trainable_variables, self._offsets]

    _offsets: keras.Variable
