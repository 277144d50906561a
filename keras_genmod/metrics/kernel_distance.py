r"""Kernel distance: the squared maximum mean discrepancy of features under a cubic kernel.

$\mathrm{MMD}^2 = E[k(x, x')] + E[k(y, y')] - 2 E[k(x, y)]$ with $k(x, y) = (x \cdot y / D + 1)^3$.
The estimate leaves every sample's product with itself out, and so is unbiased for any number of samples:
unlike the Fréchet distance it needs no large sets, and it may come out negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_genmod.core.checks import check_integer
from keras_genmod.core.noise import check_seed
from keras_genmod.core.registration import register
from keras_genmod.metrics.features import FeatureExtractor
from keras_genmod.metrics.measurement import Measurement, check_features, extract_pair
from keras_genmod.metrics.streams import SIDES, BufferedMetric

__all__ = ["KernelDistance", "kernel_distance"]

_BLOCK_SIZE = 1024


def kernel_distance(
    real: Any,
    generated: Any,
    *,
    extractor: FeatureExtractor | None = None,
    subset_size: int | None = 1000,
    num_subsets: int = 100,
    seed: int = 0,
) -> Measurement:
    r"""Kernel inception distance (KID) between two sets, unbiased; of any features.

    Mean over random subsets (each without repetition) of
    $\frac{1}{m(m-1)} \sum_{i \ne j} [k(x_i, x_j) + k(y_i, y_j)] - \frac{2}{m^2} \sum_{i,j} k(x_i, y_j)$.

    Args:
        real, generated: features `[N, D]`, or data for the extractor.
        extractor: what turns data into features.
        subset_size: samples of each side in a subset, fewer where a side is smaller; None for a single
            estimate from all samples.
        num_subsets: number of subsets.
        seed: integer that the subsets depend on.

    Returns:
        The estimate. Its `standard_error` is, for subsets, the spread of theirs divided by the root of
        their number: subsets that overlap vary less than fresh samples would. For the single estimate it
        is the error of sampling, from the spread of the samples' own terms; on equal distributions that
        is on the careful side.

    Raises:
        ValueError: for fewer than two samples, values that are not finite, or features that do not match.

    Cost: `num_subsets * subset_size**2 * D`; N^2 D for a single estimate, in blocks.

    Reference: Demystifying MMD GANs, Binkowski, Sutherland, Arbel and Gretton, 2018.

    >>> float(kernel_distance([[0.0], [0.0]], [[1.0], [1.0]]))
    7.0
    """
    options = _check_options(subset_size, num_subsets, seed)
    real, generated, source = extract_pair(real, generated, extractor)
    value, error = _subset_estimate(real, generated, *options)
    return Measurement(value, metric="kid", standard_error=error, **source)


def _check_options(subset_size: int | None, num_subsets: int, seed: int) -> tuple[int | None, int, int]:
    if subset_size is not None:
        subset_size = check_integer("subset_size", subset_size, minimum=2)
    return subset_size, check_integer("num_subsets", num_subsets), check_seed(0 if seed is None else seed)


def _subset_estimate(
    real: np.ndarray, generated: np.ndarray, subset_size: int | None, num_subsets: int, seed: int
) -> tuple[float, float]:
    """The estimate and its standard error."""
    if subset_size is None or subset_size >= max(len(real), len(generated)):
        return _full_estimate(real, generated)
    generator = np.random.default_rng(seed)
    size = min(subset_size, len(real), len(generated))
    estimates = []
    for _ in range(num_subsets):
        x, y = (generator.choice(side, size, replace=False, shuffle=False) for side in (real, generated))
        estimates.append(_full_estimate(x, y)[0])
    error = np.std(estimates, ddof=1) / np.sqrt(num_subsets) if num_subsets > 1 else np.nan
    return float(np.mean(estimates)), float(error)


def _full_estimate(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The estimate from all pairs, and its standard error to first order."""
    within_x, within_y = _mean_kernel_within(x), _mean_kernel_within(y)
    across_x, across_y = _mean_kernel_across(x, y)
    value = within_x.mean() + within_y.mean() - 2 * across_x.mean()
    # A sample's own share of the estimate: its mean kernel within its set minus that across.
    variances = [4 * np.var(own, ddof=1) / len(own) for own in (within_x - across_x, within_y - across_y)]
    return float(value), float(np.sqrt(sum(variances)))


def _kernel_blocks(rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The kernel of all pairs, block by block of the rows."""
    for start in range(0, len(rows), _BLOCK_SIZE):
        block = rows[start : start + _BLOCK_SIZE]
        kernel = block @ columns.T / rows.shape[1] + 1.0
        # A general power is many times slower than two products.
        yield slice(start, start + len(block)), kernel * kernel * kernel


def _mean_kernel_within(points: np.ndarray) -> np.ndarray:
    """Mean kernel of each point with all others, `[N]`."""
    sums = np.empty(len(points))
    for where, kernel in _kernel_blocks(points, points):
        own = np.arange(len(kernel))
        kernel[own, where.start + own] = 0.0
        sums[where] = kernel.sum(axis=1)
    return sums / (len(points) - 1)


def _mean_kernel_across(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean kernel of each point of one set with all of the other, `[len(x)]` and `[len(y)]`."""
    means, sums = np.empty(len(x)), np.zeros(len(y))
    for where, kernel in _kernel_blocks(x, y):
        means[where] = kernel.mean(axis=1)
        sums += kernel.sum(axis=0)
    return means, sums / len(x)


@register
class KernelDistance(BufferedMetric):
    """Streams features of both sides; the figure is that of `kernel_distance` on the samples kept.

    Args:
        extractor: what turns data into features; None if the batches are features.
        feature_dim: number of features; needed without an extractor.
        subset_size, num_subsets, seed: as for `kernel_distance`.
        max_samples: samples kept of each side, the first that come.

    Cost: as for `kernel_distance`; `max_samples * feature_dim` numbers a side.

    Reference: as for `kernel_distance`.
    """

    figures = ("kid",)

    def __init__(
        self,
        extractor: FeatureExtractor | None = None,
        feature_dim: int | None = None,
        subset_size: int | None = 1000,
        num_subsets: int = 100,
        seed: int = 0,
        max_samples: int = 10_000,
        name: str = "kid",
        **kwargs,
    ) -> None:
        super().__init__(extractor, feature_dim, max_samples, name=name, **kwargs)
        self.subset_size, self.num_subsets, self.seed = _check_options(subset_size, num_subsets, seed)

    def _measure(self, *state: np.ndarray) -> dict[str, Measurement]:
        real, generated = (check_features(side, rows) for side, rows in zip(SIDES, state, strict=True))
        value, error = _subset_estimate(real, generated, self.subset_size, self.num_subsets, self.seed)
        counts = {"num_real": len(real), "num_generated": len(generated)}
        return {"kid": Measurement(value, metric=self.name, standard_error=error, **self._origin(), **counts)}

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "subset_size": self.subset_size,
            "num_subsets": self.num_subsets,
            "seed": self.seed,
        }
