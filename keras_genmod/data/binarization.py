"""Binary data from grey values: by a fixed threshold, or by new Bernoulli draws in every pass.

A grey value in [0, 1] is taken as the probability of a one. Dynamic binarisation draws an image anew every
time it is seen, so that a model cannot memorise the noise of one draw. Published densities of dynamically and
of statically binarised images are not comparable.

Reference: Salakhutdinov and Murray, "On the Quantitative Analysis of Deep Belief Networks", 2008 (draws);
Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", 2015 (new draws in every epoch).
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_genmod.core.checks import ValueRange, check_number, describe
from keras_genmod.core.noise import as_seed
from keras_genmod.data.new_draws import drawn_anew

__all__ = ["binarize", "dynamic_binarization", "stochastic_binarize"]

_UNIT = ValueRange(0.0, 1.0, advice="Divide pixel values by their maximum, for example `x / 255`.")


def binarize(x: Any, *, threshold: float = 0.5) -> Any:
    """Binarises by a threshold: one if the grey value is above it, else zero.

    Args:
        x: Array or tensor of any shape: floats in [0, 1], or uint8 pixels 0..255, which are divided by 255.
        threshold: At least 0 and below 1.

    Returns:
        Float32 zeros and ones of the same shape; an array for an array, a tensor for a tensor.

    Raises:
        ValueError: If values are outside [0, 1] (not checked inside a graph), or uint8 values are binary
            already.
        TypeError: If `x` holds neither floats nor uint8.

    Example:
        >>> import numpy as np
        >>> binarize(np.array([0.2, 0.5, 0.7])), binarize(np.array([127, 128], "uint8"))
        (array([0., 0., 1.], dtype=float32), array([0., 1.], dtype=float32))
    """
    if check_number("threshold", threshold, minimum=0.0, maximum=1.0) == 1.0:
        raise ValueError("`threshold` must be below 1; received 1.0. Lower it: no value is above 1.")
    ones = tf.cast(_probs(x) > threshold, tf.float32)
    return ones if tf.is_tensor(x) else ones.numpy()


def stochastic_binarize(x: Any, seed: Any) -> Any:
    """Draws each value from the Bernoulli distribution whose probability is the grey value.

    Args:
        x: Array or tensor of any shape: floats in [0, 1], or uint8 pixels 0..255, which are divided by 255.
        seed: Integer or pair of integers. The same seed and shape give the same draws.

    Returns:
        Float32 zeros and ones of the same shape; an array for an array, a tensor for a tensor.

    Raises:
        ValueError: If values are outside [0, 1] (not checked inside a graph), or uint8 values are binary
            already.
        TypeError: If `x` holds neither floats nor uint8.

    Example:
        >>> import numpy as np
        >>> stochastic_binarize(np.array([0.0, 1.0, 1.0], "float32"), seed=1)
        array([0., 1., 1.], dtype=float32)
    """
    probs = _probs(x)
    # Uniform draws lie in [0, 1): never below a probability of 0, always below a probability of 1.
    draws = tf.cast(tf.random.stateless_uniform(tf.shape(probs), as_seed(seed)) < probs, tf.float32)
    return draws if tf.is_tensor(x) else draws.numpy()


def dynamic_binarization(dataset: tf.data.Dataset, seed: Any, *, initial_epoch: int = 0) -> tf.data.Dataset:
    """Binarises a data set with new Bernoulli draws in every pass over it.

    The draws of element i in pass n are a function of (`seed`, n, i). Every iteration over the returned data
    set begins a new pass, also one by `evaluate` or one that reads a single batch. An infinite data set has a
    single pass. So do not use one returned data set for both training and `validation_data`.

    Args:
        dataset: Elements `x`, `(x, condition)` or `(x, condition, weight)`, batched or not, with `x` as
            in `stochastic_binarize`. Shuffle it before, not afterwards, so that draws stay reproducible.
        seed: Integer or pair of integers. Two data sets with the same seed have the same draws.
        initial_epoch: Number of the first pass, for a resumed run.

    Returns:
        A data set of the same structure and length, in which `x` holds float32 zeros and ones.

    Raises:
        TypeError: If `x` holds neither floats nor uint8.

    Example:
        >>> import numpy as np
        >>> grey = tf.data.Dataset.from_tensor_slices(np.full([4, 100], 0.5, "float32")).batch(4)
        >>> binary = dynamic_binarization(grey, seed=1)
        >>> first, second = next(iter(binary)), next(iter(binary))
        >>> bool(tf.reduce_all(first == second))
        False
    """

    def draw(element_seed: tf.Tensor, *element: Any) -> Any:
        x, *others = element
        drawn = stochastic_binarize(x, element_seed)
        return (drawn, *others) if others else drawn

    return drawn_anew(dataset, seed, draw, initial_epoch=initial_epoch)


def _probs(x: Any) -> tf.Tensor:
    """Grey values as float32 probabilities."""
    values = tf.convert_to_tensor(x)
    is_pixels = values.dtype == tf.uint8
    if not (is_pixels or values.dtype.is_floating):
        raise TypeError(
            f"`x` must hold floats in [0, 1] or uint8 pixels 0..255; received {describe(values)}. "
            "Convert it with `x.astype('float32')` and scale it to [0, 1]."
        )
    if tf.executing_eagerly() and tf.size(values) > 0:
        if not is_pixels:
            _UNIT.check("x", values.numpy())
        elif tf.reduce_max(values) == 1:
            raise ValueError(
                "`x` of dtype uint8 must hold pixels 0..255; received only zeros and ones, which are binary "
                "already. Use `x.astype('float32')` instead."
            )
    return tf.cast(values, tf.float32) / 255.0 if is_pixels else tf.cast(values, tf.float32)
