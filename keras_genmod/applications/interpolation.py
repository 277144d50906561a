r"""Paths between two examples through the latent space.

Linear: $z(t) = (1 - t)\,a + t\,b$. Spherical: the direction turns at constant speed along the great circle
from $a / |a|$ to $b / |b|$, and the norm changes linearly. In many dimensions, draws from a standard normal
prior lie near a sphere; a linear path between two of them passes inside it, where the prior has almost no
mass.

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
    """Decodes points along a path through the latent space, both ends included.

    Args:
        model: Any model with `encode` and `decode`; with `latent=True`, `decode` (or, for an implicit model,
            its `generator`) is enough.
        a, b: Start and end: one example each, `[*event_shape]`, or B pairs, each `[B, *event_shape]`.
        num_steps: Number of points of the path, at least 2.
        method: "linear" or "spherical".
        latent: Whether `a` and `b` are latent vectors: one each, `[latent_dim]`, or pairs, `[B, *latent]`.
        condition: One condition for all pairs, or one per pair.

    Returns:
        `[num_steps, *event]`, or for pairs `[B, num_steps, *event]`.

    Raises:
        TypeError: If the model lacks a method, or its codes are discrete.
        ValueError: If shapes do not fit.

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
    # A single latent vector has rank 1; the rank of batches depends on the model.
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
        a, b: Start and end of each line, `[B, *latent]`.
        fractions: Values of t, `[T]`.

    Returns:
        `[B, T, *latent]`, float64.

    Example:
        >>> lerp(np.array([[0.0, 4.0]]), np.array([[1.0, 0.0]]), [0.0, 0.5, 1.0]).tolist()
        [[[0.0, 4.0], [0.5, 2.0], [1.0, 0.0]]]
    """
    a, b, t = _ends(a, b, fractions)
    return (1.0 - t) * a + t * b


def slerp(a: Any, b: Any, fractions: Any) -> np.ndarray:
    r"""Points of great arcs, with constant angular speed and a norm that changes linearly.

    $$ z(t) = ((1 - t) |a| + t |b|) \, (u \cos t\omega + v \sin t\omega) $$

    with $u = a / |a|$, the angle $\omega$ between $a$ and $b$, and the unit vector $v$ orthogonal to $u$ in
    the plane of both. Parallel vectors are joined by a line. Opposite vectors are joined by many arcs, of
    which the same one is chosen at every call.

    Args:
        a, b: Start and end of each arc, `[B, *latent]`; all axes but the first are treated as one vector.
        fractions: Values of t, `[T]`.

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
    # A zero vector has no direction, so it takes that of the other end.
    u, w = _unit(np.where(norm_a > 0, a, b)), _unit(np.where(norm_b > 0, b, a))
    along = np.sum(u * w, axis=-1, keepdims=True)
    across = w - along * u
    sine = np.linalg.norm(across, axis=-1, keepdims=True)
    # For nearly parallel vectors the arctangent is exact, while the arccosine would lose half its digits.
    angle = np.arctan2(sine, along)
    # For parallel and opposite vectors `across` is mere rounding error, which is no direction.
    v = _unit(np.where(sine > 1e-10, across, _orthogonal(u)))
    arc = u * np.cos(t * angle) + v * np.sin(t * angle)
    path = ((1.0 - t) * norm_a + t * norm_b) * arc
    return path.reshape(shape[0], t.size, *shape[2:])


def _ends(a: Any, b: Any, fractions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ends with a new axis for the fractions, and the fractions with axes to broadcast over the ends."""
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
    """A vector orthogonal to each unit vector: the most different axis less its projection on the vector."""
    axis = np.eye(u.shape[-1])[np.argmin(np.abs(u), axis=-1)]
    return axis - np.sum(axis * u, axis=-1, keepdims=True) * u
