r"""Coupling: one part of the variables is kept; the other is transformed with parameters from the first.

$$ x_A = z_A, \qquad x_B = T(z_B; \theta(z_A)) $$

Both directions cost one pass through the network of $\theta$.

References: NICE: Non-linear Independent Components Estimation, Dinh, Krueger and Bengio, 2015; Density
Estimation using Real NVP, Dinh, Sohl-Dickstein and Bengio, 2017; Neural Spline Flows, Durkan et al., 2019.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bijectors.bijection import Bijection
from keras_genmod.bijectors.own_bijector import Memory, OwnBijector, sum_over_event, tile_condition, to_rows
from keras_genmod.bijectors.transforms import Transform, get_transform
from keras_genmod.core.checks import describe
from keras_genmod.core.registration import register
from keras_genmod.core.spaces import Space
from keras_genmod.networks.conditions import network_condition, network_inputs
from keras_genmod.networks.coupling import coupling_network
from keras_genmod.networks.defaults import check_network

__all__ = ["Coupling"]


@register
class Coupling(Bijection):
    """A coupling layer.

    Args:
        mask: Which variables are kept: "half" (the first half of a vector), "channel" (the first half of the
            channels), "checkerboard" (the pixels of an image at which row plus column is even), or an array
            of the event's shape that is 1 for kept variables and 0 for others. None: "half" for vectors,
            "checkerboard" for images.
        swap: Whether to keep the other part instead.
        transform: "affine", "additive", "spline", or a transform such as `SplineTransform(num_bins=16)`.
        network: Maps the kept part (`[x, condition]` in a conditional flow) to the raw parameters of the
            other part; None builds a `coupling_network`. With "half" and "channel" its input is the kept half
            of the channels; with other masks the whole event, in which variables that are not kept are 0.
            Parameter k of channel c is at index k * C + c.
        network_options: Arguments of `coupling_network`, such as `{"hidden_dims": (512,)}`.

    Raises:
        ValueError: If the mask keeps all variables or none, or the network's output has another shape.

    Cost: One pass through the network in each direction.

    Example:
        >>> layer = Coupling()
        >>> layer.set_shapes((4,), seed=0)
        (4,)
        >>> import numpy as np
        >>> float(layer.bijector().forward(np.ones((1, 4), "float32"))[0, 3])
        1.0
    """

    def __init__(
        self,
        mask: Any = None,
        *,
        swap: bool = False,
        transform: Any = "affine",
        network: keras.Model | None = None,
        network_options: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(mask, str) and mask not in ("half", "channel", "checkerboard"):
            raise ValueError(
                "`mask` must be 'half', 'channel', 'checkerboard' or an array of zeros and ones; received "
                f"{describe(mask)}. Choose one of these."
            )
        self.mask = mask if mask is None or isinstance(mask, str) else np.asarray(mask)
        self.swap = bool(swap)
        self.transform = get_transform(transform)
        self.network: Any = network
        self.network_options = dict(network_options or {})

    def _create(self, seed: int | None) -> None:
        shape, channels = self.event_shape, self.event_shape[-1]
        kind = self.mask
        if kind is None:
            kind = "half" if len(shape) == 1 else "checkerboard"
        # The size of the first part of the last axis, for couplings by halves.
        self._first: int | None = None
        if isinstance(kind, str) and (kind == "channel" or (kind == "half" and len(shape) == 1)):
            if channels < 2:
                raise ValueError(
                    "A coupling by halves needs at least two variables or channels; received events of shape "
                    f"{shape}. Use mask='checkerboard' for images with one channel."
                )
            self._first = channels // 2
            kept = channels - self._first if self.swap else self._first
            input_shape: tuple[int, ...] = (*shape[:-1], kept)
            outputs = channels - kept
        else:
            self._kept = self._mask_array(kind)
            input_shape, outputs = shape, channels
        output_shape = (*shape[:-1], outputs * self.transform.params_per_dim)
        spec = self.condition
        if self.network is None:
            options = {"dtype": self.dtype_policy, "seed": seed, "name": "network", **self.network_options}
            self.network = coupling_network(
                input_shape,
                output_shape,
                num_classes=spec.num_classes,
                condition_shape=spec.shape,
                **options,
            )
        kept_space = Space("x", input_shape, self.real_dtype)
        inputs = network_inputs("network", self.network, [kept_space], spec)
        why = f"{self.transform.params_per_dim} parameters of {outputs} channels"
        check_network("network", self.network, inputs, output_shape, why, dtype=self.real_dtype)

    def _mask_array(self, kind: Any) -> np.ndarray:
        """The mask as an array, true for kept variables."""
        shape = self.event_shape
        if not isinstance(kind, str):
            mask = np.asarray(kind)
            if mask.shape != shape or not np.isin(mask, (0, 1)).all():
                raise ValueError(
                    f"`mask` must be zeros and ones of shape {shape}; received {describe(mask)}. Give one "
                    "value for each variable of the event."
                )
        elif kind == "half":
            size = math.prod(shape)
            mask = (np.arange(size) < size // 2).reshape(shape)
        else:
            if len(shape) != 3:
                raise ValueError(
                    f"mask='checkerboard' is for images (height, width, channels); received events of shape "
                    f"{shape}. Use 'half', or an array."
                )
            rows, columns = np.indices(shape[:2])
            mask = np.broadcast_to(((rows + columns) % 2 == 0)[..., None], shape)
        mask = mask.astype(bool) ^ self.swap
        if mask.all() or not mask.any():
            raise ValueError(
                f"`mask` must keep some variables, but not all; it keeps {int(mask.sum())} of {mask.size}. "
                "Give it zeros and ones."
            )
        return mask

    def kept_variables(self) -> np.ndarray:
        """The variables that are kept, as an array of the event's shape that is true for them."""
        if self._first is None:
            return self._kept
        in_first = np.arange(self.event_shape[-1]) < self._first
        return np.broadcast_to(in_first ^ self.swap, self.event_shape)

    def bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """The coupling, from noise to data."""

        def params(kept: tf.Tensor) -> list[tf.Tensor]:
            raw = self._raw(kept, tile_condition(condition, tf.shape(kept)[0]), training)
            return tf.split(raw, self.transform.params_per_dim, axis=-1)

        return _CouplingBijector(self._parts(), params, self.transform, self.event_shape, self.real_dtype)

    def _to_noise(self, x: tf.Tensor, condition: Any, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        parts = self._parts()
        kept, other = parts.split(x)
        transformed, each = self.transform.to_noise(self._raw(kept, condition, training), other)
        return parts.join(kept, transformed), sum_over_event(parts.without_kept(each))

    def _parts(self) -> _Mask | _Halves:
        return _Mask(self._kept) if self._first is None else _Halves(self._first, self.swap)

    def _raw(self, kept: tf.Tensor, condition: Any, training: bool) -> tf.Tensor:
        """The raw parameters of the other part's transforms."""
        inputs = kept
        if condition is not None:
            inputs = [kept, network_condition(self.network, condition, self.condition)]
        return tf.cast(self.network(inputs, training=training), self.real_dtype)

    def get_config(self) -> dict:
        """The constructor arguments, including the network."""
        mask = self.mask.tolist() if isinstance(self.mask, np.ndarray) else self.mask
        return {
            **super().get_config(),
            "mask": mask,
            "swap": self.swap,
            "transform": keras.saving.serialize_keras_object(self.transform),
            "network": None if self.network is None else keras.saving.serialize_keras_object(self.network),
            "network_options": self.network_options,
        }

    @classmethod
    def from_config(cls, config: dict) -> Coupling:
        """The layer from its configuration."""
        config = dict(config)
        config["network"] = keras.saving.deserialize_keras_object(config["network"])
        return cls(**config)


class _Halves:
    """Splits the last axis into two parts."""

    def __init__(self, first: int, swap: bool) -> None:
        self._first, self._swap = first, swap

    def split(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The kept part and the other part."""
        parts = x[..., : self._first], x[..., self._first :]
        return parts[::-1] if self._swap else parts

    def join(self, kept: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        """The event from its two parts."""
        return tf.concat([other, kept] if self._swap else [kept, other], axis=-1)

    def without_kept(self, values: tf.Tensor) -> tf.Tensor:
        """Values of the other part, without those of kept variables: here all of them."""
        return values


class _Mask:
    """Selects any subset of the variables; both parts keep the event's shape."""

    def __init__(self, kept: np.ndarray) -> None:
        self._kept = kept

    def split(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The event with zeros at variables that are not kept, and the whole event."""
        return tf.where(self._kept, x, 0.0), x

    def join(self, kept: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        """The event from its two parts."""
        return tf.where(self._kept, kept, other)

    def without_kept(self, values: tf.Tensor) -> tf.Tensor:
        """Values of the other part, with zeros at the kept variables."""
        return tf.where(self._kept, tf.zeros_like(values), values)


class _CouplingBijector(OwnBijector):
    """The map of a `Coupling` with its current weights and one condition."""

    def __init__(
        self,
        parts: Any,
        params: Any,
        transform: Transform,
        event_shape: tuple[int, ...],
        dtype: tf.DType,
    ) -> None:
        self._parts, self._params, self._transform = parts, params, transform
        self._shape, self._memory = event_shape, Memory()
        super().__init__(len(event_shape), dtype=dtype)

    def _prepared(self, x: tf.Tensor) -> tuple:
        """Both parts of x as rows, and the elementwise bijector with parameters from the kept part."""
        kept, other = self._parts.split(to_rows(x, self._shape))
        elementwise = self._memory.recall(x, lambda: self._transform.bijector(self._params(kept)))
        return kept, other, elementwise

    def _mapped(self, x: tf.Tensor, direction: str) -> tf.Tensor:
        kept, other, elementwise = self._prepared(x)
        transformed = getattr(elementwise, direction)(other)
        result = tf.reshape(self._parts.join(kept, transformed), tf.shape(x))
        result.set_shape(x.shape)
        self._memory.store(result, elementwise)
        return result

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        return self._mapped(x, "forward")

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        return self._mapped(y, "inverse")

    def _log_det(self, x: tf.Tensor, name: str) -> tf.Tensor:
        _, other, elementwise = self._prepared(x)
        each = getattr(elementwise, name)(other, event_ndims=0)
        each = self._parts.without_kept(tf.broadcast_to(each, tf.shape(other)))
        total = tf.reduce_sum(each, axis=list(range(1, 1 + len(self._shape))))
        return tf.reshape(total, tf.shape(x)[: tf.rank(x) - len(self._shape)])

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        return self._log_det(x, "forward_log_det_jacobian")

    def _inverse_log_det_jacobian(self, y: tf.Tensor) -> tf.Tensor:
        return self._log_det(y, "inverse_log_det_jacobian")
