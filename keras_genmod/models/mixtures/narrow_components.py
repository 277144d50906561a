"""Warnings about components that are too narrow for their density to be meaningful."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_genmod.core.user_warnings import warn_user

__all__ = ["warn_of_narrow_components"]

# Rounding to a grid of step s adds s^2 / 12 to a variance v. If the standard deviation is at least this many
# steps, that adds less than 1e-3 nats, s^2 / (24 v), to the mean log-density of a dimension.
_LEAST_STEPS = 7.0


def warn_of_narrow_components(
    name: str,
    means: tf.Tensor,
    given_others: tf.Tensor,
    variances: tf.Tensor,
    *,
    dtype: tf.DType,
    regularization: float,
    least_variance: float,
    check_extent: bool,
) -> None:
    """Warns if a component has no extent in some direction, or if rounding of the data affects its density.

    Args:
        name: Name of the model.
        means: Means `[K, D]`.
        given_others, variances: Variances of the dimensions, given the dimensions before them and marginal,
            `[K, D]`, or `[1, D]` for all components.
        dtype: Dtype of the data.
        regularization: The model's `covariance_regularization`.
        least_variance: The least variance of the model without regularization.
        check_extent: Whether to check the components' extents, too.
    """
    # The spacing of the dtype's numbers near the mean: closer data cannot be told apart.
    steps = np.finfo(dtype.as_numpy_dtype).eps * tf.abs(means)
    least = tf.maximum(1e-10 * variances, tf.square(0.1 * steps))
    least = tf.maximum(least, 10.0 * max(regularization, least_variance))
    if check_extent and bool(tf.reduce_any(given_others <= least)):
        warn_user(
            f"A component of {name!r} has no extent of its own in some direction (variance "
            f"{float(tf.reduce_min(given_others)):.1e}): either values are constant, or there are fewer "
            "different examples than dimensions. The density in this direction depends on "
            f"`covariance_regularization={regularization:g}` alone. Raise it, or choose fewer components or "
            "a simpler `covariance`.",
        )
    elif bool(tf.reduce_any(_LEAST_STEPS * steps > tf.sqrt(variances))):
        where = np.unravel_index(int(tf.argmax(tf.reshape(steps / tf.sqrt(variances), [-1]))), steps.shape)
        deviation = np.broadcast_to(np.sqrt(variances), steps.shape)[where]
        warn_user(
            f"A component of {name!r} has the standard deviation {deviation:.1e} about "
            f"{float(means[where]):.6g}, where {dtype.name} numbers are {float(steps[where]):.1e} apart, so "
            "the rounding of the data affects its density. Subtract a constant from the data in float64, or "
            "build the model with dtype='float64'.",
        )
