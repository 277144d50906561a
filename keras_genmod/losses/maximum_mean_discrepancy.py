r"""Maximum mean discrepancy: a distance between two distributions, estimated from samples of both.

$$ MMD^2(p, q) = E[k(x, x')] + E[k(y, y')] - 2 E[k(x, y)], \quad x, x' \sim p, \; y, y' \sim q $$

is 0 only for equal distributions if the kernel is characteristic, as both kernels here are.

References: A Kernel Two-Sample Test, Gretton et al., 2012; Wasserstein Auto-Encoders, Tolstikhin, Bousquet,
Gelly and Schoelkopf, 2018 (the inverse multiquadratic kernel at several scales).
"""

from __future__ import annotations

import tensorflow as tf

from keras_genmod.core.checks import check_choice
from keras_genmod.core.replicas import gather_rows

__all__ = ["maximum_mean_discrepancy"]

# Scales of the kernel, in units of 2 D, the expected squared distance of two standard normal vectors.
_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def maximum_mean_discrepancy(
    x: tf.Tensor, y: tf.Tensor, *, kernel: str = "inverse_multiquadratic"
) -> tf.Tensor:
    r"""The unbiased estimate of $MMD^2$, as one value per row; their mean is the estimate.

    The value of row i is the mean of $k(x_i, x_j)$ over the other rows j, plus the mean of $k(y_i, y_j)$ over
    them, minus twice the mean of $k(x_i, y_j)$ over all j. The estimate is unbiased, so it may be negative.
    For a single row there is no estimate, and the value is 0.

    Args:
        x: Samples `[B, D]` from one distribution.
        y: Samples `[B, D]` from the other distribution.
        kernel: "inverse_multiquadratic" is the mean over seven scales s (0.1, 0.2, 0.5, 1, 2, 5, 10) of
            $2 D s / (2 D s + \lVert x - y\rVert^2)$; "gaussian" is
            $\exp(-\lVert x - y\rVert^2 / (2 D))$. The code of Tolstikhin et al. sums over the scales, so
            that its values are seven times as large.

    Returns:
        `[B]`. On several replicas the rows of all replicas are compared.

    Cost: `B^2 D`.

    Example:
        >>> float(tf.reduce_mean(maximum_mean_discrepancy(tf.zeros([4, 1]), tf.zeros([4, 1]))))
        0.0
    """
    check_choice("kernel", kernel, _KERNELS)
    k = _KERNELS[kernel]
    all_x, all_y = gather_rows(x), gather_rows(y)
    count = tf.cast(tf.shape(all_x)[0], all_x.dtype)
    # The kernel of a row with itself is 1.
    others = tf.maximum(count - 1.0, 1.0)
    estimate = (
        (tf.reduce_sum(k(x, all_x), axis=1) - 1.0) / others
        + (tf.reduce_sum(k(y, all_y), axis=1) - 1.0) / others
        - 2.0 * tf.reduce_sum(k(x, all_y), axis=1) / count
    )
    return tf.where(count > 1.0, estimate, tf.zeros_like(estimate))


def _squared_distances(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.math.squared_difference(x[:, None, :], y[None, :, :]), axis=-1)


def _inverse_multiquadratic(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    distances = _squared_distances(x, y)
    bases = [2.0 * x.shape[-1] * scale for scale in _SCALES]
    return tf.add_n([base / (base + distances) for base in bases]) / len(bases)


def _gaussian(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.exp(-_squared_distances(x, y) / (2.0 * x.shape[-1]))


_KERNELS = {"inverse_multiquadratic": _inverse_multiquadratic, "gaussian": _gaussian}
