"""Corruption of data for denoising models: pure functions of the data and a seed.

Reference: Extracting and Composing Robust Features with Denoising Autoencoders, Vincent, Larochelle,
Bengio and Manzagol, 2008.
"""

from __future__ import annotations

import numbers
from typing import Any, cast

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_number, describe
from keras_genmod.core.noise import split
from keras_genmod.core.registration import register

__all__ = ["Corruption", "GaussianCorruption", "MaskingCorruption", "SaltAndPepperCorruption"]


class Corruption:
    """Base of the corruptions: random maps from data to noisier data, `corrupt(x, seed)`."""

    def corrupt(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The corrupted data, of the same shape and dtype.

        Args:
            x: Data `[B, ...]`.
            seed: int32 `[2]`.
        """
        raise TypeError(f"{type(self).__name__} must define `corrupt(x, seed)`.")

    @classmethod
    def from_config(cls, config: dict) -> Corruption:
        """The corruption from its configuration."""
        return cls(**config)

    @staticmethod
    def of(identifier: Any) -> Corruption | None:
        """The corruption that a `denoising` argument gives: None, a masking rate, a config or an object."""
        if identifier is None or isinstance(identifier, Corruption):
            return identifier
        if isinstance(identifier, dict):
            identifier = keras.saving.deserialize_keras_object(identifier)
        elif isinstance(identifier, numbers.Real):
            # The constructor refuses what is a number but not a rate, such as True.
            identifier = MaskingCorruption(cast(float, identifier))
        if not isinstance(identifier, Corruption):
            raise ValueError(
                "A corruption must be None, the rate of a `MaskingCorruption`, or an object such as "
                f"`GaussianCorruption(0.1)`; received {describe(identifier)}."
            )
        return identifier


@register
class MaskingCorruption(Corruption):
    """Sets each value to 0 with probability `rate` (masking noise).

    Args:
        rate: Probability in [0, 1].
    """

    def __init__(self, rate: float) -> None:
        self.rate = check_number("rate", rate, minimum=0.0, maximum=1.0)

    def corrupt(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """`x` where a uniform draw is at least `rate`, else 0."""
        keep = tf.random.stateless_uniform(tf.shape(x), seed) >= self.rate
        return tf.where(keep, x, tf.zeros_like(x))

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {"rate": self.rate}


@register
class SaltAndPepperCorruption(Corruption):
    """Replaces each value with probability `rate` by 0 or 1, each equally likely.

    Args:
        rate: Probability in [0, 1].
    """

    def __init__(self, rate: float) -> None:
        self.rate = check_number("rate", rate, minimum=0.0, maximum=1.0)

    def corrupt(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """`x` where a uniform draw is at least `rate`, else 0 or 1."""
        keep_seed, coin_seed = split(seed, 2)
        shape = tf.shape(x)
        keep = tf.random.stateless_uniform(shape, keep_seed) >= self.rate
        coin = tf.random.stateless_uniform(shape, coin_seed) < 0.5
        return tf.where(keep, x, tf.cast(coin, x.dtype))

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {"rate": self.rate}


@register
class GaussianCorruption(Corruption):
    """Adds independent normal noise to each value.

    Args:
        stddev: Standard deviation of the noise, in units of the data; at least 0.
    """

    def __init__(self, stddev: float) -> None:
        self.stddev = check_number("stddev", stddev, minimum=0.0)

    def corrupt(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """`x` plus normal noise."""
        return x + self.stddev * tf.random.stateless_normal(tf.shape(x), seed, dtype=x.dtype)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {"stddev": self.stddev}
