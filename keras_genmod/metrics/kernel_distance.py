r"""Kernel distance: the squared maximum mean discrepancy of features with a cubic kernel.

$\mathrm{MMD}^2 = E[k(x, x')] + E[k(y, y')] - 2 E[k(x, y)]$ with $k(x, y) = (x \cdot y / D + 1)^3$.
The estimate leaves out the kernel of each sample with itself, so it is unbiased for any number of samples.
Unlike the Fréchet distance it does not need large sets, and it may be negative.
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
    r"""Kernel inception distance (KID) between two sets of samples, for any features.

    The unbiased estimate is the mean over random subsets, each drawn without replacement, of
    $\frac{1}{m(m-1)} \sum_{i \ne j} [k(x_i, x_j) + k(y_i, y_j)] - \frac{2}{m^2} \sum_{i,j} k(x_i, y_j)$.

    Args:
        real, generated: Features `[N, D]`, or data for the extractor.
        extractor: Computes features from data. None if both are features already.
        subset_size: Number of samples of each side in a subset, limited by the smaller side. None gives a
            single estimate from all samples.
        num_subsets: Number of subsets.
        seed: Integer that seeds the choice of subsets.

    Returns:
        The estimate. With subsets, its `standard_error` is the standard deviation of their estimates divided
        by the root of their number; it is too small if subsets overlap, because they then vary less than
        fresh samples would. For a single estimate it is the sampling error, from the variance of the samples'
        own terms; for equal distributions it is too large.

    Raises:
        ValueError: If there are fewer than two samples, values are not finite, or the features' sizes differ.

    Cost: `num_subsets * subset_size**2 * D`; N^2 D for a single estimate, in blocks.

    Reference: Demystifying MMD GANs, Binkowski, Sutherland, Arbel and Gretton, 2018.

    >>> float(kernel_distance([[0.0], [0.0]], [[1.0], [1.0]]))
    7.0
    """
    options = _check_options(subset_size, num_subsets, seed)
    real, generated, source = extract_pair(real, generated, extractor)
    value, error = _subset_estimate(real, generated, *options)
    return Measurement(value, metric="kid", standard_error=error, **source)


def _check_options(
    subset_size: int | None, num_subsets: int, seed: int | None
) -> tuple[int | None, int, int]:
    if subset_size is not None:
        subset_size = check_integer("subset_size", subset_size, minimum=2)
    return subset_size, check_integer("num_subsets", num_subsets), check_seed(seed) or 0


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
    # A sample's contribution to the estimate: its mean kernel within its own set minus that with the other.
    variances = [4 * np.var(own, ddof=1) / len(own) for own in (within_x - across_x, within_y - across_y)]
    return float(value), float(np.sqrt(sum(variances)))


def _kernel_blocks(rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The kernel of all pairs, in blocks of rows."""
    for start in range(0, len(rows), _BLOCK_SIZE):
        block = rows[start : start + _BLOCK_SIZE]
        kernel = block @ columns.T / rows.shape[1] + 1.0
        # `kernel**3` is many times slower than two products.
        yield slice(start, start + len(block)), kernel * kernel * kernel


def _mean_kernel_within(points: np.ndarray) -> np.ndarray:
    """The mean kernel of each point with all others, `[N]`."""
    sums = np.empty(len(points))
    for where, kernel in _kernel_blocks(points, points):
        own = np.arange(len(kernel))
        kernel[own, where.start + own] = 0.0
        sums[where] = kernel.sum(axis=1)
    return sums / (len(points) - 1)


def _mean_kernel_across(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean kernel of each point of one set with all points of the other, `[len(x)]` and `[len(y)]`."""
    means, sums = np.empty(len(x)), np.zeros(len(y))
    for where, kernel in _kernel_blocks(x, y):
        means[where] = kernel.mean(axis=1)
        sums += kernel.sum(axis=0)
    return means, sums / len(x)


@register
class KernelDistance(BufferedMetric):
    """Streams features of both sides; the result equals `kernel_distance` on the kept samples.

    Args:
        extractor: Computes features from data. None if the batches are features already.
        feature_dim: Number of features. Required without an extractor.
        subset_size, num_subsets, seed: As for `kernel_distance`.
        max_samples: Number of samples kept of each side; later ones are dropped.

    Cost: As for `kernel_distance`; memory holds `max_samples * feature_dim` numbers of each side.

    Reference: As for `kernel_distance`.
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
        counts: dict[str, Any] = {"num_real": len(real), "num_generated": len(generated)}
        source = {**self._origin(), **counts}
        return {"kid": Measurement(value, metric=self.name, standard_error=error, **source)}

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "subset_size": self.subset_size,
            "num_subsets": self.num_subsets,
            "seed": self.seed,
        }
