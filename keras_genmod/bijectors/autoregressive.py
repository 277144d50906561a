r"""Masked autoregressive maps: each variable is transformed with parameters computed from the previous ones.

$$ x_d = T(z_d; \theta_d(x_{<d})) $$

From data to noise this takes one pass, so densities are fast. From noise to data the variables are computed
one after the other; in all, each unit of the network is computed once. The inverse autoregressive map is the
inverse of this map: sampling is fast, and the density of data other than its own samples is slow.

References: Masked Autoregressive Flow for Density Estimation, Papamakarios, Pavlakou and Murray, 2017;
Improving Variational Inference with Inverse Autoregressive Flow, Kingma et al., 2016; MADE, Germain et al.,
2015 (the network).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bijectors.bijection import Bijection
from keras_genmod.bijectors.own_bijector import Memory, OwnBijector, sum_over_event, tile_condition, to_rows
from keras_genmod.bijectors.transforms import Transform, get_transform
from keras_genmod.core.checks import check_integers
from keras_genmod.core.registration import register
from keras_genmod.networks.autoregressive import generate_naively
from keras_genmod.networks.masked_dense import MaskedDenseNetwork
from keras_genmod.networks.ordered import check_ordering

__all__ = ["InverseAutoregressive", "MaskedAutoregressive"]

tfb = tfp.bijectors


@register
class MaskedAutoregressive(Bijection):
    """A masked autoregressive layer over events of any rank.

    Args:
        hidden_dims: Widths of the hidden layers of the masked network.
        transform: "affine", "additive", "spline", or a transform such as `SplineTransform(num_bins=16)`.
        ordering: "natural", "reverse", "random" (drawn from the seed), or the numbers of the variables in
            their order.
        activation: Activation of the hidden layers.

    Cost: One pass from data to noise. From noise to data about the work of one pass, in one sequential step
    per variable.

    Example:
        >>> layer = MaskedAutoregressive(hidden_dims=(8,))
        >>> layer.set_shapes((3,), seed=0)
        (3,)
        >>> import numpy as np
        >>> float(layer.bijector().inverse_log_det_jacobian(np.ones((1, 3), "float32"), event_ndims=1)[0])
        0.0
    """

    def __init__(
        self,
        hidden_dims: Sequence[int] = (256, 256),
        *,
        transform: Any = "affine",
        ordering: Any = "natural",
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dims = check_integers("hidden_dims", hidden_dims, min_length=1)
        self.transform = get_transform(transform)
        self.ordering = ordering
        self.activation = keras.activations.get(activation)

    def _create(self, seed: int | None) -> None:
        self.ordering = check_ordering(self.ordering, self.event_shape)
        self.network = MaskedDenseNetwork(
            self.event_shape,
            self.transform.params_per_dim,
            hidden_dims=self.hidden_dims,
            activation=self.activation,
            ordering=self.ordering,
            condition=self.condition,
            output_initializer="zeros",
            seed=seed,
            dtype=self.dtype_policy,
            name="network",
        )

    def bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """The map from noise to data."""
        return _AutoregressiveBijector(self.network, self.transform, condition, training, self.real_dtype)

    def _to_noise(self, x: tf.Tensor, condition: Any, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        raw = tf.cast(self.network(x, condition, training=training), self.real_dtype)
        noise, each = self.transform.to_noise(raw, x)
        return noise, sum_over_event(each)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "hidden_dims": self.hidden_dims,
            "transform": keras.saving.serialize_keras_object(self.transform),
            "ordering": self.ordering,
            "activation": keras.activations.serialize(self.activation),
        }


@register
class InverseAutoregressive(MaskedAutoregressive):
    """The inverse of a masked autoregressive layer: $z_d = T(x_d; ...)$ with parameters from the noise.

    Args:
        hidden_dims, transform, ordering, activation: As in `MaskedAutoregressive`.

    Cost: One pass from noise to data, which also gives the density of the samples. From data to noise one
    sequential step per variable.
    """

    def bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """The map from noise to data."""
        return tfb.Invert(super().bijector(condition, training))


class _AutoregressiveBijector(OwnBijector):
    """The map of a `MaskedAutoregressive` with its current weights and one condition."""

    def __init__(
        self,
        network: MaskedDenseNetwork,
        transform: Transform,
        condition: Any,
        training: bool,
        dtype: tf.DType,
    ) -> None:
        self._network, self._transform = network, transform
        self._condition, self._training = condition, training
        self._shape, self._memory = network.event_shape, Memory()
        super().__init__(len(self._shape), dtype=dtype)

    def _elementwise(self, x: tf.Tensor) -> tfp.bijectors.Bijector:
        """The transforms of all variables, with parameters computed from the data x."""
        return self._memory.recall(x, lambda: self._transform.bijector(self._params(x)))

    def _params(self, x: tf.Tensor) -> list[tf.Tensor]:
        rows = to_rows(x, self._shape)
        condition = tile_condition(self._condition, tf.shape(rows)[0])
        raw = tf.cast(self._network(rows, condition, training=self._training), self.dtype)
        return tf.split(raw, self._transform.params_per_dim, axis=-1)

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        noise = self._elementwise(y).inverse(to_rows(y, self._shape))
        return _like(noise, y)

    def _inverse_log_det_jacobian(self, y: tf.Tensor) -> tf.Tensor:
        rows = to_rows(y, self._shape)
        each = self._elementwise(y).inverse_log_det_jacobian(rows, event_ndims=0)
        each = tf.broadcast_to(each, tf.shape(rows))
        total = tf.reduce_sum(each, axis=list(range(1, 1 + len(self._shape))))
        return tf.reshape(total, tf.shape(y)[: tf.rank(y) - len(self._shape)])

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        return self.generated(x, self._network.generate)

    def generated(self, noise: tf.Tensor, generate: Callable | None = None) -> tf.Tensor:
        """Maps noise `[..., *event_shape]` to data.

        Args:
            noise: The noise.
            generate: The network's fast `generate`. None runs a full pass for each variable: the definition,
                against which tests compare the fast method.
        """
        rows = to_rows(noise, self._shape)
        by_variable = tf.transpose(tf.reshape(rows, [-1, self._network.num_variables]))
        num_rows = rows.shape[0] or tf.shape(rows)[0]

        def emit(variable: tf.Tensor, params: tf.Tensor) -> tf.Tensor:
            params = tf.unstack(tf.cast(params, self.dtype), self._transform.params_per_dim, axis=-1)
            return self._transform.bijector(params).forward(by_variable[variable])

        options = {
            "standardize": lambda x: x,
            "condition": tile_condition(self._condition, num_rows),
        }
        if generate is None:
            data = generate_naively(self._network, emit, num_rows, **options)
        else:
            data = generate(emit, num_rows, **options)
        return _like(data, noise)


def _like(rows: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Reshapes rows to the shape of x, the tensor that they were computed from."""
    rows = tf.reshape(rows, tf.shape(x))
    rows.set_shape(x.shape)
    return rows
