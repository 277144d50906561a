r"""DIP-VAE: disentangled inferred priors, by a penalty on the covariance of the latents.

$$ -\log p(x) \le \text{reconstruction} + KL
   + \lambda_{od} \sum_{i \ne j} C_{ij}^2 + \lambda_d \sum_i (C_{ii} - 1)^2 $$

with the covariance $C$ over the data of the posterior means (I) or of draws from the posteriors (II). If its
latents are uncorrelated and have unit variance, the aggregate posterior is closer to the prior.

Reference: Variational Inference of Disentangled Latent Concepts from Unlabeled Observations, Kumar,
Sattigeri and Balakrishnan, 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_genmod.core.checks import check_choice, check_number
from keras_genmod.core.registration import register
from keras_genmod.losses.aggregate_posterior import covariance_penalties
from keras_genmod.models.variational.vae import VAE

__all__ = ["DIPVAE"]


@register
class DIPVAE(VAE):
    r"""A VAE whose latents are kept uncorrelated.

    Args:
        event_shape: Shape of one example.
        kind: "I" penalises the covariance of the posterior means, "II" that of draws.
        off_diagonal: Weight $\lambda_{od}$.
        diagonal: Weight $\lambda_d$; None uses ten times `off_diagonal` for "I", where nothing else keeps the
            means spread, and `off_diagonal` for "II".
        latent_dim, encoder, decoder, likelihood, posterior, prior, beta, capacity, free_bits: As in `VAE`.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs: as a VAE, and `off_diagonal` and `diagonal`, unbiased estimates of the two sums, which may be
    negative (see `losses.covariance_penalties`). A batch of fewer than four rows has no estimate and is left
    out of their means.

    Cost: as a VAE, plus the batch size times the square of `latent_dim`. The covariance is that of the batch
    over all replicas, so use batches several times larger than `latent_dim`.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        kind: str = "II",
        off_diagonal: float = 10.0,
        diagonal: float | None = None,
        **kwargs: Any,
    ) -> None:
        self.kind = check_choice("kind", kind, ("I", "II"))
        self.off_diagonal = check_number("off_diagonal", off_diagonal, minimum=0.0)
        if diagonal is None:
            diagonal = self.off_diagonal * (10.0 if kind == "I" else 1.0)
        self.diagonal = check_number("diagonal", diagonal, minimum=0.0)
        super().__init__(event_shape, **kwargs)
        if kind == "II":
            self._require_diagonal_posterior()

    # An unbiased estimate of a squared covariance needs two pairs of rows.
    batch_statistics = {"off_diagonal": 4, "diagonal": 4}

    def loss_terms(
        self, x: Any, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The terms of the VAE, `off_diagonal` and `diagonal`."""
        draw = self._one_draw(x, condition, training, seed)
        variances = draw.posterior.variance() if self.kind == "II" else None
        off_diagonal, diagonal = covariance_penalties(draw.posterior.mean(), variances)
        return {**self._penalized(draw), "off_diagonal": off_diagonal, "diagonal": diagonal}

    def term_weights(self) -> dict[str, Any]:
        """The weights of the divergence and of the two penalties."""
        return {**super().term_weights(), "off_diagonal": self.off_diagonal, "diagonal": self.diagonal}

    def get_config(self) -> dict:
        """The constructor arguments, including the networks."""
        return {
            **super().get_config(),
            "kind": self.kind,
            "off_diagonal": self.off_diagonal,
            "diagonal": self.diagonal,
        }
