"""Running means of a model's loss terms, kept in one vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_genmod.core.registration import register
from keras_genmod.core.replicas import sum_over_replicas

__all__ = ["StatisticSum", "TermMeans", "TransientMetric"]

_CAPACITY = 32


class StatisticSum(NamedTuple):
    """A batch's contribution to the mean of a term that is not defined for every batch.

    Args:
        total: The term summed over the batch's examples; 0 for a batch without the term.
        weighted: `total` times the term's weight in the objective.
        num_examples: Number of the batch's examples; 0 for a batch without the term.
        objectives: Names of the means that include the weighted term.
    """

    total: tf.Tensor
    weighted: tf.Tensor
    num_examples: tf.Tensor
    objectives: tuple[str, ...] = ("loss",)


class TransientMetric(keras.metrics.Metric):
    """A metric whose state is not saved in files.

    Reading a metric's state sums it over all workers. Only the chief writes files, so it would wait for the
    others forever. Nothing is lost, because no run resumes in the middle of an epoch.
    """

    def save_own_variables(self, store: dict) -> None:
        """Writes nothing."""

    def load_own_variables(self, store: dict) -> None:
        """Reads nothing."""


@register
class TermMeans(TransientMetric):
    r"""Means of several terms over all examples: $\bar t = \sum_i w_i t_i / N$.

    All sums and the number of examples are kept in one float64 vector. So a step costs one addition for any
    number of terms, and millions of examples add up without loss of precision.

    A batch statistic, such as a discrepancy between the rows and other draws, is not defined for every batch.
    Its mean is taken over the examples of the batches that have it. An objective that includes it is the sum
    of the means of its parts, so that a last batch of one row biases neither. If no batch has the statistic,
    both are NaN.

    The first update sets the names of the terms. Later updates must use the same names, until `start_anew`.
    """

    def __init__(self, name: str = "terms", **kwargs) -> None:
        super().__init__(name=name, **kwargs)
        self.names: list[str] = []
        self._objectives: dict[str, tuple[str, ...]] = {}
        self.sums = self.add_variable((_CAPACITY,), "zeros", dtype="float64", name="sums")
        # The step at which a term was first not finite, or -1. Written only by `watch`.
        self.first_bad_step = self.add_variable(
            (_CAPACITY,), _minus_one, dtype="int64", aggregation="only_first_replica", name="bad"
        )

    def num_examples(self) -> tf.Tensor:
        """Number of examples seen since the last reset; inside a step, on this replica.

        A method, because saving reads every property, and reading a metric's state waits for all workers.
        """
        return tf.convert_to_tensor(self.sums)[0]

    def update_state(
        self,
        sums: Mapping[str, tf.Tensor],
        num_examples: tf.Tensor,
        statistics: Mapping[str, StatisticSum] | None = None,
    ) -> None:
        """Adds a batch.

        Args:
            sums: Sum of each term over the batch, with its weights; scalars in a fixed order.
            num_examples: Number of examples.
            statistics: By the name of the mean they are added to, statistics that not every batch has.
        """
        statistics = statistics or {}
        self._set_names(list(sums))
        self._objectives = {name: statistic.objectives for name, statistic in statistics.items()}
        values = [num_examples, *sums.values()]
        for statistic in statistics.values():
            values += [statistic.num_examples, statistic.total, statistic.weighted]
        if len(values) > _CAPACITY:
            raise ValueError(
                f"A model may have at most {_CAPACITY - 1} terms, where each batch statistic counts as four; "
                f"received {len(values) - 1}."
            )
        values = [tf.cast(value, tf.float64) for value in values]
        self.sums.assign_add(tf.pad(tf.stack(values), [(0, _CAPACITY - len(values))]))

    def watch(self, sums: Mapping[str, tf.Tensor], step: tf.Tensor) -> None:
        """Records the step at which each term was first not finite on any replica.

        Args:
            sums: As in `update_state`.
            step: Number of the step, int64.
        """
        self._set_names(list(sums))
        bad = [tf.logical_not(tf.math.is_finite(value)) for value in sums.values()]
        # Only the first replica's variable is read, but the bad example may be on another replica.
        bad = sum_over_replicas(tf.cast(tf.stack(bad), tf.int32)) > 0
        bad = tf.pad(bad, [(1, _CAPACITY - 1 - len(sums))])
        before = tf.convert_to_tensor(self.first_bad_step)
        self.first_bad_step.assign(tf.where(tf.logical_and(before < 0, bad), step, before))

    def _set_names(self, names: list[str]) -> None:
        if not self.names:
            if len(names) >= _CAPACITY:
                raise ValueError(f"A model may have at most {_CAPACITY - 1} terms; received {len(names)}.")
            self.names = names
        elif self.names != names:
            raise ValueError(
                "A model's terms must have the same names in training and evaluation; expected "
                f"{self.names}, received {names}."
            )

    def result(self) -> dict[str, tf.Tensor]:
        """The means by name, float32; 0 before the first update."""
        sums = tf.unstack(tf.convert_to_tensor(self.sums))
        num_examples, rest = sums[0], sums[1 + len(self.names) :]
        means = {
            name: tf.math.divide_no_nan(total, num_examples)
            for name, total in zip(self.names, sums[1:], strict=False)
        }
        for number, (name, objectives) in enumerate(self._objectives.items()):
            count, *totals = rest[3 * number : 3 * number + 3]
            # 0 / 0 gives NaN if there were examples and no batch had the statistic.
            empty = tf.logical_and(tf.equal(num_examples, 0.0), tf.equal(count, 0.0))
            total, weighted = (value / tf.where(empty, tf.ones_like(count), count) for value in totals)
            means[name] += total
            for objective in objectives:
                means[objective] += weighted
        return {name: tf.cast(mean, tf.float32) for name, mean in means.items()}

    def bad_terms(self) -> dict[str, int]:
        """The watched terms that were not finite, each with the first such step."""
        steps = self.first_bad_step.numpy()[1:]
        return {
            name: int(step)
            for name, step in zip(self.names, steps[: len(self.names)], strict=True)
            if step >= 0
        }

    def reset_state(self) -> None:
        """Forgets all examples; `bad_terms` stay recorded until `forget_bad_terms`."""
        self.sums.assign(tf.zeros([_CAPACITY], tf.float64))

    def start_anew(self) -> None:
        """Forgets all examples and the names; the terms to come may be others."""
        self.names, self._objectives = [], {}
        self.reset_state()
        self.forget_bad_terms()

    def forget_bad_terms(self) -> None:
        """Forgets the recorded steps of `bad_terms`."""
        self.first_bad_step.assign(_minus_one([_CAPACITY], tf.int64))


def _minus_one(shape, dtype=None):
    return -tf.ones(shape, dtype)
