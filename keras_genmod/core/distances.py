r"""Squared distances between all pairs of two sets of vectors, accurate and as fast as matrix products.

$$ \sum_d p_d (x_d - y_d)^2 = \sum_d p_d x_d^2 + \sum_d p_d y_d^2 - 2 \sum_d p_d x_d y_d $$

The right side needs no array `[N, K, D]`, but it loses the digits of the distance of two vectors that lie
close to each other and far from the origin. Vectors are therefore measured from the middle of the second set.
The rounding error of each pair is bounded by the sizes of its own two vectors, so a far vector spoils no
other pair. Pairs whose bound is too large are computed again, as sums of squared differences.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

__all__ = ["nearest_rows", "squared_distances"]

# Number of rows whose median is the middle of a set.
_ROWS_OF_MIDDLE = 33
# A distance is right if its rounding error is below this fraction of it.
_RELATIVE_ERROR = 2.0**-24
# The same for the nearest row: a row that is farther by no more than this fraction may be taken.
_RELATIVE_ERROR_OF_NEAREST = 2.0**-12


def squared_distances(
    x: tf.Tensor, y: tf.Tensor, precision: tf.Tensor | None = None, *, tolerance: float
) -> tf.Tensor:
    r"""$\sum_d p_{kd} (x_{nd} - y_{kd})^2$ for all pairs of rows, in float64.

    Args:
        x: Vectors `[N, D]`.
        y: Vectors `[K, D]`, K at least 1.
        precision: Weights $p \ge 0$ of the squares, `[K, D]`; None for 1.
        tolerance: Absolute error that does not matter.

    Returns:
        Float64 `[N, K]`, each with an error below `tolerance` or below $2^{-24}$ of the distance. Gradients
        are always those of the matrix products. Their errors are about $2^{-50}$ of the distance from the
        middle for the vectors, and of its square for the precisions.

    Cost: two products of N K D in float64, or one without `precision`. Then D operations for each pair that
    is computed again. These are the pairs nearer to each other than about $2^{-12}$ of their distance from
    the middle of `y`, and only if the square of that distance exceeds about $10^{15}$ times the tolerance.

    >>> x = tf.constant([[1e6, 3.0]])
    >>> squared_distances(x, x + [[0.0, 4.0]], tolerance=0.0).numpy()
    array([[16.]])
    """
    x, y = tf.cast(x, tf.float64), tf.cast(y, tf.float64)
    middle = _middle(y)
    rows, columns = x - middle, y - middle
    if precision is None:
        row_sizes = tf.reduce_sum(tf.square(rows), axis=1, keepdims=True)
        column_sizes = tf.reduce_sum(tf.square(columns), axis=1)
        largest_row = tf.reduce_max(row_sizes)
        distances = row_sizes + (column_sizes - tf.matmul(2.0 * rows, columns, transpose_b=True))
    else:
        precision = tf.cast(precision, tf.float64)
        weighted = precision * columns
        squares = tf.square(rows)
        column_sizes = tf.reduce_sum(weighted * columns, axis=1)
        largest_row = tf.reduce_max(tf.linalg.matvec(squares, tf.reduce_max(precision, axis=0)))
        # One product of twice the width is quicker than two and their sum.
        distances = column_sizes + tf.matmul(
            tf.concat([squares, rows], axis=1),
            tf.concat([precision, -2.0 * weighted], axis=1),
            transpose_b=True,
        )
    rounding = _rounding(tf.float64, x.shape[-1])

    def careful() -> tf.Tensor:
        if precision is None:
            sizes = row_sizes + column_sizes
        else:
            sizes = tf.matmul(squares, precision, transpose_b=True) + column_sizes
        error = rounding * sizes
        # Written so that NaN, as from a difference of infinities, counts as wrong.
        right = (error <= tolerance) | (error <= _RELATIVE_ERROR * distances)
        return _recompute(distances, tf.where(~right), x, y, precision)

    # For ordinary data this bound for all pairs is enough, and no other pass over them is needed.
    largest = largest_row + tf.reduce_max(column_sizes)
    return tf.cond(rounding * largest <= tolerance, lambda: distances, careful)


def nearest_rows(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    r"""Finds the row of `y` that is nearest to each row of `x`.

    Args:
        x: Vectors `[N, D]`, float32 or float64.
        y: Vectors `[K, D]` of the same dtype, K at least 1.

    Returns:
        Numbers of rows of `y`, int32 `[N]`. Rows count as equally near if their squared distances differ by
        less than $2^{-11}$ of the least one, or by less than about $2^{-48}$ of their squared distances from
        the middle of `y`, which is the rounding of float32 vectors there.

    Cost: a product of N K D in their dtype, and one in float64 over the rows for which that is too coarse.
    These are the rows whose nearest row is closer than about 0.05 of their distance from the middle of `y`.

    >>> nearest_rows(tf.constant([[1000.04], [1000.08]]), tf.constant([[1000.0], [1000.1]])).numpy()
    array([0, 1], dtype=int32)
    """
    middle = _middle(y)
    rows, columns = x - middle, y - middle
    column_sizes = tf.reduce_sum(tf.square(columns), axis=1)
    nearest = _nearest(rows, columns, column_sizes)
    sizes = tf.reduce_sum(tf.square(rows), axis=1) + tf.reduce_max(column_sizes)
    least = tf.reduce_sum(tf.math.squared_difference(x, tf.gather(y, nearest)), axis=1)
    right = _rounding(x.dtype, x.shape[-1]) * sizes <= _RELATIVE_ERROR_OF_NEAREST * least

    def careful() -> tf.Tensor:
        doubtful = tf.where(~right)
        rows, columns = (
            tf.cast(vectors, tf.float64) - tf.cast(middle, tf.float64)
            for vectors in (tf.gather(x, doubtful[:, 0]), y)
        )
        better = _nearest(rows, columns, tf.reduce_sum(tf.square(columns), axis=1))
        return tf.tensor_scatter_nd_update(nearest, doubtful, better)

    return tf.cond(tf.reduce_all(right), lambda: nearest, careful)


def _nearest(rows: tf.Tensor, columns: tf.Tensor, column_sizes: tf.Tensor) -> tf.Tensor:
    # The row's own square is left out, as it is the same for all columns.
    products = tf.matmul(2.0 * rows, columns, transpose_b=True)
    return tf.argmin(column_sizes - products, axis=1, output_type=tf.int32)


def _middle(rows: tf.Tensor) -> tf.Tensor:
    """The median `[D]` of some evenly spaced rows of `[K, D]`, which few far rows do not move."""
    count = tf.shape(rows)[0]
    number = tf.minimum(count, _ROWS_OF_MIDDLE)
    some = tf.gather(rows, tf.range(number) * count // number)
    # Distances do not depend on the middle, so no gradient has to pass through it.
    return tf.stop_gradient(tf.sort(tf.transpose(some), axis=1)[:, number // 2])


def _rounding(dtype: tf.DType, dim: int) -> float:
    """Bound on the error of a distance from the expansion, in units of the sum of both squares.

    The rounding errors of D terms are independent of each other, so their sum grows with the root of D.
    """
    return (8.0 + dim**0.5) * 0.5 * float(np.finfo(tf.as_dtype(dtype).as_numpy_dtype).eps)


def _recompute(
    distances: tf.Tensor, pairs: tf.Tensor, x: tf.Tensor, y: tf.Tensor, precision: tf.Tensor | None
) -> tf.Tensor:
    """`distances` `[N, K]` with those of `pairs` `[P, 2]` as sums of squared differences."""
    x, y = tf.transpose(x), tf.transpose(y)
    weights = None if precision is None else tf.transpose(precision)
    row, column = pairs[:, 0], pairs[:, 1]

    def add(d: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        square = tf.math.squared_difference(tf.gather(x[d], row), tf.gather(y[d], column))
        return d + 1, total + (square if weights is None else square * tf.gather(weights[d], column))

    _, exact = tf.while_loop(
        lambda d, _: d < tf.shape(x)[0],
        add,
        (tf.constant(0), tf.zeros_like(row, tf.float64)),
        parallel_iterations=1,
    )
    # Gradients stay those of the expansion: a gradient of the loop would keep D arrays of all pairs.
    return tf.grad_pass_through(lambda values: tf.tensor_scatter_nd_update(values, pairs, exact))(distances)
