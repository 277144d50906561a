"""`fit`, `evaluate` and `predict` of a generative model: Keras' loops over pipelines of our own."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.batches import Batch, unpack
from keras_genmod.core.checks import ValueRange, check_number, describe
from keras_genmod.core.replicas import check_collectives, is_chief
from keras_genmod.core.rows import as_graph
from keras_genmod.data.pipeline import array_batches, endless_batches, num_rows, without_nones
from keras_genmod.training.progress import (
    EpochPosition,
    StreamStart,
    figures_before_readers,
    with_callback,
)
from keras_genmod.training.rates import with_rates_together

__all__ = ["Fittable"]

_DEFAULT_BATCH_SIZE = 32


class Fittable:
    """The part of `GenerativeModel` that feeds data to the steps.

    Arrays are checked whole before the first step and go through `keras_genmod.data.pipeline`: their
    order is a function of the seed and of the number of passes before, weights are kept, and an epoch
    begins without a pause. Data sets, `PyDataset`s and generators go to Keras as they are; those that
    can be iterated again are checked by their first batch.
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
            x: array `[N, *event_shape]`, or a `tf.data.Dataset`, `PyDataset` or generator of batches
                `x`, `(x, condition)` or `(x, condition, sample_weight)`.
            y: with arrays: the conditions `[N, ...]` (in paired translation the targets).
            batch_size: examples of a batch over all replicas, 32 by default; for arrays.
            epochs: number of the last epoch.
            verbose: 0, 1, 2 or "auto".
            callbacks: list of `keras.callbacks.Callback`.
            validation_split: share of the arrays, their end, that is kept for validation.
            validation_data: data to evaluate after each epoch: arrays `x`, `(x, condition)` or
                `(x, condition, sample_weight)`, or batches.
            shuffle: whether arrays are shuffled.
            class_weight: with arrays and `num_classes`: weight of the examples of each class; 1 for
                classes left out.
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
            TypeError, ValueError: for data that the model cannot take, before the first step.
        """
        self._assert_compile_called("fit")
        self._check_strategy()
        # Keras leaves here where an interrupted run was resumed, also for the next call of `fit`.
        self._initial_epoch = None
        if _is_arrays(x):
            batch = _as_batch(x, y, sample_weight)
            if validation_split and validation_data is None:
                batch, validation_data = _split(batch, validation_split)
            batch = self._weigh_classes(batch, class_weight)
            self._check_arrays(batch)
            self._start_from(lambda rows: _first_rows([batch], rows))
            if batch_size is None:
                batch_size = _DEFAULT_BATCH_SIZE
                if steps_per_epoch is not None:
                    batch_size = -(-num_rows(batch) // steps_per_epoch)
            batches_per_pass = -(-num_rows(batch) // batch_size)
            # TensorFlow keeps functions of pipelines for good; they must not keep the model.
            model = weakref.ref(self)
            x = endless_batches(
                batch,
                batch_size,
                seed=self._data_seed(),
                shuffle=bool(shuffle),
                dtype=self.real_dtype,
                # Asked when the first epoch begins: `StreamStart` has set it by then.
                first_step=lambda: model()._next_batch,
            )
            y = sample_weight = class_weight = None
            steps_per_epoch, shuffle = steps_per_epoch or batches_per_pass, False
        else:
            batches_per_pass = 0
            x = self._checked_batches(x, start=True)
            shuffle = shuffle if isinstance(x, keras.utils.PyDataset) else False
        if validation_data is not None:
            validation_data = self._evaluation_batches(validation_data, validation_batch_size or batch_size)
        callbacks = self._without_writers(figures_before_readers(callbacks))
        callbacks = with_rates_together(callbacks, self, self._optimizers())
        whole_passes = batches_per_pass > 0 and steps_per_epoch % batches_per_pass == 0
        callbacks = with_callback(callbacks, StreamStart(batches_per_pass, whole_passes), self)
        self._epoch_position = None
        if steps_per_epoch is not None and steps_per_epoch % self.steps_per_execution:
            self._epoch_position = EpochPosition(steps_per_epoch)
            callbacks = with_callback(callbacks, self._epoch_position, self)
        return super().fit(
            x,
            y,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
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
        # Inside `fit` the data was made ready before the first epoch.
        if not kwargs.get("_use_cached_eval_dataset"):
            data = _as_batch(x, y, sample_weight) if _is_arrays(x) else x
            x = self._evaluation_batches(data, batch_size)
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
        if _is_arrays(x):
            batch = _as_batch(x, None, None)
            self._check_inputs(batch.x, batch.condition)
            x = array_batches(batch, batch_size or _DEFAULT_BATCH_SIZE, self.real_dtype)
        return super().predict(x, verbose=verbose, steps=steps, callbacks=callbacks)

    def _check_inputs(self, x: Any, condition: Any) -> None:
        """Checks what `call` takes: data, unless a family overrides this."""
        self.check_data(x, condition)

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
            if isinstance(iterator, (tf.data.Iterator, tf.distribute.DistributedIterator)):
                return on_iterator(iterator)
            return on_data(next(iterator))

        def function(iterator: Any) -> dict[str, tf.Tensor]:
            count = steps
            if training and self._epoch_position is not None:
                count = min(count, self._epoch_position.steps_left())
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

        return function if steps > 1 else one_step

    def _without_writers(self, callbacks: Any) -> Any:
        """The callbacks; on workers that are not the chief, backups are only read.

        All workers share one backup folder: the chief writes and removes it.
        """
        if not is_chief(self.distribute_strategy):
            for callback in keras.tree.flatten(callbacks):
                if isinstance(callback, keras.callbacks.BackupAndRestore):
                    callback.delete_checkpoint = False
                    callback._save_model = lambda: None
        return callbacks

    def _evaluation_batches(self, data: Any, batch_size: int | None) -> Any:
        """Data ready for `evaluate`: arrays checked and in batches, others checked by their first."""
        if not _is_arrays(data):
            return self._checked_batches(data)
        batch = unpack(data)
        self._check_arrays(batch)
        return array_batches(batch, batch_size or _DEFAULT_BATCH_SIZE, self.real_dtype)

    def _data_seed(self) -> int:
        """The seed of the order of the data, the same on all workers."""
        return int(tf.convert_to_tensor(self._noise_state)[0])

    def _weigh_classes(self, batch: Batch, class_weight: dict[int, float] | None) -> Batch:
        if class_weight is None:
            return batch
        if self.num_classes is None or batch.condition is None:
            raise ValueError(
                "`class_weight` needs a model with `num_classes` and the classes of the data; "
                "pass `sample_weight` instead."
            )
        table = np.ones(self.num_classes, np.float32)
        for label, weight in class_weight.items():
            table[label] = weight
        weight = table[np.asarray(batch.condition, np.int64)]
        return batch._replace(weight=weight * (1.0 if batch.weight is None else batch.weight))

    def _check_arrays(self, batch: Batch) -> None:
        """Checks arrays whole: shapes, types, values, and that their lengths agree."""
        self.check_data(batch.x, batch.condition)
        length = num_rows(batch.x)
        for name, entry in (("condition", batch.condition), ("sample_weight", batch.weight)):
            if entry is not None and num_rows(entry) != length:
                raise ValueError(
                    f"`{name}` must have one row for each of the {length} examples; received "
                    f"{num_rows(entry)}."
                )
        if batch.weight is not None:
            weight = np.asarray(batch.weight)
            if weight.ndim != 1:
                raise ValueError(f"`sample_weight` must have shape [N]; received {weight.shape}.")
            ValueRange(low=0.0, advice="Weights are not negative.").check("sample_weight", weight)

    def _checked_batches(self, data: Any, *, start: bool = False) -> Any:
        """Batches after a look at the first, if they can be iterated again; a generator is not touched.

        Args:
            data: the batches.
            start: whether the first is shown to `_start_from` too.
        """
        if data is None or isinstance(data, str):
            raise TypeError(f"`x` must be arrays or batches; received {describe(data)}.")
        batches = None
        if isinstance(data, tf.data.Dataset):
            batches, data = data, without_nones(data)
            self._check_batch(next(iter(batches.take(1)), None))
        elif isinstance(data, keras.utils.PyDataset):
            batches = map(data.__getitem__, range(data.num_batches or 1))
            self._check_batch(data[0] if data.num_batches != 0 else None)
        if start:
            self._start_from(None if batches is None else lambda rows: _first_rows(batches, rows))
        return data

    def _check_batch(self, first: Any) -> None:
        if first is None:
            raise ValueError("`x` is an empty data set: it gave no batch. Pass at least one example.")
        self._check_arrays(unpack(first))

    def _start_from(self, first_rows: Callable[[int], Batch] | None) -> None:
        """Called by `fit` with checked data before the first step, for weights that start from data.

        Args:
            first_rows: gives so many of the first rows of the data, or all where there are fewer; None where
                the data are a generator, which is not to be touched.
        """


def _first_rows(batches: Iterable, count: int) -> Batch:
    """The first `count` rows of batches, or all rows."""
    taken, rows = [], 0
    for data in batches:
        taken.append(unpack(data))
        rows += num_rows(taken[-1])
        if rows >= count:
            break
    return keras.tree.map_structure(
        lambda *parts: None if parts[0] is None else np.concatenate(parts)[:count], *taken
    )


def _is_arrays(data: Any) -> bool:
    """Whether data is an array or a nest of arrays (or None)."""
    if isinstance(data, (tuple, list)) and data and not np.isscalar(data[0]):
        return all(part is None or _is_arrays(part) for part in data)
    if isinstance(data, dict):
        return all(map(_is_arrays, data.values()))
    return hasattr(data, "__array__") and not isinstance(data, (tf.data.Dataset, str))


def _as_batch(x: Any, y: Any, sample_weight: Any) -> Batch:
    if isinstance(x, (tuple, list)):
        if y is not None or sample_weight is not None:
            raise ValueError(
                "Pass either one tuple `(x, condition, sample_weight)` or separate arguments; received both."
            )
        return unpack(x)
    return Batch(x, y, sample_weight)


def _split(batch: Batch, share: float) -> tuple[Batch, Batch]:
    """The beginning of the arrays for training and their end for validation."""
    share = check_number("validation_split", share, minimum=0.0, maximum=1.0)
    cut = int(num_rows(batch) * (1.0 - share))
    if not 0 < cut < num_rows(batch):
        raise ValueError(
            f"`validation_split` must leave examples on both sides; received {share} for "
            f"{num_rows(batch)} examples."
        )

    def part(rows: slice) -> Batch:
        return keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[rows], batch)

    return part(slice(None, cut)), part(slice(cut, None))
