"""Fréchet distance: closed forms of Gaussians, SciPy's matrix root, invariances, and singular covariances."""

import warnings

import numpy as np
import pytest

from keras_genmod.metrics import (
    FeatureExtractor,
    FrechetDistance,
    frechet_distance,
    frechet_distance_of_moments,
)
from keras_genmod.metrics.frechet import RECOMMENDED_SAMPLES

pytestmark = pytest.mark.filterwarnings("ignore:Fr.chet distance from")


def rotation(dim, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]


def correlated(count, dim, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dim)) @ rng.normal(size=(dim, dim)) / np.sqrt(dim) + rng.normal(size=dim)


def by_sqrtm(real, generated):
    """The formula as it stands, with SciPy's root of an unsymmetric matrix."""
    linalg = pytest.importorskip("scipy.linalg")
    covariances = [np.cov(side, rowvar=False) for side in (real, generated)]
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    means = np.sum((real.mean(axis=0) - generated.mean(axis=0)) ** 2)
    return means + np.trace(sum(covariances)) - 2 * np.trace(root.real)


def test_diagonal_gaussians():
    """Of independent features the distance is the sum of (m1 - m2)^2 + (s1 - s2)^2."""
    s1, s2 = np.array([1.0, 2.0, 0.0, 0.5]), np.array([3.0, 2.0, 1.0, 0.0])
    m1, m2 = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, -1.0, 2.0, 3.5])
    value = frechet_distance_of_moments(m1, np.diag(s1**2), m2, np.diag(s2**2))
    assert value == pytest.approx(np.sum((m1 - m2) ** 2 + (s1 - s2) ** 2), rel=1e-12)


@pytest.mark.parametrize("least", [0.3, 1e-3, 0.0])
def test_full_covariances_with_common_eigenvectors(least):
    """They commute: again (s1 - s2)^2, in rotated coordinates. A root of 0 makes them singular."""
    rng = np.random.default_rng(1)
    s1, s2 = least + rng.random(6), least + rng.random(6)
    s1[0] = s2[1] = least
    q = rotation(6)
    value = frechet_distance_of_moments(np.zeros(6), (q * s1**2) @ q.T, np.ones(6), (q * s2**2) @ q.T)
    # Rounding moves a variance of 0 by the unit times the largest one and the number of dimensions, and its
    # root by the root of that. Each matrix has one, beside deviations of 1 of the other; both count twice.
    slack = 4 * np.sqrt(6 * 2.0**-53) if least == 0.0 else 0.0
    assert value == pytest.approx(6 + np.sum((s1 - s2) ** 2), rel=1e-10, abs=slack)


def test_two_by_two_that_do_not_commute():
    """Tr (AB)^(1/2) = sqrt(Tr AB + 2 sqrt(det AB)) for 2x2 matrices."""
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[5.0, -2.0], [-2.0, 1.0]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    value = frechet_distance_of_moments(np.zeros(2), a, np.zeros(2), b)
    assert value == pytest.approx(np.trace(a + b) - 2 * root, rel=1e-12)


@pytest.mark.parametrize("counts", [(300, 300), (300, 150)])
def test_samples_against_scipy(counts):
    real, generated = correlated(counts[0], 40, 0), correlated(counts[1], 40, 1)
    value = frechet_distance(real, generated)
    assert value == pytest.approx(by_sqrtm(real, generated), rel=1e-9)
    assert value == pytest.approx(frechet_distance(generated, real), rel=1e-12)
    q = rotation(40)
    assert value == pytest.approx(frechet_distance(real @ q, generated @ q), rel=1e-9)
    assert value * 9 == pytest.approx(frechet_distance(3 * real, 3 * generated), rel=1e-12)


def test_sampled_gaussians_are_near_the_closed_form():
    """The standard error of the squared mean difference dominates: 2 |d| sqrt(2 / N), here 0.04 each."""
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(20_000, 3)), rng.normal(2.0, 3.0, size=(20_000, 3))
    assert frechet_distance(real, generated) == pytest.approx(3 * (4 + 4), abs=5 * 0.04 * np.sqrt(3) * 3)


@pytest.mark.parametrize("count", [200, 12], ids=["regular", "singular"])
def test_equal_sets_have_no_distance(count):
    features = 100 * correlated(count, 40, 0)
    assert 0 <= frechet_distance(features, features) < 1e-9 * np.trace(np.cov(features, rowvar=False))
    # In another order sums are rounded otherwise; a singular covariance must not show it in its root.
    assert 0 <= frechet_distance(features, features[::-1]) < 1e-9 * np.trace(np.cov(features, rowvar=False))


def test_singular_covariances():
    """Fewer samples than features: the distance in the space that the samples span is the same."""
    real, generated = correlated(12, 40, 0), correlated(15, 40, 1)
    basis = np.linalg.qr(np.concatenate([real, generated]).T)[0]
    assert basis.shape == (40, 27)
    value = frechet_distance(real, generated)
    assert value == pytest.approx(frechet_distance(real @ basis, generated @ basis), rel=1e-9)
    # Constant sets: only the means are left.
    assert frechet_distance(np.zeros((5, 3)), np.full((4, 3), 2.0)) == 12.0


