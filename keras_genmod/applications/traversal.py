"""What each latent dimension means: move one, keep the others."""

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
    dims: Sequence[int] | None = None,
    values: Sequence[float] | None = None,
    condition: Any = None,
) -> np.ndarray:
    """Decodes one latent vector again and again, with one dimension at a time set to other values.

    Args:
        model: any model with `decode` (or, for an implicit model, a `generator`) and latent vectors.
        x: the example to start from, `[*event_shape]`; it is encoded.
        z: the latent vector to start from, `[latent_dim]`. Without either it is 0, the mean of a
            standard normal prior.
        dims: the dimensions to move; all by default. Negative ones count from the end.
        values: what a moved dimension is set to; by default 7 values from -3 to 3, where a standard normal
            prior has its mass. The codes of an autoencoder have a scale of their own: look at it first.
        condition: of a conditional model: one, without the batch axis.

    Returns:
        `[num_dims, num_values, *event]`.

    Raises:
        TypeError: if the model lacks a capability, or its codes are whole numbers.
        ValueError: for shapes that do not fit, both `x` and `z`, or dimensions that do not exist.

    Cost: `num_dims * num_values` passes through the decoder.

    Reference: beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, Higgins
    et al., 2017.
    """
    check_capability(model, "decode", "generator", what="`traverse`")
    z = _start(model, x, z, condition)
    values = as_latents(np.linspace(-3.0, 3.0, 7) if values is None else np.asarray(values, np.float64))
    if values.ndim != 1 or not values.size:
        raise ValueError(f"`values` must be a list of numbers; received shape {values.shape}.")
    dims = _check_dims(dims, len(z))
    latents = np.tile(z, (len(dims), len(values), 1))
    latents[np.arange(len(dims)), :, dims] = values
    decoded = decode(model, latents.reshape(-1, len(z)), condition, what="`traverse`")
    return decoded.reshape(len(dims), len(values), *decoded.shape[1:])


def _start(model: Any, x: Any, z: Any, condition: Any) -> np.ndarray:
    """The latent vector to start from, `[latent_dim]`."""
    if x is not None and z is not None:
        raise ValueError("Pass `x` or `z`, not both.")
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
            "`z[0]`; latent arrays of more axes have no list of dimensions."
        )
    return z


def _check_dims(dims: Sequence[int] | None, latent_dim: int) -> np.ndarray:
    dims = (
        range(latent_dim)
        if dims is None
        else [check_integer("dims", dim, minimum=-latent_dim) for dim in dims]
    )
    if not len(dims) or max(dims) >= latent_dim:
        raise ValueError(
            f"`dims` must be dimensions from 0 to {latent_dim - 1}; received {list(dims)}. "
            "Leave it out for all."
        )
    return np.asarray(dims) % latent_dim
