"""Feeding: from the data that a user passes to the checked batches that a step takes."""

from __future__ import annotations

import contextlib
import numbers
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.batches import Batch, unpack
from keras_genmod.core.checks import check_integer, describe
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.kept_errors import KeptError
from keras_genmod.core.spaces import Space
from keras_genmod.core.targets import TargetSpec
from keras_genmod.data.arrays import is_on_disk
from keras_genmod.data.pipeline import BatchStream, num_rows
from keras_genmod.training.checked_batches import (
    CheckedSequence,
    checked_dataset,
    checked_iterator,
    plain_assertions,
)
from keras_genmod.training.inputs import WEIGHTS, array_batch, as_arrays, class_table, weigh

__all__ = ["Feeding", "initial_rows", "known_length", "refuse_beside_batches"]

_DEFAULT_BATCH_SIZE = 32


class Feeding:
    """The part of `GenerativeModel` that checks data and makes the pipelines of Keras' loops.

    Arrays in memory are checked as a whole before the first step. Of arrays on a disk the first rows are
    checked then, and the others when they are read. Arrays become batches in `keras_genmod.data.pipeline`.
    Data sets, `PyDataset`s and generators go to Keras, wrapped so that each batch is checked when it comes.
    """

    event_shape: tuple[int, ...]
    num_classes: int | None
    _condition_spec: ConditionSpec
    _noise_state: keras.Variable

    # For arrays in `fit`. A family whose batches are only parts of one computation takes larger ones.
    _training_batch_size = _DEFAULT_BATCH_SIZE

    if TYPE_CHECKING:

        @property
        def real_dtype(self) -> tf.DType: ...
        @property
        def _second_entry(self) -> ConditionSpec | TargetSpec: ...

        def event_space(self) -> Space: ...
        def data_spaces(self) -> tuple[Space, ...]: ...
        def input_space(self) -> Space: ...
        def check_data(self, x: Any, condition: Any = None) -> None: ...

    def _check_inputs(self, x: Any, condition: Any) -> None:
        """Checks the input of `call`: rows of the model's input space, and their conditions."""
        self.input_space().check(x)
        self._condition_spec.check_presence(condition)
        if condition is not None:
            self._condition_spec.check_values(condition)

    def _initialize_from_data(self, initial_rows: Callable[[int], Batch] | None) -> None:
        """Data-dependent initialisation: `fit` calls it with checked data before the first step.

        Args:
            initial_rows: Function from a number to that many of the first rows of the data, or to all rows if
                there are fewer. None if the data are a generator, from which nothing may be taken here.
        """

    # ---- arrays ---------------------------------------------------------------------------------

    def _stream(
        self,
        batch: Batch,
        batch_size: int | None,
        *,
        seed: int | None = None,
        class_weight: Mapping[int, float] | None = None,
        check: Callable[[Batch], None] | None = None,
        initialize: bool = False,
    ) -> BatchStream:
        """Checks arrays and cuts them into batches.

        Args:
            batch: The arrays.
            batch_size: Number of rows in a batch; None takes the default.
            seed: Seed of the order; None keeps the order of the arrays.
            class_weight: As in `fit`.
            check: Checks a batch; None takes the check of training data.
            initialize: Whether to call `_initialize_from_data`.
        """
        batch_size = _DEFAULT_BATCH_SIZE if batch_size is None else check_integer("batch_size", batch_size)
        check = check or self._check_arrays
        on_disk = any(is_on_disk(leaf) for leaf in keras.tree.flatten(batch) if leaf is not None)
        check(initial_rows([batch], batch_size) if on_disk else batch)
        _check_lengths(batch, self._second_entry.name)
        if initialize:
            self._initialize_from_data(lambda rows: initial_rows([batch], rows))
        batch = self._weighed(batch, self._class_table(class_weight))
        return BatchStream(
            batch,
            batch_size,
            seed=seed,
            dtype=self.real_dtype,
            check=_naming_batches(check) if on_disk else None,
        )

    def _one_batch(self, x: Any, y: Any, sample_weight: Any) -> Batch:
        """Checks the arrays of a single batch, for `train_on_batch` and `test_on_batch`."""
        batch = array_batch(x, y, sample_weight, self.event_shape)
        if batch is None:
            raise TypeError(
                f"`x` must be the arrays of one batch; received {describe(x)}. For a data set use `fit` or "
                "`evaluate`."
            )
        self._check_arrays(batch)
        return batch

    def _check_arrays(self, batch: Batch) -> None:
        """Checks the shapes, types, values and lengths of arrays."""
        self.check_data(batch.x, batch.condition)
        _check_lengths(batch, self._second_entry.name)
        if batch.weight is not None:
            weight = np.asarray(batch.weight)
            if weight.ndim != 1:
                raise ValueError(f"`sample_weight` must have shape [N]; received {weight.shape}.")
            WEIGHTS.check("sample_weight", weight)

    def _data_seed(self) -> int:
        """Seed of the order of the data, the same on all workers."""
        return int(tf.convert_to_tensor(self._noise_state)[0])

    def _check_call_arrays(self, batch: Batch) -> None:
        """Checks the input of `call`. An unconditional model ignores a second entry, as Keras does."""
        self._check_inputs(batch.x, batch.condition if self._condition_spec else None)

    # ---- weights of classes ---------------------------------------------------------------------

    def _class_table(self, class_weight: Mapping[int, float] | None) -> np.ndarray | None:
        if class_weight is None:
            return None
        if self.num_classes is None:
            raise ValueError("`class_weight` needs a model with `num_classes`; pass `sample_weight` instead.")
        return class_table(class_weight, self.num_classes)

    def _weighed(self, batch: Batch, table: np.ndarray | None) -> Batch:
        return batch if table is None else weigh(batch, table, self._condition_spec)

    # ---- batches --------------------------------------------------------------------------------

    def _checked_batches(
        self,
        data: Any,
        stack: contextlib.ExitStack,
        *,
        class_weight: Mapping[int, float] | None = None,
        check: Callable[[Batch], None] | None = None,
        initialize: bool = False,
    ) -> Any:
        """Wraps batches so that each is checked when it comes.

        If they can be iterated again, the first batch is checked at once.

        Args:
            data: The batches. Nothing is taken from a generator here.
            stack: Until it is closed, an error of the data is raised in place of TensorFlow's report of it.
            class_weight, check, initialize: As in `_stream`.
        """
        if data is None or isinstance(data, (str, bytes, numbers.Number)):
            raise TypeError(f"`x` must be arrays or batches; received {describe(data)}.")
        error = KeptError()
        stack.enter_context(plain_assertions())
        stack.enter_context(error.tell())
        table = self._class_table(class_weight)
        check = check or self._check_arrays
        batches = None
        if isinstance(data, tf.data.Dataset):
            batches = data
            trains = check == self._check_arrays
            space = self.event_space() if trains else self.input_space()
            spaces = self.data_spaces() if trains else ()
            _refuse_single_examples(data, space.shape)
            first = _checked_first(next(iter(data.take(1)), None), check)
            second = self._second_entry if trains else self._condition_spec
            data = checked_dataset(data, first, spaces or space, second, table)
        elif isinstance(data, keras.utils.PyDataset):
            batches = map(data.__getitem__, range(data.num_batches or 1))
            _checked_first(data[0] if data.num_batches != 0 else None, check)
            data = CheckedSequence(data, self._preparation(check, table), error)
        elif isinstance(data, Iterator):
            data = checked_iterator(data, self._preparation(check, table), error)
        if initialize:
            self._initialize_from_data(None if batches is None else lambda rows: initial_rows(batches, rows))
        return data

    def _preparation(
        self, check: Callable[[Batch], None], table: np.ndarray | None
    ) -> Callable[[Any, int], tuple]:
        """Returns a function from a user's batch and its number to the tuple that a step takes."""
        numbered_check, condition_spec = _naming_batches(check), self._condition_spec

        def prepare(data: Any, number: int) -> tuple:
            batch = as_arrays(unpack(data))
            numbered_check(batch, number)
            if table is not None:
                batch = weigh(batch, table, condition_spec)
            return tuple(() if part is None else part for part in batch)

        return prepare


