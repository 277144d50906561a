r"""The importance-weighted autoencoder.

$$ \log p(x) \ge E_{z_1, \dots, z_K \sim q(z|x)} \log \frac1K \sum_k w_k, \quad
   w_k = \frac{p(x \mid z_k) \, p(z_k)}{q(z_k \mid x)} $$

The bound rises with $K$ and reaches $\log p(x)$ in the limit; $K = 1$ is the variational autoencoder.

The gradient through the draws alone ("reparameterised") has a signal-to-noise ratio for the encoder that
falls with $K$. The doubly reparameterised one does not: with normalised weights $\bar w_k$, the decoder gets
$\sum_k \bar w_k \nabla \log w_k$ as before, and the encoder

$$ \sum_k \bar w_k^2 \, \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi} $$

without the derivative of $\log q$ by its own parameters, whose expectation is rewritten, not dropped. Here
$\phi$ are all parameters of $q$: the encoder's weights and those that the posterior has itself, such as one
learned scale or the layers of a flow.

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
    """A latent-variable model trained on a tighter bound of several draws.

    Args:
        event_shape: shape of one example.
        num_importance_samples: draws K of each example in training and evaluation.
        doubly_reparameterized: whether the gradient of the posterior's parameters is the doubly
            reparameterised one.
        latent_dim, encoder, decoder, likelihood, posterior, prior: as in `VAE`.
        num_classes, condition_shape, seed, name, dtype: as in `GenerativeModel`.

    Logs: `loss`, the negative bound with K samples (nats per example), and `active_units`.

    Cost: one pass through the encoder and K through the decoder per example; the memory of a step grows
    with K times the batch, which `compile(micro_batches=...)` divides.

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
        """The bound `[B]`, whose gradient by all parameters of q is the doubly reparameterised one."""
        z, scale_gradient = _with_scaled_gradient(z)
        log_joint = self._log_likelihood(x, z, condition, training=True) + prior.log_prob(z)
        # Inside the scope the head reads its own weights as constants too, whenever it reads them.
        own = [(weight, tf.stop_gradient(weight.value)) for weight in self._posterior_head.trainable_weights]
        with keras.StatelessScope(own):
            fixed = self._posterior_head.distribution(tf.stop_gradient(params))
            log_weights = log_joint - fixed.log_prob(z)
        # The bound's own gradient brings one factor of the normalised weights, to the decoder and to z
        # alike; on its way from z to the encoder it gets the second.
        scale_gradient(tf.stop_gradient(tf.nn.softmax(log_weights, axis=0))[..., None])
        return _log_mean_exp(log_weights)

    def get_config(self) -> dict:
        """The constructor arguments, the networks included."""
        return {
            **super().get_config(),
            "num_importance_samples": self.num_importance_samples,
            "doubly_reparameterized": self.doubly_reparameterized,
        }


def _log_mean_exp(log_weights: tf.Tensor) -> tf.Tensor:
    """Log of the mean of exp over the first axis, `[K, B]` to `[B]`."""
    return tf.reduce_logsumexp(log_weights, axis=0) - math.log(log_weights.shape[0])


def _with_scaled_gradient(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], None]]:
    """`x`, and a function that sets the factor of its gradient, which may be computed from `x` itself."""
    factors = []

    @tf.custom_gradient
    def identity(value: tf.Tensor):
        return tf.identity(value), lambda upstream: upstream * factors[0]

    return identity(x), factors.append
