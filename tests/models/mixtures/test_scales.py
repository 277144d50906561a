"""Narrow components far from others, units of the dimensions and of the weights: nothing is lost by them."""

import warnings

import numpy as np
import pytest
import sklearn.mixture
import tensorflow as tf

from keras_genmod.models.mixtures import BernoulliMixture, GaussianMixture, covariances
from keras_genmod.models.mixtures.gaussian_mixture import _COVARIANCES
from keras_genmod.models.mixtures.starts import k_means_plus_plus
from tests.models.mixtures.tiny import COVARIANCES, bits, blobs, covariances_of, full_covariances

WEIGHTS = np.array([0.4, 0.6])


def narrow_and_far(distance, num_rows=40):
    """A component of deviation 1e-3 about 0, and one far away that float32 still resolves."""
    generator = np.random.default_rng(0)
    means = np.array([[0.0, 0.0], [distance, -distance]])
    deviations = np.array([1e-3, max(1.0, 1e-5 * distance)])
    labels = np.arange(num_rows) % 2
    x = means[labels] + generator.normal(size=(num_rows, 2)) * deviations[labels][:, None]
    return x.astype("float32"), means, deviations


def scaled_covariances(covariance, deviations):
    """Those of `tiny` in units of each component; tied ones in those of the first."""
    squares = np.square(deviations[0] if covariance == "tied" else deviations)
    given = covariances_of(covariance, 2, 2)
    return given * np.reshape(squares, np.shape(squares) + (1,) * (given.ndim - np.ndim(squares)))


def log_joint(x, weights, means, matrices):
    """log p(x, k) from differences, in float64."""
    x, columns = x.astype("float64"), []
    for weight, mean, matrix in zip(weights, means, matrices, strict=True):
        white = np.linalg.solve(np.linalg.cholesky(matrix), (x - mean).T)
        log_det = np.linalg.slogdet(2.0 * np.pi * matrix)[1]
        columns.append(np.log(weight) - 0.5 * (np.sum(white**2, axis=0) + log_det))
    return np.stack(columns, axis=1)


def iterate(x, covariance, weights, means, matrices):
    """One iteration of EM about each new mean; log-densities before it."""
    joint = log_joint(x, weights, means, matrices)
    log_prob = np.logaddexp.reduce(joint, axis=1)
    shares = np.exp(joint - log_prob[:, None])
    counts = shares.sum(axis=0)
    # About the old means: the sums have the digits of the component then.
    means = np.stack([m + r @ (x - m) / n for m, r, n in zip(means, shares.T, counts, strict=True)])
    scatter = np.stack([((x - m) * r[:, None]).T @ (x - m) for m, r in zip(means, shares.T, strict=True)])
    own = scatter / counts[:, None, None]
    matrices = {
        "full": own,
        "tied": np.stack([scatter.sum(axis=0) / len(x)] * 2),
        "diagonal": own * np.eye(2),
        "spherical": np.trace(own, axis1=1, axis2=2)[:, None, None] / 2.0 * np.eye(2),
    }[covariance]
    return log_prob, counts / len(x), means, matrices


