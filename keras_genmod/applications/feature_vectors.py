"""Features of examples from whatever a trained model computes of them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import describe
from keras_genmod.core.rows import as_graph, map_rows
from keras_genmod.metrics.features import FeatureExtractor

__all__ = ["features"]

# What to ask for, in this order, and which families have it.
_SOURCES = {
    "encode": "autoencoders, variational models, `VQVAE` and flows (codes)",
    "features": "adversarial models (features of the discriminator)",
    "responsibilities": "mixtures",
}


def features(model: Any, x: Any, condition: Any = None, *, batch_size: int = 1024) -> np.ndarray:
    """Feature vectors of examples, for classifiers, searches and maps.

    They are, whichever the model has first: its codes (`encode`; of a model with a codebook the vectors of
    the codes), the last features of its discriminator (`features`), its posterior probabilities of components
    (`responsibilities`); of any other Keras model its outputs.

    Args:
        model: A generative model, a `FeatureExtractor`, or a Keras model or layer from `x` to vectors.
        x: Data `[N, *event_shape]`.
        condition: One condition for all rows, or one per row; for a conditional model.
        batch_size: Rows processed in one pass, which bounds memory.

    Returns:
        Float32 `[N, F]`. A row depends on its own example alone.

    Raises:
        TypeError: If the model has no features.
        ValueError: If features are not finite.

    Cost: one pass through the encoder or discriminator.

    Example:
        >>> import keras_genmod as kg
        >>> model = kg.VAE((4,), latent_dim=2, seed=0)
        >>> features(model, np.eye(4, dtype="float32")).shape
        (4, 2)
    """
    rows = np.asarray(_computed(model, np.asarray(x), condition, batch_size))
    rows = rows.reshape(len(rows), -1).astype(np.float32)
    if not np.isfinite(rows).all():
        raise ValueError(
            f"Features must be finite; those of the {type(model).__name__} hold "
            f"{np.count_nonzero(~np.isfinite(rows))} NaN or infinite values. Check the data and the model's "
            "weights."
        )
    return rows


def _computed(model: Any, x: np.ndarray, condition: Any, batch_size: int) -> Any:
    if isinstance(model, FeatureExtractor):
        return model(x)
    for name in _SOURCES:
        if hasattr(model, name):
            values = np.asarray(getattr(model, name)(x, condition=condition, batch_size=batch_size))
            if hasattr(model, "codebook"):
                return np.asarray(model.codebook())[values]
            return values
    if not isinstance(model, keras.layers.Layer) or hasattr(model, "event_shape"):
        known = "; ".join(f"`{name}`: {families}" for name, families in _SOURCES.items())
        raise TypeError(
            f"The model must have features; received {describe(model)}, a {type(model).__name__}, which has "
            f"none. Those that have some, by method: {known}. Or pass a Keras model from `x` to vectors."
        )
    graph = as_graph(lambda rows: model(rows, training=False))
    return map_rows(graph, tf.convert_to_tensor(x), batch_size=batch_size)
