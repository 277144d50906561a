"""Encoding and decoding with models of any family."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import describe

__all__ = ["as_latents", "check_capability", "decode", "encode"]


def check_capability(model: Any, *names: str, what: str) -> None:
    """Raises an error if a model has none of the attributes `names`.

    Args:
        model: A generative model.
        names: Names of methods or networks, one of which the model must have.
        what: What needs the attribute, for the error message.
    """
    if not any(hasattr(model, name) for name in names):
        raise TypeError(
            f"{what} needs a model with {' or '.join(f'`{name}`' for name in names)}; "
            f"received a {type(model).__name__}, which has none. Choose a family that has it."
        )


def encode(model: Any, x: Any, condition: Any, *, what: str) -> np.ndarray:
    """Latent vectors `[B, *latent]` of examples `[B, *event_shape]`."""
    check_capability(model, "encode", what=f"{what} from examples")
    return as_latents(model.encode(x, condition=condition))


def decode(model: Any, z: np.ndarray, condition: Any, *, what: str) -> np.ndarray:
    """Examples `[B, *event]` from latent vectors `[B, *latent]`, by `decode` or an implicit model's call.

    Args:
        model: A generative model.
        z: Latent vectors `[B, *latent]`.
        condition: One condition for all rows, or one per row.
        what: What needs the examples, for the error message.
    """
    check_capability(model, "decode", "generator", what=what)
    z = tf.convert_to_tensor(z, tf.float32)
    if hasattr(model, "decode"):
        return np.asarray(model.decode(z, condition=condition))
    arguments = {} if condition is None else {"condition": condition}
    return np.asarray(model(z, training=False, **arguments))


def as_latents(z: Any) -> np.ndarray:
    """Latent vectors as float64, so that paths are exact; discrete codes are refused."""
    z = np.asarray(z)
    if not np.issubdtype(z.dtype, np.floating):
        raise TypeError(
            f"Latent vectors must be floats; received {describe(z)}. Discrete codes cannot be interpolated; "
            "choose a model with a continuous latent space."
        )
    if not np.all(np.isfinite(z)):
        raise ValueError(
            "Latent vectors must be finite; received NaN or infinite values. Check the data and the model's "
            "weights."
        )
    return z.astype(np.float64)