# ---- far from other components --------------------------------------------------------------------


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("distance", [1e2, 1e5, 1e9])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_densities_keep_their_digits_whatever_the_distance(covariance, distance):
    x, means, deviations = narrow_and_far(distance)
    for method in ("em", "gradient"):
        model = GaussianMixture(
            (2,), num_components=2, covariance=covariance, method=method, covariance_regularization=0.0
        )
        given = scaled_covariances(covariance, deviations)
        model.set_parameters(mixing_weights=WEIGHTS, means=means, covariances=given)
        # Parameters that gradients move are float32: the density is that of what they are.
        values = [np.asarray(part, "float64") for part in (model.means(), model.covariances())]
        np.testing.assert_allclose(values[1], given, rtol=1e-5, atol=1e-5 * np.square(deviations).min())
        joint = log_joint(x, WEIGHTS, values[0], full_covariances(covariance, values[1], 2, 2))
        # The result is float32.
        np.testing.assert_allclose(
            model.log_prob(x), np.logaddexp.reduce(joint, axis=1), rtol=1e-6, atol=1e-6
        )
        np.testing.assert_array_equal(np.argmax(model.responsibilities(x), axis=1), np.arange(40) % 2)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("distance", [1e4, 1e9])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_em_keeps_its_digits_whatever_the_distance(covariance, distance):
    x, means, deviations = narrow_and_far(distance)
    model = GaussianMixture((2,), num_components=2, covariance=covariance, covariance_regularization=0.0)
    model.compile()
    start = scaled_covariances(covariance, deviations)
    model.set_parameters(mixing_weights=WEIGHTS, means=means, covariances=start)
    state = WEIGHTS, means, full_covariances(covariance, start, 2, 2)
    expected = []
    for _ in range(3):
        log_prob, *state = iterate(x.astype("float64"), covariance, *state)
        expected.append(-log_prob.mean())
    logs = model.fit(x, epochs=3, batch_size=16, verbose=0).history
    np.testing.assert_allclose(logs["nll"], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(model.mixing_weights(), state[0], rtol=1e-6)
    # A mean is known to a share of its deviation, and to the rounding of float64.
    for mean, reference, deviation in zip(model.means().numpy(), state[1], deviations, strict=True):
        np.testing.assert_allclose(mean, reference, rtol=1e-15, atol=1e-6 * deviation)
    found = full_covariances(covariance, model.covariances().numpy(), 2, 2)
    for matrix, reference in zip(found, state[2], strict=True):
        np.testing.assert_allclose(matrix, reference, rtol=1e-6, atol=1e-6 * np.abs(reference).max())


@pytest.mark.parametrize("method", ["em", "online_em"])
def test_a_narrow_cluster_is_found_beside_a_far_one(method):
    """scikit-learn's full covariances are taken by differences."""
    x, means, deviations = narrow_and_far(1e5, 400)
    model = GaussianMixture((2,), num_components=2, method=method, covariance_regularization=0.0, seed=0)
    model.compile()
    if method == "online_em":
        # Each step sees all: 30 forget all but a thousandth, the product of 1 - (t + 2)^-0.6, of this start.
        start = scaled_covariances("full", deviations)
        model.set_parameters(mixing_weights=WEIGHTS, means=means, covariances=start)
    model.fit(x, epochs=5 if method == "em" else 30, batch_size=400, verbose=0)
    reference = sklearn.mixture.GaussianMixture(2, reg_covar=0.0, random_state=0).fit(x.astype("float64"))
    order = np.argsort(reference.means_[:, 0])
    narrow = int(np.argmin(np.abs(model.means().numpy()[:, 0])))
    tolerance = 1e-6 if method == "em" else 1e-2
    np.testing.assert_allclose(
        model.covariances()[narrow], reference.covariances_[order[0]], rtol=tolerance, atol=tolerance * 1e-6
    )
    score = np.mean(np.asarray(model.log_prob(x), "float64"))
    assert score == pytest.approx(reference.score(x.astype("float64")), abs=1e-3)


@pytest.mark.parametrize(
    "covariance",
    # One by a triangular matrix, one by deviations: XLA takes two seconds for each.
    ["full", "spherical", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tied", "diagonal"))],
)
def test_gradients_keep_their_digits_whatever_the_distance(covariance):
    x, means, deviations = narrow_and_far(1e6)
    model = GaussianMixture(
        (2,), num_components=2, covariance=covariance, method="gradient", covariance_regularization=0.0
    )
    given = scaled_covariances(covariance, deviations)
    model.set_parameters(mixing_weights=WEIGHTS, means=means, covariances=given)

    @tf.function(jit_compile=True)
    def slope(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.loss_terms(x)["nll"])
        return tape.gradient(loss, model._means.value)

    gradient = slope(tf.constant(x))
    # The components are so far apart that an example is of one alone.
    matrices = full_covariances(covariance, model.covariances().numpy(), 2, 2)
    for k in range(2):
        own = np.mean(model.means().numpy()[k] - x[k::2].astype("float64"), axis=0) / 2.0
        expected = np.linalg.solve(matrices[k], own)
        np.testing.assert_allclose(gradient[k], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_expansions_and_differences_are_the_same(covariance, monkeypatch):
    x = tf.constant(blobs(30), tf.float64)
    means, given = x[:3] + 0.1, tf.constant(covariances_of(covariance, 3, 2))
    responsibilities = tf.nn.softmax(x[:, :1] * [0.1, -0.2, 0.3])
    kind = _COVARIANCES[covariance](3, 2)
    scale, results = kind.scale_of(given), []
    for farthest in (np.inf, -1.0):
        monkeypatch.setattr(covariances, "_FARTHEST", farthest)
        assert bool(kind.centre_of(means, scale)[1]) == (farthest > 0)
        with tf.GradientTape() as tape:
            tape.watch((x, means, scale))
            densities = kind.densities(means, scale)(x)
            loss = tf.reduce_sum(responsibilities * densities)
        gradients = tape.gradient(loss, (x, means, scale))
        results.append([densities, *gradients, *kind.moments(means, scale)(x, responsibilities)])
    for expanded, differences in zip(*results, strict=True):
        np.testing.assert_allclose(expanded, differences, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_expansions_lose_no_digits_where_they_are_used(covariance):
    """Means just within the reach of expansions."""
    generator = np.random.default_rng(0)
    means = np.array([[-1.0, 1.0], [1.0, -1.0]]) * 0.49e5
    kind = _COVARIANCES[covariance](2, 2)
    given = {"full": np.stack([np.eye(2)] * 2), "tied": np.eye(2), "diagonal": np.ones((2, 2))}
    scale = kind.scale_of(tf.constant(given.get(covariance, np.ones(2))))
    assert bool(kind.centre_of(tf.constant(means), scale)[1])
    noise = generator.integers(-32, 32, size=(60, 2)) / 16.0
    x = means[np.arange(60) % 2] + noise
    own = np.asarray(kind.densities(tf.constant(means), scale)(tf.constant(x)))[
        np.arange(60), np.arange(60) % 2
    ]
    np.testing.assert_allclose(own, -0.5 * np.sum(noise**2, axis=1) - np.log(2.0 * np.pi), atol=1e-4)
    members = np.eye(2)[np.arange(60) % 2]
    _, second = kind.moments(tf.constant(means), scale)(tf.constant(x), tf.constant(members))
    found = kind.covariances(tf.fill([2], tf.constant(30.0, tf.float64)), second)
    products = np.stack([noise[k::2].T @ noise[k::2] / 30.0 for k in range(2)])
    expected = {
        "full": products,
        "tied": products.mean(axis=0),
        "diagonal": np.diagonal(products, axis1=1, axis2=2),
        "spherical": np.trace(products, axis1=1, axis2=2) / 2.0,
    }[covariance]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_start_tells_near_groups_apart_beside_a_far_one():
    generator = np.random.default_rng(0)
    places = np.repeat([[0.0, 0.0], [1.0, 0.0], [1e5, 0.0]], [20, 20, 2], axis=0)
    x = (places + generator.normal(size=places.shape) * 0.01).astype("float32")
    for seed in range(5):
        _, labels = k_means_plus_plus(x, 3, np.random.default_rng(seed))
        assert len({labels[0], labels[20], labels[40]}) == 3
        assert [len(set(labels[group])) for group in (slice(20), slice(20, 40), slice(40, 42))] == [1, 1, 1]


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("covariance", ["full", "tied", "diagonal"])
def test_dimensions_may_have_any_units(covariance):
    x = (blobs(50) - 10.0) * np.array([1e-6, 1e6], "float32")
    model = GaussianMixture((2,), num_components=1, covariance=covariance, covariance_regularization=0.0)
    model.compile()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(x, epochs=2, verbose=0)
    units = np.outer([1e-6, 1e6], [1e-6, 1e6])
    expected = np.cov(x.T.astype("float64"), bias=True)
    found = full_covariances(covariance, model.covariances().numpy(), 1, 2)[0]
    if covariance == "diagonal":
        expected = expected * np.eye(2)
    np.testing.assert_allclose(found / units, expected / units, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("untraced")
def test_what_float32_cannot_resolve_is_warned_of():
    noise = np.random.default_rng(0).normal(size=(200, 1))
    model = GaussianMixture((1,), num_components=1, covariance_regularization=0.0)
    model.compile()
    # About 1e6 float32 numbers lie 1/16 apart.
    with pytest.warns(UserWarning, match="rounding of the data.*Subtract"):
        model.fit((1e6 + 0.25 * noise).astype("float32"), epochs=2, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit((1e6 + 2.0 * noise).astype("float32"), epochs=2, verbose=0)


# ---- weights --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("method", ["em", "online_em"])
@pytest.mark.parametrize("family", [GaussianMixture, BernoulliMixture])
def test_a_common_factor_of_the_weights_changes_nothing(family, method):
    x = bits(40) if family is BernoulliMixture else blobs(40)
    options = {"pseudo_count": 0.0} if family is BernoulliMixture else {"covariance": "diagonal"}
    weight = np.random.default_rng(0).uniform(0.5, 1.5, 40).astype("float32")
    results = []
    # A power of two: the factor itself rounds nothing.
    for factor in (1.0, 2.0**-14):
        model = family(x.shape[1:], num_components=3, method=method, seed=0, **options)
        model.compile()
        model.initialize(x, weight * factor)
        start = model.get_weights()
        model.fit(x, sample_weight=weight * np.float32(factor), epochs=2, batch_size=20, verbose=0)
        found = model.probs() if family is BernoulliMixture else model.covariances()
        results.append([*start, model.mixing_weights(), found])
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            np.testing.assert_allclose(second, first, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("untraced")
def test_pseudo_counts_of_online_em_are_relative_to_the_data():
    """Two epochs of two batches: an epoch is so long as was seen of it, or of one before."""
    x, pseudo = bits(20), 0.7
    weight = np.random.default_rng(0).uniform(0.5, 1.5, 20).astype("float32")
    model = BernoulliMixture((6,), num_components=2, pseudo_count=pseudo, method="online_em", seed=0)
    model.compile()
    shares, probs = np.array([0.3, 0.7]), np.random.default_rng(1).uniform(0.2, 0.8, (2, 6))
    model.set_parameters(mixing_weights=shares, probs=probs)
    data = tf.data.Dataset.from_tensor_slices((x, weight)).map(lambda x, w: (x, None, w)).batch(10)
    model.fit(data, epochs=2, verbose=0)
    counts, ones, longest = shares, shares[:, None] * probs, 0.0
    for step in range(4):
        rows = slice(10) if step % 2 == 0 else slice(10, 20)
        joint = np.log(shares) + x[rows] @ np.log(probs).T + (1.0 - x[rows]) @ np.log1p(-probs).T
        joint = np.exp(joint)
        own = weight[rows, None] * joint / joint.sum(axis=1, keepdims=True)
        total, rate = weight[rows].sum(), (step + 2.0) ** -0.6
        counts = counts + rate * (own.sum(axis=0) / total - counts)
        ones = ones + rate * (own.T @ x[rows] / total - ones)
        longest = max(longest, weight[: rows.stop].sum())
        shares = counts / counts.sum()
        probs = (longest * ones + pseudo) / (longest * counts[:, None] + 2.0 * pseudo)
    np.testing.assert_allclose(model.mixing_weights(), shares, rtol=1e-5)
    np.testing.assert_allclose(model.probs(), probs, rtol=1e-5)
