"""Features of samples from any Keras model, with the image size and value range that the model expects."""

from __future__ import annotations

import math
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
    r"""Computes features `[B, feature_dim]` of data `[B, *shape]` with a Keras model.

    The steps, in this order: values are mapped linearly from `data_range` to `input_range`; images are
    resized; a single channel is repeated if the model expects three; the model runs with `training=False`;
    its output is flattened and cast to float32.

    ```python
    inception = keras.applications.InceptionV3(include_top=False, pooling="avg")
    extractor = FeatureExtractor(
        inception, name="inception-v3", image_size=(299, 299), data_range=(-1, 1), input_range=(-1, 1)
    )
    ```

    Args:
        model: Keras model or layer with one input and one output.
        name: Name of the extractor in reports of the metrics; by default the model's name.
        image_size: (height, width) that the model expects; None leaves images unchanged.
        resize: Method of `tf.image.resize`. Shrinking is antialiased.
        data_range: (low, high) of the data, such as (-1, 1). Give both ranges, or neither.
        input_range: (low, high) that the model expects, such as (0, 255).
        batch_size: Rows processed in one pass, which bounds memory.

    Attributes:
        feature_dim: Number of features. None until the first call if the model's output shape is unknown.

    Raises:
        TypeError: If `model` is not a Keras layer or model.
        ValueError: If another argument is wrong, or data do not fit the model.

    Cost: The model, once per example; memory holds `batch_size` examples and all features.

    A configuration holds the model's architecture, not its weights; save the model to keep those.

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
        self.image_size: tuple[int, ...] | None = None
        if image_size is not None:
            self.image_size = check_shape_tuple("image_size", image_size, ranks=(2,))
        self.resize = check_choice("resize", resize, _RESIZE_METHODS)
        if (data_range is None) != (input_range is None):
            raise ValueError(
                "`data_range` and `input_range` must be given together; received "
                f"{data_range!r} and {input_range!r}. Give the ranges of the data and of the model's input."
            )
        self.data_range = _check_range("data_range", data_range)
        self.input_range = _check_range("input_range", input_range)
        self.batch_size = check_integer("batch_size", batch_size)
        self._input_shape = _row_shape(model, "input_shape")
        self.feature_dim: int | None = _size(_row_shape(model, "output_shape"))
        if self.feature_dim is None and self.image_size and self._input_shape and self._input_shape[-1]:
            shape = model.compute_output_shape((None, *self.image_size, self._input_shape[-1]))
            self.feature_dim = _size(tuple(shape[1:]))
        self._graph: Any = as_graph(self._features)
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
            x: Array or tensor `[N, *shape]`; inside a graph, one batch.

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
            # Tracing with an open batch axis first means that a shorter last batch needs no second trace.
            self._graph.get_concrete_function(tf.TensorSpec([None, *key[0]], key[1]))
            self._traced.add(key)
        return map_rows(lambda rows: self._graph(tf.convert_to_tensor(rows)), x, batch_size=self.batch_size)

    def _features(self, x: tf.Tensor) -> tf.Tensor:
        self._check(x)
        x = tf.cast(x, tf.float32)
        if self.data_range is not None and self.input_range is not None:
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
                "Build a model with only the output that serves as features."
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
        """Refuses data that the model cannot take, before the model fails with an unclear error."""
        shape = tuple(x.shape)
        if self.image_size is not None and len(shape) != 4:
            raise ValueError(
                "`x` must be images of shape [batch, height, width, channels] to be resized; received "
                f"{shape}. Add the missing axis, or omit `image_size`."
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
                "Pass data of that shape, or set `image_size` to resize images."
            )

    def get_config(self) -> dict:
        """The constructor arguments; the model is given by its configuration, without weights."""
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
        """An extractor from its configuration; the model has fresh weights."""
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
    """Shape of one row of a model's input or output, None if unknown; refuses several inputs or outputs."""
    try:
        shape = getattr(model, attribute, None)
    except RuntimeError:
        return None
    if shape is None:
        return None
    if isinstance(shape, (list, dict)) or (shape and isinstance(shape[0], (list, tuple))):
        raise ValueError(
            f"`model` must have one input and one output; its {attribute} is {shape!r}. "
            "Build a model with only the parts that compute the features."
        )
    return tuple(shape[1:])


def _size(shape: tuple[int | None, ...] | None) -> int | None:
    """Number of entries in a row, or None if an axis is open."""
    if shape is None:
        return None
    sides = [side for side in shape if side is not None]
    return math.prod(sides) if len(sides) == len(shape) else None
