r"""Parzen window: a density estimated from samples, for models without a density of their own.

$\log p(x) = \log \frac{1}{M} \sum_{i=1}^{M} \mathcal{N}(x; s_i, h^2 I)$ with samples $s_i$ of a model. It was
the first metric for adversarial networks. In many dimensions it is unreliable: it needs far more samples than
anybody draws, may rank models differently from their likelihood, and favours copies of training data (A note
on the evaluation of generative models, Theis, van den Oord and Bethge, 2016). Use it to reproduce published
numbers, and in few dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_genmod.core.checks import check_integer, check_number, describe
from keras_genmod.metrics.measurement import check_features
from keras_genmod.metrics.pairwise import squared_distance_blocks

__all__ = ["choose_bandwidth", "parzen_log_prob"]


def parzen_log_prob(samples: Any, x: Any, bandwidth: float, *, batch_size: int = 256) -> np.ndarray:
    r"""Log-density of `x` under a mixture of Gaussian kernels around samples.

    Args:
        samples: Samples of a model, `[M, D]`; flatten images.
        x: Data `[N, D]`.
        bandwidth: Standard deviation of the kernels, in units of the data.
        batch_size: Rows of `x` processed in one pass, which bounds memory.

    Returns:
        Float64 `[N]`, nats.

    Raises:
        ValueError: If a shape is wrong, values are not finite, or the bandwidth is not positive.

    Cost: N M D; memory holds `batch_size * M` distances.

    Reference: Generative adversarial nets, Goodfellow et al., 2014.

    >>> round(float(parzen_log_prob([[0.0]], [[0.0]], bandwidth=1.0)[0]), 4)  # -log(2 pi) / 2
    -0.9189
    """
    bandwidth = check_number("bandwidth", bandwidth, above=0.0)
    return _log_probs(samples, x, [bandwidth], batch_size, name="x")[0]


def choose_bandwidth(
    samples: Any, x_valid: Any, bandwidths: Sequence[float], *, batch_size: int = 256
) -> float:
    """The bandwidth that gives validation data the highest density. Do not choose it on test data.

    Args:
        samples: Samples of a model, `[M, D]`.
        x_valid: Validation data `[N, D]`.
        bandwidths: Bandwidths to try, such as `np.logspace(-1, 0, 10)`.
        batch_size: Rows of `x_valid` processed in one pass, which bounds memory.

    Raises:
        ValueError: As for `parzen_log_prob`, or if there are no bandwidths.

    Cost: N M (D + number of bandwidths).

    Reference: As for `parzen_log_prob`.
    """
    bandwidths = [check_number(f"bandwidths[{i}]", value, above=0.0) for i, value in enumerate(bandwidths)]
    if not bandwidths:
        raise ValueError(
            "`bandwidths` must hold at least one positive number; received none. Try np.logspace(-1, 0, 10)."
        )
    means = _log_probs(samples, x_valid, bandwidths, batch_size, name="x_valid").mean(axis=1)
    return bandwidths[int(np.argmax(means))]


def _log_probs(
    samples: Any, x: Any, bandwidths: Sequence[float], batch_size: int, *, name: str
) -> np.ndarray:
    """Log-densities `[len(bandwidths), N]`; all bandwidths share the distances."""
    batch_size = check_integer("batch_size", batch_size)
    samples = check_features("samples", samples, min_count=1)
    x = check_features(name, x, min_count=1)
    if samples.shape[1] != x.shape[1]:
        raise ValueError(
            f"`{name}` must have shape [num_points, {samples.shape[1]}] as `samples` has; received "
            f"{describe(x)}. Flatten both in the same way."
        )
    log_probs = np.empty((len(bandwidths), len(x)))
    for where, distances in squared_distance_blocks(x, samples, block_size=batch_size):
        # The nearest sample has the largest kernel. With it factored out, the sum cannot underflow.
        nearest = distances.min(axis=1)
        distances -= nearest[:, None]
        for row, bandwidth in zip(log_probs, bandwidths, strict=True):
            precision = 0.5 / bandwidth**2
            mean = np.mean(np.exp(-precision * distances), axis=1)
            row[where] = np.log(mean) - precision * nearest
    normalizers = 0.5 * x.shape[1] * np.log(2 * np.pi * np.square(bandwidths))
    return log_probs - normalizers[:, None]
