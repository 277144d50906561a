"""Binary data from grey values: by a threshold once, or by Bernoulli draws anew in every pass.

A grey value in [0, 1] is read as the probability of a one. Dynamic binarisation draws each picture again
every time it is seen, which keeps a model from learning one draw's noise by heart; published densities on
dynamically and on fixedly binarised pictures do not compare.

Reference: Salakhutdinov and Murray, "On the Quantitative Analysis of Deep Belief Networks", 2008 (draws);
Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", 2015 (draws anew in every epoch).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import ValueRange, check_integer, check_number, describe
from keras_genmod.core.noise import as_seed, fold_in

__all__ = ["binarize", "dynamic_binarization", "stochastic_binarize"]

_UNIT = ValueRange(0.0, 1.0, advice="Divide pixel values by their largest, for example `x / 255`.")


def binarize(x: Any, *, threshold: float = 0.5) -> Any:
    """Binarises by a threshold: one where the grey value is above it, else zero.

    Args:
        x: array or tensor of any shape; floats in [0, 1], or uint8 pixels 0..255, which count as x / 255.
        threshold: from 0 up to, but not including, 1.

    Returns:
        Float32 zeros and ones of the same shape; an array for an array, a tensor for a tensor.

    Raises:
        ValueError: Values lie outside of [0, 1] (checked outside of graphs), or uint8 values are binary
            already.
        TypeError: `x` is neither of floats nor of uint8.

    Example:
        >>> binarize(np.array([0.2, 0.5, 0.7])), binarize(np.array([127, 128], "uint8"))
        (array([0., 0., 1.], dtype=float32), array([0., 1.], dtype=float32))
    """
    if check_number("threshold", threshold, minimum=0.0, maximum=1.0) == 1.0:
        raise ValueError("`threshold` must be below 1; received 1.0. No value is above it.")
    ones = tf.cast(_probs(x) > threshold, tf.float32)
    return ones if tf.is_tensor(x) else ones.numpy()


def stochastic_binarize(x: Any, seed: Any) -> Any:
    """Draws each value from the Bernoulli distribution whose probability is the grey value.

    Args:
        x: array or tensor of any shape; floats in [0, 1], or uint8 pixels 0..255, which count as x / 255.
        seed: integer, or two integers `[2]`. The same seed and shape give the same draws.

    Returns:
        Float32 zeros and ones of the same shape; an array for an array, a tensor for a tensor.

    Raises:
        ValueError: Values lie outside of [0, 1] (checked outside of graphs), or uint8 values are binary
            already.
        TypeError: `x` is neither of floats nor of uint8.

    Example:
        >>> stochastic_binarize(np.array([0.0, 1.0, 1.0], "float32"), seed=1)
        array([0., 1., 1.], dtype=float32)
    """
    probs = _probs(x)
    # Uniform draws lie in [0, 1): never below a probability of 0, always below one of 1.
    draws = tf.cast(tf.random.stateless_uniform(tf.shape(probs), as_seed(seed)) < probs, tf.float32)
    return draws if tf.is_tensor(x) else draws.numpy()


def dynamic_binarization(dataset: tf.data.Dataset, seed: Any, *, initial_epoch: int = 0) -> tf.data.Dataset:
    """Binarises a data set by Bernoulli draws that are new in every pass over it.

    The draws of element i in pass n are a function of (`seed`, n, i). A pass begins whenever the returned
    data set is iterated, also by `evaluate` or by a look at one batch, and an endless data set has one
    pass; so give `validation_data` draws of its own, or fixed ones.

    Args:
        dataset: elements `x`, `(x, condition)` or `(x, condition, weight)`, batched or not, with `x` as
            in `stochastic_binarize`. Shuffle before, not after, so that the order of draws is kept.
        seed: integer, or two integers `[2]`. Two data sets with the same seed draw the same.
        initial_epoch: number of the first pass, for a run that is resumed.

    Returns:
        A data set of the same structure and length, with `x` in float32 zeros and ones.

    Raises:
        TypeError: `x` is neither of floats nor of uint8.

    Example:
        >>> grey = tf.data.Dataset.from_tensor_slices(np.full([4, 100], 0.5, "float32")).batch(4)
        >>> binary = dynamic_binarization(grey, seed=1)
        >>> first, second = next(iter(binary)), next(iter(binary))
        >>> bool(tf.reduce_all(first == second))
        False
    """
    seed = as_seed(seed)
    # A Python counter belongs to no device or replica, unlike a variable made under a strategy.
    passes = itertools.count(check_integer("initial_epoch", initial_epoch, minimum=0))

    def next_pass(_: tf.Tensor) -> tf.Tensor:
        number = tf.numpy_function(lambda: np.int64(next(passes)), [], tf.int64)
        return tf.ensure_shape(number, [])

    def seeds_of_pass(number: tf.Tensor) -> tf.data.Dataset:
        seed_of_pass = fold_in(seed, number)
        return tf.data.Dataset.counter().map(lambda index: fold_in(seed_of_pass, index))

    def draw(element_seed: tf.Tensor, element: Any) -> Any:
        if isinstance(element, tuple):
            return stochastic_binarize(element[0], element_seed), *element[1:]
        return stochastic_binarize(element, element_seed)

    seeds = tf.data.Dataset.range(1).map(next_pass).flat_map(seeds_of_pass)
    drawn = tf.data.Dataset.zip(seeds, dataset).map(draw)
    length = dataset.cardinality()
    if length != tf.data.UNKNOWN_CARDINALITY:
        drawn = drawn.apply(tf.data.experimental.assert_cardinality(length))
    options = tf.data.Options()
    # At the end of each pass TensorFlow would wait for its autotuning thread, up to seconds.
    options.autotune.enabled = False
    return drawn.prefetch(2).with_options(options)


def _probs(x: Any) -> tf.Tensor:
    """Grey values as float32 probabilities."""
    values = tf.convert_to_tensor(x)
    is_pixels = values.dtype == tf.uint8
    if not (is_pixels or values.dtype.is_floating):
        raise TypeError(
            f"`x` must hold floats in [0, 1] or uint8 pixels 0..255; received {describe(values)}. "
            "Convert it with `x.astype('float32')` and bring it to [0, 1]."
        )
    if tf.executing_eagerly() and tf.size(values) > 0:
        if not is_pixels:
            _UNIT.check("x", values.numpy())
        elif tf.reduce_max(values) == 1:
            raise ValueError(
                "`x` in uint8 must hold pixels 0..255; received zeros and ones only. They are binary "
                "already: use `x.astype('float32')`."
            )
    return tf.cast(values, tf.float32) / 255.0 if is_pixels else tf.cast(values, tf.float32)
