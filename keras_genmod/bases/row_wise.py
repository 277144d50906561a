"""Answers about rows: many rows in bounded memory, and samples that are drawn from one seed a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import ValueRange, as_array, check_integer
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.noise import row_seeds
from keras_genmod.core.precision import real_dtype
from keras_genmod.core.rows import GraphCache, map_rows
from keras_genmod.core.spaces import EXAMPLE_ROWS, ROW_SEEDS, SEED, Space
from keras_genmod.core.targets import TargetSpec
from keras_genmod.networks.conditions import network_condition, network_inputs
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["ROWS_PER_PASS", "RowWise", "SamplesByRow"]

# Rows per pass through a network when many are asked for at once.
ROWS_PER_PASS = 1024

if TYPE_CHECKING:

    class _Callable:
        """What `RowWise` extends of `keras.Model`."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

else:
    _Callable = object


class RowWise(_Callable):
    """The part of `GenerativeModel` that answers questions about rows of data or of latent vectors."""

    event_shape: tuple[int, ...]
    dtype_policy: Any
    _condition_spec: ConditionSpec
    _graphs: GraphCache

    # A family whose pass takes much memory a row lowers it.
    _rows_per_pass = ROWS_PER_PASS
    # Name of a space -> attribute of the network that takes it, for the advice of an error.
    _network_names: Mapping[str, str] = {}

    if TYPE_CHECKING:

        def value_range(self) -> ValueRange: ...

    @property
    def real_dtype(self) -> tf.DType:
        """Dtype of data, latent variables, densities and logs: float64 under that policy, else float32."""
        return real_dtype(self.dtype_policy)

    @property
    def _second_entry(self) -> ConditionSpec | TargetSpec:
        """What stands second in a batch of training data: the condition, or the target of a pair."""
        return self._condition_spec

    # ---- spaces ---------------------------------------------------------------------------------

    def event_space(self) -> Space:
        """The space of one example `x`. A model of several kinds of data has a space for each."""
        return Space("x", self.event_shape, self.real_dtype, self.value_range())

    def data_spaces(self) -> tuple[Space, ...]:
        """The spaces of the arrays in `x` for a model that trains on a dictionary; none elsewhere.

        A model between two unpaired domains returns `(Space("a", ...), Space("b", ...))` and trains on
        `{"a": ..., "b": ...}`. The number of rows of the largest array counts as the number of examples.
        """
        return ()

    def input_space(self) -> Space:
        """The space of what `call`, and so `predict`, takes beside the condition."""
        return self.event_space()

    def _inputs(self, *spaces: Space) -> tuple[Space, ...]:
        """The inputs of an endpoint: these spaces, and the condition last if the model has one."""
        return (*spaces, *self._condition_spec.spaces())

    # ---- calls ----------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What `call` gives; `model([x, condition])` is `model(x, condition)`, as for any Keras network."""
        if args and isinstance(args[0], (list, tuple)):
            x, *others = self._taken_apart(args[0], len(args) > 1 or kwargs.get("condition") is not None)
            args = (x, *others, *args[1:])
        if len(args) > 1 and isinstance(args[1], (int, list, tuple)) and not isinstance(args[1], bool):
            # Keras takes only tensors by position.
            args = (args[0], np.asarray(args[1]), *args[2:])
        return super().__call__(*args, **kwargs)

    def _taken_apart(self, inputs: Any, has_condition: bool) -> list:
        """The list `[x]` or `[x, condition]` of the one list that a call was given.

        Args:
            inputs: `[x, condition]`, or the numbers of one array.
            has_condition: Whether the call was given a condition beside the list.
        """
        if not any(hasattr(part, "shape") for part in inputs):
            return [np.asarray(inputs)]
        most = 2 if self._condition_spec and not has_condition else 1
        if len(inputs) > most:
            advice = "Stack the rows of one array with `np.stack`."
            if has_condition:
                wanted = "is given a condition beside `x`"
            elif self._condition_spec:
                wanted = "is conditional and takes `[x, condition]`"
            else:
                wanted = "is unconditional and takes `x` alone"
                advice += " For conditions build it with `num_classes=` or `condition_shape=`."
            raise ValueError(
                f"This {type(self).__name__} {wanted}; received a list of {len(inputs)}. {advice}"
            )
        return list(inputs)

    def _with_condition(self, network: Any, x: Any, condition: Any) -> Any:
        """The argument that a network is called on, with one condition a row in the form that it takes.

        Args:
            network: The network.
            x: Its input, or a list of all its inputs but the condition.
            condition: One condition for all rows, or one per row.

        Returns:
            `x`, `[x, condition]` or `[*x, condition]`.
        """
        inputs = list(x) if isinstance(x, (list, tuple)) else [x]
        condition = self._condition_spec.rows(condition, inputs[0].shape[0] or tf.shape(inputs[0])[0])
        if condition is not None:
            inputs.append(network_condition(network, condition, self._condition_spec))
        return inputs if len(inputs) > 1 else inputs[0]

    def _inputs_of(self, name: str, network: Any, *spaces: Space) -> list[keras.KerasTensor]:
        """The symbolic inputs of a network of the model: one of each space, and the condition."""
        return network_inputs(name, network, spaces, self._condition_spec)

    # ---- rows -----------------------------------------------------------------------------------

    def _map_rows(
        self,
        key: Any,
        function: Callable,
        x: Any,
        condition: Any,
        *,
        space: Space | tuple[Space, ...] | None = None,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """Applies a row-wise function to many rows in bounded memory.

        Args:
            key: Under which the function's graph is kept: a name, and all that the function depends on
                beside its arguments and the weights, such as `("translate", direction)`. A later call with
                an equal key runs the first one's function.
            function: Of `x` and the condition, one row each; of each entry of `x` where it has several.
            x: Rows of the space, or a tuple with equally many rows of each of several spaces.
            condition: One condition for all rows, or one per row.
            space: The space of `x`, or a tuple of spaces; None takes the event space.
            batch_size: Rows processed in one pass; None uses the model's default.
        """
        rows_per_pass = self._batch_size(batch_size)
        if isinstance(space, tuple):
            parts = tuple(self._as_rows(part, one) for part, one in zip(x, space, strict=True))
            _check_equally_many(parts, space)
        else:
            parts = (self._as_rows(x, space),)
        condition = self._condition_spec.rows(condition, parts[0].shape[0] or tf.shape(parts[0])[0])
        graph = self._graphs.get(key, lambda rows: function(*rows))
        return map_rows(graph, (*parts, condition), batch_size=rows_per_pass)

    def _batch_size(self, batch_size: int | None) -> int:
        """Rows in one pass: the caller's number, or the model's own."""
        if batch_size is None:
            return self._rows_per_pass
        return check_integer("batch_size", batch_size)

    def _as_rows(self, x: Any, space: Space | None = None) -> tf.Tensor:
        """The checked tensor of rows of a space, in its dtype; None takes the event space."""
        if space is None:
            space = self.event_space()
        self._refuse_symbolic(space.name, x)
        x = x if tf.is_tensor(x) else as_array(space.name, x)
        space.check(x)
        return tf.cast(x, space.dtype)

    def _refuse_symbolic(self, name: str, value: Any) -> None:
        """Refuses the symbolic input of another Keras model, and says what to call in its place."""
        if not isinstance(value, keras.KerasTensor):
            return
        network = self._network_names.get(name)
        inputs = f"[{name}, condition]" if self._condition_spec else name
        part = f"model({inputs})"
        advice = f"Inside another Keras model call the model itself, `{part}`"
        if network is not None:
            part = f"model.{network}({inputs})"
            shape = getattr(getattr(self, network), "output_shape", None)
            advice += f", or its network `{part}`, which gives raw outputs"
            advice += "" if shape is None else f" of shape {tuple(shape)}"
        raise TypeError(
            f"`{name}` must be an array or tensor; received a KerasTensor, which has no values. {advice}:\n"
            f"    h = {part}\n    keras.Model({inputs}, h)"
        )


def _check_equally_many(parts: tuple[tf.Tensor, ...], spaces: tuple[Space, ...]) -> None:
    """Refuses tensors of different numbers of rows, which would be cut apart or broadcast."""
    first, *others = ((space.name, part.shape[0]) for space, part in zip(spaces, parts, strict=True))
    for name, rows in others:
        if None not in (first[1], rows) and rows != first[1]:
            raise ValueError(
                f"`{name}` must have one row for each of the {first[1]} rows of `{first[0]}`; received "
                f"{rows}. Repeat a single one, for example with `np.repeat({name}, {first[1]}, axis=0)`."
            )


class SamplesByRow:
    """Sampling for models that draw each row from a seed of its own, so that batches may be cut anywhere."""

    _condition_spec: ConditionSpec
    _graphs: GraphCache

    if TYPE_CHECKING:

        def _batch_size(self, batch_size: int | None) -> int: ...
        def _inputs(self, *spaces: Space) -> tuple[Space, ...]: ...
        def _sampling_seed(self, seed: Any) -> tf.Tensor: ...

    def _sample_rows(self, *seeds_and_condition: Any, **options: Any) -> tf.Tensor:
        """One sample for each seed `[B, 2]` and condition; a family writes it, with options of its own."""
        raise TypeError(f"{type(self).__name__} must define `_sample_rows`.")

    def _sample(
        self, num_samples: int, condition: Any, seed: Any, batch_size: int | None, **options: Any
    ) -> tf.Tensor:
        """`num_samples` samples; `options` are those of `_sample_rows`."""
        num_samples = check_integer("num_samples", num_samples)
        rows_per_pass = self._batch_size(batch_size)
        seeds = row_seeds(self._sampling_seed(seed), 0, num_samples)
        condition = self._condition_spec.rows(condition, num_samples)
        key = ("sample", *sorted(options.items()))
        graph = self._graphs.get(key, lambda rows: self._sample_rows(*rows, **options))
        return map_rows(graph, (seeds, condition), batch_size=rows_per_pass)

    def _sample_endpoints(self, max_samples: int) -> dict[str, Endpoint]:
        """`sample`, of a number of samples and one seed, and `sample_rows`, of one seed a row."""
        count = Space("num_samples", (), tf.int32, ValueRange(1, max_samples), batched=False)
        # A few samples, and as many conditions.
        rows = min(EXAMPLE_ROWS, max_samples)
        example = {"num_samples": rows, **{c.name: c.example(rows) for c in self._condition_spec.spaces()}}

        def sample(num: tf.Tensor, seed: tf.Tensor, condition: Any = None) -> dict[str, tf.Tensor]:
            limit = tf.debugging.Assert(
                (num > 0) & (num <= max_samples),
                [f"num_samples must be from 1 to {max_samples}; received", num],
            )
            with tf.control_dependencies([limit] if limit is not None else []):
                seeds = row_seeds(seed, 0, tf.identity(num))
            return {"x": self._sample_rows(seeds, condition)}

        def sample_rows(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"x": self._sample_rows(*inputs)}

        return {
            "sample": Endpoint(sample, self._inputs(count, SEED), batched=False, example=example),
            "sample_rows": Endpoint(sample_rows, self._inputs(ROW_SEEDS)),
        }
