r"""What the variational family shares: the prior, the approximate posterior, the likelihood, and sampling.

$$ \log p(x) = \log \int p(x \mid z) \, p(z) \, dz \ge E_{q(z|x)}[\log p(x, z) - \log q(z \mid x)] $$

Each model of the family adds its objective.

References: Auto-Encoding Variational Bayes, Kingma and Welling, 2014; Stochastic Backpropagation and
Approximate Inference in Deep Generative Models, Rezende, Mohamed and Wierstra, 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bases.row_wise import ROWS_PER_PASS
from keras_genmod.core.checks import check_integer
from keras_genmod.core.noise import sample_rows
from keras_genmod.core.precision import real_dtype
from keras_genmod.core.row_noise import fold_in_rows
from keras_genmod.core.spaces import ROW_SEEDS
from keras_genmod.distributions.kl import kl_divergence, kl_per_dimension
from keras_genmod.distributions.posteriors import centre, get_posterior_head
from keras_genmod.distributions.priors import get_prior
from keras_genmod.distributions.real_heads import GaussianHead
from keras_genmod.metrics.latent_usage import LatentUsage
from keras_genmod.models.variational.importance_bound import ImportanceBound
from keras_genmod.networks.activations import check_reach
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["LatentVariableModel"]


class OneDraw(NamedTuple):
    """The results of one draw from each posterior.

    Args:
        terms: `reconstruction` and `kl`, `[B]` nats.
        kl_per_latent: Divergence per latent dimension, `[B, latent_dim]`; None if it is not a sum over
            dimensions.
        posterior: The posterior q(z|x).
        prior: The prior p(z).
        z: The draws, `[B, latent_dim]`.
    """

    terms: dict[str, tf.Tensor]
    kl_per_latent: tf.Tensor | None
    posterior: tfp.distributions.Distribution
    prior: tfp.distributions.Distribution
    z: tf.Tensor


class LatentVariableModel(ImportanceBound):
    """Base of the variational family: everything but the objective.

    Args:
        event_shape, latent_dim, encoder, decoder, likelihood, posterior, prior: As in `VAE`.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        latent_dim: int = 32,
        encoder: keras.Model | None = None,
        decoder: keras.Model | None = None,
        likelihood: Any = "bernoulli",
        posterior: Any = "diagonal",
        prior: Any = "standard_normal",
        **kwargs: Any,
    ) -> None:
        self.latent_dim = check_integer("latent_dim", latent_dim)
        self._posterior_head = get_posterior_head(posterior, latent_dim, real_dtype(kwargs.get("dtype")))
        own_prior = get_prior(prior)
        super().__init__(event_shape, encoder=encoder, decoder=decoder, likelihood=likelihood, **kwargs)
        check_reach("encoder", self.encoder, self._posterior_head.bounds_problem)
        if own_prior.needs_posterior and self._condition_spec:
            raise ValueError(
                f"A {type(own_prior).__name__} encodes pseudo-inputs, which have no conditions, so the model "
                "must be unconditional; received a conditional model. Use prior='gaussian_mixture'."
            )
        own_prior.set_shapes(
            self.latent_dim, self.event_shape, self.value_range(), seed=self.seed, dtype=self.real_dtype
        )
        self._prior = own_prior
        self.latent_usage = LatentUsage(latent_dim)

    def _expected_code(self, encoder: keras.layers.Layer) -> tuple[tuple[int, ...], str]:
        head = self._posterior_head
        meaning = f"the parameters of {type(head).__name__} over {self.latent_dim} latent dimensions"
        return (head.params_size,), meaning

    # ---- distributions --------------------------------------------------------------------------

    def posterior(
        self, x: Any, condition: Any = None, *, training: bool = False
    ) -> tfp.distributions.Distribution:
        """The approximate posterior q(z|x).

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            training: Whether layers run in training mode.

        Returns:
            A `tfd.Distribution` with batch shape `[B]` over `[latent_dim]`.
        """
        return self._posterior_head.distribution(self._posterior_params(x, condition, training))

    def _posterior_params(self, x: Any, condition: Any, training: bool) -> tf.Tensor:
        params = self.encoder(self._encoder_inputs(x, condition), training=training)
        return tf.cast(params, self.real_dtype)

    def prior(self, *, training: bool = False) -> tfp.distributions.Distribution:
        """The prior p(z) over `[latent_dim]`, without a batch axis.

        Args:
            training: Whether layers run in training mode; a VampPrior runs the encoder.
        """
        return self._prior.distribution(lambda x: self.posterior(x, training=training))

    def _code(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        return centre(self.posterior(x, condition=condition, training=training))

    # ---- what objectives are made of ------------------------------------------------------------

    def _one_draw(
        self,
        x: tf.Tensor,
        condition: Any,
        training: bool,
        seed: Any,
        posterior: tfp.distributions.Distribution | None = None,
    ) -> OneDraw:
        """The two terms of the negative bound from one draw of each posterior, which may be given."""
        if posterior is None:
            posterior = self.posterior(x, condition=condition, training=training)
        prior = self.prior(training=training)
        z = posterior.sample(seed=seed)
        likelihood = self.likelihood(z, condition=condition, training=training)
        per_latent = self._note_usage(posterior, prior)
        if per_latent is None:
            kl = kl_divergence(posterior, prior, z=z)
        else:
            kl = tf.reduce_sum(per_latent, axis=-1)
        terms = {"reconstruction": -likelihood.log_prob(x), "kl": kl}
        return OneDraw(terms, per_latent, posterior, prior, z)

    def _note_usage(
        self, posterior: tfp.distributions.Distribution, prior: tfp.distributions.Distribution
    ) -> tf.Tensor | None:
        """The divergence per latent dimension `[B, latent_dim]`, or None; also updates `latent_usage`."""
        per_latent = kl_per_dimension(posterior, prior)
        self.latent_usage.update_state(centre(posterior), per_latent)
        return per_latent

    def _log_likelihood(self, x: tf.Tensor, z: tf.Tensor, condition: Any, training: bool) -> tf.Tensor:
        """Log p(x|z) for K latent vectors per example, `[K, B, latent_dim]` to `[K, B]`."""
        num_samples, num_rows = z.shape[0], tf.shape(x)[0]
        if condition is not None:
            condition = self._condition_spec.rows(condition, num_rows)
            condition = tf.tile(condition, [num_samples] + [1] * (condition.shape.rank - 1))
        inputs = self._with_condition(self.decoder, tf.reshape(z, [-1, self.latent_dim]), condition)
        params = tf.cast(self.decoder(inputs, training=training), self.real_dtype)
        params = tf.reshape(params, [num_samples, num_rows, *self._likelihood_head.params_shape])
        return self._likelihood_head.distribution(params).log_prob(x)

    def _require_diagonal_posterior(self) -> None:
        """Refuses a posterior that is not factorised, for objectives that need its factors."""
        if not isinstance(self._posterior_head, GaussianHead):
            raise ValueError(
                f"The objective of {type(self).__name__} needs posterior='diagonal'; received a "
                f"{type(self._posterior_head).__name__}. Use posterior='diagonal', or a VAE."
            )

    # ---- capabilities ---------------------------------------------------------------------------

    def sample(
        self,
        num_samples: int,
        *,
        condition: Any = None,
        seed: Any = None,
        from_likelihood: bool = False,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """New examples, `[num_samples, *event_shape]`: z from the prior, then p(x|z).

        Args:
            num_samples: Number of samples to draw.
            condition: One condition for all samples, or one per sample.
            seed: Integer or pair of integers; None draws anew at every call.
            from_likelihood: Whether to draw x from p(x|z); otherwise its mean is returned, as is customary
                for images.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._sample(num_samples, condition, seed, batch_size, from_likelihood=from_likelihood)

    def _sample_rows(
        self, seeds: tf.Tensor, condition: Any = None, from_likelihood: bool = False
    ) -> tf.Tensor:
        """One sample per row, drawn from the row's own seed `[2]`."""
        z = sample_rows(self.prior(), 1, seeds)[:, 0]
        likelihood = self.likelihood(z, condition=condition)
        return (
            sample_rows(likelihood, 1, fold_in_rows(seeds, 1))[:, 0] if from_likelihood else likelihood.mean()
        )

    # ---- endpoints and configuration ------------------------------------------------------------

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint.

        They are `reconstruct`, `encode`, `decode`, `sample`, `sample_rows`, `log_prob`, `anomaly_score`.

        Args:
            max_samples: Largest number of samples that one request to `sample` may draw.
            num_samples: Number of importance samples of `log_prob` and `anomaly_score`.
        """
        x = self._inputs(self.event_space())

        def log_prob(x, *rest):
            *c, seed = rest
            bound = self._importance_bound(x, c[0] if c else None, seed, num_samples, ROWS_PER_PASS)
            return {"log_prob": bound}

        def score(x, c=None):
            return {"score": self._score(x, c, num_samples)}

        return {
            **super().endpoints(),
            **self._sample_endpoints(max_samples),
            "log_prob": Endpoint(log_prob, (*x, ROW_SEEDS)),
            "anomaly_score": Endpoint(score, x),
        }

    def get_config(self) -> dict:
        """The constructor arguments, including the networks."""
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "posterior": keras.saving.serialize_keras_object(self._posterior_head),
            "prior": keras.saving.serialize_keras_object(self._prior),
        }
