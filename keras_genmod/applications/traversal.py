"""Latent traversals: vary one latent dimension and keep the others, to see what each encodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_genmod.applications.latents import as_latents, check_capability, decode, encode
from keras_genmod.core.checks import check_integer

__all__ = ["traverse"]


def traverse(
    model: Any,
    x: Any = None,
    *,
    z: Any = None,
    dims: Sequence[int] | np.ndarray | None = None,
    values: Sequence[float] | np.ndarray | None = None,
    condition: Any = None,
) -> np.ndarray:
    """Decodes copies of one latent vector in which one dimension at a time takes other values.

    Args:
        model: Any model with `decode` (or, for an implicit model, a `generator`) and latent vectors.
        x: The example to start from, `[*event_shape]`; it is encoded.
        z: The latent vector to start from, `[latent_dim]`. If neither `x` nor `z` is given, it is 0, the mean
            of a standard normal prior.
        dims: Dimensions to vary; all by default. Negative ones count from the end.
        values: Values that a varied dimension takes; by default 7 values from -3 to 3, where a standard
            normal prior has its mass. An autoencoder's codes have a scale of their own: look at it first.
        condition: One condition, without the batch axis.

    Returns:
        `[num_dims, num_values, *event]`.

    Raises:
        TypeError: If the model lacks a method, or its codes are discrete.
        ValueError: If shapes do not fit, both `x` and `z` are given, or a dimension does not exist.

    Cost: `num_dims * num_values` passes through the decoder.

    Reference: beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, Higgins
    et al., 2017.
    """
    check_capability(model, "decode", "generator", what="`traverse`")
    z = _start(model, x, z, condition)
    grid = as_latents(np.linspace(-3.0, 3.0, 7) if values is None else np.asarray(values, np.float64))
    if grid.ndim != 1 or not grid.size:
        raise ValueError(
            f"`values` must be a list of numbers; received shape {grid.shape}. Pass one list for all "
            "dimensions."
        )
    varied = _check_dims(dims, len(z))
    latents = np.tile(z, (len(varied), len(grid), 1))
    latents[np.arange(len(varied)), :, varied] = grid
    decoded = decode(model, latents.reshape(-1, len(z)), condition, what="`traverse`")
    return decoded.reshape(len(varied), len(grid), *decoded.shape[1:])


def _start(model: Any, x: Any, z: Any, condition: Any) -> np.ndarray:
    """The latent vector to start from, `[latent_dim]`."""
    if x is not None and z is not None:
        raise ValueError("`traverse` starts from `x` or `z`, not both; received both. Omit one of them.")
    if x is not None:
        x = np.asarray(x)
        if x.shape != tuple(model.event_shape):
            raise ValueError(
                f"`x` must be one example of shape {tuple(model.event_shape)}; received {x.shape}. "
                "Choose one, such as `x[0]`."
            )
        z = encode(model, x[None], condition, what="`traverse`")[0]
    elif z is None:
        check_capability(model, "latent_dim", what="`traverse` without `x` and `z`")
        z = np.zeros(model.latent_dim)
    z = as_latents(z)
    if z.ndim != 1:
        raise ValueError(
            f"`traverse` needs one latent vector [latent_dim]; received shape {z.shape}. Choose one, such as "
            "`z[0]`; latent arrays with more axes cannot be traversed."
        )
    return z


def _check_dims(dims: Sequence[int] | np.ndarray | None, latent_dim: int) -> np.ndarray:
    if dims is None:
        return np.arange(latent_dim)
    checked = [check_integer("dims", dim, minimum=-latent_dim) for dim in dims]
    if not checked or max(checked) >= latent_dim:
        raise ValueError(
            f"`dims` must be dimensions from 0 to {latent_dim - 1}; received {checked}. "
            "Omit it to vary all dimensions."
        )
    return np.asarray(checked) % latent_dim
