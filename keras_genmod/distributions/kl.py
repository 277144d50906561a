r"""Kullback-Leibler divergences between posterior and prior, in nats.

Closed forms are found by type in the registry of TensorFlow Probability, `tfd.RegisterKL`, to which this
module adds what the library needs. Where there is none, the divergence is estimated from draws.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["kl_divergence", "kl_per_dimension"]

tfd = tfp.distributions


def kl_divergence(
    q: tfp.distributions.Distribution, p: tfp.distributions.Distribution, *, z: Any = None, seed: Any = None
) -> tf.Tensor:
    r"""$KL(q \| p) = E_q[\log q(z) - \log p(z)]$, `[B]` nats, in closed form or else from draws.

    Args:
        q: Distribution of batch shape `[B]`.
        p: Distribution of batch shape `[B]` or `[]`.
        z: Draws `[B, *event]` of q, used only where there is no closed form.
        seed: Seed of one draw for each row, where there is no closed form and no `z`.

    Raises:
        ValueError: If there is no closed form, and neither `z` nor `seed` is given.

    The estimate $\log q(z) - \log p(z)$ from one draw has no bias, and neither has its gradient through the
    draw. A single value may be negative.
    """
    try:
        return tfd.kl_divergence(q, p)
    except NotImplementedError:
        if z is None and seed is None:
            raise ValueError(
                f"There is no closed form of the divergence of a {type(q).__name__} from a "
                f"{type(p).__name__}. Pass draws `z` of the first, or a `seed`, for an estimate."
            ) from None
    z = q.sample(seed=seed) if z is None else z
    return q.log_prob(z) - p.log_prob(z)


def kl_per_dimension(
    q: tfp.distributions.Distribution, p: tfp.distributions.Distribution
) -> tf.Tensor | None:
    """The divergence of each dimension, `[B, *event]` nats; None where it is no sum over dimensions.

    It is a sum where both distributions are factorised and each factor has a closed form.
    """
    if not (isinstance(q, tfd.Independent) and isinstance(p, tfd.Independent)):
        return None
    try:
        return tfd.kl_divergence(q.distribution, p.distribution)
    except NotImplementedError:
        return None


@tfd.RegisterKL(tfd.MultivariateNormalTriL, tfd.Independent)
def _kl_from_factorised_normal(
    q: tfp.distributions.MultivariateNormalTriL, p: tfp.distributions.Independent, name: str | None = None
) -> tf.Tensor:
    r"""$KL(N(m, LL^T) \| N(n, diag(t^2)))$.

    $$ = \sum_j \log t_j - \log L_{jj} + \frac{(LL^T)_{jj} + (m_j - n_j)^2}{2 t_j^2} - \frac12 $$
    """
    normal = p.distribution
    if not isinstance(normal, tfd.Normal) or p.event_shape.rank != 1:
        raise NotImplementedError(f"There is no closed form for {type(normal).__name__}.")
    tril = q.scale.to_dense()
    variances = tf.reduce_sum(tf.square(tril), axis=-1)
    scaled = (variances + tf.square(q.loc - normal.loc)) / tf.square(normal.scale)
    log_ratio = tf.math.log(normal.scale) - tf.math.log(tf.linalg.diag_part(tril))
    return tf.reduce_sum(log_ratio + 0.5 * (scaled - 1.0), axis=-1)
