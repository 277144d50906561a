r"""The E-step of a batch: log-likelihood and sufficient statistics, summed over chunks of rows.

The responsibilities are $r_{ik} = p(k \mid x_i) = p(x_i, k) / \sum_j p(x_i, j)$. Chunks keep the temporary
arrays of a large batch small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

__all__ = ["e_step"]

# Numbers in the largest temporary array of a chunk.
_TEMPORARY = 2**21


def e_step(
    x: tf.Tensor,
    weight: tf.Tensor | None,
    log_joint: Callable[[tf.Tensor], tf.Tensor],
    statistics: Callable[[tf.Tensor, tf.Tensor], Sequence[tf.Tensor]],
    shapes: Sequence[tuple[int, ...]],
    *,
    dtype: tf.DType,
    temporary_per_row: int,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The negative log-likelihood and the sufficient statistics of a batch, both float64 sums.

    Args:
        x: Rows `[B, D]`.
        weight: Weights `[B]`, or None.
        log_joint: Function from rows to log p(x, k), `[B, K]`.
        statistics: Function from rows and responsibilities `[B, K]` to sufficient statistics.
        shapes: Shapes of the statistics.
        dtype: Dtype of the computation.
        temporary_per_row: Numbers in the largest temporary array of one row.
    """
    num_rows, size = tf.shape(x)[0], x.shape[1]
    weight = tf.ones([num_rows]) if weight is None else weight
    weight = tf.cast(weight, x.dtype)
    most = max(1, _TEMPORARY // temporary_per_row)
    num_chunks = tf.maximum(1, -(-num_rows // most))
    rows_per_chunk = -(-num_rows // num_chunks)
    # All chunks have the same size: the last one is padded with rows of weight 0.
    missing = num_chunks * rows_per_chunk - num_rows
    x = tf.reshape(tf.pad(x, [[0, missing], [0, 0]]), [num_chunks, rows_per_chunk, size])
    weight = tf.reshape(tf.pad(weight, [[0, missing]]), [num_chunks, rows_per_chunk])

    def body(chunk: tf.Tensor, nll: tf.Tensor, *sums: tf.Tensor) -> tuple:
        rows = tf.cast(x[chunk], dtype)
        own = tf.cast(weight[chunk], dtype)
        joint = log_joint(rows)
        log_prob = tf.reduce_logsumexp(joint, axis=1)
        responsibilities = own[:, None] * tf.exp(joint - log_prob[:, None])
        new = statistics(rows, responsibilities)
        nll -= tf.cast(tf.reduce_sum(tf.math.multiply_no_nan(log_prob, own)), tf.float64)
        added = [old + tf.cast(more, tf.float64) for old, more in zip(sums, new, strict=True)]
        return chunk + 1, nll, *added

    zeros = [tf.zeros(shape, tf.float64) for shape in shapes]
    _, nll, *sums = tf.while_loop(
        lambda chunk, *_: chunk < num_chunks,
        body,
        (tf.constant(0), tf.zeros([], tf.float64), *zeros),
        parallel_iterations=1,
    )
    return nll, sums
