"""`fit`, `evaluate` and `predict` of a generative model: Keras' loops over pipelines of our own."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import check_integer, describe
from keras_genmod.core.replicas import check_collectives
from keras_genmod.core.rows import as_graph
from keras_genmod.data.pipeline import feeding, num_rows
from keras_genmod.training.feeding import Feeding, known_length, refuse_beside_batches
from keras_genmod.training.inputs import array_batch, split
from keras_genmod.training.progress import (
    RunStart,
    ShortEpoch,
    figures_before_readers,
    robust_backups,
    with_callback,
)
from keras_genmod.training.rates import with_rates_together

__all__ = ["Fittable"]


class Fittable(Feeding):
    """The part of `GenerativeModel` that runs Keras' loops.

    The order of arrays is a function of the seed and of the number of passes before, weights are kept, and an
    epoch begins without a pause. See `Feeding` for what is checked and when.
    """

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> keras.callbacks.History:
        """Trains the model, as `keras.Model.fit` does.

        Each pass over arrays has an order of its own, a function of the model's seed and of the number of
        passes before, which is saved with the weights. So three calls with `epochs=1` give the weights of
        one with `epochs=3`, also if the model is saved and loaded in between.

        Args:
            x: array `[N, *event_shape]`, list of rows or pandas frame, or a `tf.data.Dataset`, `PyDataset` or
                generator of batches `x`, `(x, condition)` or `(x, condition, sample_weight)`. The rows of a
                memory map, an HDF5 data set or a zarr array are read as they are needed.
            y: with arrays: the conditions `[N, ...]` (in paired translation the targets).
            batch_size: with arrays: number of examples in a batch over all replicas, 32 by default.
            epochs: number of the last epoch.
            verbose: 0, 1, 2 or "auto".
            callbacks: list of `keras.callbacks.Callback`.
            validation_split: fraction of the arrays held out for validation, taken from their end.
            validation_data: data to evaluate after each epoch: arrays `x`, `(x, condition)` or
                `(x, condition, sample_weight)`, or batches.
            shuffle: whether arrays are shuffled.
            class_weight: for a model with `num_classes`: weight of the examples of each class; 1 for classes
                left out.
            sample_weight: with arrays: weights `[N]`; the objective is their weighted sum divided by the
                number of examples.
            initial_epoch: number of epochs done before. It numbers the epochs; where the data go on is
                saved with the weights.
            steps_per_epoch, validation_steps: number of batches, if not all. The next epoch, or the next
                `fit` with as many batches a pass, goes on in the middle of the pass.
            validation_batch_size: as `batch_size`, for validation.
            validation_freq: number of epochs between two validations, or a list of epochs.

        Returns:
            A `History` of the means of all terms.

        Raises:
            TypeError, ValueError: for data that the model cannot take: of arrays in memory before the first
                step, of batches and arrays on a disk when they come, with the number of the batch.
        """
        self._assert_compile_called("fit")
        self._check_strategy()
        # Keras leaves here where an interrupted run was resumed, also for the next call of `fit`.
        self._initial_epoch = None
        batch = array_batch(x, y, sample_weight, self.event_shape)
        if steps_per_epoch is not None:
            steps_per_epoch = check_integer("steps_per_epoch", steps_per_epoch)
        resumed = {"initial_epoch": initial_epoch, "backups": robust_backups(callbacks, self)}
        with contextlib.ExitStack() as stack:
            if batch is None:
                refuse_beside_batches(
                    y=y, sample_weight=sample_weight, batch_size=batch_size, validation_split=validation_split
                )
                x = self._checked_batches(x, stack, class_weight=class_weight, start=True)
                shuffle = shuffle if isinstance(x, keras.utils.PyDataset) else False
                run = RunStart(steps_per_epoch or known_length(x), known_length(x), **resumed)
            else:
                if validation_split and validation_data is None:
                    batch, validation_data = split(batch, validation_split)
                if batch_size is None:
                    batch_size = self._training_batch_size
                    if steps_per_epoch is not None:
                        batch_size = -(-num_rows(batch) // steps_per_epoch)
                seed = self._data_seed() if shuffle else None
                stream = self._stream(batch, batch_size, seed=seed, class_weight=class_weight, start=True)
                steps_per_epoch, shuffle = steps_per_epoch or stream.batches_per_pass, False
                run = RunStart(steps_per_epoch, stream.batches_per_pass, arrays=True, **resumed)
                # Pipelines outlive the model; they must not keep it. `RunStart` says where training begins;
                # what tools that wrap Keras' `fit` read before, such as for a digest, is one pass.
                model, self._next_batch = weakref.ref(self), None
                x = stack.enter_context(
                    feeding(
                        stream,
                        first_step=lambda: model()._next_batch,
                        num_batches=max(1, epochs - initial_epoch) * steps_per_epoch,
                    )
                )
            if validation_data is not None:
                if validation_steps is None and epochs > initial_epoch + 1:
                    _refuse_generator(validation_data)
                validation_data = self._validation_batches(
                    validation_data, batch_size, validation_batch_size, stack
                )
            # The steps ask it while `fit` lasts.
            self._run = run
            stack.enter_context(run.quiet_end())
            stack.callback(setattr, self, "_run", None)
            callbacks = with_rates_together(figures_before_readers(callbacks), self, self._optimizers())
            callbacks = with_callback(callbacks, run, self)
            return super().fit(
                x,
                epochs=epochs,
                verbose=verbose,
                callbacks=with_callback(callbacks, ShortEpoch(run), self, first=True),
                validation_data=validation_data,
                shuffle=shuffle,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
                validation_steps=validation_steps,
                validation_freq=validation_freq,
            )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The means of the objective and its terms over data; the same noise at every call.

        Args:
            x, y, batch_size, verbose, sample_weight, steps, callbacks: as in `fit`.
            return_dict: whether to return a dict by name; else a list, in the order of
                `metrics_names`, the objective first.
            **kwargs: for Keras' own use.
        """
        self._assert_compile_called("evaluate")
        with contextlib.ExitStack() as stack:
            # Inside `fit` the data was made ready before the first epoch.
            if not kwargs.get("_use_cached_eval_dataset"):
                batch = array_batch(x, y, sample_weight, self.event_shape)
                if batch is None:
                    refuse_beside_batches(y=y, sample_weight=sample_weight, batch_size=batch_size)
                x = self._evaluation_batches(x if batch is None else batch, batch_size, stack)
            return super().evaluate(
                x,
                verbose=verbose,
                steps=steps,
                callbacks=callbacks,
                return_dict=return_dict,
                **kwargs,
            )

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """What `call` gives for every example.

        Args:
            x: array, for a conditional model a tuple `(x, condition)` of arrays, or batches.
            batch_size, verbose, steps, callbacks: as in `keras.Model.predict`.
        """
        batch = array_batch(x, None, None, self.input_space().shape)
        with contextlib.ExitStack() as stack:
            if batch is None:
                refuse_beside_batches(batch_size=batch_size)
                x = self._checked_batches(x, stack, check=self._check_call_arrays)
            else:
                self._condition_spec.check_presence(batch.condition)
                stream = self._stream(batch, batch_size, check=self._check_call_arrays)
                x = stack.enter_context(feeding(stream))
            return super().predict(x, verbose=verbose, steps=steps, callbacks=callbacks)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step on one batch of arrays; arguments as in `fit`."""
        batch = self._weighed(self._one_batch(x, y, sample_weight), self._class_table(class_weight))
        return super().train_on_batch(*batch, return_dict=return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """The objective and its terms on one batch of arrays; arguments as in `evaluate`."""
        return super().test_on_batch(*self._one_batch(x, y, sample_weight), return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """What `call` gives for one batch of arrays; `x` as in `predict`."""
        batch = array_batch(x, None, None, self.input_space().shape)
        if batch is None:
            raise TypeError(f"`x` must be arrays; received {describe(x)}. For a data set use `predict`.")
        self._check_inputs(batch.x, batch.condition)
        return super().predict_on_batch(batch.x if batch.condition is None else tuple(batch[:2]))

    def _evaluation_batches(self, data: Any, batch_size: int | None, stack: contextlib.ExitStack) -> Any:
        """Data ready for `evaluate`, for as long as the stack is open."""
        batch = data if isinstance(data, Batch) else array_batch(data, None, None, self.event_shape)
        if batch is None:
            return self._checked_batches(data, stack)
        return stack.enter_context(feeding(self._stream(batch, batch_size)))

    def _validation_batches(
        self,
        data: Any,
        batch_size: int | None,
        validation_batch_size: int | None,
        stack: contextlib.ExitStack,
    ) -> Any:
        """The same for `validation_data`, named in errors."""
        try:
            batch = data if isinstance(data, Batch) else array_batch(data, None, None, self.event_shape)
            if batch is None:
                refuse_beside_batches(validation_batch_size=validation_batch_size)
            return self._evaluation_batches(
                data if batch is None else batch, validation_batch_size or batch_size, stack
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"`validation_data` cannot be taken. {error}") from None

    def _make_function(self, step_function: Callable) -> Callable:
        """The function that runs the steps of one execution on an iterator.

        Keras' own wraps every step's result in an optional and asks it, which costs as much as a tenth of
        a small step; it stays for several steps in one graph on one device. Not on several replicas,
        where it fails to run ("You must feed a value for placeholder": its steps sit in a conditional,
        where replicas cannot meet), and not at the end of an epoch over an endless data set, where it
        would run into the next epoch.
        """
        strategy, steps = self.distribute_strategy, self.steps_per_execution
        check_collectives(strategy)
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
            # In one graph with a fetch that fails, counters and decays of weights, which need no data, go on.
            return on_iterator(iterator) if in_graph and not ends_unseen else on_data(next(iterator))

        def function(iterator: Any) -> dict[str, tf.Tensor]:
            run = self._run if training else None
            if run is not None:
                run.skip(iterator)
                if run.is_over():
                    raise StopIteration
            if steps == 1:
                return one_step(iterator)
            count = steps if run is None else min(steps, run.steps_left())
            if whole is not None and count == steps:
                return whole(iterator)
            logs = None
            for _ in range(count):
                try:
                    logs = one_step(iterator)
                except (StopIteration, tf.errors.OutOfRangeError):
                    if logs is None:
                        raise StopIteration from None
                    break
            return logs

        return function if training or steps > 1 else one_step


def _refuse_generator(validation_data: Any) -> None:
    """Refuses validation data that are at their end after the first of several epochs."""
    if isinstance(validation_data, Iterator):
        raise ValueError(
            "`validation_data` must be data that can be read in each epoch; received a generator, which is "
            "at its end after the first. Pass arrays, a data set or a `PyDataset`, or `validation_steps` for "
            "a generator without end."
        )
