"""Pairs of pictures that are moved alike, with new draws in every pass."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_genmod.core.checks import check_number, describe
from keras_genmod.core.noise import row_seeds
from keras_genmod.core.row_geometry import flipped_and_shifted
from keras_genmod.core.row_noise import uniform_rows
from keras_genmod.data.new_draws import drawn_anew

__all__ = ["augment_pairs"]


def augment_pairs(
    dataset: tf.data.Dataset,
    seed: Any,
    *,
    flip: bool = True,
    translation: float = 0.0,
    initial_epoch: int = 0,
) -> tf.data.Dataset:
    """Mirrors and shifts sources and their targets alike, with new draws in every pass over the data.

    The draws of element i in pass n are a function of (`seed`, n, i). Every iteration over the returned data
    set begins a new pass, also one by `evaluate`. So augment the training data alone.

    Args:
        dataset: Batches `(source, target)` or `(source, target, weight)`: pictures `[B, height, width, C]` or
            maps of class indices `[B, height, width]`, of equal height and width. Shuffle it before, not
            afterwards, so that draws stay reproducible.
        seed: Integer or pair of integers.
        flip: Whether pairs are mirrored left to right with probability 1/2. Leave it out where left and
            right differ, as in letters.
        translation: Largest shift up, down, left and right, as a fraction of a side. The border is repeated.
        initial_epoch: Number of the first pass, for a resumed run.

    Returns:
        A data set of the same structure and length.

    Raises:
        ValueError: For elements that are no batches of pairs of equal sides.

    Example:
        >>> x = tf.random.stateless_uniform([4, 8, 8, 1], [0, 1])
        >>> pairs = tf.data.Dataset.from_tensor_slices((x, -x)).batch(4)
        >>> source, target = next(iter(augment_pairs(pairs, seed=1)))
        >>> bool(tf.reduce_all(source == -target))
        True
    """
    translation = check_number("translation", translation, minimum=0.0, maximum=1.0)
    _check_pairs(dataset.element_spec)

    def moved(element_seed: tf.Tensor, element: tuple) -> tuple:
        source, target, *others = element
        numbers = uniform_rows(row_seeds(element_seed, 0, tf.shape(source)[0]), [3])
        sides = tf.shape(source)[1:3]
        reach = tf.cast(translation * tf.cast(sides, tf.float32), tf.int32)
        # Whole numbers from -reach to reach, each as likely as the others.
        steps = tf.cast(numbers[:, 1:] * tf.cast(2 * reach + 1, tf.float32), tf.int32)
        shift = tf.minimum(steps, 2 * reach) - reach
        flipped = (numbers[:, 0] < 0.5) & flip
        pair = (flipped_and_shifted(member, flipped, shift) for member in (source, target))
        return (*pair, *others)

    return drawn_anew(dataset, seed, lambda seed, *element: moved(seed, element), initial_epoch=initial_epoch)


def _check_pairs(spec: Any) -> None:
    """Refuses elements that are no batches of pairs of pictures."""
    members = spec[:2] if isinstance(spec, tuple) and len(spec) in (2, 3) else ()
    shapes = [getattr(member, "shape", None) for member in members]
    sides = {tuple(shape[1:3]) for shape in shapes if shape is not None and shape.rank in (3, 4)}
    if len(shapes) != 2 or None in shapes or len(sides) != 1:
        received = [tuple(shape) for shape in shapes if shape is not None] or describe(spec)
        raise ValueError(
            "`dataset` must give batches of pairs (source, target) of equal height and width, such as "
            f"[B, 64, 64] and [B, 64, 64, 3]; received {received}. Batch it: `.batch(4)`."
        )
