r"""Fréchet distance between two sets of samples, each described by a Gaussian over its features.

$d^2 = |\mu_r - \mu_g|^2 + \operatorname{Tr}(\Sigma_r + \Sigma_g - 2 (\Sigma_r \Sigma_g)^{1/2})$. With
$\Sigma = L L^T$ on both sides, $\Sigma_r \Sigma_g$ has the eigenvalues of $(L_r^T L_g)(L_r^T L_g)^T$, so the
trace of its root is the sum of the singular values of $L_r^T L_g$. So no root of a non-symmetric matrix is
computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import describe
from keras_genmod.core.registration import register
from keras_genmod.core.replicas import sum_over_replicas
from keras_genmod.metrics.features import FeatureExtractor
from keras_genmod.metrics.measurement import Measurement, extract_pair, warn_of_few_samples
from keras_genmod.metrics.streams import SIDES, SampleMetric

__all__ = ["RECOMMENDED_SAMPLES", "FrechetDistance", "frechet_distance", "frechet_distance_of_moments"]

# With fewer samples the bias of the distance is visible even for a few dozen features.
RECOMMENDED_SAMPLES = 2_048

_EPSILON = float(np.finfo(np.float64).eps)


class _Moments(NamedTuple):
    num_samples: int
    mean: np.ndarray
    covariance: np.ndarray


def frechet_distance_of_moments(mean1: Any, cov1: Any, mean2: Any, cov2: Any) -> float:
    r"""Squared Fréchet distance between two Gaussians with known moments.

    Args:
        mean1, mean2: Means `[D]`.
        cov1, cov2: Covariances `[D, D]`, symmetric without negative eigenvalues. They may be singular.

    Returns:
        The distance (the squared 2-Wasserstein distance), at least 0.

    Raises:
        ValueError: If shapes do not match, values are not finite, or a matrix is not a covariance.

    Cost: D^3: seconds for 2,048 features, and several times more if a covariance is singular.

    Reference: The distance between two random vectors with given dispersion matrices, Olkin and
    Pukelsheim, 1982.

    >>> frechet_distance_of_moments([0.0], [[1.0]], [3.0], [[4.0]])
    10.0
    """
    means = _check_mean("mean1", mean1), _check_mean("mean2", mean2)
    dim = len(means[0])
    if len(means[1]) != dim:
        raise ValueError(
            f"`mean1` and `mean2` must have the same length; received {dim} and {len(means[1])}. "
            "Use the same extractor for both."
        )
    covariances = _check_covariance("cov1", cov1, dim), _check_covariance("cov2", cov2, dim)
    factors = [_factor(cov, name) for cov, name in zip(covariances, ("cov1", "cov2"), strict=True)]
    root = _nuclear_norm(factors[0].T @ factors[1])
    traces = sum(float(np.trace(cov)) for cov in covariances)
    distance = float(np.sum(np.square(means[0] - means[1]))) + traces - 2.0 * root
    # A distance is never negative; a value below 0 is the rounding error of the traces.
    return max(distance, 0.0)


def _check_mean(name: str, value: Any) -> np.ndarray:
    mean = np.asarray(value, np.float64)
    if mean.ndim != 1 or not np.isfinite(mean).all():
        raise ValueError(
            f"`{name}` must be a finite vector [feature_dim]; received {describe(value)}. "
            "Take the mean over the samples."
        )
    return mean


def _check_covariance(name: str, value: Any, dim: int) -> np.ndarray:
    covariance = np.asarray(value, np.float64)
    if covariance.shape != (dim, dim) or not np.isfinite(covariance).all():
        raise ValueError(
            f"`{name}` must be a finite matrix of shape ({dim}, {dim}); received {describe(value)}. "
            "Use `np.cov(features, rowvar=False)`."
        )
    scale = np.max(np.abs(covariance), initial=0.0)
    if np.max(np.abs(covariance - covariance.T), initial=0.0) > 1e-6 * scale:
        raise ValueError(
            f"`{name}` must be symmetric; received {describe(value)} that is not symmetric. "
            "Use `np.cov(features, rowvar=False)`."
        )
    return covariance


def _factor(covariance: np.ndarray, name: str) -> np.ndarray:
    """A matrix `L` with `L L^T = covariance`: the Cholesky factor if it exists, else from eigenvectors."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
    # The matrix is singular. Directions whose eigenvalue is only rounding error are left out, because each
    # would add the root of that error.
    least = len(covariance) * _EPSILON * np.max(np.abs(values))
    if values[0] < -max(1e-6 * np.max(np.abs(values)), least):
        raise ValueError(
            f"`{name}` must be a covariance; received a matrix with the negative eigenvalue {values[0]:.3g}. "
            "Use `np.cov(features, rowvar=False)`."
        )
    kept = values > least
    return vectors[:, kept] * np.sqrt(values[kept])


def _nuclear_norm(matrix: np.ndarray) -> float:
    """The sum of the singular values."""
    if not matrix.size:
        return 0.0
    # Eigenvalues of the squared matrix are several times faster to compute. Each has a rounding error
    # proportional to the largest, and its root has that error divided by twice the root. This is accurate
    # enough unless many eigenvalues are tiny.
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    squares = np.linalg.eigvalsh(wide @ wide.T)
    if squares[0] > 0:
        roots = np.sqrt(squares)
        if np.sum(_EPSILON * squares[-1] / (2 * roots)) < 1e-9 * np.sum(roots):
            return float(np.sum(roots))
    return float(np.sum(np.linalg.svd(matrix, compute_uv=False)))


