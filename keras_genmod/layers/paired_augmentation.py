"""Augmentation of pairs: both members of a pair move alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_number
from keras_genmod.core.registration import register
from keras_genmod.core.row_geometry import flipped_and_shifted
from keras_genmod.core.row_noise import uniform_rows

__all__ = ["PairedAugmentation"]


@register
class PairedAugmentation(keras.layers.Layer):
    """Mirrors, shifts and blanks all members of a pair alike, each row by a seed of its own.

    A discriminator that sees real and generated pairs through it cannot learn a small training set by heart.
    Gradients pass through it to the pictures. Pixels beyond the border repeat the border's.

    Args:
        flip: Whether rows are mirrored left to right, with probability 1/2.
        translation: Largest shift up, down, left and right, as a fraction of a side.
        cutout: Side of a square that is set to 0 (class 0 in label maps) at a random place, as a fraction of
            a side; 0 blanks nothing.

    Call arguments:
        members: List of pictures `[B, height, width, C]` and label maps `[B, height, width]`. Sides may
            differ by an integer factor; shifts are whole pixels of the smallest member.
        seeds: int32 `[B, 2]`, one a row.

    Returns:
        The list of the augmented members.

    Reference: Differentiable Augmentation for Data-Efficient GAN Training, Zhao et al., 2020.

    Example:
        >>> augmentation = PairedAugmentation()
        >>> x = tf.random.stateless_uniform([2, 8, 8, 1], [0, 1])
        >>> a, b = augmentation([x, 2 * x], tf.constant([[0, 1], [0, 2]]))
        >>> bool(tf.reduce_all(b == 2 * a))
        True
    """

    def __init__(
        self, flip: bool = True, translation: float = 0.125, cutout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.flip = bool(flip)
        self.translation = check_number("translation", translation, minimum=0.0, maximum=1.0)
        self.cutout = check_number("cutout", cutout, minimum=0.0, maximum=1.0)
        self.built = True

    def call(self, members: Sequence[tf.Tensor], seeds: tf.Tensor) -> list[tf.Tensor]:
        """The members, each row moved as its seed says."""
        numbers = uniform_rows(seeds, [5])
        flipped = (numbers[:, 0] < 0.5) & self.flip
        sides = [tf.shape(member)[1:3] for member in members]
        smallest = tf.reduce_min(tf.stack(sides), axis=0)
        reach = tf.cast(self.translation * tf.cast(smallest, tf.float32), tf.int32)
        # Whole numbers from -reach to reach, each as likely as the others.
        steps = tf.cast(numbers[:, 1:3] * tf.cast(2 * reach + 1, tf.float32), tf.int32)
        shift = tf.minimum(steps, 2 * reach) - reach
        return [
            self._blanked(
                flipped_and_shifted(member, flipped, shift * (side // smallest)), numbers[:, 3:], smallest
            )
            for member, side in zip(members, sides, strict=True)
        ]

    def _blanked(self, x: tf.Tensor, place: tf.Tensor, smallest: tf.Tensor) -> tf.Tensor:
        """`x` with a square of zeros whose centre lies at a place in [0, 1)^2."""
        if not self.cutout:
            return x
        inside = tf.constant(True)
        for axis in range(2):
            side = tf.shape(x)[1 + axis]
            factor = side // smallest[axis]
            size = tf.cast(self.cutout * tf.cast(smallest[axis], tf.float32), tf.int32)
            centre = tf.cast(place[:, axis] * tf.cast(smallest[axis], tf.float32), tf.int32)
            start = (centre - size // 2)[:, None] * factor
            index = tf.range(side)[None]
            along = (index >= start) & (index < start + size * factor)
            inside = tf.logical_and(inside, tf.expand_dims(along, 2 - axis))
        inside = tf.reshape(inside, tf.concat([tf.shape(inside), [1] * (len(x.shape) - 3)], axis=0))
        return tf.where(inside, tf.zeros_like(x), x)

    def get_config(self) -> dict:
        """Keras' hook: the constructor arguments."""
        return {
            **super().get_config(),
            "flip": self.flip,
            "translation": self.translation,
            "cutout": self.cutout,
        }
