"""Flips and shifts of pictures and label maps, for each row its own, by gathering pixels."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["flipped_and_shifted"]


def flipped_and_shifted(x: tf.Tensor, flipped: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Each row of `x` mirrored left to right where `flipped`, then moved; the border is repeated.

    Args:
        x: Pictures `[B, height, width, C]` or maps `[B, height, width]`, of any dtype.
        flipped: Booleans `[B]`.
        shift: Pixels down and to the right, int32 `[B, 2]`.

    Returns:
        As `x`. Gradients pass to the pixels that are shown.
    """
    height, width = tf.shape(x)[1], tf.shape(x)[2]
    rows = tf.clip_by_value(tf.range(height) - shift[:, :1], 0, height - 1)
    columns = tf.clip_by_value(tf.range(width) - shift[:, 1:], 0, width - 1)
    columns = tf.where(flipped[:, None], width - 1 - columns, columns)
    return tf.gather(tf.gather(x, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
