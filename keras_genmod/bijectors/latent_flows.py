r"""Flows over latent vectors, as prior or as approximate posterior of a latent-variable model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bijectors.autoregressive import InverseAutoregressive
from keras_genmod.bijectors.bijection import Bijection, build_chain, chain, check_bijections
from keras_genmod.core.checks import check_integer, check_integers
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.noise import check_seed
from keras_genmod.core.precision import as_real
from keras_genmod.core.registration import register
from keras_genmod.distributions.head import Head
from keras_genmod.distributions.priors import Posterior, Prior, standard_normal
from keras_genmod.distributions.real_heads import positive, scales_problem

__all__ = ["FlowPosterior", "FlowPrior"]

tfd = tfp.distributions


@register
class FlowPrior(Prior):
    r"""A normalizing flow as prior: $z = f(\epsilon)$ with standard normal $\epsilon$.

    It is trained with the model. The KL divergence from it has no closed form, and is estimated from the
    draws of a training step.

    Args:
        bijections: Layers of `keras_genmod.bijectors` over `[latent_dim]`, from z to the noise. Layers with
            data-dependent initialisation (`ActNorm`) start as the identity here.

    Cost: Each bijection's inverse once per example.

    Reference: Variational Lossy Autoencoder, Chen et al., 2017.
    """

    def __init__(self, bijections: Sequence[Bijection], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bijections = check_bijections(bijections)

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights of the bijections."""
        build_chain(self.bijections, (self.latent_dim,), seed=self.seed, dtype=self.real_dtype)
        super().build()

    def distribution(self, posterior: Posterior | None = None) -> tfp.distributions.Distribution:
        """The flow's distribution with the current weights."""
        return tfd.TransformedDistribution(
            standard_normal(self.latent_dim, self.real_dtype), chain(self.bijections)
        )

    def get_config(self) -> dict:
        """The constructor arguments."""
        bijections = [keras.saving.serialize_keras_object(bijection) for bijection in self.bijections]
        return {**super().get_config(), "bijections": bijections}


@register
class FlowPosterior(Head):
    r"""A flow as approximate posterior: bijections transform a draw from a diagonal normal distribution.

    $$ z = f(\mu + \sigma \odot \epsilon; h) $$

    The encoder gives $\mu$, the raw $\sigma$ and the context h, on which the layers are conditioned. The
    default layers are inverse autoregressive: drawing z takes one pass, and so does the density of the draw.

    Args:
        context_dim: Size of h; 0 for no context.
        num_layers: Number of inverse autoregressive layers, with alternating orders.
        hidden_dims: Widths of their hidden layers.
        bijections: Layers to use instead, from z to the diagonal draw.
        seed: Seeds the layers' initial weights.
        event_shape: `(latent_dim,)`; set by the model that uses the head.

    Cost: One pass through each layer per draw. The density of points other than draws takes one sequential
    step per latent dimension.

    Reference: Improving Variational Inference with Inverse Autoregressive Flow, Kingma et al., 2016.
    """

    def __init__(
        self,
        *,
        context_dim: int = 32,
        num_layers: int = 2,
        hidden_dims: Sequence[int] = (128,),
        bijections: Sequence[Bijection] | None = None,
        seed: int | None = None,
        event_shape: Any = None,
        **kwargs: Any,
    ) -> None:
        self.context_dim = check_integer("context_dim", context_dim, minimum=0)
        self.num_layers = check_integer("num_layers", num_layers)
        self.hidden_dims = check_integers("hidden_dims", hidden_dims, min_length=1)
        self.seed = check_seed(seed)
        self._given = None if bijections is None else check_bijections(bijections)
        super().__init__(event_shape=event_shape, **kwargs)

    @property
    def params_shape(self) -> tuple[int, ...]:
        """`(2 * latent_dim + context_dim,)`."""
        return (2 * self.event_shape[-1] + self.context_dim,)

    def bounds_problem(self, low: float, high: float) -> str:
        """The problem with an encoder's bounded output: raw scales must be able to take any value."""
        return scales_problem(self, low, high)

    def build(self, input_shape: Any) -> None:
        """Creates the weights of the layers."""
        self.bijections = self._given or [
            InverseAutoregressive(self.hidden_dims, ordering="natural" if number % 2 else "reverse")
            for number in range(self.num_layers)
        ]
        context = ConditionSpec(shape=(self.context_dim,)) if self.context_dim else None
        build_chain(
            self.bijections, self.event_shape, condition=context, seed=self.seed, dtype=self._real_dtype
        )

    def distribution(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        """The flow for each row of raw parameters: means, raw scales, context."""
        size = self.event_shape[-1]
        loc, raw, context = tf.split(as_real(params), [size, size, self.context_dim], axis=-1)
        base = self._over_event(tfd.Normal(loc, positive(raw)))
        bijector = chain(self.bijections, context if self.context_dim else None)
        return tfd.TransformedDistribution(base, bijector)

    def get_config(self) -> dict:
        """The constructor arguments."""
        given = self._given and [keras.saving.serialize_keras_object(bijection) for bijection in self._given]
        return {
            **super().get_config(),
            "context_dim": self.context_dim,
            "num_layers": self.num_layers,
            "hidden_dims": self.hidden_dims,
            "bijections": given,
            "seed": self.seed,
        }
