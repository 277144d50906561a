r"""The beta-TCVAE: decomposes the divergence into three parts and weights the total correlation.

$$ E_x KL(q(z|x) \| p(z)) = \underbrace{I(x; z)}_{\alpha}
   + \underbrace{KL(q(z) \| \prod_d q(z_d))}_{\beta} + \underbrace{\sum_d KL(q(z_d) \| p(z_d))}_{\gamma} $$

The middle term, the total correlation, penalises dependence between the latents. Weighting it alone keeps the
information about the data, which the beta-VAE's weight on the whole divergence reduces.

Reference: Isolating Sources of Disentanglement in Variational Autoencoders, Chen, Li, Grosse and Duvenaud,
2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register
from keras_genmod.losses.aggregate_posterior import log_aggregate_posterior
from keras_genmod.models.variational.latent_variable_model import LatentVariableModel
from keras_genmod.training.objective import MEASURE
from keras_genmod.training.schedules import WeightSchedule, get_weight, weight_at, weight_config

__all__ = ["BetaTCVAE"]

_WEIGHTS = {"alpha": "mutual_information", "beta": "total_correlation", "gamma": "dimension_wise_kl"}


@register
class BetaTCVAE(LatentVariableModel):
    r"""A VAE with a weight for each of the three parts of its divergence.

    The parts are estimated from the posteriors of a batch (`losses.log_aggregate_posterior`); larger batches
    give better estimates. If all weights are 1, the loss is an estimate of the negative bound.

    Args:
        event_shape: Shape of one example.
        alpha: Weight of the mutual information of x and z, a number or a schedule over training steps.
        beta: Weight of the total correlation, a number or a schedule.
        gamma: Weight of the divergence of each latent from its prior, a number or a schedule.
        num_examples: Number N of training examples. The parts are then estimates over all N examples,
            whatever the batch size. None treats the batch as all the data: the mutual information of B rows
            is at most log B, and if the true one is larger, the total correlation is overestimated.
        latent_dim, encoder, decoder, likelihood, prior: As in `VAE`; the posterior is diagonal.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs: `loss`, `reconstruction`, `mutual_information`, `total_correlation`, `dimension_wise_kl`, and for
    information the divergence `kl` (all in nats per example); `active_units`. A batch of one row has no parts
    and is left out of their means.

    Cost: as a VAE, plus the square of the batch size times `latent_dim`.

    Example:
        >>> import numpy as np
        >>> model = BetaTCVAE((4,), latent_dim=2, beta=6.0, seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.eye(4, dtype="float32"), epochs=1, verbose=0)
        >>> model.encode(np.eye(4)).shape
        TensorShape([4, 2])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        alpha: float | WeightSchedule = 1.0,
        beta: float | WeightSchedule = 6.0,
        gamma: float | WeightSchedule = 1.0,
        num_examples: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.alpha = get_weight("alpha", alpha)
        self.beta = get_weight("beta", beta)
        self.gamma = get_weight("gamma", gamma)
        self.num_examples = None if num_examples is None else check_integer("num_examples", num_examples)
        super().__init__(event_shape, **kwargs)
        self._require_diagonal_posterior()

    # The aggregate posterior of a row is estimated from the other rows, so a batch needs two.
    batch_statistics = dict.fromkeys(_WEIGHTS.values(), 2)

    def loss_terms(
        self, x: Any, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """`reconstruction`, the three parts of the divergence, and `kl`."""
        draw = self._one_draw(x, condition, training, seed)
        normal = draw.posterior.distribution
        joint, each = log_aggregate_posterior(
            draw.z, normal.loc, normal.scale, num_examples=self.num_examples
        )
        product = tf.reduce_sum(each, axis=-1)
        return {
            "reconstruction": draw.terms["reconstruction"],
            "mutual_information": draw.posterior.log_prob(draw.z) - joint,
            "total_correlation": joint - product,
            "dimension_wise_kl": product - draw.prior.log_prob(draw.z),
            "kl": draw.terms["kl"],
        }

    def term_weights(self) -> dict[str, Any]:
        """The three weights; the whole divergence is logged only."""
        step = self.training_steps
        weights = {term: weight_at(getattr(self, name), step) for name, term in _WEIGHTS.items()}
        return {**weights, "kl": MEASURE}

    def get_config(self) -> dict:
        """The constructor arguments, including the networks."""
        weights = {name: weight_config(getattr(self, name)) for name in _WEIGHTS}
        return {**super().get_config(), **weights, "num_examples": self.num_examples}
