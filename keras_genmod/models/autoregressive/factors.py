"""The likelihood of one variable: the `likelihood` argument that the autoregressive models share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_genmod.core.checks import describe
from keras_genmod.distributions.head import Head
from keras_genmod.distributions.heads import get_head
from keras_genmod.distributions.real_heads import GaussianHead

__all__ = ["get_factor_head"]


def get_factor_head(likelihood: Any, event_shape: Sequence[int], dtype: tf.DType = tf.float32) -> Head:
    """The head for a model's `likelihood` argument; it must allow drawing one variable at a time.

    "gaussian" means a normal distribution with predicted scale here, because a factor should depend on the
    earlier variables through its scale, too.
    """
    if isinstance(likelihood, str) and likelihood == "gaussian":
        likelihood = GaussianHead("predicted")
    head = get_head(likelihood, event_shape, dtype)
    if head.uniforms_per_dim is None:
        raise ValueError(
            "`likelihood` must be a head that can be drawn one variable at a time; received "
            f"{describe(likelihood)}. Use a head whose parameters all come from the network, such as "
            "`GaussianHead('predicted')`."
        )
    return head
