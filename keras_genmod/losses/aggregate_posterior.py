r"""The aggregate posterior, the distribution of the latents over the whole data set, and penalties on it.

$$ q(z) = \frac1N \sum_{n=1}^N q(z \mid x_n) $$

All functions use the rows of all replicas together (`core.replicas.gather_rows`), so that more replicas give
a better estimate of the same objective.

References: Isolating Sources of Disentanglement in Variational Autoencoders, Chen, Li, Grosse and Duvenaud,
2018 (estimates from a batch); Variational Inference of Disentangled Latent Concepts from Unlabeled
Observations, Kumar, Sattigeri and Balakrishnan, 2018 (covariance); Disentangling by Factorising, Kim and
Mnih, 2018 (permuted latents).
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.replicas import gather_rows, rows_before

__all__ = ["covariance_penalties", "log_aggregate_posterior", "permute_latents"]

tfd = tfp.distributions


def log_aggregate_posterior(
    z: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor, *, num_examples: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""Estimates of $\log q(z)$ and of each $\log q(z_d)$ from the posteriors of a batch.

    Let a batch hold M of the N examples, and let $z_i$ be drawn from the posterior of example i. That
    posterior counts once, and the M - 1 others of the batch represent the other N - 1 of the data:
    $$ \log q(z_i) \approx \log\Big[ \frac1N q(z_i \mid x_i)
       + \frac{N - 1}{N (M - 1)} \sum_{j \ne i} q(z_i \mid x_j) \Big] $$
    The bracket is unbiased for every M. Without N, the batch is taken as the whole data set: $N = M$, and
    every posterior has weight $1 / M$.

    Args:
        z: One draw from each posterior, `[B, D]`.
        loc, scale: Means and standard deviations of the diagonal normal posteriors, `[B, D]`.
        num_examples: Size N of the data set.

    Returns:
        $\log q(z_i)$ `[B]` and $\log q(z_{id})$ `[B, D]`, nats.

    Cost: `B^2 D`.

    Example:
        >>> z = tf.zeros([2, 1])
        >>> joint, each = log_aggregate_posterior(z, tf.zeros([2, 1]), tf.ones([2, 1]))
        >>> float(joint[0])  # log N(0; 0, 1): both posteriors are the prior
        -0.918...
    """
    first_row = rows_before(z)
    loc, scale = gather_rows(loc), gather_rows(scale)
    densities = tfd.Normal(loc, scale).log_prob(z[:, None, :])
    log_weights = _log_weights(first_row, tf.shape(z)[0], tf.shape(loc)[0], num_examples, loc.dtype)
    joint = tf.reduce_logsumexp(tf.reduce_sum(densities, axis=-1) + log_weights, axis=1)
    return joint, tf.reduce_logsumexp(densities + log_weights[:, :, None], axis=1)


def _log_weights(
    first_row: Any, num_rows: tf.Tensor, batch: tf.Tensor, num_examples: int | None, dtype: tf.DType
) -> tf.Tensor:
    """Logarithms of weights `[num_rows, batch]`, each row summing to 1; a batch of one row has weight 1."""
    size = tf.cast(batch, dtype)
    total = size if num_examples is None else tf.cast(tf.where(batch > 1, num_examples, 1), dtype)
    own = 1.0 / total
    others = (1.0 - own) / tf.maximum(size - 1.0, 1.0)
    is_own = tf.equal(tf.range(batch), (first_row + tf.range(num_rows))[:, None])
    return tf.math.log(tf.where(is_own, own, others))