def test_tiny_and_large_directions_together():
    """Eigenvalues over twelve orders of magnitude: the roots of the small ones still count."""
    s1, s2 = np.logspace(-6, 0, 30), np.logspace(-6, 0, 30)[::-1]
    q = rotation(30)
    value = frechet_distance_of_moments(np.zeros(30), (q * s1**2) @ q.T, np.zeros(30), (q * s2**2) @ q.T)
    assert value == pytest.approx(np.sum((s1 - s2) ** 2), rel=1e-7)


def test_an_offset_of_both_sets_loses_no_digits():
    real, generated = correlated(500, 20, 0), correlated(500, 20, 1)
    value = frechet_distance(real, generated)
    assert frechet_distance(real + 1e4, generated + 1e4) == pytest.approx(value, rel=1e-9)
    metric = FrechetDistance(feature_dim=20)
    for start in range(0, 500, 70):
        metric.update_state(real[start : start + 70] + 1e4, generated[start : start + 70] + 1e4)
    assert metric.measurement() == pytest.approx(value, rel=1e-9)


def test_the_result_carries_its_origin():
    import keras

    value = frechet_distance(correlated(30, 4, 0), correlated(20, 4, 1))
    assert (value.metric, value.extractor, value.resize) == ("fid", "given features", "none")
    assert (value.num_real, value.num_generated) == (30, 20)
    extractor = FeatureExtractor(keras.layers.Flatten(), name="pixels", image_size=(2, 2))
    images = np.random.default_rng(0).random((9, 4, 4, 1))
    value = frechet_distance(images, images[:7], extractor=extractor)
    assert (value.extractor, value.resize) == ("pixels", "bilinear to 2x2, antialiased")
    assert value == pytest.approx(frechet_distance(extractor(images), extractor(images[:7])), rel=1e-12)


def test_few_samples_warn():
    few, enough = correlated(RECOMMENDED_SAMPLES - 1, 3, 0), correlated(RECOMMENDED_SAMPLES, 3, 0)
    with pytest.warns(UserWarning, match="2,047 real and 2,048 generated .* upwards. Use at least 2,048"):
        frechet_distance(few, enough)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frechet_distance(enough, enough)
    with pytest.warns(UserWarning, match="no more than the 40 features, so a covariance is singular"):
        frechet_distance(correlated(40, 40, 0), correlated(50, 40, 0))
    metric = FrechetDistance(feature_dim=3)
    metric.update_state(few, enough)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric.result()
    with pytest.warns(UserWarning, match="2,047 real"):
        metric.measurement()


@pytest.mark.parametrize(
    ("real", "generated", "message"),
    [
        (np.zeros((1, 3)), np.zeros((9, 3)), "`real` must hold at least 2 samples; received 1. Pass more"),
        (np.zeros((9, 3)), np.zeros((0, 3)), "`generated` must hold at least 2 samples; received 0"),
        (np.zeros((9, 3)), np.full((9, 3), np.nan), "`generated` must hold finite .* received 9 of 9 rows"),
        (np.zeros((9, 3)), np.zeros((9, 4)), "same number of features; received 3 and 4. Use the same"),
        (np.zeros((9, 3, 1)), np.zeros((9, 3)), r"`real` must be features of shape .*shape \(9, 3, 1\)"),
    ],
)
def test_wrong_features_are_refused(real, generated, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(real, generated)


def test_wrong_extractors_are_refused():
    with pytest.raises(
        TypeError, match="`extractor` must be a FeatureExtractor, a Keras model or None; received"
    ):
        frechet_distance(np.zeros((9, 3)), np.zeros((9, 3)), extractor=np.sum)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean1": np.zeros((2, 1))}, r"`mean1` must be a finite vector .* shape \(2, 1\)"),
        ({"mean2": np.zeros(3)}, "must have the same length; received 2 and 3"),
        ({"cov1": np.eye(3)}, r"`cov1` must be a finite matrix of shape \(2, 2\); received .* \(3, 3\)"),
        ({"cov2": np.diag([1.0, np.inf])}, "`cov2` must be a finite matrix"),
        ({"cov1": np.array([[1.0, 0.5], [0.0, 1.0]])}, "`cov1` must be symmetric"),
        ({"cov2": np.diag([1.0, -0.1])}, "`cov2` must be a covariance; .* negative eigenvalue -0.1"),
    ],
)
def test_wrong_moments_are_refused(change, message):
    moments = {"mean1": np.zeros(2), "cov1": np.eye(2), "mean2": np.zeros(2), "cov2": np.eye(2), **change}
    with pytest.raises(ValueError, match=message):
        frechet_distance_of_moments(**moments)
