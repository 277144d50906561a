"""Executions: the calls into TensorFlow in which Keras' loops run one step or several."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_genmod.core.replicas import check_collectives
from keras_genmod.core.rows import as_graph
from keras_genmod.training.progress import RunStart
from keras_genmod.training.stages import Execution, Staged, across_stages

__all__ = ["Executing"]


class Executing(Staged):
    """The part of `GenerativeModel` that makes the functions which Keras' loops call."""

    # Where `fit` stands in its run; None outside of `fit`.
    _run: RunStart | None

    def _make_function(self, step_function: Callable[..., Any]) -> Callable[[Any], Any]:
        """The function that Keras' loops call with an iterator, for one execution of several steps."""
        self._check_xla()
        check_collectives(self.distribute_strategy)
        steps = self.steps_per_execution
        if step_function != self.train_step:
            execution = self._execution(step_function)
            return lambda iterator: execution(iterator, steps)
        make = functools.partial(self._execution, step_function)
        train = across_stages(self, make) if self.stages() else make()

        def function(iterator: Any) -> dict[str, tf.Tensor]:
            count, run = steps, self._run
            if run is not None:
                run.skip(iterator)
                if run.is_over():
                    raise StopIteration
                # More than one step may reach beyond the end of an epoch.
                count = int(min(steps, run.steps_left())) if steps > 1 else 1
            return train(iterator, count)

        return function

    def _check_xla(self) -> None:
        """Refuses XLA on several replicas: it cannot compile the sums over them."""
        replicas = self.distribute_strategy.num_replicas_in_sync
        if self.jit_compile and replicas > 1:
            raise ValueError(
                f"XLA cannot compile a step of several replicas; received jit_compile=True on {replicas}. "
                "Compile the model with `jit_compile=False`, or leave it out."
            )

    def _execution(self, step_function: Callable[..., Any]) -> Execution:
        """A function that runs a number of steps on the batches of an iterator.

        Keras' own wraps the result of each step in an optional and asks it, which costs as much as a tenth of
        a small step. It serves here for `steps_per_execution` steps in one graph on one device. On several
        replicas it fails ("You must feed a value for placeholder"): its steps stand in a conditional, where
        replicas cannot meet. For fewer steps, as at the end of an epoch over endless data, it would run on.
        """
        strategy, steps = self.distribute_strategy, self.steps_per_execution
        loops_in_graph = steps > 1 and strategy.num_replicas_in_sync == 1
        whole = super()._make_function(step_function) if loops_in_graph else None
        training = step_function == self.train_step

        def on_data(data: Any) -> dict[str, tf.Tensor]:
            logs = strategy.run(step_function, args=(data,))
            if strategy.num_replicas_in_sync == 1:
                return logs
            return {name: strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}

        def on_iterator(iterator: Any) -> dict[str, tf.Tensor]:
            return on_data(iterator.get_next())

        if not self.run_eagerly:
            on_data = as_graph(on_data, jit_compile=self.jit_compile or None)
            on_iterator = as_graph(on_iterator)

        def one_step(iterator: Any) -> dict[str, tf.Tensor]:
            ends_unseen = training and self._run is not None and self._run.ends_unseen
            in_graph = isinstance(iterator, (tf.data.Iterator, tf.distribute.DistributedIterator))
            # A graph in which the fetch of a batch fails still does what needs no batch: it moves counters
            # and lets weights decay. Where the data may be at their end, the batch is fetched before.
            return on_iterator(iterator) if in_graph and not ends_unseen else on_data(next(iterator))

        def execution(iterator: Any, count: int) -> dict[str, tf.Tensor]:
            if count == 1:
                return one_step(iterator)
            if whole is not None and count == steps:
                return whole(iterator)
            logs = one_step(iterator)
            with contextlib.suppress(StopIteration, tf.errors.OutOfRangeError):
                for _ in range(count - 1):
                    logs = one_step(iterator)
            return logs

        return execution
