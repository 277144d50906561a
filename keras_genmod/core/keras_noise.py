"""The noise of Keras' own layers, such as its `Dropout` and `GaussianNoise`.

It comes from `keras.random.SeedGenerator`s. Keras writes their state into no file, and they give every
replica the same numbers. The functions here find them, so that files can hold their state, and give each
replica numbers of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MethodType

import keras
import tensorflow as tf

from keras_genmod.core.replicas import replica_id

__all__ = ["seed_generators", "separate_replicas"]

# It spreads the replicas' streams over the seed space; any odd number will do.
_REPLICA_STRIDE = 0x1B873593


def seed_generators(layer: keras.layers.Layer) -> list[keras.random.SeedGenerator]:
    """Returns the generators of a layer and of all layers below it, each once, always in the same order."""
    found = [one for part in layer._flatten_layers() for one in part._seed_generators]
    return list({id(one): one for one in found}.values())


def separate_replicas(generators: Iterable[keras.random.SeedGenerator]) -> None:
    """Gives each replica of a step numbers of its own; on one device the numbers stay the same.

    Args:
        generators: Generators to change in place. Their states move as before, equally on all replicas.
    """
    for generator in generators:
        generator.next = MethodType(_next, generator)


def _next(generator: keras.random.SeedGenerator, ordered: bool = True) -> tf.Tensor:
    seed = keras.random.SeedGenerator.next(generator, ordered=ordered)
    replica = replica_id()
    if replica is None:
        return seed
    start = tf.cast(seed[0], tf.int64) + tf.cast(replica, tf.int64) * _REPLICA_STRIDE
    return tf.stack([tf.cast(start & 0x7FFFFFFF, seed.dtype), seed[1]])
