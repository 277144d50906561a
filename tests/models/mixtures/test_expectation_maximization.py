"""One epoch is one iteration of EM, and it is the one that the book describes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.models.mixtures import BernoulliMixture, GaussianMixture
from tests.models.mixtures.tiny import COVARIANCES, bits, blobs, covariances_of, full_covariances

pytestmark = pytest.mark.filterwarnings("ignore:A component of")


def gaussian(covariance="full", num_components=3, x=None, **options):
    size = 2 if x is None else x.shape[1]
    model = GaussianMixture((size,), num_components=num_components, covariance=covariance, seed=1, **options)
    model.compile()
    return model


def bernoulli(num_components=3, **options):
    model = BernoulliMixture((6,), num_components=num_components, seed=1, **options)
    model.compile()
    return model


MODELS = {
    **{name: (lambda name=name, **options: gaussian(name, **options)) for name in COVARIANCES},
    "bernoulli": lambda **options: bernoulli(pseudo_count=0.0, **options),
}


def data_of(model, num_rows=60, seed=0):
    return bits(num_rows, seed=seed) if model.event_shape == (6,) else blobs(num_rows, seed=seed)


def parameters(model):
    names = ("probs",) if isinstance(model, BernoulliMixture) else ("means", "covariances")
    return [model.mixing_weights().numpy(), *(getattr(model, name)().numpy() for name in names)]


def largest_difference(first, second):
    return max(np.max(np.abs(a - b)) for a, b in zip(parameters(first), parameters(second), strict=True))


def normal_density(x, mean, covariance):
    difference = x - mean
    exponent = -0.5 * np.einsum("nd,de,ne->n", difference, np.linalg.inv(covariance), difference)
    return np.exp(exponent) / np.sqrt(np.linalg.det(2 * np.pi * covariance))


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_an_epoch_is_the_iteration_of_the_book(covariance):
    x = blobs(20).astype("float64")
    weights, means = np.array([0.2, 0.5, 0.3]), x[[3, 7, 11]]
    given = covariances_of(covariance, 3, 2)
    model = gaussian(covariance, covariance_regularization=0.01)
    model.set_parameters(mixing_weights=weights, means=means, covariances=given)

    matrices = full_covariances(covariance, given, 3, 2)
    joint = np.stack(
        [w * normal_density(x, m, c) for w, m, c in zip(weights, means, matrices, strict=True)], axis=1
    )
    shares = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.log_prob(x), np.log(joint.sum(axis=1)), rtol=1e-6)
    np.testing.assert_allclose(model.responsibilities(x), shares, atol=1e-6)

    logs = model.fit(x.astype("float32"), epochs=1, batch_size=7, verbose=0).history
    assert logs["nll"] == logs["loss"]
    assert logs["nll"][0] == pytest.approx(-np.log(joint.sum(axis=1)).mean(), rel=1e-6)
    counts = shares.sum(axis=0)
    new_means = shares.T @ x / counts[:, None]
    scatter = np.stack([((x - m) * r[:, None]).T @ (x - m) for m, r in zip(new_means, shares.T, strict=True)])
    own = scatter / counts[:, None, None]
    expected = {
        "full": own + 0.01 * np.eye(2),
        "tied": scatter.sum(axis=0) / 20 + 0.01 * np.eye(2),
        "diagonal": np.diagonal(own, axis1=1, axis2=2) + 0.01,
        "spherical": np.diagonal(own, axis1=1, axis2=2).mean(axis=1) + 0.01,
    }[covariance]
    np.testing.assert_allclose(model.mixing_weights(), counts / 20, rtol=1e-6)
    np.testing.assert_allclose(model.means(), new_means, rtol=1e-6)
    np.testing.assert_allclose(model.covariances(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("untraced")
def test_an_epoch_of_the_bernoulli_mixture_by_hand():
    """Three examples of two variables, with pseudo-counts."""
    x = np.array([[1, 1], [1, 0], [0, 0]], "float32")
    probs = np.array([[0.8, 0.5], [0.25, 0.5]])
    model = BernoulliMixture((2,), num_components=2, pseudo_count=0.5)
    model.compile()
    model.set_parameters(mixing_weights=[0.5, 0.5], probs=probs)
    # p(x, k): the second variable does not tell the components apart.
    first = np.array([0.8 / 1.05, 0.8 / 1.05, 0.2 / 0.95])
    np.testing.assert_allclose(model.responsibilities(x)[:, 0], first, rtol=1e-5)
    np.testing.assert_allclose(np.exp(model.log_prob(x)), [0.2625, 0.2625, 0.2375], rtol=1e-5)
    model.fit(x, epochs=1, verbose=0)
    counts = np.array([first.sum(), 3 - first.sum()])
    ones = np.array([[first[0] + first[1], first[0]], [2 - first[0] - first[1], 1 - first[0]]])
    np.testing.assert_allclose(model.mixing_weights(), counts / 3, rtol=1e-5)
    np.testing.assert_allclose(model.probs(), (ones + 0.5) / (counts[:, None] + 1.0), rtol=1e-5)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("name", MODELS)
def test_the_likelihood_never_falls(name):
    model = MODELS[name](
        num_components=4, **({} if name == "bernoulli" else {"covariance_regularization": 0.0})
    )
    x = data_of(model)
    weight = np.random.default_rng(3).uniform(0.0, 2.0, len(x)).astype("float32")
    history = model.fit(x, sample_weight=weight, epochs=20, verbose=0).history["nll"]
    assert np.max(np.diff(history)) < 2e-6 * abs(history[0])
    assert history[0] - history[-1] > 0.01


@pytest.mark.usefixtures("untraced")
def test_with_pseudo_counts_the_posterior_never_falls():
    model = bernoulli(pseudo_count=1.0)
    x, values = bits(), []

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            probs = self.model.probs().numpy().astype("float64")
            prior = np.sum(np.log(probs) + np.log1p(-probs))
            values.append(float(np.sum(np.asarray(self.model.log_prob(x), "float64")) + prior))

    model.fit(x, epochs=20, verbose=0, callbacks=[Note()])
    assert np.min(np.diff(values)) > -1e-4
    assert values[-1] - values[0] > 0.1


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("name", ["full", "bernoulli"])
def test_batches_and_their_order_do_not_matter(name):
    whole, parts = MODELS[name](), MODELS[name]()
    whole.fit(data_of(whole), epochs=2, verbose=0)
    parts.fit(data_of(parts), epochs=2, batch_size=13, shuffle=True, verbose=0)
    assert int(parts.training_steps) == 5 * int(whole.training_steps)
    assert largest_difference(whole, parts) < 5e-6


@pytest.mark.parametrize(
    "name",
    ["diagonal", *(pytest.param(name, marks=pytest.mark.slow) for name in ("full", "bernoulli"))],
)
def test_chunks_of_a_batch_do_not_matter(name, monkeypatch):
    whole, cut = MODELS[name](), MODELS[name]()
    whole.fit(data_of(whole, 61), epochs=2, verbose=0)
    # 61 rows in 11 chunks of 6, with 5 rows that count for nothing.
    monkeypatch.setattr(type(cut), "_temporary_per_row", lambda self: 2**21 // 6)
    cut.fit(data_of(cut, 61), epochs=2, verbose=0)
    assert largest_difference(whole, cut) < 5e-6


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("name", ["tied", "spherical", "bernoulli"])
def test_a_weight_of_two_counts_like_the_example_twice(name):
    weighted, repeated = MODELS[name](), MODELS[name]()
    x = data_of(weighted, 30)
    for model in (weighted, repeated):
        model.initialize(x)
    weight = np.arange(30) % 3
    weighted.fit(x, sample_weight=weight.astype("float32"), epochs=3, verbose=0)
    repeated.fit(np.repeat(x, weight, axis=0), epochs=3, verbose=0)
    assert largest_difference(weighted, repeated) < 5e-6


@pytest.mark.parametrize(
    ("build", "method"),
    [
        (gaussian, "em"),
        (gaussian, "online_em"),
        # Exact EM of a Bernoulli mixture stands in tests/contract.
        pytest.param(bernoulli, "em", marks=pytest.mark.slow),
    ],
)
def test_replicas_equal_one_device(build, method, strategy):
    results = []
    for scope in (tf.distribute.get_strategy(), strategy):
        with scope.scope():
            model = build(method=method)
        x = data_of(model, 19)
        history = model.fit(x, validation_data=x, epochs=3, batch_size=8, verbose=0)
        results.append((model, history.history))
    (one, logs), (two, others) = results
    assert largest_difference(one, two) < 5e-6
    for name in ("nll", "val_nll"):
        np.testing.assert_allclose(others[name], logs[name], rtol=1e-5)


@pytest.mark.usefixtures("untraced")
def test_the_m_step_comes_before_validation_and_other_callbacks():
    model = gaussian()
    x, seen = blobs(), []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(-float(np.mean(self.model.log_prob(x))))

    logs = model.fit(x, epochs=3, verbose=0, callbacks=[Look()]).history
    np.testing.assert_allclose(seen[:-1], logs["nll"][1:], rtol=1e-5)
    seen.clear()
    logs = model.fit(x, validation_data=x, epochs=3, verbose=0, callbacks=[Look()]).history
    np.testing.assert_allclose(seen, logs["val_nll"], rtol=1e-5)
    np.testing.assert_allclose(logs["nll"][1:], logs["val_nll"][:-1], rtol=1e-5)


@pytest.mark.slow
def test_several_steps_per_execution_are_the_same_steps():
    """Those of another mixture are in tests/contract."""
    one, many = gaussian(), gaussian()
    many.compile(steps_per_execution=3)
    for model in (one, many):
        model.fit(blobs(), batch_size=8, epochs=2, verbose=0)
    assert largest_difference(one, many) < 1e-9
    assert int(many.training_steps) == 16


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    ("build", "method"),
    [(gaussian, "em"), (gaussian, "online_em"), (bernoulli, "em"), (bernoulli, "online_em")],
)
def test_a_file_in_the_middle_continues_exactly(build, method, tmp_path):
    whole, half = build(method=method), build(method=method)
    x = data_of(whole)
    whole.fit(x, epochs=2, batch_size=16, verbose=0)
    half.fit(x, epochs=1, batch_size=16, verbose=0)
    assert largest_difference(whole, half) > 1e-4
    half.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras", safe_mode=True)
    loaded.fit(x, initial_epoch=1, epochs=2, batch_size=16, verbose=0)
    assert largest_difference(whole, loaded) == 0.0


@pytest.mark.usefixtures("untraced")
def test_an_epoch_that_was_interrupted_leaves_no_trace():
    whole, interrupted = gaussian(), gaussian()

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    for model in (whole, interrupted):
        model.initialize(blobs())
    before = parameters(interrupted)
    interrupted.fit(blobs(), batch_size=16, verbose=0, callbacks=[Stop()])
    for old, new in zip(before, parameters(interrupted), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(blobs(), batch_size=16, verbose=0, callbacks=[Interrupt()])
    for model in (whole, interrupted):
        model.fit(blobs(), batch_size=16, verbose=0)
    assert largest_difference(whole, interrupted) == 0.0


@pytest.mark.usefixtures("untraced")
def test_online_steps_move_averages_by_their_rate():
    x = blobs(12).astype("float64")
    model = gaussian("diagonal", method="online_em", step_exponent=0.8, covariance_regularization=0.0)
    model.initialize(x)
    weights, means, variances = parameters(model)
    shares = np.asarray(model.responsibilities(x), "float64")
    model.fit(x.astype("float32"), batch_size=12, epochs=1, verbose=0)
    rate = 2.0**-0.8
    counts = (1 - rate) * weights + rate * shares.mean(axis=0)
    sums = (1 - rate) * weights[:, None] * means + rate * shares.T @ x / 12
    squares = (1 - rate) * weights[:, None] * (variances + means**2) + rate * shares.T @ x**2 / 12
    np.testing.assert_allclose(model.mixing_weights(), counts, rtol=1e-5)
    np.testing.assert_allclose(model.means(), sums / counts[:, None], rtol=1e-5)
    expected = squares / counts[:, None] - (sums / counts[:, None]) ** 2
    np.testing.assert_allclose(model.covariances(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        MODELS["full"],
        lambda **o: bernoulli(pseudo_count=2.0, **o),
        pytest.param(MODELS["bernoulli"], marks=pytest.mark.slow),
    ],
)
def test_online_em_comes_close_to_exact_em(build):
    exact, online = build(), build(method="online_em")
    x = data_of(exact, 120)
    for model in (exact, online):
        model.initialize(x)
    start = exact.evaluate(x, verbose=0)[0]
    exact.fit(x, epochs=30, verbose=0)
    online.fit(x, epochs=30, batch_size=20, verbose=0)
    least, reached = exact.evaluate(x, verbose=0)[0], online.evaluate(x, verbose=0)[0]
    assert reached - least < 0.1 * (start - least) + 0.02


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "name",
    [
        *("full", "spherical", "bernoulli"),
        # Scales are made free as those of full and of spherical covariances are.
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("tied", "diagonal")),
    ],
)
def test_where_em_ends_no_gradient_is_left(name):
    options = {} if name == "bernoulli" else {"covariance_regularization": 0.0}
    exact, other = MODELS[name](**options), MODELS[name](method="gradient", **options)
    x = data_of(exact)

    def slope(model):
        weights, *values = parameters(model)
        names = ["probs"] if name == "bernoulli" else ["means", "covariances"]
        other.set_parameters(mixing_weights=weights, **dict(zip(names, values, strict=True)))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(other.loss_terms(tf.constant(x))["nll"])
        assert float(loss) == pytest.approx(-float(np.mean(model.log_prob(x))), rel=1e-5)
        gradients = tape.gradient(loss, [weight.value for weight in other.trainable_weights])
        return max(float(tf.reduce_max(tf.abs(gradient))) for gradient in gradients)

    exact.initialize(x)
    before = slope(exact)
    exact.fit(x, epochs=40, verbose=0)
    assert slope(exact) < 0.02 * before


@pytest.mark.usefixtures("untraced")
def test_training_by_gradients_starts_at_the_parameters_that_are_set():
    for covariance in COVARIANCES:
        model = gaussian(covariance, method="gradient")
        given = covariances_of(covariance, 3, 2)
        means = np.array([[0.0, 1.0], [2.0, -1.0], [5.0, 3.0]])
        model.set_parameters(mixing_weights=[0.2, 0.3, 0.5], means=means, covariances=given)
        np.testing.assert_allclose(model.covariances(), given, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(model.mixing_weights(), [0.2, 0.3, 0.5], rtol=1e-5)
        assert len(model.trainable_weights) == 3
        assert not gaussian(covariance).trainable_weights
