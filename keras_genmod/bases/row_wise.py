"""Row-wise capabilities: many rows in bounded memory, sampling from one seed a row, their endpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import ValueRange, as_array, check_integer, check_rows
from keras_genmod.core.noise import row_seeds
from keras_genmod.core.precision import real_dtype
from keras_genmod.core.rows import map_rows
from keras_genmod.networks.conditions import network_condition, network_inputs
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["ROWS_PER_PASS", "RowWise", "SamplesByRow"]

# Rows per pass through a network when many are asked for at once.
ROWS_PER_PASS = 1024


class RowWise:
    """The part of `GenerativeModel` that answers questions about rows of data or of latent vectors."""

    # A family whose pass takes much memory a row lowers it.
    _rows_per_pass = ROWS_PER_PASS

    @property
    def real_dtype(self) -> tf.DType:
        """Of data, latent variables, densities and logs: float64 under that policy, else float32."""
        return real_dtype(self.dtype_policy)

    @property
    def _latent_dtype(self) -> tf.DType:
        """That of latent vectors, but for families whose codes are whole numbers."""
        return self.real_dtype

    def _latent_shape(self) -> tuple[int, ...]:
        """Shape of the latent variables of one example."""
        return (self.latent_dim,)

    def _latent_range(self) -> ValueRange:
        """The values of latent variables."""
        return ValueRange()

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
        """`x`, or `x` and the condition, of a list."""
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

    def _with_condition(self, network: Any, x: tf.Tensor, condition: Any) -> Any:
        """The argument of a network: `x`, or `[x, condition]` with one condition a row as it takes them."""
        condition = self._condition_spec.rows(condition, x.shape[0] or tf.shape(x)[0])
        if condition is None:
            return x
        return [x, network_condition(network, condition, self._condition_spec)]

    def _inputs_of(self, name: str, network: Any, shape: Sequence[int]) -> list[keras.KerasTensor]:
        """What a network of the model is called on, symbolically: rows of a shape, and the condition."""
        return network_inputs(name, network, keras.Input(shape), self._condition_spec)

    def _map_rows(
        self,
        key: Any,
        function: Callable,
        x: Any,
        condition: Any,
        *,
        latent: bool = False,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """A row-wise function of data and conditions over many rows in bounded memory."""
        rows_per_pass = self._batch_size(batch_size)
        x = self._as_rows(x, latent)
        condition = self._condition_spec.rows(condition, x.shape[0] or tf.shape(x)[0])
        graph = self._graphs.get(key, lambda rows: function(*rows))
        return map_rows(graph, (x, condition), batch_size=rows_per_pass)

    def _batch_size(self, batch_size: int | None) -> int:
        """Rows in one pass: the caller's number, or the model's own."""
        if batch_size is None:
            return self._rows_per_pass
        return check_integer("batch_size", batch_size)

    def _network_for(self, latent: bool) -> str | None:
        """Name of the network that takes latent vectors or data, where the model has one."""
        return None

    def _refuse_symbolic(self, name: str, value: Any, latent: bool = False) -> None:
        """Refuses the symbolic input of another Keras model, and says what to call in its place."""
        if not isinstance(value, keras.KerasTensor):
            return
        network = self._network_for(latent)
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

    def _as_rows(self, x: Any, latent: bool = False) -> tf.Tensor:
        """Data or latent variables as a checked tensor."""
        self._refuse_symbolic("z" if latent else "x", x, latent)
        symbolic = tf.is_tensor(x) and not hasattr(x, "numpy")
        name, shape = ("z", self._latent_shape()) if latent else ("x", self.event_shape)
        x = x if tf.is_tensor(x) else as_array(name, x)
        check_rows(name, x, shape)
        if not symbolic:
            accepted = self._latent_range() if latent else self.value_range()
            accepted.check(name, np.asarray(x))
        return tf.cast(x, self._latent_dtype if latent else self.real_dtype)

    def _latent_specs(self) -> dict[str, tf.TensorSpec]:
        """Latent variables as inputs of an endpoint, with the condition if the model has one."""
        z = tf.TensorSpec([None, *self._latent_shape()], self._latent_dtype, name="z")
        return {"z": z, **self._condition_specs()}


class SamplesByRow:
    """Sampling for models that draw each row from its own seed, so that batches may be cut anywhere."""

    def _sample_rows(self, seeds: tf.Tensor, condition: Any = None, **options: Any) -> tf.Tensor:
        """One sample a row, from its own seed `[2]`: what a family writes."""
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
        condition = self._condition_specs()
        count = {
            "num_samples": tf.TensorSpec([], tf.int32, name="num_samples"),
            "seed": tf.TensorSpec([2], tf.int32, name="seed"),
        }
        seeds = {"seed": tf.TensorSpec([None, 2], tf.int32, name="seed")}

        def sample(num: tf.Tensor, seed: tf.Tensor, condition: Any = None) -> dict[str, tf.Tensor]:
            limit = tf.debugging.Assert(
                (num > 0) & (num <= max_samples),
                [f"num_samples must be from 1 to {max_samples}; received", num],
            )
            with tf.control_dependencies([limit] if limit is not None else []):
                rows = row_seeds(seed, 0, tf.identity(num))
            return {"x": self._sample_rows(rows, condition)}

        def sample_rows(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"x": self._sample_rows(*inputs)}

        return {
            "sample": Endpoint(sample, {**count, **condition}, batched=False),
            "sample_rows": Endpoint(sample_rows, {**seeds, **condition}),
        }
