r"""MADE: an autoencoder whose masks make it a density.

Hidden unit k has a degree $m_k$ and sees inputs and units of degree up to $m_k$; the output for the variable
at place d of the order sees hidden units of degree below d. One pass gives all factors
$p(x_d \mid x_{<d})$. Several masks, with an order each, share the weights:
training takes one after the other, and the model is the mean of their densities.

Reference: MADE: Masked Autoencoder for Distribution Estimation, Germain, Gregor, Murray and Larochelle, 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer, check_integers
from keras_genmod.core.registration import register
from keras_genmod.models.autoregressive.autoregressive_model import AutoregressiveModel
from keras_genmod.models.autoregressive.factors import get_factor_head
from keras_genmod.networks.masked_dense import MaskedDenseNetwork
from keras_genmod.networks.ordered import check_ordering

__all__ = ["MADE"]


@register
class MADE(AutoregressiveModel):
    """Masked dense layers from x to the parameters of all its factors.

    Args:
        event_shape: shape of one example, of any rank.
        hidden_dims: units of the hidden layers.
        num_masks: how many masks share the weights: 1, or n that training steps take in turn, and whose
            densities are averaged by `log_prob`, `evaluate` and `sample`.
        ordering: "natural", "reverse", "random" (drawn from the seed; with several masks each has its own)
            or the numbers of the variables, the first to be drawn in front.
        direct_connections: whether the outputs see earlier variables directly too.
        likelihood: "bernoulli", "categorical", "gaussian" (with predicted scale), another name or a head.
        activation: of the hidden layers.
        num_classes, condition_shape, seed, name, dtype: as in `GenerativeModel`. Conditions enter every
            layer.

    Logs: as `AutoregressiveModel`.

    Cost: one pass for a density, and about one for a sample; times `num_masks`.

    Example:
        >>> import numpy as np
        >>> model = MADE((4,), hidden_dims=(8,), seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.eye(4, dtype="float32"), epochs=1, verbose=0)
        >>> model.sample(3, seed=1).shape
        TensorShape([3, 4])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        hidden_dims: Sequence[int] = (500,),
        num_masks: int = 1,
        ordering: Any = "natural",
        direct_connections: bool = False,
        likelihood: Any = "bernoulli",
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, **kwargs)
        self.hidden_dims = check_integers("hidden_dims", hidden_dims, min_length=1)
        self.num_masks = check_integer("num_masks", num_masks)
        self.ordering = check_ordering(ordering, self.event_shape)
        self.direct_connections = bool(direct_connections)
        self.activation = keras.activations.get(activation)
        head = get_factor_head(likelihood, self.event_shape, self.real_dtype)
        network = MaskedDenseNetwork(
            self.event_shape,
            head.params_per_dim,
            hidden_dims=self.hidden_dims,
            activation=self.activation,
            direct_connections=self.direct_connections,
            ordering=self.ordering,
            num_orders=self.num_masks,
            condition=self._condition_spec,
            seed=self.seed,
            dtype=self.dtype_policy,
            name="network",
        )
        self._use(network, head)

    def _training_order(self, seed: tf.Tensor) -> Any:
        """The masks in turn."""
        if self.num_masks == 1:
            return None
        return tf.cast(self.training_steps % self.num_masks, tf.int32)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "hidden_dims": self.hidden_dims,
            "num_masks": self.num_masks,
            "ordering": self.ordering,
            "direct_connections": self.direct_connections,
            "likelihood": keras.saving.serialize_keras_object(self._likelihood_head),
            "activation": keras.activations.serialize(self.activation),
        }
