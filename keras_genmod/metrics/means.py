"""Running means of a model's terms, kept in one vector."""

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
    """What a batch adds to the mean of a term that not every batch has.

    Args:
        total: the term summed over the examples of a batch that has it, 0 for another batch.
        weighted: the same, times the term's weight in the objective.
        num_examples: number of the examples of a batch that has it, else 0.
        objectives: names of the means that the weighted term is a part of.
    """

    total: tf.Tensor
    weighted: tf.Tensor
    num_examples: tf.Tensor
    objectives: tuple[str, ...] = ("loss",)


class TransientMetric(keras.metrics.Metric):
    """A metric whose state is not written into files.

    Reading a metric's state sums it over all workers. A file is written by the chief alone, which would
    wait for the others for ever; and no run is resumed in the middle of an epoch's means.
    """

    def save_own_variables(self, store: dict) -> None:
        """Writes nothing."""

    def load_own_variables(self, store: dict) -> None:
        """Reads nothing."""


@register
class TermMeans(TransientMetric):
    r"""Means of several terms over all examples: $\bar t = \sum_i w_i t_i / N$.

    All sums and the number of examples live in one float64 vector, so that a step costs one addition
    however many terms there are, and so that nothing is lost over millions of examples.

    A statistic of a batch, such as a discrepancy of its rows from other draws, is not defined for every
    batch. Its mean is over the examples of the batches that have it, and an objective that it belongs to is
    the sum of the means of its parts, so that a last batch of one row biases neither. If no batch has it,
    both are NaN.

    The names are those of the first update; later updates must have the same, until `start_anew`.
    """

    def __init__(self, name: str = "terms", **kwargs) -> None:
        super().__init__(name=name, **kwargs)
        self.names: list[str] = []
        self._objectives: dict[str, tuple[str, ...]] = {}
        self.sums = self.add_variable((_CAPACITY,), "zeros", dtype="float64", name="sums")
        # The step at which a term was first not finite; -1 before. Written only if it is watched.
        self.first_bad_step = self.add_variable(
            (_CAPACITY,), _minus_one, dtype="int64", aggregation="only_first_replica", name="bad"
        )

    def num_examples(self) -> tf.Tensor:
        """Examples seen since the last reset (on this replica, inside a step).

        A method, as saving reads every property, and reading a metric's state waits for all workers.
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
            sums: the weighted sum of each term over the batch, scalars, in a fixed order.
            num_examples: number of examples.
            statistics: by name, what is to be added to some of these means and is not of every batch.
        """
        statistics = statistics or {}
        self._set_names(list(sums))
        self._objectives = {name: statistic.objectives for name, statistic in statistics.items()}
        values = [num_examples, *sums.values()]
        for statistic in statistics.values():
            values += [statistic.num_examples, statistic.total, statistic.weighted]
        if len(values) > _CAPACITY:
            raise ValueError(
                f"A model may have at most {_CAPACITY - 1} terms, each statistic of a batch counted as four; "
                f"received {len(values) - 1}."
            )
        values = [tf.cast(value, tf.float64) for value in values]
        self.sums.assign_add(tf.pad(tf.stack(values), [(0, _CAPACITY - len(values))]))

    def watch(self, sums: Mapping[str, tf.Tensor], step: tf.Tensor) -> None:
        """Notes the step at which each term was first not finite, on whichever replica.

        Args:
            sums: as in `update_state`.
            step: number of the step, int64.
        """
        self._set_names(list(sums))
        bad = [tf.logical_not(tf.math.is_finite(value)) for value in sums.values()]
        # The first replica's notes count; the bad example may be another's.
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
        """The means by name, float32; 0 before the first example."""
        sums = tf.unstack(tf.convert_to_tensor(self.sums))
        num_examples, rest = sums[0], sums[1 + len(self.names) :]
        means = {
            name: tf.math.divide_no_nan(total, num_examples)
            for name, total in zip(self.names, sums[1:], strict=False)
        }
        for number, (name, objectives) in enumerate(self._objectives.items()):
            count, *totals = rest[3 * number : 3 * number + 3]
            # 0 / 0, which is NaN, where there were examples and no batch had the statistic.
            empty = tf.logical_and(tf.equal(num_examples, 0.0), tf.equal(count, 0.0))
            total, weighted = (value / tf.where(empty, tf.ones_like(count), count) for value in totals)
            means[name] += total
            for objective in objectives:
                means[objective] += weighted
        return {name: tf.cast(mean, tf.float32) for name, mean in means.items()}

    def bad_terms(self) -> dict[str, int]:
        """The terms that were watched and not finite, with the step of the first time."""
        steps = self.first_bad_step.numpy()[1:]
        return {
            name: int(step)
            for name, step in zip(self.names, steps[: len(self.names)], strict=True)
            if step >= 0
        }

    def reset_state(self) -> None:
        """Forgets all examples; what was watched stays noted until `forget_bad_terms`."""
        self.sums.assign(tf.zeros([_CAPACITY], tf.float64))

    def start_anew(self) -> None:
        """Forgets all examples and the names; the terms to come may be others."""
        self.names, self._objectives = [], {}
        self.reset_state()
        self.forget_bad_terms()

    def forget_bad_terms(self) -> None:
        """Starts watching anew."""
        self.first_bad_step.assign(_minus_one([_CAPACITY], tf.int64))


def _minus_one(shape, dtype=None):
    return -tf.ones(shape, dtype)
