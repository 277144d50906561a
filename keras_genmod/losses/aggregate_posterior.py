r"""How latent variables of a whole data set are distributed: the aggregate posterior, and penalties on it.

$$ q(z) = \frac1N \sum_{n=1}^N q(z \mid x_n) $$

All functions take the batch of all replicas as a whole (`core.replicas.gather_rows`), so that more replicas
mean a better estimate and not another objective.

References: Isolating Sources of Disentanglement in Variational Autoencoders, Chen, Li, Grosse and Duvenaud,
2018 (minibatch-weighted sampling); Variational Inference of Disentangled Latent Concepts from Unlabeled
Observations, Kumar, Sattigeri and Balakrishnan, 2018 (covariance); Disentangling by Factorising, Kim and
Mnih, 2018 (permuted latents).
"""

from __future__ import annotations

import math

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.replicas import gather_rows

__all__ = ["covariance_penalties", "log_aggregate_posterior", "permute_latents"]

tfd = tfp.distributions


def log_aggregate_posterior(
    z: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor, *, num_examples: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""Estimates of $\log q(z)$ and of each $\log q(z_d)$ from the posteriors of a batch.

    Minibatch-weighted sampling, for draws $z_i$ of the posteriors of a batch of M out of N examples:
    $$ \log q(z_i) \approx \log \frac{1}{N M} \sum_{j=1}^M q(z_i \mid x_j) $$
    Without N, the batch stands for all the data: $1 / M$ in place of $1 / (N M)$. With it the values are
    lower by log N, as the posterior of $z_i$'s own example is in every batch; gradients are the same.

    Args:
        z: one draw of each posterior, `[B, D]`.
        loc, scale: of the diagonal normal posteriors, `[B, D]`.
        num_examples: size N of the data set.

    Returns:
        $\log q(z_i)$ `[B]` and $\log q(z_{id})$ `[B, D]`, nats.

    Cost: grows with the square of the batch times D.

    Example:
        >>> z = tf.zeros([2, 1])
        >>> joint, each = log_aggregate_posterior(z, tf.zeros([2, 1]), tf.ones([2, 1]))
        >>> float(joint[0])  # log N(0; 0, 1): both posteriors are the prior
        -0.918...
    """
    loc, scale = gather_rows(loc), gather_rows(scale)
    densities = tfd.Normal(loc, scale).log_prob(z[:, None, :])
    log_size = tf.math.log(tf.cast(tf.shape(loc)[0], loc.dtype))
    if num_examples is not None:
        log_size += math.log(num_examples)
    joint = tf.reduce_logsumexp(tf.reduce_sum(densities, axis=-1), axis=1) - log_size
    return joint, tf.reduce_logsumexp(densities, axis=1) - log_size


def covariance_penalties(means: tf.Tensor, variances: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    r"""How far the covariance C of the latents is from the identity.

    $\sum_{i \ne j} C_{ij}^2$ and $\sum_i (C_{ii} - 1)^2$.

    Args:
        means: posterior means `[B, D]`.
        variances: posterior variances `[B, D]`: $C$ is then the covariance of draws,
            $E[\Sigma] + Cov[\mu]$, else that of the means.

    Returns:
        Both sums, each repeated for every example of the batch, `[B]`.

    Cost: `B D^2`.

    Example:
        >>> off, diagonal = covariance_penalties(tf.constant([[1.0, 1.0], [-1.0, -1.0]]))
        >>> float(off[0]), float(diagonal[0])
        (2.0, 0.0)
    """
    num_rows = tf.shape(means)[0]
    means = gather_rows(means)
    centred = means - tf.reduce_mean(means, axis=0)
    covariance = tf.matmul(centred, centred, transpose_a=True) / tf.cast(tf.shape(means)[0], means.dtype)
    diagonal = tf.linalg.diag_part(covariance)
    off = tf.reduce_sum(tf.square(tf.linalg.set_diag(covariance, tf.zeros_like(diagonal))))
    if variances is not None:
        diagonal += tf.reduce_mean(gather_rows(variances), axis=0)
    penalties = off, tf.reduce_sum(tf.square(diagonal - 1.0))
    return tuple(tf.repeat(penalty, num_rows) for penalty in penalties)


def permute_latents(z: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    r"""Rows whose entries come from different examples: draws of $\prod_d q(z_d)$, from draws of $q(z)$.

    Args:
        z: draws `[B, D]`.
        seed: int32 `[2]`.

    Returns:
        `[B, D]`, each column in a random order of its own.
    """
    order = tf.argsort(tf.random.stateless_uniform(tf.shape(z), seed), axis=0)
    columns = tf.gather(tf.transpose(z), tf.transpose(order), batch_dims=1)
    return tf.transpose(columns)
