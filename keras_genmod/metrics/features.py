"""Features of samples: any Keras model, with the resizing and the range of values that it wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_choice, check_integer, check_number, check_shape_tuple, describe
from keras_genmod.core.registration import register
from keras_genmod.core.rows import as_graph, map_rows

__all__ = ["FeatureExtractor"]

_RESIZE_METHODS = (
    "bilinear",
    "bicubic",
    "area",
    "nearest",
    "lanczos3",
    "lanczos5",
    "gaussian",
    "mitchellcubic",
)


@register
class FeatureExtractor:
    r"""Turns data `[B, *shape]` into features `[B, feature_dim]` by a Keras model.

    In this order: values are mapped linearly from `data_range` to `input_range`, images are resized,
    a single channel is repeated if the model wants three, the model runs with `training=False`, and its
    output is flattened to float32.

    ```python
    inception = keras.applications.InceptionV3(include_top=False, pooling="avg")
    extractor = FeatureExtractor(
        inception, name="inception-v3", image_size=(299, 299), data_range=(-1, 1), input_range=(-1, 1)
    )
    ```

    Args:
        model: Keras model or layer with one input and one output.
        name: what figures call it; the model's name by default.
        image_size: (height, width) that the model wants, None to leave images as they are.
        resize: method of `tf.image.resize`; shrinking is antialiased.
        data_range: (low, high) of the data, such as (-1, 1).
        input_range: (low, high) that the model wants, such as (0, 255). Both ranges, or neither.
        batch_size: examples per call of the model for arrays.

    Attributes:
        resize_rule: the resizing in words.
        feature_dim: number of features; None until the first call where the model does not tell.

    Raises:
        TypeError: if `model` is not a Keras layer or model.
        ValueError: for other arguments, and for data that do not fit the model.

    Cost: the model, once per example; `batch_size` examples in memory, and the features.

    A configuration holds the model's architecture, not its weights: for those save the model.

    >>> extractor = FeatureExtractor(keras.layers.Flatten(), name="pixels")
    >>> extractor(np.zeros((3, 2, 2, 1))).shape
    TensorShape([3, 4])
    """

    def __init__(
        self,
        model: keras.layers.Layer,
        *,
        name: str | None = None,
        image_size: Sequence[int] | None = None,
        resize: str = "bilinear",
        data_range: Sequence[float] | None = None,
        input_range: Sequence[float] | None = None,
        batch_size: int = 256,
    ) -> None:
        if not isinstance(model, keras.layers.Layer):
            raise TypeError(
                f"`model` must be a Keras model or layer; received {describe(model)}. "
                "Wrap a function in a subclass of `keras.layers.Layer`."
            )
        self.model = model
        self.name = model.name if name is None else str(name)
        self.image_size = None
        if image_size is not None:
            self.image_size = check_shape_tuple("image_size", image_size, ranks=(2,))
        self.resize = check_choice("resize", resize, _RESIZE_METHODS)
        if (data_range is None) != (input_range is None):
            raise ValueError(
                "`data_range` and `input_range` must be given together; received "
                f"{data_range!r} and {input_range!r}. Give the range of the data and the one the model wants."
            )
        self.data_range = _check_range("data_range", data_range)
        self.input_range = _check_range("input_range", input_range)
        self.batch_size = check_integer("batch_size", batch_size)
        self._input_shape = _row_shape(model, "input_shape")
        self.feature_dim: int | None = _size(_row_shape(model, "output_shape"))
        if self.feature_dim is None and self.image_size and self._input_shape and self._input_shape[-1]:
            shape = model.compute_output_shape((None, *self.image_size, self._input_shape[-1]))
            self.feature_dim = _size(tuple(shape[1:]))
        self._graph = as_graph(self._features)
        self._traced: set = set()

    @property
    def resize_rule(self) -> str:
        """The resizing in words, such as "bilinear to 299x299, antialiased"."""
        if self.image_size is None:
            return "none"
        height, width = self.image_size
        return f"{self.resize} to {height}x{width}, antialiased"

    def __call__(self, x: Any) -> tf.Tensor:
        """Features of data of any length.

        Args:
            x: array or tensor `[N, *shape]`; inside a graph, one batch.

        Returns:
            Float32 `[N, feature_dim]`.
        """
        if tf.inside_function():
            return self._features(x)
        if not hasattr(x, "shape"):
            x = np.asarray(x)
        self._check(x)
        key = (tuple(x.shape[1:]), tf.as_dtype(x.dtype))
        if key not in self._traced:
            # The trace with an open batch axis comes first, so that a shorter last batch needs no other.
            self._graph.get_concrete_function(tf.TensorSpec([None, *key[0]], key[1]))
            self._traced.add(key)
        return map_rows(lambda rows: self._graph(tf.convert_to_tensor(rows)), x, batch_size=self.batch_size)

    def _features(self, x: tf.Tensor) -> tf.Tensor:
        self._check(x)
        x = tf.cast(x, tf.float32)
        if self.data_range is not None:
            (low, high), (new_low, new_high) = self.data_range, self.input_range
            x = (x - low) * ((new_high - new_low) / (high - low)) + new_low
        if self.image_size is not None:
            x = tf.image.resize(x, self.image_size, method=self.resize, antialias=True)
        if self._repeats_channel(x.shape):
            x = tf.repeat(x, 3, axis=-1)
        y = self.model(x, training=False)
        if not hasattr(y, "shape"):
            raise ValueError(
                f"`model` must have one output; received {describe(y)} from {self.name}. "
                "Build a model of the output that serves as features."
            )
        size = _size(tuple(y.shape[1:]))
        if size is not None:
            self.feature_dim = size
        return tf.reshape(tf.cast(y, tf.float32), [tf.shape(y)[0], -1 if size is None else size])

    def _repeats_channel(self, shape: Sequence[int | None]) -> bool:
        wanted = self._input_shape
        return (
            wanted is not None and len(wanted) == len(shape) - 1 == 3 and wanted[-1] == 3 and shape[-1] == 1
        )

    def _check(self, x: Any) -> None:
        """Refuses data that the model cannot take, before it fails somewhere inside."""
        shape = tuple(x.shape)
        if self.image_size is not None and len(shape) != 4:
            raise ValueError(
                "`x` must be images of shape [batch, height, width, channels] to be resized; received "
                f"{shape}. Add the missing axis, or leave `image_size` out."
            )
        if len(shape) < 2:
            raise ValueError(
                f"`x` must have shape [batch, ...]; received {shape}. Add the batch axis with `x[None]`."
            )
        wanted = self._input_shape
        if wanted is None:
            return
        have = list(shape[1:])
        if self.image_size is not None:
            have[:2] = self.image_size
        if self._repeats_channel((None, *have)):
            have[-1] = 3
        fits = len(have) == len(wanted) and all(
            w is None or h is None or w == h for w, h in zip(wanted, have, strict=True)
        )
        if not fits:
            axes = ", ".join("any" if side is None else str(side) for side in wanted)
            resized = "" if self.image_size is None else f", resized to {tuple(have)}"
            raise ValueError(
                f"`x` must have shape [batch, {axes}] for the model {self.name}; received {shape}{resized}. "
                "Pass data of that shape, or set `image_size` to have images resized."
            )

    def get_config(self) -> dict:
        """The constructor arguments; of the model its configuration, without weights."""
        return {
            "model": keras.saving.serialize_keras_object(self.model),
            "name": self.name,
            "image_size": self.image_size,
            "resize": self.resize,
            "data_range": self.data_range,
            "input_range": self.input_range,
            "batch_size": self.batch_size,
        }

    @classmethod
    def from_config(cls, config: dict) -> FeatureExtractor:
        """An extractor of a configuration; its model has fresh weights."""
        config = dict(config)
        if isinstance(config["model"], dict):
            config["model"] = keras.saving.deserialize_keras_object(config["model"])
        return cls(**config)


def _check_range(name: str, value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        low, high = value
    except (TypeError, ValueError):
        low = high = None
    if low is None or high is None:
        raise ValueError(f"`{name}` must be a pair (low, high), such as (-1, 1); received {describe(value)}.")
    low = check_number(f"{name}[0]", low)
    return low, check_number(f"{name}[1]", high, above=low)


def _row_shape(model: keras.layers.Layer, attribute: str) -> tuple[int | None, ...] | None:
    """Shape of one row of a model's input or output, None where it is not known; several are refused."""
    try:
        shape = getattr(model, attribute, None)
    except RuntimeError:
        return None
    if shape is None:
        return None
    if isinstance(shape, (list, dict)) or (shape and isinstance(shape[0], (list, tuple))):
        raise ValueError(
            f"`model` must have one input and one output; its {attribute} is {shape!r}. "
            "Build a model of the parts that serve for features."
        )
    return tuple(shape[1:])


def _size(shape: tuple[int | None, ...] | None) -> int | None:
    """Number of entries of a row, None where an axis is open."""
    if shape is None or None in shape:
        return None
    return int(np.prod(shape, dtype=np.int64))
