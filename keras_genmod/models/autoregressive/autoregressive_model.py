r"""What the autoregressive models share: exact densities and exact sampling by the chain rule.

$$ p(x) = \prod_{d=1}^{D} p(x_{o(d)} \mid x_{o(1)}, \dots, x_{o(d-1)}) $$

for an order $o$ of the variables. Given a complete x, a network computes the parameters of all factors in one
pass, which is enough for training and densities. Sampling draws the variables one by one; the networks keep
what they computed for earlier variables.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_genmod.bases.exact_density import ExactDensity
from keras_genmod.bases.generative_model import GenerativeModel
from keras_genmod.core.checks import ValueRange
from keras_genmod.core.rows import log_mean_exp
from keras_genmod.core.spaces import ROW_SEEDS, Space
from keras_genmod.distributions.head import Head
from keras_genmod.distributions.heads import BernoulliHead
from keras_genmod.models.autoregressive.ancestral import AncestralSampling
from keras_genmod.networks.autoregressive import AutoregressiveNetwork
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["AutoregressiveModel"]


class AutoregressiveModel(AncestralSampling, ExactDensity, GenerativeModel):
    """Base of models whose density is a product of one factor per variable.

    A model sets `network` in its constructor by `_use`. If the network holds several orders, the density is
    the mean of their densities, a mixture: likelihoods are averaged, not their logarithms.

    Args:
        event_shape, num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs: `loss`, the exact negative log-likelihood in nats per example, also named `nll`.

    Cost: a density takes one pass through the network per order.
    """

    network: AutoregressiveNetwork

    def _use(self, network: AutoregressiveNetwork, head: Head) -> None:
        """Sets the network and the head; a constructor calls this last."""
        self._likelihood_head = head
        self.network = network

    # ---- what a family may write ------------------------------------------------------------------

    def _training_order(self, seed: tf.Tensor) -> Any:
        """The order of the network that this training step uses."""
        return None

    # ---- densities --------------------------------------------------------------------------------

    def _log_prob_of_order(
        self, x: tf.Tensor, condition: Any, order: Any, training: bool = False
    ) -> tf.Tensor:
        head = self._likelihood_head
        params = self.network(head.standardize(x), condition, order=order, training=training)
        return head.distribution(params).log_prob(x)

    def _log_prob(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        num_orders = self.network.num_orders

        def of_order(order: Any) -> tf.Tensor:
            return self._log_prob_of_order(x, condition, order if num_orders > 1 else None, training)

        return log_mean_exp(of_order, num_orders, tf.shape(x)[0], x.dtype)

    def loss_terms(
        self, x: tf.Tensor, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The negative log-likelihood: in training that of this step's order, otherwise that of the model."""
        if training:
            log_prob = self._log_prob_of_order(x, condition, self._training_order(seed), training)
        else:
            log_prob = self._log_prob(x, condition)
        return {"nll": -log_prob}

    # ---- data, endpoints, configuration -----------------------------------------------------------

    def value_range(self) -> ValueRange:
        """The likelihood's value range; for a Bernoulli only 0 and 1, so that the density is exact."""
        if isinstance(self._likelihood_head, BernoulliHead):
            return ValueRange(
                0,
                1,
                integer=True,
                advice=(
                    "Binarise the data (`kg.data.binarize`), or choose another `likelihood`: 'categorical' "
                    "and 'discretized_logistic_mixture' take grey levels from 0 to 255 "
                    "(`np.round(255 * x)` for x in [0, 1]), 'gaussian' takes real values."
                ),
            )
        return self._likelihood_head.value_range

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint: `log_prob`, `bits_per_dim`, `anomaly_score`, `sample`, `sample_rows`, `inpaint`.

        Args:
            max_samples: Largest number of samples that one request to `sample` may draw.
            num_samples: Not used, since densities are exact.
        """

        def inpaint(x: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, c: Any = None) -> dict:
            given = mask > 0.5
            return {"x": self._generate(self._uniforms(seed), c, tf.where(given, x, 0.0), given)}

        mask = Space("mask", self.event_shape, self.real_dtype, ValueRange(0, 1, integer=True))
        return {
            **self._density_endpoints(),
            **self._sample_endpoints(max_samples),
            "inpaint": Endpoint(inpaint, self._inputs(self.event_space(), mask, ROW_SEEDS)),
        }
