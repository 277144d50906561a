r"""FactorVAE: a VAE with a penalty on the total correlation of its latents, which a discriminator estimates.

$$ L = \text{reconstruction} + KL + \gamma \, KL(q(z) \| \prod_d q(z_d)) $$

A discriminator learns to tell draws of $q(z)$ from draws of $\prod_d q(z_d)$. The latter are draws of
$q(z)$ with each latent permuted over the batch. At its optimum the discriminator's logit is the log-ratio of
the two densities, and the mean of the logit under $q(z)$ is the total correlation.

Reference: Disentangling by Factorising, Kim and Mnih, 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.bases.adversarial_model import AdversarialModel
from keras_genmod.core.checks import check_number
from keras_genmod.core.noise import fold_in
from keras_genmod.core.registration import register
from keras_genmod.losses.adversarial import get_adversarial_loss
from keras_genmod.losses.aggregate_posterior import permute_latents
from keras_genmod.models.variational.latent_variable_model import LatentVariableModel
from keras_genmod.networks.activations import check_reach
from keras_genmod.networks.defaults import check_network
from keras_genmod.networks.dense import dense_network
from keras_genmod.training.players import Player

__all__ = ["FactorVAE"]


@register
class FactorVAE(LatentVariableModel, AdversarialModel):
    r"""A VAE with a second player, the discriminator of joint and permuted latents.

    Of `compile(generator_optimizer, discriminator_optimizer)` the first is the VAE's and `self.optimizer`.

    Args:
        event_shape: Shape of one example.
        gamma: Weight of the total correlation.
        discriminator: Network from `z` to one logit; None takes five hidden layers of 256 units (six of 1000
            in the paper).
        latent_dim, encoder, decoder, likelihood, posterior, prior: As in `VAE`.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs: `vae_loss`, `vae_reconstruction`, `vae_kl`, `vae_total_correlation` (nats per example; the last is
    the discriminator's estimate), `discriminator_loss`, `discriminator_joint`, `discriminator_permuted`;
    `loss` is the sum of both players'. Stop on `vae_loss`.

    Cost: that of a VAE, and three passes through the discriminator.

    Example:
        >>> import numpy as np
        >>> model = FactorVAE((4,), latent_dim=2, gamma=10.0, seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.eye(4, dtype="float32"), epochs=1, verbose=0)
        >>> model.encode(np.eye(4)).shape
        TensorShape([4, 2])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        gamma: float = 10.0,
        discriminator: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        self.gamma = check_number("gamma", gamma, minimum=0.0)
        super().__init__(event_shape, **kwargs)
        if discriminator is None:
            options = {**self._network_options(2), "num_classes": None, "condition_shape": None}
            discriminator = dense_network(
                (self.latent_dim,), (1,), hidden_dims=(256,) * 5, name="discriminator", **options
            )
        z = self.latent_space().keras_input()
        check_network(
            "discriminator", discriminator, [z], (1,), "the logit of 'joint'", dtype=self.real_dtype
        )
        self.discriminator = discriminator
        self._adversarial_loss = get_adversarial_loss("non_saturating")
        check_reach("discriminator", discriminator, self._adversarial_loss.bounds_problem)

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Adam: rate 1e-3 for the VAE; the paper's rate 1e-4 and shorter averages for the discriminator."""
        return {
            "generator_optimizer": keras.optimizers.Adam(1e-3),
            "discriminator_optimizer": keras.optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.9),
        }

    def players(self) -> Sequence[Player]:
        """The discriminator, then the VAE."""
        return (
            Player(
                "discriminator",
                (self.discriminator,),
                self._discriminator_terms,
                updates_per_step=self.discriminator_steps,
                optimizer="discriminator_optimizer",
                # One row cannot be permuted. The discriminator learns from both terms or from none.
                batch_statistics={"joint": 2, "permuted": 2},
            ),
            Player(
                "vae",
                (self.encoder, self.decoder, self._likelihood_head, self._posterior_head, self._prior),
                self._vae_terms,
                self._vae_weights,
                optimizer="generator_optimizer",
            ),
        )

    def shared_forward(
        self, x: tf.Tensor, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The terms of the bound, `[B]` each, and the draws `z`, `[B, latent_dim]`."""
        draw = self._one_draw(x, condition, training, seed)
        return {**draw.terms, "z": draw.z}

    def _logits(self, z: tf.Tensor, training: bool) -> tf.Tensor:
        """The discriminator's logits `[B]`, high for draws of the joint density."""
        return tf.cast(self.discriminator(z, training=training), self.real_dtype)[:, 0]

    def _permuted(self, z: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws of the product of the marginals, from draws of the aggregate posterior."""
        return permute_latents(z, fold_in(seed, 1))

    def _discriminator_terms(
        self, x: tf.Tensor, *, condition: Any, training: bool, seed: tf.Tensor, shared: dict
    ) -> dict[str, tf.Tensor]:
        loss, z = self._adversarial_loss, shared["z"]
        return {
            "joint": loss.real(self._logits(z, training), 0.0),
            "permuted": loss.fake(self._logits(self._permuted(z, seed), training)),
        }

    def _vae_terms(
        self, x: tf.Tensor, *, condition: Any, training: bool, seed: tf.Tensor, shared: dict
    ) -> dict[str, tf.Tensor]:
        terms = {name: shared[name] for name in ("reconstruction", "kl")}
        return {**terms, "total_correlation": self._logits(shared["z"], training)}

    def _vae_weights(self) -> dict[str, float]:
        return {"total_correlation": self.gamma}

    def get_config(self) -> dict:
        """The constructor arguments, the networks included."""
        return {
            **super().get_config(),
            "gamma": self.gamma,
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
        }
