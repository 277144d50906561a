"""The answers of models whose density is known up to a constant: energies and the partition function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.rows import GraphCache
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["LogPartition", "UnnormalizedDensity"]

if TYPE_CHECKING:
    # The host's answers about rows, of which this part adds more.
    from keras_genmod.bases.row_wise import RowWise as _RowWise
else:
    _RowWise = object


class LogPartition(NamedTuple):
    """The logarithm of a partition function, nats.

    Attributes:
        value: log Z, `[]`, or `[B]` for one condition a row.
        error: Its standard error, of the same shape; 0 where the value is exact.
    """

    value: tf.Tensor
    error: tf.Tensor


class UnnormalizedDensity(_RowWise):
    r"""The part of a `GenerativeModel` that follows from an energy; a family writes `_energy`.

    $$ p(x) = \frac{e^{-E(x)}}{Z}, \qquad Z = \sum_x e^{-E(x)} $$

    with an integral for real data. Energies tell two examples apart without Z. `log_prob` needs Z, which the
    family computes in `_exact_log_partition`, where all states can be enumerated, or estimates in
    `_estimate_log_partition`. `core.partition_functions` enumerates bits and averages weights.

    In a conditional model each condition has an energy and a Z of its own. Energies under different
    conditions therefore cannot be compared; values of `log_prob` can.
    """

    event_shape: tuple[int, ...]
    real_dtype: tf.DType
    _condition_spec: ConditionSpec
    _graphs: GraphCache

    density: str | None = "unnormalized"
    _default_endpoint = "energy"

    if TYPE_CHECKING:

        def _fixed_seed(self) -> tf.Tensor: ...
        def _sampling_seed(self, seed: Any) -> tf.Tensor: ...

    # ---- what a family writes -------------------------------------------------------------------

    def _energy(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The energy E(x) of rows in the real dtype, `[B]` nats, up to a constant; a family writes it."""
        raise TypeError(f"{type(self).__name__} must define `_energy(x, condition, training)`.")

    def _exact_log_partition(self, condition: Any = None) -> tf.Tensor | None:
        """The exact log Z of each condition, or None where there are too many states to enumerate.

        Args:
            condition: Rows `[C, ...]`, None for an unconditional model.

        Returns:
            `[C]`, or `[]` for an unconditional model.
        """
        return None

    def _estimate_log_partition(
        self, num_samples: int, seed: tf.Tensor, condition: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """An estimate of log Z for each condition, and its standard error.

        Args:
            num_samples: Number of weights in the estimate.
            seed: int32 `[2]`.
            condition: Rows `[C, ...]`, None for an unconditional model.

        Returns:
            Two tensors `[C]`, or `[]` for an unconditional model.
        """
        raise TypeError(
            f"{type(self).__name__} must define `_estimate_log_partition(num_samples, seed, condition)`, or "
            "`_exact_log_partition(condition)` for every size of the model."
        )

    # ---- energies -------------------------------------------------------------------------------

    def call(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The energy E(x), `[B]` nats, up to a constant."""
        x = tf.cast(x, self.real_dtype)
        condition = self._condition_spec.rows(condition, x.shape[0] or tf.shape(x)[0])
        return self._energy(x, condition, training)

    def energy(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The energy E(x) = -log p(x) - log Z, `[B]` nats: the lower, the more likely.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.

        Cost: one pass through the network. No partition function is needed.
        """
        return self._map_rows("energy", self._energy, x, condition, batch_size=batch_size)

    def anomaly_score(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The energy E(x), `[B]` nats; larger is stranger.

        It differs from -log p(x) by log Z, which is the same for all examples of one condition.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self.energy(x, condition, batch_size=batch_size)

    # ---- the partition function -----------------------------------------------------------------

    def log_partition(
        self, condition: Any = None, *, method: str = "auto", num_samples: int = 1000, seed: Any = None
    ) -> LogPartition:
        """The logarithm of the partition function at the present weights, with its standard error.

        Nothing is cached, since every training step changes the weights. To use one value for many calls of
        `log_prob`, pass it as `log_partition=`.

        Args:
            condition: None for an unconditional model; one condition, or one per row `[B, ...]`. Rows that
                are equal share one computation.
            method: "exact" enumerates all states; "estimate" draws; "auto" is exact where the model can
                enumerate its states, and an estimate elsewhere.
            num_samples: Number of weights in an estimate.
            seed: Seed of an estimate, an integer or two integers; None takes the same at every call.

        Returns:
            `value` and `error`, `[]` or `[B]` for one condition a row. The error of an exact value is 0. The
            estimate of Z has no bias. Its logarithm is therefore too low on average, by about half of its
            squared error, and a `log_prob` made with it is too high.

        Raises:
            ValueError: For another method, or for "exact" where there are too many states.

        Cost: that of an energy of each state (2^D states for D binary units) or sample, for each different
        condition.
        """
        if method not in ("auto", "exact", "estimate"):
            raise ValueError(f"`method` must be 'auto', 'exact' or 'estimate'; received {method!r}.")
        num_samples = check_integer("num_samples", num_samples, minimum=2)
        self._condition_spec.check_presence(condition)
        if condition is None:
            return self._partition_of(None, method, num_samples, seed)
        rows, single = self._rows_of(condition)
        if hasattr(rows, "numpy"):
            different, numbers = np.unique(rows.numpy(), axis=0, return_inverse=True)
            found = self._partition_of(tf.constant(different, rows.dtype), method, num_samples, seed)
            found = LogPartition(*(tf.gather(part, numbers.reshape(-1)) for part in found))
        else:
            found = self._partition_of(rows, method, num_samples, seed)
        return LogPartition(found.value[0], found.error[0]) if single else found

    def _rows_of(self, condition: Any) -> tuple[tf.Tensor, bool]:
        """A condition as rows `[B, ...]`, and whether it was a single one, which becomes one row."""
        shape = condition.shape if tf.is_tensor(condition) else np.shape(condition)
        single = len(shape) == len(self._condition_spec.row_shape)
        return self._condition_spec.rows(condition, 1 if single else shape[0]), single

    def _partition_of(self, condition: Any, method: str, num_samples: int, seed: Any) -> LogPartition:
        if method != "estimate":
            graph = self._graphs.get("exact_log_partition", _known(self._exact_log_partition))
            (value,) = graph(condition)
            if value is not None:
                return LogPartition(value, tf.zeros_like(value))
            if method == "exact":
                raise ValueError(
                    f"method='exact' needs a {type(self).__name__} whose states can be enumerated; this one, "
                    f"over events of shape {self.event_shape}, has too many. Use method='estimate'."
                )
        start = self._fixed_seed() if seed is None else self._sampling_seed(seed)
        graph = self._graphs.get(
            ("estimate_log_partition", num_samples),
            lambda condition, start: self._estimate_log_partition(num_samples, start, condition),
        )
        return LogPartition(*graph(condition, start))

    def log_prob(
        self,
        x: Any,
        condition: Any = None,
        *,
        log_partition: Any = None,
        num_samples: int = 1000,
        seed: Any = None,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """The log-density log p(x) = -E(x) - log Z, `[B]` nats.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            log_partition: What `log_partition(condition)` gave, or a number or `[B]` for log Z; None computes
                it anew. After a training step it must be computed anew.
            num_samples: Number of weights where log Z is estimated.
            seed: Seed of that estimate, an integer or two integers; None takes the same at every call.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.

        Returns:
            `[B]`. All rows of one condition share the error of log Z, which `log_partition` gives with its
            value. Their differences are exact.

        Cost: one pass through the network, and that of `log_partition` unless its result is passed.
        """
        energy = self.energy(x, condition, batch_size=batch_size)
        if log_partition is None:
            log_partition = self.log_partition(condition, num_samples=num_samples, seed=seed)
        value = log_partition.value if isinstance(log_partition, LogPartition) else log_partition
        value = tf.cast(value, energy.dtype)
        if value.shape.rank and value.shape[0] != energy.shape[0]:
            raise ValueError(
                f"`log_partition` must be one for all rows or one for each of the {energy.shape[0]}; "
                f"received {value.shape[0]}. Compute it with the condition of these rows."
            )
        return -energy - value

    # ---- endpoints ------------------------------------------------------------------------------

    def _density_endpoints(self) -> dict[str, Endpoint]:
        """`energy` and `anomaly_score`."""
        x = self._inputs(self.event_space())

        def named(output: str) -> Callable:
            return lambda *inputs: {output: self._energy(*inputs)}

        return {"energy": Endpoint(named("energy"), x), "anomaly_score": Endpoint(named("score"), x)}


def _known(function: Callable) -> Callable:
    """The same with its result, which may be None, in a tuple: a graph keeps it so."""
    return lambda condition: (function(condition),)
