"""Bandwidths of kernels: given, or by a rule from the spread of the data.

Reference: Multivariate Density Estimation, Scott, 1992.
"""

from __future__ import annotations

import numpy as np

from keras_genmod.core.user_warnings import warn_user

__all__ = ["choose_bandwidths"]


def choose_bandwidths(bandwidth: float | str, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The standard deviations of the kernels, `[D]`.

    Args:
        bandwidth: a number for all dimensions, "scott" or "silverman".
        x: points `[N, D]`, float64.
        weight: of the points, `[N]`.

    Raises:
        ValueError: from a rule, for a single point.
    """
    size = x.shape[1]
    if not isinstance(bandwidth, str):
        return np.full(size, bandwidth)
    share = weight / weight.sum()
    number = 1.0 / np.sum(share**2)
    if number <= 1.0 + 1e-9:
        raise ValueError(
            f"`bandwidth={bandwidth!r}` needs two examples at least; received one. Give a number."
        )
    # Without bias, for weights that say how much an example counts.
    variance = share @ np.square(x - share @ x) / (1.0 - 1.0 / number)
    scale = np.sqrt(variance)
    differs = np.ptp(x, axis=0) > 0.0
    if not np.all(differs):
        rest = float(np.mean(scale[differs])) if np.any(differs) else 1.0
        warn_user(
            f"{np.sum(~differs)} of {size} dimensions never differ, so that "
            f"`bandwidth={bandwidth!r}` has nothing to measure there; they get the mean of the "
            f"others ({rest:.3g} in place of a standard deviation). Leave them out, or give a number.",
        )
        scale = np.where(differs, scale, rest)
    count = number if bandwidth == "scott" else number * (size + 2) / 4.0
    return scale * count ** (-1.0 / (size + 4))
