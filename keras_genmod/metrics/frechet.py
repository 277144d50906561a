r"""Fréchet distance: how far apart two sets are if each is taken for a Gaussian of features.

$d^2 = |\mu_r - \mu_g|^2 + \operatorname{Tr}(\Sigma_r + \Sigma_g - 2 (\Sigma_r \Sigma_g)^{1/2})$. With
$\Sigma = L L^T$ on both sides, $\Sigma_r \Sigma_g$ has the eigenvalues of $(L_r^T L_g)(L_r^T L_g)^T$, so the
trace of its root is the sum of the singular values of $L_r^T L_g$. No unsymmetric matrix needs a root.
"""

from __future__ import annotations

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

# Below it the bias of the distance is visible even for a few dozen features.
RECOMMENDED_SAMPLES = 2_048

_EPSILON = float(np.finfo(np.float64).eps)


class _Moments(NamedTuple):
    count: int
    mean: np.ndarray
    covariance: np.ndarray


def frechet_distance_of_moments(mean1: Any, cov1: Any, mean2: Any, cov2: Any) -> float:
    r"""Squared Fréchet distance between two Gaussians of known moments.

    Args:
        mean1, mean2: means `[D]`.
        cov1, cov2: covariances `[D, D]`, symmetric with no negative eigenvalue; they may be singular.

    Returns:
        The distance (the square of 2-Wasserstein), at least 0.

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, or a matrix that is no covariance.

    Cost: D^3; seconds for 2,048 features, several times more if a covariance is singular.

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
    # No distance is negative; what is left below 0 is the rounding of the traces.
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
            f"`{name}` must be symmetric; received {describe(value)} that is not. "
            "Use `np.cov(features, rowvar=False)`."
        )
    return covariance


def _factor(covariance: np.ndarray, name: str) -> np.ndarray:
    """A matrix `L` with `L L^T = covariance`: of Cholesky if there is one, else of its eigenvectors."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
    # Singular: each of the directions that hold rounding only would add its root.
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
    # Eigenvalues of the square are several times faster. Each is rounded in proportion to the largest, and
    # its root by that over twice the root: fine as long as few are tiny.
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    squares = np.linalg.eigvalsh(wide @ wide.T)
    if squares[0] > 0:
        roots = np.sqrt(squares)
        if np.sum(_EPSILON * squares[-1] / (2 * roots)) < 1e-9 * np.sum(roots):
            return float(np.sum(roots))
    return float(np.sum(np.linalg.svd(matrix, compute_uv=False)))


def frechet_distance(real: Any, generated: Any, *, extractor: FeatureExtractor | None = None) -> Measurement:
    r"""Fréchet inception distance (FID) between two sets; of any features, not those of Inception alone.

    $d^2 = |\mu_r - \mu_g|^2 + \operatorname{Tr}(\Sigma_r + \Sigma_g - 2 (\Sigma_r \Sigma_g)^{1/2})$, with the
    unbiased covariances of the two sets of features, in float64.

    The figure is biased upwards, by an amount that shrinks with the number of samples. Figures of other
    counts, extractors or resizing are not comparable; the result carries all three. With 2,048 features
    10,000 samples a side are the custom.

    Args:
        real, generated: features `[N, D]`, or data for the extractor; the counts may differ.
        extractor: what turns data into features.

    Returns:
        The distance, at least 0.

    Raises:
        ValueError: for fewer than two samples, values that are not finite, or features that do not match.

    Warns:
        UserWarning: for fewer than `RECOMMENDED_SAMPLES`, or no more samples than features (then a
            covariance is singular).

    Cost: N D^2 + D^3.

    Reference: GANs trained by a two time-scale update rule converge to a local Nash equilibrium, Heusel,
    Ramsauer, Unterthiner, Nessler and Hochreiter, 2017.
    """
    real, generated, source = extract_pair(real, generated, extractor)
    return _measure(_moments_of(real), _moments_of(generated), source, name="fid")


def _moments_of(features: np.ndarray) -> _Moments:
    mean = features.mean(axis=0)
    centred = features - mean
    return _Moments(len(features), mean, centred.T @ centred / (len(features) - 1))


def _measure(real: _Moments, generated: _Moments, source: dict, *, name: str) -> Measurement:
    dim = len(real.mean)
    fewest = min(real.count, generated.count)
    if fewest <= dim:
        why, least = f"no more than the {dim} features, so a covariance is singular.", dim + 1
    else:
        why, least = "so few bias the distance upwards.", RECOMMENDED_SAMPLES
    least = max(least, RECOMMENDED_SAMPLES)
    warn_of_few_samples("Fréchet distance", real.count, generated.count, least=least, why=why)
    distance = frechet_distance_of_moments(real.mean, real.covariance, generated.mean, generated.covariance)
    return Measurement(distance, metric=name, **source)


@register
class FrechetDistance(SampleMetric):
    r"""Streams the moments of both sides; the figure is that of `frechet_distance` on all samples at once.

    Each side keeps $\sum_i v_i v_i^T$ with $v_i = (1, x_i - s)$ in float64, which holds the number, the sum
    and the products together. The shift $s$, the mean of the first batch, keeps them small, so that
    features far from zero lose no digits.

    Args:
        extractor: what turns data into features; None if the batches are features.
        feature_dim: number of features; needed without an extractor.

    Cost: two float64 matrices `[D, D]` on every replica; B D^2 a batch; D^3 for `result()`.

    Reference: as for `frechet_distance`.

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
        # In front whether the shift is set: 1 from the first sample of any replica on.
        self.shifts = [
            self.add_variable(
                (size,), "zeros", dtype="float64", aggregation="only_first_replica", name=f"{side}_shift"
            )
            for side in SIDES
        ]

    def _add(self, side: int, features: tf.Tensor) -> None:
        features = tf.cast(features, tf.float64)
        rows = tf.pad(features, [(0, 0), (1, 0)], constant_values=tf.constant(1.0, tf.float64))
        # The sums of the replicas are added up, so all of them must have the same shift.
        total = sum_over_replicas(tf.reduce_sum(rows, axis=0))
        shift = tf.convert_to_tensor(self.shifts[side])
        shift = tf.where(shift[0] > 0, shift, tf.math.divide_no_nan(total, total[0]))
        self.shifts[side].assign(shift)
        rows -= tf.concat([tf.zeros([1], tf.float64), shift[1:]], axis=0)
        self.products[side].assign_add(tf.matmul(rows, rows, transpose_a=True))

    def _state(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(variable) for variable in (*self.products, *self.shifts)]

    def _measure(self, *state: np.ndarray) -> dict[str, Measurement]:
        moments = [
            _moments_of_products(side, products, shift)
            for side, products, shift in zip(SIDES, state[:2], state[2:], strict=True)
        ]
        counts = {f"num_{side}": moment.count for side, moment in zip(SIDES, moments, strict=True)}
        return {"fid": _measure(*moments, {**self._origin(), **counts}, name=self.name)}


def _moments_of_products(side: str, products: np.ndarray, shift: np.ndarray) -> _Moments:
    count, sums = products[0, 0], products[0, 1:]
    if count < 2:
        raise ValueError(
            f"`{side}` must hold at least 2 samples; received {int(count)}. Call `update_state` with more."
        )
    if not np.isfinite(products).all():
        raise ValueError(
            f"`{side}` must hold finite values; received NaN or infinity. "
            "Look for the samples that cause them: a model that diverged gives no figure."
        )
    mean = sums / count
    return _Moments(
        int(count), shift[1:] + mean, (products[1:, 1:] - count * np.outer(mean, mean)) / (count - 1)
    )
