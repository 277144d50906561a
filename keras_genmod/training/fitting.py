"""`fit`, `evaluate` and `predict` of a generative model: Keras' loops over our own data pipelines."""

from __future__ import annotations

import contextlib
import functools
import sys
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import check_integer, describe
from keras_genmod.data.pipeline import BatchStream, feeding, num_rows
from keras_genmod.training.callback_order import figures_before_readers, with_callback
from keras_genmod.training.executing import Executing
from keras_genmod.training.feeding import Feeding, known_length, refuse_beside_batches
from keras_genmod.training.inputs import array_batch, split
from keras_genmod.training.progress import RunStart, ShortEpoch, robust_backups
from keras_genmod.training.rates import with_rates_together
from keras_genmod.training.stages import StageLog

__all__ = ["Fittable"]


class Fittable(Feeding, Executing):
    """The part of `GenerativeModel` that runs Keras' loops.

    Arrays come in an order that depends only on the seed and on the number of passes before. `Feeding` says
    what is checked of the data, and when.
    """

    # The batch that training begins with; None before `fit` knows it.
    _next_batch: int | None

    if TYPE_CHECKING:

        def _check_strategy(self) -> None: ...

        def _optimizers(self) -> list[keras.optimizers.Optimizer]: ...

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

        Each pass over arrays has its own order, which depends only on the model's seed and on the number of
        passes before. That number is saved with the weights. So three calls with `epochs=1` give the weights
        of one call with `epochs=3`, even if the model is saved and loaded between them.

        A model with stages (see `stages`) logs the number of its current stage as `stage`, and its logs are
        means since the stage or the epoch began, whichever was later.

        Args:
            x: Array `[N, *event_shape]`, list of rows or pandas frame; or batches from a `tf.data.Dataset`, a
                `PyDataset` or a generator, each batch `x`, `(x, condition)` or
                `(x, condition, sample_weight)`. Rows of a memory map, an HDF5 data set or a zarr array are
                read when they are needed.
            y: Conditions `[N, ...]`, or the targets in paired translation. With arrays only.
            batch_size: Number of examples in a batch, summed over all replicas; 32 by default. With arrays
                only.
            epochs: Number of the last epoch.
            verbose: 0 prints nothing, 1 a progress bar, 2 one line per epoch. "auto" is 1 on a terminal and
                in a notebook, and 2 elsewhere, such as in a log file.
            callbacks: List of `keras.callbacks.Callback`.
            validation_split: Fraction held out for validation, taken from the end of the arrays.
            validation_data: Data to evaluate the model on after each epoch: arrays `x`, `(x, condition)` or
                `(x, condition, sample_weight)`, or batches.
            shuffle: Whether to shuffle arrays in each pass.
            class_weight: Weight of the examples of each class; 1 for classes left out. Only for a model with
                `num_classes`.
            sample_weight: Weights `[N]`. The objective is the weighted sum over examples, divided by their
                number. With arrays only.
            initial_epoch: Number of the first epoch. It only numbers epochs; the position in the data is
                saved with the weights.
            steps_per_epoch, validation_steps: Number of batches in an epoch, if not all. The next epoch
                continues in the middle of the pass, and so does the next `fit` if its passes have as many
                batches.
            validation_batch_size: Number of examples in a batch of validation; `batch_size` by default.
            validation_freq: Number of epochs from one validation to the next, or a list of epochs.

        Returns:
            A `keras.callbacks.History` with the mean of each term in each epoch.

        Raises:
            TypeError, ValueError: If the model cannot take the data. Arrays in memory are checked before the
                first step. Batches, and arrays on a disk, are checked when they come; the error then names
                the batch.
        """
        self._assert_compile_called("fit")
        self._check_strategy()
        # Keras notes here at which epoch an interrupted run was resumed, and reads it in the next `fit` too.
        self._initial_epoch = None
        batch = array_batch(x, y, sample_weight, self.event_shape)
        if steps_per_epoch is not None:
            steps_per_epoch = check_integer("steps_per_epoch", steps_per_epoch)
        backups = robust_backups(callbacks, self)
        begin = functools.partial(RunStart, initial_epoch=initial_epoch, backups=backups)
        with contextlib.ExitStack() as stack:
            if batch is None:
                refuse_beside_batches(
                    y=y, sample_weight=sample_weight, batch_size=batch_size, validation_split=validation_split
                )
                x = self._checked_batches(x, stack, class_weight=class_weight, initialize=True)
                shuffle = shuffle if isinstance(x, keras.utils.PyDataset) else False
                run = begin(steps_per_epoch or known_length(x), known_length(x))
            else:
                if validation_split and validation_data is None:
                    batch, validation_data = split(batch, validation_split)
                if batch_size is None:
                    batch_size = self._default_training_batch_size(batch, steps_per_epoch)
                seed = self._data_seed() if shuffle else None
                stream = self._stream(
                    batch, batch_size, seed=seed, class_weight=class_weight, initialize=True
                )
                steps_per_epoch, shuffle = steps_per_epoch or stream.batches_per_pass, False
                run = begin(steps_per_epoch, stream.batches_per_pass, arrays=True)
                x = self._fed_from_here(stream, max(1, epochs - initial_epoch) * steps_per_epoch, stack)
            if validation_data is not None:
                if validation_steps is None and epochs > initial_epoch + 1:
                    _refuse_generator(validation_data)
                validation_data = self._validation_batches(
                    validation_data, batch_size, validation_batch_size, stack
                )
            stack.enter_context(self._running(run))
            return super().fit(
                x,
                epochs=epochs,
                verbose=_verbosity(verbose),
                callbacks=self._with_own_callbacks(callbacks, run, verbose),
                validation_data=validation_data,
                shuffle=shuffle,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
                validation_steps=validation_steps,
                validation_freq=validation_freq,
            )

    def _default_training_batch_size(self, batch: Batch, steps_per_epoch: int | None) -> int:
        """The batch size of `fit`, if it is given none: such that `steps_per_epoch` batches are one pass."""
        if steps_per_epoch is None:
            return self._training_batch_size
        return -(-num_rows(batch) // steps_per_epoch)

    def _fed_from_here(
        self, stream: BatchStream, num_batches: int, stack: contextlib.ExitStack
    ) -> tf.data.Dataset:
        """A data set of a stream that begins with the batch that the model's next training step takes."""
        # TensorFlow keeps data sets for good. They must not keep the model. `RunStart` sets `_next_batch`; a
        # tool that wraps Keras' `fit` and reads the data before, for a digest for example, gets one pass.
        model, self._next_batch = weakref.ref(self), None

        def first_step() -> int | None:
            trained = model()
            return None if trained is None else trained._next_batch

        return stack.enter_context(feeding(stream, first_step=first_step, num_batches=num_batches))

    @contextlib.contextmanager
    def _running(self, run: RunStart) -> Iterator[None]:
        """A context in which training steps ask `run` how many of them are left in an epoch."""
        self._run = run
        try:
            with run.quiet_end():
                yield
        finally:
            self._run = None

    def _with_own_callbacks(self, callbacks: Any, run: RunStart, verbose: Any) -> Any:
        """The callbacks of a user and those of `fit` itself, each in its place."""
        callbacks = with_rates_together(figures_before_readers(callbacks), self, self._optimizers())
        callbacks = with_callback(callbacks, run, self)
        if self.stages():
            callbacks = with_callback(callbacks, StageLog(verbose), self, first=True)
        return with_callback(callbacks, ShortEpoch(run), self, first=True)

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
        """Returns the means of the objective and its terms over data. Each call uses the same noise.

        A model with stages is evaluated by the objective of the stage that was trained last.

        Args:
            x, y, batch_size, verbose, sample_weight, callbacks: As in `fit`.
            steps: Number of batches to evaluate, if not all.
            return_dict: Whether to return the means as a dictionary. Otherwise they come as a list in the
                order of `metrics_names`, the objective first.
            **kwargs: For Keras' own use.
        """
        self._assert_compile_called("evaluate")
        with contextlib.ExitStack() as stack:
            # `fit` prepared its validation data before the first epoch.
            if not kwargs.get("_use_cached_eval_dataset"):
                batch = array_batch(x, y, sample_weight, self.event_shape)
                if batch is None:
                    refuse_beside_batches(y=y, sample_weight=sample_weight, batch_size=batch_size)
                x = self._evaluation_batches(x if batch is None else batch, batch_size, stack)
            return super().evaluate(
                x,
                verbose=_verbosity(verbose),
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
        """Returns what `call` returns, for every example.

        Args:
            x: An array, a tuple `(x, condition)` of arrays for a conditional model, or batches.
            batch_size, verbose, steps, callbacks: As in `keras.Model.predict`.
        """
        batch = array_batch(x, None, None, self.input_space().shape)
        with contextlib.ExitStack() as stack:
            if batch is None:
                refuse_beside_batches(batch_size=batch_size)
                x = self._checked_batches(x, stack, check=self._check_call_arrays)
            else:
                if self._second_entry is self._condition_spec:
                    self._condition_spec.check_presence(batch.condition)
                stream = self._stream(batch, batch_size, check=self._check_call_arrays)
                x = stack.enter_context(feeding(stream))
            return super().predict(x, verbose=_verbosity(verbose), steps=steps, callbacks=callbacks)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Trains on one batch of arrays; arguments as in `fit`."""
        batch = self._weighed(self._one_batch(x, y, sample_weight), self._class_table(class_weight))
        return super().train_on_batch(*batch, return_dict=return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Returns the objective and its terms on one batch of arrays; arguments as in `evaluate`."""
        return super().test_on_batch(*self._one_batch(x, y, sample_weight), return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Returns what `call` returns for one batch of arrays; `x` as in `predict`."""
        batch = array_batch(x, None, None, self.input_space().shape)
        if batch is None:
            raise TypeError(f"`x` must be arrays; received {describe(x)}. For a data set use `predict`.")
        self._check_inputs(batch.x, batch.condition)
        return super().predict_on_batch(batch.x if batch.condition is None else tuple(batch[:2]))

    def _evaluation_batches(self, data: Any, batch_size: int | None, stack: contextlib.ExitStack) -> Any:
        """Data for `evaluate` in the form that Keras takes, until the stack is closed."""
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
        """As `_evaluation_batches`, with errors that name `validation_data`."""
        try:
            batch = data if isinstance(data, Batch) else array_batch(data, None, None, self.event_shape)
            if batch is None:
                refuse_beside_batches(validation_batch_size=validation_batch_size)
            return self._evaluation_batches(
                data if batch is None else batch, validation_batch_size or batch_size, stack
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"`validation_data` cannot be taken. {error}") from None


def _verbosity(verbose: Any) -> Any:
    """The value for Keras, whose "auto" draws a bar of many steps into log files too."""
    if verbose != "auto":
        return verbose
    is_drawn_over = "ipykernel" in sys.modules or (sys.stdout is not None and sys.stdout.isatty())
    return 1 if is_drawn_over else 2


def _refuse_generator(validation_data: Any) -> None:
    """Refuses validation data that last for one epoch only."""
    if isinstance(validation_data, Iterator):
        raise ValueError(
            "`validation_data` must be data that can be read in each epoch; received a generator, which is "
            "at its end after the first. Pass arrays, a data set or a `PyDataset`, or `validation_steps` for "
            "an endless generator."
        )
