"""Bandwidths of kernels: given, or computed by a rule from the standard deviations of the data.

Reference: Multivariate Density Estimation, Scott, 1992.
"""

from __future__ import annotations

import numpy as np

from keras_genmod.core.user_warnings import warn_user

__all__ = ["choose_bandwidths"]


def choose_bandwidths(bandwidth: float | str, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The standard deviations of the kernels, `[D]`.

    Args:
        bandwidth: One number for all dimensions, "scott" or "silverman".
        x: Points `[N, D]`, float64.
        weight: Weights of the points, `[N]`.

    Raises:
        ValueError: If a rule is given a single point.
    """
    size = x.shape[1]
    if not isinstance(bandwidth, str):
        return np.full(size, bandwidth)
    share = weight / weight.sum()
    number = 1.0 / np.sum(share**2)
    if number <= 1.0 + 1e-9:
        raise ValueError(
            f"`bandwidth={bandwidth!r}` needs at least two examples; received one. Pass a number."
        )
    # The unbiased variance for reliability weights.
    variance = share @ np.square(x - share @ x) / (1.0 - 1.0 / number)
    scale = np.sqrt(variance)
    differs = np.ptp(x, axis=0) > 0.0
    if not np.all(differs):
        rest = float(np.mean(scale[differs])) if np.any(differs) else 1.0
        warn_user(
            f"{np.sum(~differs)} of {size} dimensions are constant, so `bandwidth={bandwidth!r}` has nothing "
            f"to measure there; it uses the mean standard deviation of the other dimensions, {rest:.3g}. "
            "Remove these dimensions, or pass a number.",
        )
        scale = np.where(differs, scale, rest)
    count = number if bandwidth == "scott" else number * (size + 2) / 4.0
    return scale * count ** (-1.0 / (size + 4))
