r"""The log-density of normal kernels on weighted points, computed block by block.

$$ \log p(x) = \log \sum_i w_i \prod_d N(x_d; x_{id}, h_d^2) $$
"""

from __future__ import annotations

import math

import tensorflow as tf

from keras_genmod.core.distances import squared_distances

__all__ = ["kernel_log_density"]

# Number of points whose distances from the rows are in memory at a time.
_POINTS_PER_PASS = 2048
# Tolerated error of a squared distance in bandwidths, twice that of a log-density in nats.
_TOLERANCE = 2.0**-12


def kernel_log_density(
    x: tf.Tensor,
    points: tf.Tensor,
    log_weights: tf.Tensor,
    bandwidths: tf.Tensor,
    left_out: tf.Tensor | None = None,
) -> tf.Tensor:
    """Log-densities of rows, float64 `[B]` nats.

    Args:
        x: Rows `[B, D]`.
        points: Centres of the kernels, `[n, D]`.
        log_weights: Logarithms of the points' weights, which sum to 1, `[n]`.
        bandwidths: Standard deviations of the kernels, `[D]`.
        left_out: For each row the index of one point whose kernel is left out, int32 `[B]`; None leaves out
            none.
    """
    num_points, size = points.shape
    bandwidths = tf.cast(bandwidths, tf.float64)
    rows = tf.cast(x, tf.float64) / bandwidths
    no_density = tf.constant(-math.inf, tf.float64)

    def body(start: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        part = slice(start, start + _POINTS_PER_PASS)
        block = tf.cast(points[part], tf.float64) / bandwidths
        squares = squared_distances(rows, block, tolerance=_TOLERANCE)
        log_kernels = tf.cast(log_weights[part], tf.float64) - 0.5 * squares
        if left_out is not None:
            indices = start + tf.range(tf.shape(block)[0])
            log_kernels = tf.where(indices == left_out[:, None], no_density, log_kernels)
        log_sum = tf.reduce_logsumexp(log_kernels, axis=1)
        return start + _POINTS_PER_PASS, tf.reduce_logsumexp(tf.stack([total, log_sum]), axis=0)

    nothing = tf.fill([tf.shape(rows)[0]], no_density)
    _, total = tf.while_loop(
        lambda start, _: start < num_points, body, (tf.constant(0), nothing), parallel_iterations=1
    )
    normalizer = tf.reduce_sum(tf.math.log(bandwidths)) + 0.5 * size * math.log(2.0 * math.pi)
    if left_out is not None:
        # The weights of the remaining points must sum to 1.
        normalizer += tf.math.log1p(-tf.exp(tf.cast(tf.gather(log_weights, left_out), tf.float64)))
    return total - normalizer
