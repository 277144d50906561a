r"""Paths between two examples, through the latent space.

Linear: $z(t) = (1 - t)\,a + t\,b$. Spherical: the direction turns at constant speed along the great circle
from $a / |a|$ to $b / |b|$, the norm changes linearly. Draws from a standard normal prior of many
dimensions lie near a sphere; a linear path between two of them passes inside it, where the prior has next to
no mass.

Reference: Sampling Generative Networks, White, 2016 (spherical paths).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_genmod.applications.latents import as_latents, check_capability, decode, encode
from keras_genmod.core.checks import check_choice, check_integer

__all__ = ["interpolate", "lerp", "slerp"]


def interpolate(
    model: Any,
    a: Any,
    b: Any,
    *,
    num_steps: int = 8,
    method: str = "linear",
    latent: bool = False,
    condition: Any = None,
) -> np.ndarray:
    """Examples along a path through the latent space, both ends included.

    Args:
        model: any model with `encode` and `decode`; with `latent=True` `decode` (or, for an implicit
            model, its `generator`) is enough.
        a, b: start and end: one example each `[*event_shape]`, or as many pairs `[B, *event_shape]`.
        num_steps: points of the path, at least 2.
        method: "linear" or "spherical".
        latent: whether `a` and `b` are latent vectors: one each `[latent_dim]`, or pairs
            `[B, *latent]`.
        condition: of a conditional model: one for all, or one per pair.

    Returns:
        `[num_steps, *event]`, for pairs `[B, num_steps, *event]`.

    Raises:
        TypeError: if the model lacks a capability, or its codes are whole numbers.
        ValueError: for shapes that do not fit.

    Cost: two passes through the encoder and `num_steps` through the decoder per pair.

    Reference: Sampling Generative Networks, White, 2016.
    """
    path = {"linear": lerp, "spherical": slerp}[check_choice("method", method, ["linear", "spherical"])]
    num_steps = check_integer("num_steps", num_steps, minimum=2)
    check_capability(model, "decode", "generator", what="`interpolate`")
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(
            f"`a` and `b` must have the same shape; received {a.shape} and {b.shape}. Pass them in pairs."
        )
    # Of latent vectors only the single one is known by its rank.
    single = a.ndim == (1 if latent else len(model.event_shape))
    if single:
        a, b = a[None], b[None]
    if not latent:
        a, b = (encode(model, ends, condition, what="`interpolate`") for ends in (a, b))
    latents = path(a, b, np.linspace(0.0, 1.0, num_steps))
    pairs = latents.shape[0]
    if condition is not None and np.ndim(condition) > len(model.condition_shape or ()):
        condition = np.repeat(np.asarray(condition), num_steps, axis=0)
    decoded = decode(model, latents.reshape(-1, *latents.shape[2:]), condition, what="`interpolate`")
    decoded = decoded.reshape(pairs, num_steps, *decoded.shape[1:])
    return decoded[0] if single else decoded


def lerp(a: Any, b: Any, fractions: Any) -> np.ndarray:
    r"""Points $(1 - t)\,a + t\,b$ of straight lines.

    Args:
        a, b: start and end of each line, `[B, *latent]`.
        fractions: values of t, `[T]`.

    Returns:
        `[B, T, *latent]`, float64.

    Example:
        >>> lerp(np.array([[0.0, 4.0]]), np.array([[1.0, 0.0]]), [0.0, 0.5, 1.0]).tolist()
        [[[0.0, 4.0], [0.5, 2.0], [1.0, 0.0]]]
    """
    a, b, t = _ends(a, b, fractions)
    return (1.0 - t) * a + t * b


def slerp(a: Any, b: Any, fractions: Any) -> np.ndarray:
    r"""Points of great arcs: constant angular speed, and a norm that changes linearly.

    $$ z(t) = ((1 - t) |a| + t |b|) \, (u \cos t\omega + v \sin t\omega) $$

    with $u = a / |a|$, the angle $\omega$ between $a$ and $b$, and the unit vector $v$ orthogonal to $u$ in
    the plane of both. Parallel vectors are joined by a line; of the many arcs between opposite ones it takes
    the same at every call.

    Args:
        a, b: start and end of each arc, `[B, *latent]`; all axes but the first make one vector.
        fractions: values of t, `[T]`.

    Returns:
        `[B, T, *latent]`, float64.

    Reference: Animating Rotation with Quaternion Curves, Shoemake, 1985.

    Example:
        >>> slerp(np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]]), [0.0, 0.5, 1.0]).round(3).tolist()
        [[[2.0, 0.0], [1.414, 1.414], [0.0, 2.0]]]
    """
    a, b, t = _ends(a, b, fractions)
    shape = a.shape
    a, b = (ends.reshape(len(ends), 1, -1) for ends in (a, b))
    t = t.reshape(1, -1, 1)
    norm_a, norm_b = (np.linalg.norm(ends, axis=-1, keepdims=True) for ends in (a, b))
    # A zero vector has no direction: it takes the other's.
    u, w = _unit(np.where(norm_a > 0, a, b)), _unit(np.where(norm_b > 0, b, a))
    along = np.sum(u * w, axis=-1, keepdims=True)
    across = w - along * u
    sine = np.linalg.norm(across, axis=-1, keepdims=True)
    # The arctangent is exact where the arccosine loses half its digits: at nearly parallel vectors.
    angle = np.arctan2(sine, along)
    # Of parallel and of opposite vectors only rounding is left, which is no direction.
    v = _unit(np.where(sine > 1e-10, across, _orthogonal(u)))
    arc = u * np.cos(t * angle) + v * np.sin(t * angle)
    path = ((1.0 - t) * norm_a + t * norm_b) * arc
    return path.reshape(shape[0], t.size, *shape[2:])


def _ends(a: Any, b: Any, fractions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ends with an axis for the fractions, and the fractions with axes for all others."""
    a, b = as_latents(a), as_latents(b)
    if a.ndim < 2 or a.shape != b.shape:
        raise ValueError(
            f"`a` and `b` must have the same shape [batch, *latent]; received {a.shape} and {b.shape}. "
            "Add the batch axis to single vectors with `a[None]`."
        )
    t = np.asarray(fractions, np.float64).reshape(1, -1, *[1] * (a.ndim - 1))
    return a[:, None], b[:, None], t


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors along the last axis divided by their norms; zero stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


def _orthogonal(u: np.ndarray) -> np.ndarray:
    """A vector orthogonal to each unit vector: the axis that is farthest from it, less its share."""
    axis = np.eye(u.shape[-1])[np.argmin(np.abs(u), axis=-1)]
    return axis - np.sum(axis * u, axis=-1, keepdims=True) * u
