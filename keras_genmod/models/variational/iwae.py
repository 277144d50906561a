r"""The importance-weighted autoencoder.

$$ \log p(x) \ge E_{z_1, \dots, z_K \sim q(z|x)} \log \frac1K \sum_k w_k, \quad
   w_k = \frac{p(x \mid z_k) \, p(z_k)}{q(z_k \mid x)} $$

The bound rises with $K$ and converges to $\log p(x)$; $K = 1$ is the variational autoencoder.

With the usual reparameterised gradient, the encoder's signal-to-noise ratio falls with $K$. With the doubly
reparameterised gradient it does not. Let $\bar w_k$ be the normalised weights; then the decoder gets
$\sum_k \bar w_k \nabla \log w_k$ as before, and the encoder gets

$$ \sum_k \bar w_k^2 \, \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi} $$

The derivative of $\log q$ with respect to its own parameters does not appear; its expectation is rewritten,
not dropped. $\phi$ are all parameters of $q$: the encoder's weights and those of the posterior itself, such
as a learned scale or the layers of a flow.

References: Importance Weighted Autoencoders, Burda, Grosse and Salakhutdinov, 2016; Doubly
Reparameterized Gradient Estimators for Monte Carlo Objectives, Tucker, Lawson, Gu and Maddison, 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register
from keras_genmod.models.variational.latent_variable_model import LatentVariableModel

__all__ = ["IWAE"]


@register
class IWAE(LatentVariableModel):
    """A latent-variable model trained on a tighter bound from several draws.

    Args:
        event_shape: Shape of one example.
        num_importance_samples: Number K of draws per example in training and evaluation.
        doubly_reparameterized: Whether to use the doubly reparameterised gradient for the posterior's
            parameters.
        latent_dim, encoder, decoder, likelihood, posterior, prior: As in `VAE`.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs: `loss`, the negative bound with K samples (nats per example), and `active_units`.

    Cost: one pass through the encoder and K passes through the decoder per example. The memory of a step
    grows with K times the batch size; `compile(micro_batches=...)` divides it.

    Example:
        >>> import numpy as np
        >>> model = IWAE((4,), latent_dim=2, num_importance_samples=5, seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.eye(4, dtype="float32"), epochs=1, verbose=0)
        >>> model.log_prob(np.eye(4), num_samples=100).shape
        TensorShape([4])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_importance_samples: int = 50,
        doubly_reparameterized: bool = False,
        **kwargs: Any,
    ) -> None:
        self.num_importance_samples = check_integer("num_importance_samples", num_importance_samples)
        self.doubly_reparameterized = bool(doubly_reparameterized)
        super().__init__(event_shape, **kwargs)

    def loss_terms(
        self, x: Any, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The negative importance-weighted bound, `negative_bound`."""
        params = self._posterior_params(x, condition, training)
        posterior = self._posterior_head.distribution(params)
        prior = self.prior(training=training)
        z = posterior.sample(self.num_importance_samples, seed=seed)
        self._note_usage(posterior, prior)
        if training and self.doubly_reparameterized:
            return {"negative_bound": -self._doubly_reparameterized(x, z, params, prior, condition)}
        log_weights = (
            self._log_likelihood(x, z, condition, training) + prior.log_prob(z) - posterior.log_prob(z)
        )
        return {"negative_bound": -_log_mean_exp(log_weights)}

    def _doubly_reparameterized(
        self, x: tf.Tensor, z: tf.Tensor, params: tf.Tensor, prior: Any, condition: Any
    ) -> tf.Tensor:
        """The bound `[B]`, with the doubly reparameterised gradient for all parameters of q."""
        z, scale_gradient = _with_scaled_gradient(z)
        log_joint = self._log_likelihood(x, z, condition, training=True) + prior.log_prob(z)
        # In this scope the head reads its own weights as constants, too.
        own = [(weight, tf.stop_gradient(weight.value)) for weight in self._posterior_head.trainable_weights]
        with keras.StatelessScope(own):
            fixed = self._posterior_head.distribution(tf.stop_gradient(params))
            log_weights = log_joint - fixed.log_prob(z)
        # The gradient of the bound contains one factor of normalised weights, for the decoder and for z. The
        # second factor is applied to the gradient that flows from z to the encoder.
        scale_gradient(tf.stop_gradient(tf.nn.softmax(log_weights, axis=0))[..., None])
        return _log_mean_exp(log_weights)

    def get_config(self) -> dict:
        """The constructor arguments, including the networks."""
        return {
            **super().get_config(),
            "num_importance_samples": self.num_importance_samples,
            "doubly_reparameterized": self.doubly_reparameterized,
        }


def _log_mean_exp(log_weights: tf.Tensor) -> tf.Tensor:
    """Log of the mean of exp over the first axis, `[K, B]` to `[B]`."""
    return tf.reduce_logsumexp(log_weights, axis=0) - math.log(log_weights.shape[0])


def _with_scaled_gradient(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], None]]:
    """`x`, and a function that sets a factor for its gradient; the factor may be computed from `x`."""
    factors: list[tf.Tensor] = []

    @tf.custom_gradient
    def identity(value: tf.Tensor):
        return tf.identity(value), lambda upstream: upstream * factors[0]

    return identity(x), factors.append