def covariance_penalties(means: tf.Tensor, variances: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    r"""Unbiased estimates of how far the covariance C of the latents is from the identity.

    $\sum_{i \ne j} C_{ij}^2$ and $\sum_i (C_{ii} - 1)^2$.

    The squared covariance of a batch of n rows exceeds the squared true covariance on average by the
    sampling variance, about $C_{ii} C_{jj} / n$: the smaller the batch, the larger this bias. The values here
    are unbiased. Each square is the product of the covariances of two pairs of rows, averaged over all pairs
    without a common row, so that its expectation is the same for every n from 4 on. The values may be
    negative.

    The gradient is the paper's: that of the squared covariance of the batch (divided by n). An unbiased
    estimate is unsuitable for gradient descent: a few rows far from all others would lower it without bound.

    Args:
        means: Posterior means `[B, D]`.
        variances: Posterior variances `[B, D]`. If given, C is the covariance of draws from the posteriors,
            $E[\Sigma] + Cov[\mu]$; otherwise that of the means.

    Returns:
        Both sums, each repeated for every example of the batch, `[B]`; 0 for fewer than 4 rows.

    Cost: `B D^2`.

    Example:
        >>> means = tf.constant([[1.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
        >>> off, diagonal = covariance_penalties(means)
        >>> round(float(off[0]), 4), round(float(diagonal[0]), 4)
        (5.3333, 2.0)
    """
    num_rows = tf.shape(means)[0]
    means = gather_rows(means)
    variances = None if variances is None else gather_rows(variances)
    centred = means - tf.reduce_mean(means, axis=0)
    count = tf.cast(tf.shape(means)[0], means.dtype)

    def of_batch(value: tf.Tensor, minimised: tf.Tensor) -> tf.Tensor:
        value = minimised + tf.stop_gradient(value - minimised)
        return tf.fill([num_rows], tf.where(count >= 4.0, value, tf.zeros_like(value)))

    estimates = _unbiased_penalties(centred, variances, tf.maximum(count, 4.0))
    return tuple(map(of_batch, estimates, _penalties_of_batch(centred, variances)))


def _penalties_of_batch(centred: tf.Tensor, variances: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Both sums for the empirical covariance of the rows."""
    covariance = tf.matmul(centred, centred, transpose_a=True) / tf.cast(tf.shape(centred)[0], centred.dtype)
    diagonal = tf.linalg.diag_part(covariance)
    off = tf.reduce_sum(tf.square(tf.linalg.set_diag(covariance, tf.zeros_like(diagonal))))
    if variances is not None:
        diagonal += tf.reduce_mean(variances, axis=0)
    return off, tf.reduce_sum(tf.square(diagonal - 1.0))


def _unbiased_penalties(
    centred: tf.Tensor, variances: tf.Tensor | None, n: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Unbiased estimates of both sums for the distribution that n >= 4 rows are drawn from."""
    squares = _squared_covariance(centred, n)
    diagonal = tf.linalg.diag_part(squares)
    off = tf.reduce_sum(tf.linalg.set_diag(squares, tf.zeros_like(diagonal)))
    variance = tf.reduce_sum(tf.square(centred), axis=0) / (n - 1.0)
    if variances is None:
        return off, tf.reduce_sum(diagonal - 2.0 * variance + 1.0)
    # (V + m - 1)^2 for the variance V of the means and the mean m of the variances. The product V m is biased
    # by the covariance of the two estimates, and m^2 by the variance of m.
    mean = tf.reduce_mean(variances, axis=0)
    deviations = variances - mean
    covariance = tf.reduce_sum(tf.square(centred) * deviations, axis=0) / ((n - 1.0) * (n - 2.0))
    variance_of_mean = tf.reduce_sum(tf.square(deviations), axis=0) / (n * (n - 1.0))
    diagonal += 2.0 * (variance * (mean - 1.0) - covariance) + tf.square(mean - 1.0) - variance_of_mean
    return off, tf.reduce_sum(diagonal)


def _squared_covariance(centred: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    r"""Unbiased estimates of the squared covariances, `[D, D]`, from n >= 4 centred rows.

    With the batch's covariances S (divided by n - 1) and $Q_{ij} = \sum_k x_{ki}^2 x_{kj}^2 / (n - 1)$,
    $$ \frac{n - 1}{n (n - 2)(n - 3)} \big[ (n - 1)(n - 2) S_{ij}^2 + S_{ii} S_{jj} - n Q_{ij} \big] $$
    is the product of the covariances of two pairs of rows, averaged over all two pairs without a common row.
    Its sum over i and j is the estimate of Tests for High-Dimensional Covariance Matrices, Chen, Zhang and
    Zhong, 2010.
    """
    covariance = tf.matmul(centred, centred, transpose_a=True) / (n - 1.0)
    variance = tf.linalg.diag_part(covariance)
    fourth = tf.matmul(tf.square(centred), tf.square(centred), transpose_a=True) / (n - 1.0)
    products = variance[:, None] * variance[None, :]
    factor = (n - 1.0) / (n * (n - 2.0) * (n - 3.0))
    return factor * ((n - 1.0) * (n - 2.0) * tf.square(covariance) + products - n * fourth)


def permute_latents(z: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    r"""Permutes each column: draws from $q(z)$ become draws from $\prod_d q(z_d)$.

    On several replicas the entries come from the rows of all replicas.

    Args:
        z: Draws from the posteriors `[B, D]`.
        seed: int32 `[2]`, different on each replica.

    Returns:
        `[B, D]`, each column in an independent random order.
    """
    all_z = gather_rows(z)
    order = tf.argsort(tf.random.stateless_uniform(tf.shape(all_z), seed), axis=0)[: tf.shape(z)[0]]
    columns = tf.gather(tf.transpose(all_z), tf.transpose(order), batch_dims=1)
    return tf.transpose(columns)
