r"""InfoVAE and the Wasserstein autoencoder: the aggregate posterior drawn to the prior.

$$ L = \text{reconstruction} + (1 - \alpha) \, E_x KL(q(z|x) \| p(z))
   + (\alpha + \lambda - 1) \, D(q(z) \| p(z)) $$

with the maximum mean discrepancy for $D$. The divergence of every posterior from the prior pushes
information about x out of z; that of their mean does not. $\alpha = 1$ leaves the first divergence out:
the Wasserstein autoencoder with MMD, whose loss is a bound on a transport cost and not on the likelihood.

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
        event_shape: shape of one example.
        alpha: 1 less the weight of the divergence of each posterior, at most 1; 0 is the VAE's weight.
        mmd_weight: $\lambda$; the discrepancy's weight is `alpha + mmd_weight - 1`, at least 0. The
            discrepancy is a mean over the kernel's seven scales, where the code of the Wasserstein
            autoencoder's authors sums: a weight of theirs is seven times as large here.
        kernel: of the discrepancy, see `losses.maximum_mean_discrepancy`.
        latent_dim, encoder, decoder, likelihood, posterior: as in `VAE`.
        prior: as in `VAE`, but without weights to learn.
        num_classes, condition_shape, seed, name, dtype: as in `GenerativeModel`.

    Raises:
        ValueError: for a prior with weights to learn.

    Logs: `loss`, `reconstruction`, `kl` (nats per example), `mmd` (the unbiased estimate, which may be
    negative), `active_units`. A batch of one row has no discrepancy and is left out of the mean of `mmd`.

    Cost: as a VAE, and the square of the batch times `latent_dim`.
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
                f"The discrepancy of {type(self).__name__} is that of draws, which pass no gradient to the "
                "weights of a mixture: `prior` must have nothing to learn; received a "
                f"{type(self._prior).__name__}. Use prior='standard_normal', or a VAE with this prior."
            )

    # Two rows have a kernel with each other; one has none.
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
        """The constructor arguments, the networks included."""
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
        event_shape: shape of one example.
        mmd_weight: weight of the discrepancy.
        likelihood: "gaussian" is the paper's squared error, halved.
        latent_dim, encoder, decoder, posterior, prior, kernel: as in `InfoVAE`.
        num_classes, condition_shape, seed, name, dtype: as in `GenerativeModel`.

    Logs, cost: as `InfoVAE`; `kl` is only a measure.
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
        """The constructor arguments, the networks included."""
        config = super().get_config()
        del config["alpha"]
        return config