def known_length(batches: Any) -> int:
    """Number of batches in one pass over `batches`; 0 if it is unknown or infinite."""
    if isinstance(batches, tf.data.Dataset):
        return max(0, int(batches.cardinality()))
    return getattr(batches, "num_batches", None) or 0


def refuse_beside_batches(**arguments: Any) -> None:
    """Refuses arguments of `fit` that belong to arrays, if the data are batches."""
    advice = {
        "y": "Make the data yield pairs `(x, condition)`.",
        "sample_weight": "Make the data yield triples `(x, condition, weight)` or `(x, None, weight)`.",
        "batch_size": "Choose the size of the batches where you make them.",
        "validation_batch_size": "Choose the size of the batches where you make them.",
        "validation_split": "Pass `validation_data`, or split the data set with its `take` and `skip`.",
    }
    for name, value in arguments.items():
        if value is not None and not (name == "validation_split" and value == 0):
            raise ValueError(
                f"`{name}` goes with arrays only; received {describe(value)} beside batches. {advice[name]}"
            )


def initial_rows(batches: Iterable, count: int) -> Batch:
    """The first `count` rows of batches, or all rows if there are fewer."""
    taken, rows = [], 0
    for data in batches:
        batch = unpack(data)
        taken.append(keras.tree.map_structure(lambda part: None if part is None else part[:count], batch))
        rows += num_rows(taken[-1])
        if rows >= count:
            break
    return keras.tree.map_structure(
        lambda *parts: None if parts[0] is None else np.concatenate(parts)[:count], *taken
    )


def _check_lengths(batch: Batch, second: str) -> None:
    """Refuses entries of a batch that have not as many rows as `x`; `second` names its second entry."""
    length = num_rows(batch.x)
    for name, entry in ((second, batch.condition), ("sample_weight", batch.weight)):
        if entry is not None and num_rows(entry) != length:
            raise ValueError(
                f"`{name}` must have one row for each of the {length} examples; received {num_rows(entry)}."
            )


def _checked_first(first: Any, check: Callable[[Batch], None]) -> Batch:
    """Checks the first batch of data, and returns it."""
    if first is None:
        raise ValueError("`x` is an empty data set: it gave no batch. Pass at least one example.")
    batch = as_arrays(unpack(first))
    check(batch)
    return batch


def _refuse_single_examples(data: tf.data.Dataset, row_shape: tuple[int, ...]) -> None:
    x = unpack(data.element_spec).x
    if getattr(getattr(x, "shape", None), "rank", None) == len(row_shape):
        raise ValueError(
            f"The data set must give batches of shape [batch, {', '.join(map(str, row_shape))}]; its "
            f"elements have shape {tuple(x.shape)}, which is one example. Batch it: `.batch(32)`."
        )


def _naming_batches(check: Callable[[Batch], None]) -> Callable[[Batch, int], None]:
    """The check with the number of the batch in its errors. It does not keep its model in memory."""
    method = weakref.WeakMethod(check)

    def numbered(batch: Batch, number: int) -> None:
        bound = method()
        if bound is None:
            return
        try:
            bound(batch)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error} It is batch {number} of the data, counted from 0.") from None

    return numbered
