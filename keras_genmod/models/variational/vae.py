r"""The variational autoencoder.

$$ \log p(x) \ge E_{q(z|x)}[\log p(x \mid z)] - \beta \, KL(q(z \mid x) \,\|\, p(z)) $$

with $\beta = 1$; other values give the beta-VAE. The expectation is estimated by one reparameterised draw per
example. The divergence is computed in closed form if there is one, otherwise estimated from the same draw.

References: Auto-Encoding Variational Bayes, Kingma and Welling, 2014; Stochastic Backpropagation and
Approximate Inference in Deep Generative Models, Rezende, Mohamed and Wierstra, 2014; beta-VAE: Learning
Basic Visual Concepts with a Constrained Variational Framework, Higgins et al., 2017; Learning Structured
Output Representation using Deep Conditional Generative Models, Sohn, Lee and Yan, 2015; Understanding
Disentangling in beta-VAE, Burgess et al., 2018 (capacity); Improving Variational Inference with Inverse
Autoregressive Flow, Kingma et al., 2016 (free bits).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_genmod.core.checks import check_number
from keras_genmod.core.registration import register
from keras_genmod.models.variational.latent_variable_model import LatentVariableModel, OneDraw
from keras_genmod.training.objective import MEASURE
from keras_genmod.training.schedules import WeightSchedule, get_weight, weight_at, weight_config

__all__ = ["VAE"]


@register
class VAE(LatentVariableModel):
    r"""A latent-variable model with a lower bound on its density.

    Args:
        event_shape: Shape of one example; `(size,)` gets dense default networks, `(height, width, channels)`
            convolutional ones.
        latent_dim: Number of latent dimensions.
        encoder: Network from `x` (`[x, condition]`) to the raw parameters of the posterior; for a diagonal
            posterior these are `2 * latent_dim` numbers, first the means, then the raw scales. Integer-valued
            data are scaled to [-1, 1] before they reach it.
        decoder: Network from `z` (`[z, condition]`) to the raw parameters of the likelihood.
        likelihood: "bernoulli" (data in [0, 1]), "continuous_bernoulli" ([0, 1]), "gaussian" (real),
            "student_t" (real, with outliers), "low_rank_gaussian" (real, with correlated values),
            "categorical" or "discretized_logistic_mixture" (0..255), or a head such as
            `GaussianHead(scale="learned")`.
        posterior: "diagonal" or "full_covariance" normal distribution, or a head of real values.
        prior: "standard_normal", "gaussian_mixture", "vamp", or a prior such as
            `VampPrior(num_components=500)`.
        beta: Weight of the divergence, a number or a schedule over training steps (annealing).
        capacity: Target $C$ of the divergence in nats, a number or a schedule; the objective then contains
            $\beta |KL - C|$ instead of $\beta KL$ for each example.
        free_bits: Nats $\lambda$ of each latent dimension's divergence that are not penalised; the objective
            then contains $\beta \sum_j \max(\lambda, KL_j)$ for each example, or
            $\beta \max(\lambda \cdot \text{latent\_dim}, KL)$ if the divergence is not a sum over dimensions.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs: `loss`, `reconstruction`, `kl` (nats per example), `active_units`; with `capacity` or `free_bits`
    also `kl_penalty`, which replaces `kl` in the objective. `latent_usage.kl_per_latent()` returns the
    divergence of every latent dimension. With `beta=1` and neither `capacity` nor `free_bits`, the loss is
    the negative bound.

    Raises:
        ValueError: If both `capacity` and `free_bits` are given.

    Cost: one pass through encoder and decoder per example.

    Example:
        >>> import numpy as np
        >>> model = VAE((4,), latent_dim=2, seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.eye(4, dtype="float32"), epochs=1, verbose=0)
        >>> model.sample(3, seed=1).shape
        TensorShape([3, 4])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        beta: float | WeightSchedule = 1.0,
        capacity: float | WeightSchedule | None = None,
        free_bits: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.beta = get_weight("beta", beta)
        self.capacity = None if capacity is None else get_weight("capacity", capacity)
        self.free_bits = check_number("free_bits", free_bits, minimum=0.0)
        if self.free_bits and self.capacity is not None:
            raise ValueError(
                "`capacity` and `free_bits` are two ways to prevent a small divergence; received both. "
                "Choose one."
            )
        super().__init__(event_shape, **kwargs)

    def loss_terms(
        self, x: Any, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The terms of the negative bound, `reconstruction` and `kl`, and `kl_penalty` if that differs."""
        return self._penalized(self._one_draw(x, condition, training, seed))

    def _penalized(self, draw: OneDraw) -> dict[str, tf.Tensor]:
        """The terms of a draw, with the penalty that replaces the divergence in the objective."""
        kl, per_latent = draw.terms["kl"], draw.kl_per_latent
        if self.capacity is not None:
            penalty = tf.abs(kl - weight_at(self.capacity, self.training_steps))
        elif self.free_bits and per_latent is not None:
            penalty = tf.reduce_sum(tf.maximum(per_latent, self.free_bits), axis=-1)
        elif self.free_bits:
            penalty = tf.maximum(kl, self.free_bits * self.latent_dim)
        else:
            return draw.terms
        return {**draw.terms, "kl_penalty": penalty}

    def term_weights(self) -> dict[str, Any]:
        """The weight of the divergence at this training step."""
        beta = weight_at(self.beta, self.training_steps)
        if self.capacity is None and not self.free_bits:
            return {"kl": beta}
        return {"kl": MEASURE, "kl_penalty": beta}

    def get_config(self) -> dict:
        """The constructor arguments, including the networks."""
        return {
            **super().get_config(),
            "beta": weight_config(self.beta),
            "capacity": self.capacity if self.capacity is None else weight_config(self.capacity),
            "free_bits": self.free_bits,
        }