def frechet_distance(real: Any, generated: Any, *, extractor: FeatureExtractor | None = None) -> Measurement:
    r"""Fréchet inception distance (FID) between two sets of samples, for any features.

    $d^2 = |\mu_r - \mu_g|^2 + \operatorname{Tr}(\Sigma_r + \Sigma_g - 2 (\Sigma_r \Sigma_g)^{1/2})$, with the
    unbiased covariances of the two sets of features, in float64.

    The estimate is biased upwards; the bias shrinks with the number of samples. Values from different sample
    counts, extractors or resizing are not comparable; the result records all three. With 2,048 features,
    10,000 samples on each side are customary.

    Args:
        real, generated: Features `[N, D]`, or data for the extractor. Their counts may differ.
        extractor: Computes features from data. None if both are features already.

    Returns:
        The distance, at least 0.

    Raises:
        ValueError: If there are fewer than two samples, values are not finite, or the features' sizes differ.

    Warns:
        UserWarning: If there are fewer than `RECOMMENDED_SAMPLES` samples, or not more samples than features
            (so that a covariance is singular).

    Cost: N D^2 + D^3.

    Reference: GANs trained by a two time-scale update rule converge to a local Nash equilibrium, Heusel,
    Ramsauer, Unterthiner, Nessler and Hochreiter, 2017.
    """
    real, generated, source = extract_pair(real, generated, extractor)
    return _measure_moments(_moments_of(real), _moments_of(generated), source, name="fid")


def _moments_of(features: np.ndarray) -> _Moments:
    mean = features.mean(axis=0)
    centred = features - mean
    return _Moments(len(features), mean, centred.T @ centred / (len(features) - 1))


def _measure_moments(
    real: _Moments, generated: _Moments, source: Mapping[str, Any], *, name: str
) -> Measurement:
    dim = len(real.mean)
    fewest = min(real.num_samples, generated.num_samples)
    if fewest <= dim:
        why, least = f"no more than the {dim} features, so a covariance is singular.", dim + 1
    else:
        why, least = "so few bias the distance upwards.", RECOMMENDED_SAMPLES
    least = max(least, RECOMMENDED_SAMPLES)
    warn_of_few_samples("Fréchet distance", real.num_samples, generated.num_samples, least=least, why=why)
    distance = frechet_distance_of_moments(real.mean, real.covariance, generated.mean, generated.covariance)
    return Measurement(distance, metric=name, **source)


@register
class FrechetDistance(SampleMetric):
    r"""Streams the moments of both sides; the result equals `frechet_distance` on all samples at once.

    For each side it keeps $\sum_i v_i v_i^T$ with $v_i = (1, x_i - s)$ in float64, which holds the count, the
    sum and the products together. The shift $s$, the mean of the first batch, keeps these small, so that
    features far from zero lose no precision.

    Args:
        extractor: Computes features from data. None if the batches are features already.
        feature_dim: Number of features. Required without an extractor.

    Cost: Two float64 matrices `[D, D]` on every replica; B D^2 per batch; D^3 for `result()`.

    Reference: As for `frechet_distance`.

    >>> metric = FrechetDistance(feature_dim=1)
    >>> metric.update_state(real=[[0.0], [2.0]], generated=[[3.0], [5.0]])
    >>> float(metric.result())
    9.0
    """

    figures = ("fid",)

    def __init__(
        self,
        extractor: FeatureExtractor | None = None,
        feature_dim: int | None = None,
        name: str = "fid",
        **kwargs,
    ) -> None:
        super().__init__(extractor, feature_dim, name=name, **kwargs)
        size = 1 + self.feature_dim
        self.products = [
            self.add_variable((size, size), "zeros", dtype="float64", name=f"{side}_products")
            for side in SIDES
        ]
        # The first entry says whether the shift is set: 1 as soon as any replica has seen a sample.
        self.shifts = [
            self.add_variable(
                (size,), "zeros", dtype="float64", aggregation="only_first_replica", name=f"{side}_shift"
            )
            for side in SIDES
        ]

    def _add(self, side: int, features: tf.Tensor) -> None:
        features = tf.cast(features, tf.float64)
        rows = tf.pad(features, [(0, 0), (1, 0)], constant_values=tf.constant(1.0, tf.float64))
        # The replicas' sums are added at the end, so all replicas must subtract the same shift.
        total = sum_over_replicas(tf.reduce_sum(rows, axis=0))
        shift = tf.convert_to_tensor(self.shifts[side])
        shift = tf.where(shift[0] > 0, shift, tf.math.divide_no_nan(total, total[0]))
        self.shifts[side].assign(shift)
        rows -= tf.concat([tf.zeros([1], tf.float64), shift[1:]], axis=0)
        self.products[side].assign_add(tf.matmul(rows, rows, transpose_a=True))

    def _state(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(variable) for variable in (*self.products, *self.shifts)]

    def _measure(self, *state: np.ndarray) -> dict[str, Measurement]:
        real, generated = (
            _moments_of_products(side, products, shift)
            for side, products, shift in zip(SIDES, state[:2], state[2:], strict=True)
        )
        counts = {"num_real": real.num_samples, "num_generated": generated.num_samples}
        return {"fid": _measure_moments(real, generated, {**self._origin(), **counts}, name=self.name)}


def _moments_of_products(side: str, products: np.ndarray, shift: np.ndarray) -> _Moments:
    count, sums = products[0, 0], products[0, 1:]
    if count < 2:
        raise ValueError(
            f"`{side}` must hold at least 2 samples; received {int(count)}. Call `update_state` with more."
        )
    if not np.isfinite(products).all():
        raise ValueError(
            f"`{side}` must hold finite values; received NaN or infinity. "
            "Find the samples that cause them: a model that diverged has no finite score."
        )
    mean = sums / count
    return _Moments(
        int(count), shift[1:] + mean, (products[1:, 1:] - count * np.outer(mean, mean)) / (count - 1)
    )
