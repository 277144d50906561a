"""The dtype in which a model computes outside of its networks: data, latents, densities and logs.

Networks follow the dtype policy. Everything else is float64 under a policy of float64, and float32 under
every other one: the 8 or 11 significant bits of half precision are too few for a log-density.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["as_real", "real_dtype", "set_real_dtype"]


def real_dtype(dtype: Any = None) -> tf.DType:
    """The real dtype of a layer built with `dtype`: float64 for float64, float32 for everything else.

    Args:
        dtype: A dtype, its name, or a Keras dtype policy; None takes the global policy.

    >>> real_dtype("float64").name, real_dtype("mixed_bfloat16").name
    ('float64', 'float32')
    """
    variable_dtype = keras.dtype_policies.get(dtype).variable_dtype
    return tf.float64 if variable_dtype == "float64" else tf.float32


def as_real(x: Any) -> tf.Tensor:
    """Returns a float64 tensor as it is, and any other as float32."""
    x = tf.convert_to_tensor(x)
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)


def set_real_dtype(layer: keras.layers.Layer, dtype: tf.DType) -> None:
    """Lets a layer without weights, such as a prior, take the real dtype of the model that uses it.

    Args:
        layer: The layer.
        dtype: The model's real dtype, float32 or float64.

    Raises:
        ValueError: For a float64 layer in a float32 model, or the reverse where the layer has weights.
    """
    own = real_dtype(layer.dtype_policy)
    if own == dtype:
        return
    if own == tf.float64 or layer.weights:
        raise ValueError(
            f"`{layer.name}` ({type(layer).__name__}) must have the dtype of the model that uses it, "
            f"{dtype.name}; received one of {own.name}. Make a new one with dtype={dtype.name!r}."
        )
    layer.dtype_policy = keras.DTypePolicy("float64")
