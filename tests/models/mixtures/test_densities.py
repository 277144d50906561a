"""Mixtures and kernel estimates are densities, draw what they say, and agree with other packages."""

import itertools
import warnings

import keras
import numpy as np
import pytest
import scipy.stats
import sklearn.mixture
import sklearn.neighbors
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_genmod.models.mixtures import BernoulliMixture, GaussianMixture, KernelDensity, kernels
from tests.models.mixtures.tiny import COVARIANCES, bits, blobs, covariances_of, full_covariances

# Kind -> scikit-learn's name for it.
THEIRS = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}
WEIGHTS = np.array([0.2, 0.5, 0.3])


def mixture(covariance, event_shape=(2,), method="em"):
    size = int(np.prod(event_shape))
    model = GaussianMixture(event_shape, num_components=3, covariance=covariance, method=method, seed=1)
    means = np.random.default_rng(1).normal(size=(3, *event_shape)) * 2.0
    covariances = covariances_of(covariance, 3, size)
    model.set_parameters(mixing_weights=WEIGHTS, means=means, covariances=covariances)
    return model, means.reshape(3, -1), full_covariances(covariance, covariances, 3, size)


def kernel_density(x, event_shape=None, weight=None, **options):
    model = KernelDensity(event_shape or x.shape[1:], **options)
    model.compile()
    model.fit(x, sample_weight=weight, verbose=0)
    return model


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_the_gaussian_mixture_integrates_to_one(covariance):
    model, _, _ = mixture(covariance)
    grid = np.linspace(-16.0, 16.0, 321)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2).astype("float32")
    assert np.exp(np.asarray(model.log_prob(points), "float64")).sum() * 0.1**2 == pytest.approx(
        1.0, abs=1e-3
    )


@pytest.mark.usefixtures("untraced")
def test_the_bernoulli_mixture_sums_to_one():
    model = BernoulliMixture((2, 3), num_components=3, seed=0)
    model.compile()
    model.initialize(bits().reshape(-1, 2, 3))
    x = np.array(list(itertools.product([0.0, 1.0], repeat=6)), "float32").reshape(-1, 2, 3)
    for _ in range(2):
        assert np.exp(np.asarray(model.log_prob(x), "float64")).sum() == pytest.approx(1.0, abs=1e-6)
        model.fit(bits().reshape(-1, 2, 3), epochs=3, verbose=0)
    np.testing.assert_allclose(model.distribution().log_prob(x), model.log_prob(x), atol=1e-5)


@pytest.mark.usefixtures("untraced")
def test_the_kernel_density_integrates_to_one():
    model = kernel_density(blobs(20) - 10.0, bandwidth=0.5)
    grid = np.linspace(-20.0, 20.0, 321)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2).astype("float32")
    mass = np.exp(np.asarray(model.log_prob(points), "float64")).sum() * 0.125**2
    assert mass == pytest.approx(1.0, abs=1e-4)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("far", [-1e7, 1e9])
@pytest.mark.parametrize("offset", [0.0, 3e4])
def test_a_far_point_spoils_the_density_nowhere(far, offset):
    """Not at the other points, and not at itself, be it first or not."""
    points = (offset + np.random.default_rng(0).normal(size=(300, 2))).astype("float32")
    points[[0, 200]] = [[far, far], [offset, far]]
    model = kernel_density(points, bandwidth=0.5)
    x = np.concatenate([points, points + np.float32(0.25)])
    squares = np.sum(np.square(x[:, None].astype("float64") - points), axis=-1) / 0.25
    expected = np.logaddexp.reduce(-0.5 * squares, axis=1) - np.log(300 * 2.0 * np.pi * 0.25)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-6, atol=2e-4)
    np.testing.assert_allclose(model.distribution().log_prob(x), expected, rtol=1e-6, atol=4e-4)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_distributions_have_the_density_of_their_model(covariance):
    model, means, matrices = mixture(covariance, (1, 3))
    x = np.random.default_rng(2).normal(size=(7, 1, 3)).astype("float32") * 2.0
    expected = np.log(
        sum(
            w * scipy.stats.multivariate_normal(m, c).pdf(x.reshape(7, 3))
            for w, m, c in zip(WEIGHTS, means, matrices, strict=True)
        )
    )
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-5)
    np.testing.assert_allclose(model.bits_per_dim(x), -expected / (3 * np.log(2.0)), rtol=1e-5)
    distribution = model.distribution()
    assert distribution.event_shape == (1, 3) and distribution.dtype == tf.float32
    np.testing.assert_allclose(distribution.log_prob(x), expected, rtol=1e-4, atol=1e-4)
    by_gradient, _, _ = mixture(covariance, (1, 3), method="gradient")
    np.testing.assert_allclose(by_gradient.log_prob(x), expected, rtol=1e-4)


