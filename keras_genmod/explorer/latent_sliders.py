"""Which latent dimensions get sliders, in which order and over which values."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from keras_genmod.applications.latents import decode, encode
from keras_genmod.core.noise import as_seed
from keras_genmod.distributions.kl import kl_per_dimension
from keras_genmod.explorer.explored import Explored
from keras_genmod.metrics.latent_usage import LatentUsage

__all__ = ["LatentSliders", "has_latent_vectors", "latent_sliders", "random_latent"]

# A dimension is unused below this share of the most used one's effect.
_UNUSED_SHARE = 0.01
# Where a standard normal prior has its mass.
_REACH = 3.0
# Values between which the effect of a dimension is measured.
_PROBE = 2.0


class LatentSliders(NamedTuple):
    """The latent dimensions by their use.

    Args:
        order: The dimensions, most used first, `[latent_dim]`.
        use: The measured use of each dimension, `[latent_dim]`, not sorted.
        unused: Whether each dimension is unused, `[latent_dim]`.
        measure: What was measured, in words.
        figure: The name of its figure beside each slider.
        low, high: Ends of each dimension's slider, `[latent_dim]`.
        start: Where the sliders begin, `[latent_dim]`.
    """

    order: np.ndarray
    use: np.ndarray
    unused: np.ndarray
    measure: str
    figure: str
    low: np.ndarray
    high: np.ndarray
    start: np.ndarray

    def label(self, dim: int) -> str:
        """The label of a dimension's slider."""
        return f"z[{dim}] (unused)" if self.unused[dim] else f"z[{dim}]"

    def step(self, dim: int) -> float:
        """The step of a dimension's slider: a round number, about 120 from end to end."""
        return float(np.format_float_positional((self.high - self.low)[dim] / 120, 2, fractional=False))

    def ends(self, dim: int, value: float) -> tuple[float, float]:
        """The ends of a dimension's slider; they move apart where a value lies outside."""
        return min(float(self.low[dim]), value), max(float(self.high[dim]), value)

    def rounded(self, z: np.ndarray) -> np.ndarray:
        """A latent vector `[latent_dim]` as sliders can show it, to a tenth of a step or finer."""
        steps = [self.step(dim) for dim in range(len(z))]
        decimals = [max(0, 1 - math.floor(math.log10(step))) for step in steps]
        return np.array([round(float(value), places) for value, places in zip(z, decimals, strict=True)])


def has_latent_vectors(model: Any) -> bool:
    """Whether a model decodes vectors of real numbers."""
    if not (hasattr(model, "decode") or hasattr(model, "generator")) or not hasattr(model, "latent_space"):
        return False
    space = model.latent_space()
    return len(space.shape) == 1 and space.dtype.is_floating


def latent_sliders(explored: Explored) -> LatentSliders:
    """The sliders of a model with latent vectors.

    The use of a dimension is its divergence from the prior over the data, if the model has a posterior and
    the data their conditions; otherwise the spread of its codes for an autoencoder; otherwise how much the
    decoded example changes between -2 and 2.
    """
    model = explored.model
    size = model.latent_space().shape[0]
    ends = np.full(size, _REACH)
    start = np.zeros(size)
    has_codes = explored.from_data and (not explored.is_conditional or explored.conditions is not None)
    if hasattr(model, "posterior"):
        usage = _divergence(explored, size) if has_codes else getattr(model, "latent_usage", None)
        if usage is not None and np.any(usage.variance_per_latent() > 0):
            use, unused = usage.kl_per_latent(), usage.variance_per_latent() <= usage.threshold
            told = ("divergence from the prior in nats", "divergence")
            if np.isnan(use).any():
                use, told = usage.variance_per_latent(), ("variance of the codes", "variance")
            return _sorted(use, unused, told, start, ends)
    elif has_codes and hasattr(model, "encode") and not hasattr(model, "sample"):
        # An autoencoder's codes have a scale of their own.
        codes = encode(model, explored.examples, explored.conditions, what="`explore`")
        spread, start = codes.std(axis=0), codes.mean(axis=0)
        ends = _REACH * np.maximum(spread, 1e-6)
        unused = spread <= _UNUSED_SHARE * spread.max()
        return _sorted(spread, unused, ("standard deviation of the codes", "deviation"), start, ends)
    effect = _effect(explored, start)
    unused = effect <= _UNUSED_SHARE * effect.max()
    told = (f"mean change of a value of the example from z = -{_PROBE:g} to {_PROBE:g}", "change")
    return _sorted(effect, unused, told, start, ends)


def _sorted(
    use: np.ndarray, unused: np.ndarray, told: tuple[str, str], start: np.ndarray, reach: np.ndarray
) -> LatentSliders:
    """The sliders of dimensions with a measured use, `reach` to both sides of their start."""
    order = np.argsort(-use, kind="stable")
    return LatentSliders(order, use, unused, *told, start - reach, start + reach, start)


def _divergence(explored: Explored, size: int) -> LatentUsage:
    """The use of each dimension over the data."""
    model = explored.model
    usage = LatentUsage(size)
    posterior = model.posterior(explored.examples, condition=explored.conditions)
    codes = encode(model, explored.examples, explored.conditions, what="`explore`")
    usage.update_state(codes, kl_per_dimension(posterior, model.prior()))
    return usage


def _effect(explored: Explored, start: np.ndarray) -> np.ndarray:
    """The mean absolute change of a decoded value if one dimension goes from -2 to 2, `[latent_dim]`."""
    steps = _PROBE * np.eye(len(start))
    ends = [
        decode(explored.model, start + sign * steps, explored.first_condition(), what="`explore`")
        for sign in (-1.0, 1.0)
    ]
    return np.abs(ends[1].astype(np.float64) - ends[0]).reshape(len(start), -1).mean(axis=1)


def random_latent(explored: Explored, seed: int, condition: Any) -> np.ndarray:
    """A latent vector `[latent_dim]` as the model's samples have it.

    Args:
        explored: The model, with a `prior`, or with `sample` and `encode`.
        seed: Integer of at least 0.
        condition: One condition.
    """
    model = explored.model
    if hasattr(model, "prior"):
        return np.asarray(model.prior().sample(seed=as_seed(int(seed))), np.float64)
    return encode(model, explored.sample(1, seed, 1.0, condition), condition, what="`explore`")[0]
