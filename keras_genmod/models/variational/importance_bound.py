r"""The importance-weighted bound, by which the variational family answers `log_prob` and `anomaly_score`.

$$ \log p(x) \ge E_{z_1, \dots, z_K \sim q(z|x)} \log \frac1K \sum_k
   \frac{p(x \mid z_k) \, p(z_k)}{q(z_k \mid x)} $$

Reference: Importance Weighted Autoencoders, Burda, Grosse and Salakhutdinov, 2016.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bases.encoder_decoder import EncoderDecoder
from keras_genmod.bases.row_wise import ROWS_PER_PASS, SamplesByRow
from keras_genmod.core.checks import check_integer
from keras_genmod.core.noise import row_seeds, sample_rows
from keras_genmod.core.rows import map_rows

__all__ = ["ImportanceBound"]

# Number of latent vectors that `log_prob` draws at once; they are decoded `batch_size` at a time.
_LATENTS_PER_CALL = 2**17


class ImportanceBound(SamplesByRow, EncoderDecoder):
    """Base of latent-variable models with a posterior q(z|x), a prior p(z) and a likelihood p(x|z)."""

    density = "lower_bound"
    latent_dim: int

    if TYPE_CHECKING:

        def posterior(
            self, x: Any, condition: Any = None, *, training: bool = False
        ) -> tfp.distributions.Distribution: ...
        def prior(self, *, training: bool = False) -> tfp.distributions.Distribution: ...

    def log_prob(
        self,
        x: Any,
        condition: Any = None,
        *,
        num_samples: int = 16,
        batch_size: int | None = None,
        seed: Any = None,
    ) -> tf.Tensor:
        r"""The importance-weighted lower bound on log p(x), `[B]` nats.

        $$ \log \frac1K \sum_k \frac{p(x \mid z_k) \, p(z_k)}{q(z_k \mid x)}, \quad z_k \sim q(z \mid x) $$

        It rises towards log p(x) with $K$ = `num_samples`; with one sample it is a one-draw estimate of the
        evidence lower bound. The noise of a row depends on the seed and the row's index, so the result does
        not depend on `batch_size`.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            num_samples: Number K of importance samples per example.
            batch_size: Latent vectors decoded in one pass, which bounds memory for any number of samples;
                None uses the model's default.
            seed: Integer or pair of integers; None uses the same noise at every call.

        Cost: `num_samples` passes through the decoder per example.
        """
        num_samples = check_integer("num_samples", num_samples)
        rows_per_pass = self._batch_size(batch_size)
        x = self._as_rows(x)
        num_rows = x.shape[0] or tf.shape(x)[0]
        condition = self._condition_spec.rows(condition, num_rows)
        seeds = row_seeds(self._fixed_seed() if seed is None else self._sampling_seed(seed), 0, num_rows)
        graph = self._graphs.get(
            ("log_prob", num_samples, rows_per_pass),
            lambda rows: self._importance_bound(rows[0], rows[1], rows[2], num_samples, rows_per_pass),
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
            # Row r of the flattened latent vectors belongs to example r // num_samples.
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
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """The negative importance-weighted bound, `[B]` nats, with the same noise for every example.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            num_samples: Number of importance samples per example.
            batch_size: As in `log_prob`.
        """
        num_samples = check_integer("num_samples", num_samples)
        rows_per_pass = self._batch_size(batch_size)
        return self._map_rows(
            ("anomaly_score", num_samples, rows_per_pass),
            lambda x, condition: self._score(x, condition, num_samples, rows_per_pass),
            x,
            condition,
        )

    def _score(
        self, x: tf.Tensor, condition: Any, num_samples: int, batch_size: int = ROWS_PER_PASS
    ) -> tf.Tensor:
        seeds = tf.tile(self._fixed_seed()[None], [tf.shape(x)[0], 1])
        return -self._importance_bound(x, condition, seeds, num_samples, batch_size)