def check_moments(samples, mean, covariance):
    """Mean and covariance within five standard errors."""
    number = len(samples)
    error = 5.0 * np.sqrt(np.diag(covariance) / number)
    assert np.all(np.abs(samples.mean(axis=0) - mean) < error)
    centred = samples - mean
    products = centred[:, :, None] * centred[:, None, :]
    error = 5.0 * products.std(axis=0) / np.sqrt(number)
    assert np.all(np.abs(products.mean(axis=0) - covariance) < error)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_samples_have_the_moments_of_the_gaussian_mixture(covariance):
    model, means, matrices = mixture(covariance, (3, 1))
    samples = model.sample(4000, seed=3)
    assert samples.shape == (4000, 3, 1)
    mean = WEIGHTS @ means
    spread = means - mean
    expected = np.einsum("k,kij->ij", WEIGHTS, matrices) + np.einsum("k,ki,kj->ij", WEIGHTS, spread, spread)
    check_moments(samples.numpy()[..., 0].astype("float64"), mean, expected)
    np.testing.assert_array_equal(model.sample(5, seed=3), samples[:5])


@pytest.mark.usefixtures("untraced")
def test_samples_have_the_moments_of_the_bernoulli_mixture():
    probs = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4))
    model = BernoulliMixture((4,), num_components=3)
    model.set_parameters(mixing_weights=WEIGHTS, probs=probs)
    samples = model.sample(4000, seed=0).numpy().astype("float64")
    assert set(np.unique(samples)) == {0.0, 1.0}
    second = np.einsum("k,ki,kj->ij", WEIGHTS, probs, probs)
    np.fill_diagonal(second, WEIGHTS @ probs)
    mean = WEIGHTS @ probs
    check_moments(samples, mean, second - np.outer(mean, mean))


@pytest.mark.usefixtures("untraced")
def test_samples_have_the_moments_of_the_kernel_density():
    x = blobs(40)
    weight = np.arange(40) % 4
    model = kernel_density(x, bandwidth=0.7, weight=weight.astype("float32"))
    assert model.num_points == 30
    mean = np.average(x.astype("float64"), axis=0, weights=weight)
    covariance = np.cov(x.T.astype("float64"), aweights=weight, bias=True) + 0.49 * np.eye(2)
    check_moments(model.sample(4000, seed=0).numpy().astype("float64"), mean, covariance)


@pytest.mark.parametrize(("covariance", "theirs"), THEIRS.items())
@pytest.mark.filterwarnings("ignore:A component of")
def test_em_on_digits_is_that_of_scikit_learn(covariance, theirs):
    x = load_digits().data[::2]
    means = x[np.random.default_rng(0).choice(len(x), 5, replace=False)]
    variance = x.var(axis=0).mean()
    eye = np.eye(64)
    start = {
        "full": np.tile(eye, (5, 1, 1)),
        "tied": eye,
        "diagonal": np.ones((5, 64)),
        "spherical": np.ones(5),
    }[covariance]
    reference = sklearn.mixture.GaussianMixture(
        5,
        covariance_type=theirs,
        means_init=means,
        weights_init=np.full(5, 0.2),
        precisions_init=start / variance,
        reg_covar=1e-6,
        max_iter=8,
        tol=0.0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        reference.fit(x)
    model = GaussianMixture((8, 8), num_components=5, covariance=covariance)
    model.compile()
    model.set_parameters(
        mixing_weights=np.full(5, 0.2), means=means.reshape(-1, 8, 8), covariances=start * variance
    )
    images = x.reshape(-1, 8, 8).astype("float32")
    history = model.fit(images, epochs=8, verbose=0).history["nll"]
    assert np.max(np.diff(history)) < 1e-4
    ours = np.asarray(model.log_prob(images), "float64")
    np.testing.assert_allclose(ours, reference.score_samples(x), atol=1e-3)
    np.testing.assert_allclose(model.responsibilities(images), reference.predict_proba(x), atol=1e-4)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(("covariance", "theirs"), THEIRS.items())
def test_information_criteria_and_hard_assignments_are_those_of_scikit_learn(covariance, theirs):
    x = blobs(200, size=3)
    reference = sklearn.mixture.GaussianMixture(3, covariance_type=theirs, random_state=0)
    reference.fit(x.astype("float64"))
    model = GaussianMixture((3,), num_components=3, covariance=covariance)
    model.set_parameters(
        mixing_weights=reference.weights_, means=reference.means_, covariances=reference.covariances_
    )
    assert model.num_parameters() == reference._n_parameters()
    double = x.astype("float64")
    assert model.bic(x) == pytest.approx(reference.bic(double), rel=1e-6)
    assert model.aic(x) == pytest.approx(reference.aic(double), rel=1e-6)
    np.testing.assert_array_equal(model.predict_component(x), reference.predict(double))
    np.testing.assert_allclose(model.responsibilities(x), reference.predict_proba(double), atol=1e-5)


@pytest.mark.usefixtures("untraced")
def test_information_criteria_of_a_bernoulli_mixture_by_hand():
    model = BernoulliMixture((2,), num_components=2)
    model.set_parameters(mixing_weights=[0.25, 0.75], probs=[[0.5, 0.5], [0.8, 0.1]])
    x = np.array([[1.0, 0.0], [0.0, 1.0]], "float32")
    likelihoods = 0.25 * 0.25 + 0.75 * np.array([0.8 * 0.9, 0.2 * 0.1])
    # A weight and four probabilities are free.
    assert model.aic(x) == pytest.approx(2 * 5 - 2 * np.log(likelihoods).sum(), rel=1e-6)
    assert model.bic(x) == pytest.approx(5 * np.log(2) - 2 * np.log(likelihoods).sum(), rel=1e-6)
    np.testing.assert_array_equal(model.predict_component(x), [1, 0])


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("weighted", [False, True])
def test_the_history_of_a_kernel_density_is_its_leave_one_out_likelihood(weighted, monkeypatch):
    monkeypatch.setattr(kernels, "_POINTS_PER_PASS", 7)
    x = blobs(20)
    weight = (1.0 + np.arange(20) % 3).astype("float32") if weighted else None
    model = KernelDensity((2,), bandwidth=0.7)
    model.compile()
    seen = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(dict(logs)))
    epochs = []
    history = model.fit(
        x, sample_weight=weight, validation_data=x, epochs=2, verbose=0, callbacks=[seen]
    ).history
    expected = []
    for left_out in range(20):
        rest = np.arange(20) != left_out
        others = sklearn.neighbors.KernelDensity(bandwidth=0.7)
        others.fit(x[rest], sample_weight=None if weight is None else weight[rest])
        expected.append(-others.score(x[left_out : left_out + 1]))
    expected = np.average(expected, weights=weight)
    assert history["loss"] == pytest.approx([expected] * 2, rel=1e-4)
    assert history["nll"] == history["loss"]
    assert [logs["loss"] for logs in epochs] == history["loss"]
    assert history["val_loss"][0] == pytest.approx(-float(np.mean(model.log_prob(x))), rel=1e-5)


