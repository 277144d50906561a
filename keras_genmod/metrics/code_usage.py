"""Usage of a codebook: the perplexity of its codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register
from keras_genmod.metrics.means import TransientMetric

__all__ = ["CodeUsage"]


@register
class CodeUsage(TransientMetric):
    r"""Streams the perplexity of discrete codes, $\exp(-\sum_k p_k \log p_k)$ with $p_k$ the share of code k.

    The perplexity is K if all codes are used equally often, and 1 if only one code is used.

    Args:
        num_codes: Number of codes K.

    Example:
        >>> usage = CodeUsage(4)
        >>> usage.update_state(tf.constant([[0, 1], [1, 0]]))
        >>> float(usage.result())
        2.0
    """

    def __init__(self, num_codes: int, name: str = "perplexity", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.num_codes = check_integer("num_codes", num_codes)
        self.counts = self.add_variable((num_codes,), "zeros", dtype="float64", name="counts")

    def update_state(self, codes: tf.Tensor) -> None:
        """Adds codes, given by their numbers, int32 `[...]`."""
        flat = tf.reshape(codes, [-1])
        ones = tf.ones(tf.shape(flat), tf.float64)
        self.counts.assign_add(tf.math.unsorted_segment_sum(ones, flat, self.num_codes))

    def shares(self) -> np.ndarray:
        """The share of each code in all codes since the last reset, `[K]`."""
        counts = self.counts.numpy()
        return counts / max(counts.sum(), 1.0)

    def result(self) -> tf.Tensor:
        """The perplexity, float32; 1 before the first update."""
        counts = tf.convert_to_tensor(self.counts)
        shares = tf.math.divide_no_nan(counts, tf.reduce_sum(counts))
        return tf.cast(tf.exp(-tf.reduce_sum(tf.math.xlogy(shares, shares))), tf.float32)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "num_codes": self.num_codes}
