r"""A pool of earlier translations, which keeps a discriminator from following the newest ones only.

The discriminator sees, in place of each new translation with probability 1/2, a random one of the pool. Once
a step the new translations enter the pool: the first ones fill it, later ones each replace a random picture
with probability 1/2. So a picture of a full pool of $N$ that takes one translation a step stays for $a$ more
steps with probability $(1 - 1 / 2N)^a$.

Reference: Learning from Simulated and Unsupervised Images through Adversarial Training, Shrivastava et al.,
2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.noise import fold_in, row_seeds
from keras_genmod.core.registration import register
from keras_genmod.core.replicas import assign_equally
from keras_genmod.core.row_noise import uniform_rows

__all__ = ["ImagePool"]


@register
class ImagePool(keras.layers.Layer):
    """Keeps `size` pictures as saved state, the same on all replicas.

    Args:
        size: Number of pictures; 0 keeps none, and `mixed` then gives back what it is given.
        event_shape: Shape of one picture.

    Cost: memory for the pictures.
    """

    def __init__(self, size: int, event_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.size = check_integer("pool_size", size, minimum=0)
        self.event_shape = tuple(event_shape)
        if self.size:
            state = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
            # Pictures, and how many of them are there already.
            self.pictures = self.add_weight(
                shape=(self.size, *self.event_shape), initializer="zeros", name="pictures", **state
            )
            self.filled = self.add_weight(
                shape=(), initializer="zeros", dtype="int32", name="filled", **state
            )
        self.built = True

    def mixed(self, new: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """New pictures, each with probability 1/2 exchanged for a random one of a full pool.

        Changes no state, so that a step may call it for each of its parts.

        Args:
            new: `[B, *event_shape]`.
            seed: int32 `[2]`.
        """
        if not self.size:
            return new
        exchanged, place = self._draws(seed, tf.shape(new)[0])
        exchanged &= tf.convert_to_tensor(self.filled) == self.size
        old = tf.cast(tf.gather(tf.convert_to_tensor(self.pictures), place), new.dtype)
        return tf.where(tf.reshape(exchanged, [-1] + [1] * len(self.event_shape)), old, new)

    def advance(self, new: tf.Tensor, seed: tf.Tensor) -> None:
        """Lets new pictures into the pool, those of all replicas.

        Args:
            new: `[B, *event_shape]` of this replica.
            seed: int32 `[2]`, the same on all replicas.
        """
        if not self.size:
            return
        filled = tf.convert_to_tensor(self.filled)

        def updated(pictures: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
            # Of a batch larger than the pool the last rows stay.
            rows = tf.cast(rows[-self.size :], pictures.dtype)
            count = tf.shape(rows)[0]
            enters, _ = self._draws(seed, count)
            # Places without repetition: a random order, in which the free places come first in theirs.
            order = tf.random.stateless_uniform([self.size], fold_in(seed, 1))
            index = tf.range(self.size)
            order = tf.where(index >= filled, tf.cast(index - 2 * self.size, order.dtype), order)
            place = tf.argsort(order)[:count]
            enters |= place >= filled
            place = tf.boolean_mask(place, enters)
            return tf.tensor_scatter_nd_update(pictures, place[:, None], tf.boolean_mask(rows, enters))

        def counted(before: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
            return tf.minimum(before + tf.shape(rows)[0], self.size)

        assign_equally(self.pictures, updated, rows=new)
        assign_equally(self.filled, counted, rows=new)

    def _draws(self, seed: tf.Tensor, num_rows: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """For each row a coin, and a random place in the pool."""
        numbers = uniform_rows(row_seeds(seed, 0, num_rows), [2])
        place = tf.minimum(tf.cast(numbers[:, 1] * self.size, tf.int32), self.size - 1)
        return numbers[:, 0] < 0.5, place

    def get_config(self) -> dict:
        return {**super().get_config(), "size": self.size, "event_shape": self.event_shape}
