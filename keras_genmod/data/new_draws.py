"""Data sets whose elements are drawn anew in every pass, repeatably."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.noise import as_seed, fold_in

__all__ = ["drawn_anew"]


def drawn_anew(
    dataset: tf.data.Dataset, seed: Any, draw: Callable[..., Any], *, initial_epoch: int = 0
) -> tf.data.Dataset:
    """Maps a data set by a random function whose draws differ in every pass over it.

    The draws of element i in pass n are a function of (`seed`, n, i). Every iteration over the returned data
    set begins a new pass.

    Args:
        dataset: The elements.
        seed: Integer or pair of integers.
        draw: Function from a seed, int32 `[2]`, and the parts of an element to the drawn element.
        initial_epoch: Number of the first pass, for a resumed run.

    Returns:
        A data set of the same length.
    """
    seed = as_seed(seed)
    # A Python counter, because a variable created under a strategy would belong to devices or replicas.
    passes = itertools.count(check_integer("initial_epoch", initial_epoch, minimum=0))

    def next_pass(_: tf.Tensor) -> tf.Tensor:
        number = tf.numpy_function(lambda: np.int64(next(passes)), [], tf.int64)
        return tf.ensure_shape(number, [])

    def seeds_of_pass(number: tf.Tensor) -> tf.data.Dataset:
        seed_of_pass = fold_in(seed, number)
        return tf.data.Dataset.counter().map(lambda index: fold_in(seed_of_pass, index))

    def draw_element(element_seed: tf.Tensor, element: Any) -> Any:
        return draw(element_seed, *(element if isinstance(element, tuple) else (element,)))

    seeds = tf.data.Dataset.range(1).map(next_pass).flat_map(seeds_of_pass)
    drawn = tf.data.Dataset.zip(seeds, dataset).map(draw_element)
    length = dataset.cardinality()
    if length != tf.data.UNKNOWN_CARDINALITY:
        drawn = drawn.apply(tf.data.experimental.assert_cardinality(length))
    options = tf.data.Options()
    # Otherwise TensorFlow would wait for its autotuning thread after each pass, up to several seconds.
    options.autotune.enabled = False
    return drawn.prefetch(2).with_options(options)
