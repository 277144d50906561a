r"""MADE: an autoencoder that masks turn into a density.

Hidden unit k has a degree $m_k$ and takes the first $m_k$ inputs, or units of degree at most $m_k$; the
outputs for the d-th variable of the order take hidden units of degree below d. So one pass computes all
factors $p(x_d \mid x_{<d})$. Several masks, each with its own order, may share the weights: training steps
use them in turn, and the model's density is the mean of theirs.

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
    """Masked dense layers from x to the parameters of all factors.

    Args:
        event_shape: Shape of one example, of any rank.
        hidden_dims: Numbers of units of the hidden layers.
        num_masks: Number of masks that share the weights. Training steps use them in turn, and `log_prob`,
            `evaluate` and `sample` average their densities.
        ordering: "natural", "reverse", "random" (drawn from the seed; with several masks each has its own)
            or the indices of the variables in the order of drawing.
        direct_connections: Whether the outputs also take the earlier variables directly.
        likelihood: "bernoulli", "categorical", "gaussian" (with predicted scale), another name or a head.
        activation: Activation of the hidden layers.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`. Every layer takes the
            condition.

    Logs: as `AutoregressiveModel`.

    Cost: one pass for a density and about one for a sample, times `num_masks`.

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
        """Cycles through the masks."""
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