@pytest.mark.usefixtures("untraced")
def test_the_kernel_density_is_that_of_scikit_learn():
    x = load_digits().data[:, 20:30]
    reference = sklearn.neighbors.KernelDensity(bandwidth=2.5).fit(
        x[:1000], sample_weight=1.0 + np.arange(1000)
    )
    weight = (1.0 + np.arange(1000)).astype("float32")
    model = kernel_density(x[:1000].astype("float32"), bandwidth=2.5, weight=weight)
    ours = model.log_prob(x[1000:].astype("float32"))
    np.testing.assert_allclose(ours, reference.score_samples(x[1000:]), rtol=1e-4)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_the_rules_are_those_of_scipy(rule):
    x = blobs(50, size=1)
    weight = (1.0 + np.arange(50)).astype("float32")
    model = kernel_density(x, bandwidth=rule, weight=weight)
    reference = scipy.stats.gaussian_kde(x[:, 0], bw_method=rule, weights=weight)
    np.testing.assert_allclose(model.bandwidths(), np.sqrt(reference.covariance[0]), rtol=1e-5)
    np.testing.assert_allclose(model.log_prob(x), reference.logpdf(x[:, 0]), rtol=1e-4, atol=1e-5)
    # Of several dimensions each has its own, with the exponent of all.
    x = blobs(50, size=3)
    factor = 50.0 ** (-1 / 7) if rule == "scott" else (50.0 * 5 / 4) ** (-1 / 7)
    bandwidths = kernel_density(x, bandwidth=rule).bandwidths()
    np.testing.assert_allclose(bandwidths, x.std(axis=0, ddof=1) * factor, rtol=1e-4)


@pytest.mark.usefixtures("untraced")
def test_blocks_of_points_do_not_matter(monkeypatch):
    x = blobs(50)
    whole = kernel_density(x, bandwidth=0.3)
    expected = whole.log_prob(x)
    monkeypatch.setattr(kernels, "_POINTS_PER_PASS", 7)
    np.testing.assert_allclose(kernel_density(x, bandwidth=0.3).log_prob(x), expected, rtol=1e-5)
    # Far from the origin and between narrow kernels nothing is lost.
    far = kernel_density(x + 1000.0, bandwidth=1e-2)
    near = kernel_density((x + 1000.0) - 1000.0, bandwidth=1e-2)
    np.testing.assert_allclose(far.log_prob(x + 1000.0), near.log_prob((x + 1000.0) - 1000.0), rtol=1e-4)
    np.testing.assert_allclose(whole.distribution().log_prob(x), expected, rtol=1e-3, atol=1e-3)
