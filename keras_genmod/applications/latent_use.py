"""How much each latent dimension is used, and the order of dimensions by their use."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.applications.latents import encode
from keras_genmod.distributions.kl import kl_per_dimension
from keras_genmod.metrics.latent_usage import LatentUsage

__all__ = ["dims_by_use", "latent_use"]

# Posteriors computed in one pass.
_ROWS_PER_PASS = 512


def latent_use(model: Any, x: Any = None, condition: Any = None) -> LatentUsage | None:
    """The use of each latent dimension over examples.

    Args:
        model: Any model with latent vectors.
        x: Examples `[N, *event_shape]`, which are encoded. None takes what the model measured itself
            (`latent_usage`) in its last pass over data, the validation data if there were any.
        condition: One condition for all examples, or one per example.

    Returns:
        The measurement; None if nothing was measured.
    """
    if x is None:
        own = getattr(model, "latent_usage", None)
        return own if own is not None and np.any(own.kl_per_latent() != 0.0) else None
    codes = encode(model, x, condition, what="The use of latent dimensions")
    usage = LatentUsage(codes.shape[-1])
    has_divergence = hasattr(model, "posterior") and hasattr(model, "prior")
    for first in range(0, len(codes), _ROWS_PER_PASS):
        rows = slice(first, first + _ROWS_PER_PASS)
        kl = None
        if has_divergence:
            given = condition if np.ndim(condition) <= len(model.condition_shape or ()) else condition[rows]
            kl = kl_per_dimension(model.posterior(x[rows], condition=given), model.prior())
        usage.update_state(codes[rows], kl)
    return usage


def dims_by_use(model: Any, usage: LatentUsage | None) -> np.ndarray:
    """The latent dimensions, most used first: by their divergence from the prior, else by their variance.

    Without a measurement they come by index.
    """
    if usage is None:
        return np.arange(model.latent_dim)
    kl = usage.kl_per_latent()
    used = usage.variance_per_latent() if np.isnan(kl).any() else kl
    return np.argsort(-used, kind="stable")
