r"""InfoVAE and the Wasserstein autoencoder: pull the aggregate posterior towards the prior.

$$ L = \text{reconstruction} + (1 - \alpha) \, E_x KL(q(z|x) \| p(z))
   + (\alpha + \lambda - 1) \, D(q(z) \| p(z)) $$

with the maximum mean discrepancy (MMD) as $D$. Penalising the divergence of every posterior from the prior
removes information about x from z; penalising the divergence of their mean does not. With $\alpha = 1$ the
first divergence vanishes: this is the Wasserstein autoencoder with MMD, whose loss bounds a transport cost
and not the likelihood.

References: InfoVAE: Balancing Learning and Inference in Variational Autoencoders, Zhao, Song and Ermon,
2019; Wasserstein Auto-Encoders, Tolstikhin, Bousquet, Gelly and Schoelkopf, 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_genmod.core.checks import check_choice, check_number
from keras_genmod.core.noise import fold_in
from keras_genmod.core.registration import register
from keras_genmod.losses.maximum_mean_discrepancy import maximum_mean_discrepancy
from keras_genmod.models.variational.latent_variable_model import LatentVariableModel
from keras_genmod.training.objective import MEASURE

__all__ = ["WAE", "InfoVAE"]


@register
class InfoVAE(LatentVariableModel):
    r"""A VAE whose aggregate posterior is compared with the prior.

    Args:
        event_shape: Shape of one example.
        alpha: Number $\alpha$ of at most 1; the weight of each posterior's divergence is `1 - alpha`, so 0 is
            the VAE's weight.
        mmd_weight: $\lambda$; the discrepancy's weight is `alpha + mmd_weight - 1`, at least 0. The
            discrepancy here is a mean over the kernel's seven scales, in the code of the Wasserstein
            autoencoder's authors a sum; so multiply a weight of theirs by seven.
        kernel: Kernel of the discrepancy, see `losses.maximum_mean_discrepancy`.
        latent_dim, encoder, decoder, likelihood, posterior: As in `VAE`.
        prior: As in `VAE`, but without trainable weights.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Raises:
        ValueError: If the prior has trainable weights.

    Logs: `loss`, `reconstruction`, `kl` (nats per example), `mmd` (the unbiased estimate, which may be
    negative), `active_units`. A batch of one row has no discrepancy and is left out of the mean of `mmd`.

    Cost: as a VAE, plus the square of the batch size times `latent_dim`.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        alpha: float = 0.0,
        mmd_weight: float = 1000.0,
        kernel: str = "inverse_multiquadratic",
        **kwargs: Any,
    ) -> None:
        self.alpha = check_number("alpha", alpha, maximum=1.0)
        self.mmd_weight = check_number("mmd_weight", mmd_weight, minimum=1.0 - self.alpha)
        self.kernel = check_choice("kernel", kernel, ("inverse_multiquadratic", "gaussian"))
        super().__init__(event_shape, **kwargs)
        if self._prior.trainable_weights:
            raise ValueError(
                f"The discrepancy of {type(self).__name__} is computed from draws, which pass no gradient to "
                "a prior's weights, so `prior` must have no trainable weights; received a "
                f"{type(self._prior).__name__}. Use prior='standard_normal', or a VAE with this prior."
            )

    # The estimate compares different rows, so a batch needs two.
    batch_statistics = {"mmd": 2}

    def loss_terms(
        self, x: Any, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """`reconstruction`, `kl` and `mmd`."""
        draw = self._one_draw(x, condition, training, seed)
        expected = draw.prior.sample(tf.shape(draw.z)[0], seed=fold_in(seed, 1))
        return {**draw.terms, "mmd": maximum_mean_discrepancy(draw.z, expected, kernel=self.kernel)}

    def term_weights(self) -> dict[str, Any]:
        """The weights of the divergence and of the discrepancy."""
        kl = MEASURE if self.alpha == 1.0 else 1.0 - self.alpha
        return {"kl": kl, "mmd": self.alpha + self.mmd_weight - 1.0}

    def get_config(self) -> dict:
        """The constructor arguments, including the networks."""
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "mmd_weight": self.mmd_weight,
            "kernel": self.kernel,
        }


@register
class WAE(InfoVAE):
    """The Wasserstein autoencoder with MMD and a normal encoder: `InfoVAE` with `alpha=1`.

    Args:
        event_shape: Shape of one example.
        mmd_weight: Weight of the discrepancy.
        likelihood: As in `VAE`; "gaussian" is half the paper's squared error.
        latent_dim, encoder, decoder, posterior, prior, kernel: As in `InfoVAE`.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs, cost: as `InfoVAE`; `kl` is logged but not part of the loss.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        mmd_weight: float = 10.0,
        likelihood: Any = "gaussian",
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, alpha=1.0, mmd_weight=mmd_weight, likelihood=likelihood, **kwargs)

    def get_config(self) -> dict:
        """The constructor arguments, including the networks."""
        config = super().get_config()
        del config["alpha"]
        return config
