"""Unnormalised densities whose partition function is enumerated or annealed, and kept."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.bases import UnnormalizedDensity
from keras_genmod.core.checks import check_choice, check_integer
from keras_genmod.core.noise import row_seeds
from keras_genmod.core.partition_functions import log_mean_weight
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.samplers import effective_sample_size
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["AnnealedDensity", "AnnealedPartition"]

# An estimate that rests on a smaller fraction of its weights is told of.
_LEAST_FRACTION = 0.2
# The first of the kept numbers; 0 where there is no value. An exact value is not replaced by an estimate.
_ESTIMATE, _EXACT = 1.0, 2.0


class AnnealedPartition(NamedTuple):
    """The logarithm of a partition function, nats.

    Attributes:
        value: log Z, `[]`, or `[B]` for one class a row.
        error: Its standard error, of the same shape; 0 where the value is exact.
        effective_sample_size: The number of equal weights that would give the same error; None where the
            value is exact.
    """

    value: tf.Tensor
    error: tf.Tensor
    effective_sample_size: tf.Tensor | None = None


class AnnealedDensity(UnnormalizedDensity):
    """The part of a model that estimates log Z by annealed importance sampling.

    A family writes `_energy`, `_annealed_log_weights`, `_exact_log_partition` where states can be enumerated,
    and calls `_add_kept_partition` in its constructor.
    """

    num_classes: int | None
    non_trainable_variables: list[keras.Variable]
    trainable_variables: list[keras.Variable]
    _kept_partition: keras.Variable
    _kept_checksum: keras.Variable

    if TYPE_CHECKING:

        def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable: ...

    # ---- what a family writes -----------------------------------------------------------------------

    def _annealed_log_weights(
        self, seeds: tf.Tensor, num_temperatures: int, condition: Any, start: Any
    ) -> tf.Tensor:
        """Log weights of annealed chains, float64.

        Args:
            seeds: int32 `[R, 2]`.
            num_temperatures: Number of temperatures above the base.
            condition: Rows `[R, ...]`, None for an unconditional model.
            start: Examples `[R, *event_shape]` to go back from, or None.

        Returns:
            `[R]`. The mean of the weights estimates Z, in reverse the inverse of Z.
        """
        raise TypeError(f"{type(self).__name__} must define `_annealed_log_weights`.")

    def _weights_of_energy(self) -> list[keras.Variable]:
        """The weights that the energy depends on."""
        return self.trainable_variables

    # ---- the partition function ---------------------------------------------------------------------

    def log_partition(  # type: ignore[override]
        self,
        condition: Any = None,
        *,
        method: str = "auto",
        num_samples: int = 100,
        num_temperatures: int = 1000,
        start: Any = None,
        seed: Any = None,
    ) -> AnnealedPartition:
        r"""The logarithm of the partition function, with its standard error and effective sample size.

        The result is kept, and saved with the model, until weights change: `log_prob` uses the last one. An
        exact value is not replaced by an estimate.

        Args:
            condition: None for an unconditional model; one class, or one per row `[B]`. Rows that are equal
                share one computation.
            method: "exact" enumerates; "estimate" is annealed importance sampling from the base density, the
                data's rates; "reverse" goes back from `start`; "auto" is exact where states can be
                enumerated, and an estimate elsewhere.
            num_samples: Number of chains, one weight each.
            num_temperatures: Number of temperatures above the base.
            start: Examples `[N, *event_shape]` for "reverse", which stand for draws of the model: data of a
                well trained model, or `sample(...)`. Chains take them in turn.
            seed: Seed of an estimate, an integer or two integers; None takes the same at every call.

        Returns:
            `value`, `error` and `effective_sample_size`, `[]` or `[B]` for one class a row. The error of an
            exact value is 0, and its effective sample size None. An estimate of Z has no bias, so its
            logarithm is too low on average and likelihoods made with it are optimistic. One in "reverse" is
            too high on average, as far as `start` stands for draws of the model. Together they are a
            sandwich. It is not kept.

        Warns:
            UserWarning: If the effective sample size is below a fifth of the number of chains.

        Raises:
            ValueError: For another method, for "exact" with more than 20 units on the smaller side, or for a
                start of another shape.

        Cost: exact, 2^n sums over the larger side for n units on the smaller one; otherwise
        `num_samples` times `num_temperatures` steps of a chain.

        Reference: On the Quantitative Analysis of Deep Belief Networks, Salakhutdinov and Murray, 2008. In
        reverse: Accurate and Conservative Estimates of MRF Log-likelihood using Reverse Annealing, Burda,
        Grosse and Salakhutdinov, 2015.
        """
        check_choice("method", method, ("auto", "exact", "estimate", "reverse"))
        num_samples = check_integer("num_samples", num_samples, minimum=2)
        num_temperatures = check_integer("num_temperatures", num_temperatures)
        if (start is None) == (method == "reverse"):
            raise ValueError(
                "`start` holds the examples that method='reverse' goes back from; received "
                f"{'none' if start is None else 'some'} with method={method!r}. "
                f"{'Pass data or samples.' if start is None else 'Leave it out, or use that method.'}"
            )
        self._condition_spec.check_presence(condition)
        classes, numbers, single = self._different(condition)
        found = self._computed(classes, method, num_samples, num_temperatures, start, seed)
        if method != "reverse":
            self._keep(classes, found)
        if numbers is None:
            return found
        pick = numbers[0] if single else numbers
        return AnnealedPartition(*(None if part is None else tf.gather(part, pick) for part in found))

    def _different(self, condition: Any) -> tuple[Any, Any, bool]:
        """The different rows of a condition, each row's number among them, whether it was a single one."""
        if condition is None:
            return None, None, False
        rows, single = self._rows_of(condition)
        if not hasattr(rows, "numpy"):
            return rows, tf.range(tf.shape(rows)[0]), single
        different, numbers = np.unique(rows.numpy(), axis=0, return_inverse=True)
        return tf.constant(different, rows.dtype), tf.constant(numbers.reshape(-1), tf.int32), single

    def _computed(
        self,
        condition: Any,
        method: str,
        num_samples: int,
        num_temperatures: int,
        start: Any,
        seed: Any,
    ) -> AnnealedPartition:
        """Log Z of each condition, `[C]`, or `[]` for none."""
        if method in ("auto", "exact"):
            graph = self._graphs.get(
                "exact_log_partition", lambda condition: (self._exact_log_partition(condition),)
            )
            (value,) = graph(condition)
            if value is not None:
                return AnnealedPartition(value, tf.zeros_like(value))
            if method == "exact":
                raise ValueError(
                    f"method='exact' needs a {type(self).__name__} with at most 20 units on its smaller "
                    f"side; this one, over events of shape {self.event_shape}, has too many states. "
                    "Use method='estimate'."
                )
        seed = self._fixed_seed() if seed is None else self._sampling_seed(seed)
        count = 1 if condition is None else tf.shape(condition)[0]
        seeds = row_seeds(seed, 0, count * num_samples)
        rows = None if condition is None else tf.repeat(condition, num_samples, axis=0)
        if start is not None:
            start = self._as_rows(start)
            start = tf.gather(start, tf.range(count * num_samples) % tf.shape(start)[0])
        graph = self._graphs.get(
            ("annealed", num_temperatures),
            lambda seeds, condition, start: self._annealed_log_weights(
                seeds, num_temperatures, condition, start
            ),
        )
        log_weights = graph(seeds, rows, start)
        if condition is not None:
            log_weights = tf.reshape(log_weights, [-1, num_samples])
        value, error = log_mean_weight(log_weights)
        size = effective_sample_size(log_weights)
        self._warn_of_few(size, num_samples, num_temperatures)
        value = value if start is None else -value
        return AnnealedPartition(*(tf.cast(part, self.real_dtype) for part in (value, error, size)))

    def _warn_of_few(self, size: tf.Tensor, num_samples: int, num_temperatures: int) -> None:
        if not hasattr(size, "numpy"):
            return
        least = float(np.min(size.numpy()))
        if not least >= _LEAST_FRACTION * num_samples:
            warn_user(
                f"The estimate of log Z rests on few weights: its effective sample size is {least:.3g} of "
                f"{num_samples} chains, and the error it states is too small. Use more temperatures than "
                f"{num_temperatures}."
            )

    # ---- the kept value -----------------------------------------------------------------------------

    def _add_kept_partition(self) -> None:
        """Creates the weights that keep log Z with the checksum of the weights that it belongs to."""
        options = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        self._kept_partition = self.add_weight(
            shape=(self.num_classes or 1, 4),
            initializer="zeros",
            dtype="float64",
            name="kept_partition",
            **options,
        )
        self._kept_checksum = self.add_weight(
            shape=(), initializer="zeros", dtype="int64", name="kept_checksum", **options
        )

    def _checksum(self) -> int:
        total = 1
        for weight in self._weights_of_energy():
            total = zlib.crc32(np.ascontiguousarray(weight.numpy()).tobytes(), total)
        return total

    def _keep(self, classes: Any, found: AnnealedPartition) -> None:
        """Keeps values of log Z, where there is Python to tell whether weights change."""
        if not tf.executing_eagerly() or not hasattr(found.value, "numpy"):
            return
        kept, checksum = self._kept_partition.numpy().copy(), self._checksum()
        if int(self._kept_checksum.numpy()) != checksum:
            kept[:] = 0.0
        number = 0 if classes is None else np.asarray(classes)
        size = found.effective_sample_size
        kind = _EXACT if size is None else _ESTIMATE
        if np.all(kept[number, 0] > kind):
            return
        parts = (kind, found.value, found.error, 0.0 if size is None else size)
        kept[number] = np.stack(np.broadcast_arrays(*(np.asarray(part) for part in parts)), axis=-1)
        self._kept_partition.assign(kept)
        self._kept_checksum.assign(checksum)

    def kept_log_partition(self) -> np.ndarray | None:
        """The kept values of log Z, `[]`, or `[num_classes]` with NaN where there is none; None without any.

        Values are kept by `log_partition` and `log_prob` until weights change.
        """
        if int(self._kept_checksum.numpy()) != self._checksum():
            return None
        kept = self._kept_partition.numpy()
        values = np.where(kept[:, 0] > 0.0, kept[:, 1], math.nan)
        return values[0] if self.num_classes is None else values

    def log_prob(
        self,
        x: Any,
        condition: Any = None,
        *,
        log_partition: Any = None,
        num_samples: int = 100,
        seed: Any = None,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """The log-density log p(x) = -E(x) - log Z, `[B]` nats.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One class for all rows, or one per row.
            log_partition: What `log_partition(condition)` gave, or a number or `[B]` for log Z; None takes
                the kept value, or computes it where there is none for these weights.
            num_samples: Number of chains where log Z is estimated anew.
            seed: Seed of that estimate, an integer or two integers; None takes the same at every call.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.

        Returns:
            `[B]`. All rows of one class share the error of log Z. An estimate of log Z is too low on average,
            so these values are optimistic. Their differences are exact.

        Cost: one pass through the network, and that of `log_partition` if there is no kept value.
        """
        if log_partition is None:
            log_partition = self._log_partition_of(condition, num_samples, seed)
        if isinstance(log_partition, AnnealedPartition):
            log_partition = log_partition.value
        return super().log_prob(x, condition, log_partition=log_partition, batch_size=batch_size)

    def _log_partition_of(self, condition: Any, num_samples: int = 100, seed: Any = None) -> Any:
        """Log Z of a condition's rows: the kept values, or new ones."""
        self._condition_spec.check_presence(condition)
        kept = self.kept_log_partition() if tf.executing_eagerly() else None
        if kept is not None and condition is not None:
            rows, single = self._rows_of(condition)
            kept = kept[np.asarray(rows)]
            kept = kept[0] if single else kept
        if kept is None or not np.all(np.isfinite(kept)):
            return self.log_partition(condition, num_samples=num_samples, seed=seed)
        return kept

    # ---- endpoints ----------------------------------------------------------------------------------

    def _density_endpoints(self) -> dict[str, Endpoint]:
        """`energy`, `anomaly_score` and `log_prob` with the value of log Z at the time of the export."""

        def log_prob(x: tf.Tensor, condition: Any = None) -> dict[str, tf.Tensor]:
            with tf.init_scope():
                every = None if self.num_classes is None else np.arange(self.num_classes)
                value = self._log_partition_of(every)
                value = np.asarray(value.value if isinstance(value, AnnealedPartition) else value)
            value = tf.constant(value, self.real_dtype)
            value = value if condition is None else tf.gather(value, condition)
            return {"log_prob": -self._energy(x, condition) - value}

        return {
            **super()._density_endpoints(),
            "log_prob": Endpoint(log_prob, self._inputs(self.event_space())),
        }
