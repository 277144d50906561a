r"""The variational autoencoder.

$$ \log p(x) \ge E_{q(z|x)}[\log p(x \mid z)] - \beta \, KL(q(z \mid x) \,\|\, p(z)) $$

with $\beta = 1$; other values give the beta-VAE. The posterior $q$ is a diagonal Gaussian whose parameters
the encoder gives, the prior $p(z)$ is standard normal, and one draw per example estimates the expectation,
differentiated through the draw.

References: Auto-Encoding Variational Bayes, Kingma and Welling, 2014; Stochastic Backpropagation and
Approximate Inference in Deep Generative Models, Rezende, Mohamed and Wierstra, 2014; beta-VAE: Learning
Basic Visual Concepts with a Constrained Variational Framework, Higgins et al., 2017; Learning Structured
Output Representation using Deep Conditional Generative Models, Sohn, Lee and Yan, 2015; Importance
Weighted Autoencoders, Burda, Grosse and Salakhutdinov, 2016 (the estimate of `log_prob`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import check_integer
from keras_genmod.core.noise import row_seeds, sample_rows
from keras_genmod.core.registration import register
from keras_genmod.core.rows import map_rows
from keras_genmod.distributions.heads import GaussianHead
from keras_genmod.distributions.kl import kl_per_dimension
from keras_genmod.distributions.priors import standard_normal
from keras_genmod.metrics.latent_usage import LatentUsage
from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.training.encoder_decoder import EncoderDecoder
from keras_genmod.training.row_wise import ROWS_PER_PASS, SamplesByRow
from keras_genmod.training.schedules import WeightSchedule, get_weight, weight_at, weight_config

__all__ = ["VAE"]

# Latent vectors drawn at once by `log_prob`; they are decoded `batch_size` at a time.
_LATENTS_PER_CALL = 2**17


@register
class VAE(SamplesByRow, EncoderDecoder):
    """A latent-variable model with a lower bound on its density.

    Args:
        event_shape: shape of one example; `(size,)` gets dense default networks, `(height, width,
            channels)` convolutional ones.
        latent_dim: number of latent dimensions.
        encoder: network from `x` (`[x, condition]`) to `2 * latent_dim` numbers: means, then raw scales.
        decoder: network from `z` (`[z, condition]`) to the raw parameters of the likelihood.
        likelihood: "bernoulli" (data in [0, 1]), "continuous_bernoulli" ([0, 1]), "gaussian" (real) or a
            head such as `GaussianHead(scale="learned")`.
        beta: weight of the divergence: a number, or a schedule over training steps.
        num_classes, condition_shape, seed, name, dtype: as in `GenerativeModel`.

    Logs: `loss`, `reconstruction` and `kl` (nats per example), `active_units`; the divergence of every
    latent dimension is in `latent_usage.kl_per_latent()`. With `beta=1` the loss is the negative bound.

    Cost: one pass through encoder and decoder per example.

    Example:
        >>> import numpy as np
        >>> model = VAE((4,), latent_dim=2, seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.eye(4, dtype="float32"), epochs=1, verbose=0)
        >>> model.sample(3, seed=1).shape
        TensorShape([3, 4])
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
        beta: float | WeightSchedule = 1.0,
        **kwargs: Any,
    ) -> None:
        check_integer("latent_dim", latent_dim)
        self.beta = get_weight("beta", beta)
        super().__init__(
            event_shape,
            latent_dim=latent_dim,
            encoder=encoder,
            decoder=decoder,
            likelihood=likelihood,
            code_size=(2 * latent_dim, f"means and raw scales of {latent_dim} latent dimensions"),
            **kwargs,
        )
        self._posterior_head = GaussianHead("predicted", event_shape=(latent_dim,))
        self.latent_usage = LatentUsage(latent_dim)

    # ---- distributions --------------------------------------------------------------------------

    def posterior(
        self, x: Any, *, condition: Any = None, training: bool = False
    ) -> tfp.distributions.Distribution:
        """The approximate posterior q(z|x).

        Args:
            x: data `[B, *event_shape]`.
            condition: one for all or one per row.
            training: whether layers act as in training.

        Returns:
            A `tfd.Distribution` of batch shape `[B]` over `[latent_dim]`.
        """
        x = tf.cast(x, tf.float32)
        params = self.encoder(self._with_condition(x, condition), training=training)
        return self._posterior_head.distribution(params)

    def prior(self) -> tfp.distributions.Distribution:
        """The prior p(z): N(0, I) over `[latent_dim]`."""
        return standard_normal(self.latent_dim)

    def _code(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        return self.posterior(x, condition=condition, training=training).mean()

    # ---- objective ------------------------------------------------------------------------------

    def loss_terms(
        self, x: Any, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The two terms of the negative bound: `reconstruction` and `kl`."""
        posterior = self.posterior(x, condition=condition, training=training)
        z = posterior.sample(seed=seed)
        likelihood = self.likelihood(z, condition=condition, training=training)
        kl = kl_per_dimension(posterior, self.prior())
        self.latent_usage.update_state(posterior.mean(), kl)
        return {"reconstruction": -likelihood.log_prob(x), "kl": tf.reduce_sum(kl, axis=-1)}

    def term_weights(self) -> dict[str, Any]:
        """The weight of the divergence, at this step if it has a schedule."""
        return {"kl": weight_at(self.beta, self.training_steps)}

    # ---- capabilities ---------------------------------------------------------------------------

    def sample(
        self,
        num_samples: int,
        *,
        condition: Any = None,
        seed: Any = None,
        from_likelihood: bool = False,
    ) -> tf.Tensor:
        """New examples, `[num_samples, *event_shape]`: z from the prior, then p(x|z).

        Args:
            num_samples: how many.
            condition: one for all or one per sample.
            seed: integer or two integers; None draws anew at every call.
            from_likelihood: whether to draw x from p(x|z); else its mean is returned, as is the custom
                for images.
        """
        return self._sample(num_samples, condition, seed, from_likelihood=from_likelihood)

    def _sample_rows(
        self, seeds: tf.Tensor, condition: Any = None, from_likelihood: bool = False
    ) -> tf.Tensor:
        """One sample a row, from its own seed `[2]`."""
        z = sample_rows(self.prior(), 1, seeds)[:, 0]
        likelihood = self.likelihood(z, condition=condition)
        return sample_rows(likelihood, 1, seeds + 1)[:, 0] if from_likelihood else likelihood.mean()

    def log_prob(
        self,
        x: Any,
        *,
        condition: Any = None,
        num_samples: int = 16,
        batch_size: int = ROWS_PER_PASS,
        seed: Any = None,
    ) -> tf.Tensor:
        r"""The importance-weighted lower bound on log p(x), `[B]` nats.

        $$ \log \frac1K \sum_k \frac{p(x \mid z_k) \, p(z_k)}{q(z_k \mid x)}, \quad z_k \sim q(z \mid x) $$

        It rises towards log p(x) with $K$ = `num_samples`; at 1 it is one draw of the bound that is
        trained. The noise of a row depends on the seed and the row's number, so the result does not
        depend on `batch_size`.

        Args:
            x: data `[B, *event_shape]`.
            condition: one for all or one per row.
            num_samples: importance samples of each example.
            batch_size: latent vectors decoded at once; bounds the memory.
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
        z = sample_rows(posterior, num_samples, seeds)
        by_sample = tf.transpose(z, [1, 0, 2])
        log_ratio = self.prior().log_prob(by_sample) - posterior.log_prob(by_sample)
        flat = tf.reshape(z, [-1, self.latent_dim])
        total = tf.shape(flat)[0]
        passes = (total + batch_size - 1) // batch_size

        def decode(index: tf.Tensor, results: tf.TensorArray):
            rows = tf.range(index * batch_size, tf.minimum((index + 1) * batch_size, total))
            # Row `r` of the flat latents belongs to example `r // num_samples`.
            example = rows // num_samples
            c = None if condition is None else tf.gather(condition, example)
            likelihood = self.likelihood(tf.gather(flat, rows), condition=c)
            return index + 1, results.write(index, likelihood.log_prob(tf.gather(x, example)))

        results = tf.TensorArray(tf.float32, passes, infer_shape=False, element_shape=[None])
        _, results = tf.while_loop(
            lambda index, _: index < passes, decode, (0, results), parallel_iterations=1
        )
        log_likelihood = tf.reshape(results.concat(), [-1, num_samples])
        log_weights = log_likelihood + tf.transpose(log_ratio)
        return tf.reduce_logsumexp(log_weights, axis=1) - tf.math.log(float(num_samples))

    def anomaly_score(self, x: Any, *, condition: Any = None, num_samples: int = 16) -> tf.Tensor:
        """The negative importance-weighted bound, `[B]` nats, with the same noise for every example.

        Args:
            x: data `[B, *event_shape]`.
            condition: one for all or one per row.
            num_samples: importance samples of each example.
        """
        num_samples = check_integer("num_samples", num_samples)
        return self._map_rows(
            ("anomaly_score", num_samples),
            lambda x, condition: self._score(x, condition, num_samples),
            x,
            condition,
        )

    def _score(self, x: tf.Tensor, condition: Any, num_samples: int) -> tf.Tensor:
        seeds = tf.tile(self._fixed_seed()[None], [tf.shape(x)[0], 1])
        return -self._importance_bound(x, condition, seeds, num_samples, ROWS_PER_PASS)

    # ---- endpoints and configuration ------------------------------------------------------------

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint.

        They are `reconstruct`, `encode`, `decode`, `sample`, `sample_rows`, `log_prob`, `anomaly_score`.

        Args:
            max_samples: the most that one request of `sample` may ask for.
            num_samples: importance samples of `log_prob` and `anomaly_score`.
        """
        x = self._input_specs()
        seeds = {"seed": tf.TensorSpec([None, 2], tf.int32, name="seed")}

        def log_prob(x, *rest):
            *c, seed = rest
            bound = self._importance_bound(x, c[0] if c else None, seed, num_samples, ROWS_PER_PASS)
            return {"log_prob": bound}

        def score(x, c=None):
            return {"score": self._score(x, c, num_samples)}

        return {
            **super().endpoints(),
            **self._sample_endpoints(max_samples),
            "log_prob": Endpoint(log_prob, {**x, **seeds}),
            "anomaly_score": Endpoint(score, x),
        }

    def get_config(self) -> dict:
        """The constructor arguments, the networks included."""
        return {**super().get_config(), "beta": weight_config(self.beta)}
