r"""What the variational family shares: prior, approximate posterior, likelihood, and what they answer.

$$ \log p(x) = \log \int p(x \mid z) \, p(z) \, dz \ge E_{q(z|x)}[\log p(x, z) - \log q(z \mid x)] $$

A variant adds its objective.

References: Auto-Encoding Variational Bayes, Kingma and Welling, 2014; Stochastic Backpropagation and
Approximate Inference in Deep Generative Models, Rezende, Mohamed and Wierstra, 2014; Importance Weighted
Autoencoders, Burda, Grosse and Salakhutdinov, 2016 (the estimate of `log_prob`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bases.encoder_decoder import EncoderDecoder
from keras_genmod.bases.row_wise import ROWS_PER_PASS, SamplesByRow
from keras_genmod.core.checks import check_integer
from keras_genmod.core.noise import row_seeds, sample_rows
from keras_genmod.core.precision import real_dtype
from keras_genmod.core.row_noise import fold_in_rows
from keras_genmod.core.rows import map_rows
from keras_genmod.core.spaces import ROW_SEEDS
from keras_genmod.distributions.kl import kl_divergence, kl_per_dimension
from keras_genmod.distributions.posteriors import centre, get_posterior_head
from keras_genmod.distributions.priors import get_prior
from keras_genmod.distributions.real_heads import GaussianHead
from keras_genmod.metrics.latent_usage import LatentUsage
from keras_genmod.networks.activations import check_reach
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["LatentVariableModel"]

# Latent vectors drawn at once by `log_prob`; they are decoded `batch_size` at a time.
_LATENTS_PER_CALL = 2**17


class OneDraw(NamedTuple):
    """What one draw of each posterior gives.

    Args:
        terms: `reconstruction` and `kl`, `[B]` nats.
        kl_per_latent: `[B, latent_dim]`; None where the divergence is no sum over latents.
        posterior: q(z|x).
        prior: p(z).
        z: the draws, `[B, latent_dim]`.
    """

    terms: dict[str, tf.Tensor]
    kl_per_latent: tf.Tensor | None
    posterior: tfp.distributions.Distribution
    prior: tfp.distributions.Distribution
    z: tf.Tensor


class LatentVariableModel(SamplesByRow, EncoderDecoder):
    """Base of the variational family: everything but the objective.

    Args:
        event_shape, latent_dim, encoder, decoder, likelihood, posterior, prior: as in `VAE`.
        num_classes, condition_shape, seed, name, dtype: as in `GenerativeModel`.
    """

    density = "lower_bound"

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
                f"A {type(own_prior).__name__} encodes examples of its own and has no conditions for them; "
                "received it in a conditional model. Use prior='gaussian_mixture' there."
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
            x: data `[B, *event_shape]`.
            condition: one for all or one per row.
            training: whether layers act as in training.

        Returns:
            A `tfd.Distribution` of batch shape `[B]` over `[latent_dim]`.
        """
        return self._posterior_head.distribution(self._posterior_params(x, condition, training))

    def _posterior_params(self, x: Any, condition: Any, training: bool) -> tf.Tensor:
        params = self.encoder(self._encoder_inputs(x, condition), training=training)
        return tf.cast(params, self.real_dtype)

    def prior(self, *, training: bool = False) -> tfp.distributions.Distribution:
        """The prior p(z) over `[latent_dim]`, without a batch axis.

        Args:
            training: whether layers act as in training (a VampPrior runs the encoder).
        """
        return self._prior.distribution(lambda x: self.posterior(x, training=training))

    def _code(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        return centre(self.posterior(x, condition=condition, training=training))

    # ---- what objectives are made of ------------------------------------------------------------

    def _one_draw(self, x: tf.Tensor, condition: Any, training: bool, seed: Any) -> OneDraw:
        """The two terms of the negative bound from one draw of each posterior."""
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
        """The divergence of each latent `[B, latent_dim]`, or None; the metric gets it too."""
        per_latent = kl_per_dimension(posterior, prior)
        self.latent_usage.update_state(centre(posterior), per_latent)
        return per_latent

    def _log_likelihood(self, x: tf.Tensor, z: tf.Tensor, condition: Any, training: bool) -> tf.Tensor:
        """Log p(x|z) of several latent vectors `[K, B, latent_dim]` for each example: `[K, B]`."""
        num_samples, num_rows = z.shape[0], tf.shape(x)[0]
        if condition is not None:
            condition = self._condition_spec.rows(condition, num_rows)
            condition = tf.tile(condition, [num_samples] + [1] * (condition.shape.rank - 1))
        inputs = self._with_condition(self.decoder, tf.reshape(z, [-1, self.latent_dim]), condition)
        params = tf.cast(self.decoder(inputs, training=training), self.real_dtype)
        params = tf.reshape(params, [num_samples, num_rows, *self._likelihood_head.params_shape])
        return self._likelihood_head.distribution(params).log_prob(x)

    def _require_diagonal_posterior(self) -> None:
        """Refuses a posterior that is not factorised, for objectives made of its factors."""
        if not isinstance(self._posterior_head, GaussianHead):
            raise ValueError(
                f"The objective of {type(self).__name__} needs posterior='diagonal'; received a "
                f"{type(self._posterior_head).__name__}."
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
            num_samples: how many.
            condition: one for all or one per sample.
            seed: integer or two integers; None draws anew at every call.
            from_likelihood: whether to draw x from p(x|z); else its mean is returned, as is the custom
                for images.
            batch_size: samples in one pass, which bounds the memory; None takes the model's own number.
        """
        return self._sample(num_samples, condition, seed, batch_size, from_likelihood=from_likelihood)

    def _sample_rows(
        self, seeds: tf.Tensor, condition: Any = None, from_likelihood: bool = False
    ) -> tf.Tensor:
        """One sample a row, from its own seed `[2]`."""
        z = sample_rows(self.prior(), 1, seeds)[:, 0]
        likelihood = self.likelihood(z, condition=condition)
        return (
            sample_rows(likelihood, 1, fold_in_rows(seeds, 1))[:, 0] if from_likelihood else likelihood.mean()
        )

    def log_prob(
        self,
        x: Any,
        condition: Any = None,
        *,
        num_samples: int = 16,
        batch_size: int = ROWS_PER_PASS,
        seed: Any = None,
    ) -> tf.Tensor:
        r"""The importance-weighted lower bound on log p(x), `[B]` nats.

        $$ \log \frac1K \sum_k \frac{p(x \mid z_k) \, p(z_k)}{q(z_k \mid x)}, \quad z_k \sim q(z \mid x) $$

        It rises towards log p(x) with $K$ = `num_samples`; at 1 it is one draw of the evidence lower bound.
        The noise of a row depends on the seed and the row's number, so the result does not depend on
        `batch_size`.

        Args:
            x: data `[B, *event_shape]`.
            condition: one for all or one per row.
            num_samples: importance samples of each example.
            batch_size: latent vectors decoded at once; bounds the memory, however many samples there are.
            seed: integer or two integers; None takes the same noise at every call.

        Cost: `num_samples` passes through the decoder per example.
        """
        num_samples = check_integer("num_samples", num_samples)
        batch_size = check_integer("batch_size", batch_size)
        x = self._as_rows(x)
        num_rows = x.shape[0] or tf.shape(x)[0]
        condition = self._condition_spec.rows(condition, num_rows)
        seeds = row_seeds(self._fixed_seed() if seed is None else self._sampling_seed(seed), 0, num_rows)
        graph = self._graphs.get(
            ("log_prob", num_samples, batch_size),
            lambda rows: self._importance_bound(*rows, num_samples, batch_size),
        )
        rows_per_call = max(1, _LATENTS_PER_CALL // num_samples)
        return map_rows(graph, (x, condition, seeds), batch_size=rows_per_call)

    def _importance_bound(
        self, x: tf.Tensor, condition: Any, seeds: tf.Tensor, num_samples: int, batch_size: int
    ) -> tf.Tensor:
        posterior = self.posterior(x, condition=condition)
        prior = self.prior()
        z = sample_rows(posterior, num_samples, seeds)
        log_posterior = posterior.log_prob(tf.transpose(z, [1, 0, 2]))
        flat = tf.reshape(z, [-1, self.latent_dim])
        total = tf.shape(flat)[0]
        passes = (total + batch_size - 1) // batch_size

        def joint(index: tf.Tensor, results: tf.TensorArray):
            rows = tf.range(index * batch_size, tf.minimum((index + 1) * batch_size, total))
            # Row `r` of the flat latents belongs to example `r // num_samples`.
            example = rows // num_samples
            c = None if condition is None else tf.gather(condition, example)
            latents = tf.gather(flat, rows)
            likelihood = self.likelihood(latents, condition=c)
            log_joint = likelihood.log_prob(tf.gather(x, example)) + prior.log_prob(latents)
            return index + 1, results.write(index, log_joint)

        results = tf.TensorArray(self.real_dtype, passes, infer_shape=False, element_shape=[None])
        _, results = tf.while_loop(
            lambda index, _: index < passes, joint, (0, results), parallel_iterations=1
        )
        log_weights = tf.reshape(results.concat(), [-1, num_samples]) - tf.transpose(log_posterior)
        return tf.reduce_logsumexp(log_weights, axis=1) - math.log(num_samples)

    def anomaly_score(
        self,
        x: Any,
        condition: Any = None,
        *,
        num_samples: int = 16,
        batch_size: int = ROWS_PER_PASS,
    ) -> tf.Tensor:
        """The negative importance-weighted bound, `[B]` nats, with the same noise for every example.

        Args:
            x: data `[B, *event_shape]`.
            condition: one for all or one per row.
            num_samples: importance samples of each example.
            batch_size: as in `log_prob`.
        """
        num_samples = check_integer("num_samples", num_samples)
        batch_size = check_integer("batch_size", batch_size)
        return self._map_rows(
            ("anomaly_score", num_samples, batch_size),
            lambda x, condition: self._score(x, condition, num_samples, batch_size),
            x,
            condition,
        )

    def _score(
        self, x: tf.Tensor, condition: Any, num_samples: int, batch_size: int = ROWS_PER_PASS
    ) -> tf.Tensor:
        seeds = tf.tile(self._fixed_seed()[None], [tf.shape(x)[0], 1])
        return -self._importance_bound(x, condition, seeds, num_samples, batch_size)

    # ---- endpoints and configuration ------------------------------------------------------------

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint.

        They are `reconstruct`, `encode`, `decode`, `sample`, `sample_rows`, `log_prob`, `anomaly_score`.

        Args:
            max_samples: the most that one request of `sample` may ask for.
            num_samples: importance samples of `log_prob` and `anomaly_score`.
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
        """The constructor arguments, the networks included."""
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "posterior": keras.saving.serialize_keras_object(self._posterior_head),
            "prior": keras.saving.serialize_keras_object(self._prior),
        }
