"""Files, exports, singular data, and errors that say what to do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.models.mixtures import BernoulliMixture, GaussianMixture, KernelDensity
from keras_genmod.models.mixtures.starts import k_means_plus_plus
from tests.models.mixtures.tiny import bits, blobs


def gaussian(**options):
    model = GaussianMixture((2,), **{"num_components": 3, "seed": 0, **options})
    model.compile()
    return model


def bernoulli(**options):
    model = BernoulliMixture((6,), **{"num_components": 3, "seed": 0, **options})
    model.compile()
    return model


def kernel(**options):
    model = KernelDensity((2,), **options)
    model.compile()
    return model


def data_of(model):
    return bits() if model.event_shape == (6,) else blobs()


# ---- files and exports ----------------------------------------------------------------------------


def saved_and_loaded(build, folder):
    """A trained model, after its file was seen to give the same numbers."""
    model = build()
    x = data_of(model)
    model.fit(x, verbose=0)
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded.log_prob(x), model.log_prob(x))
    np.testing.assert_array_equal(loaded.sample(3, seed=1), model.sample(3, seed=1))
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.log_prob(x))
    return model


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "build", [gaussian, lambda: gaussian(covariance="diagonal", method="online_em"), bernoulli]
)
def test_files_have_the_numbers_of_the_model(build, tmp_path):
    saved_and_loaded(build, tmp_path)


def test_files_and_exports_have_the_numbers_of_the_kernel_density(tmp_path):
    model = saved_and_loaded(kernel, tmp_path)
    model.export(tmp_path / "1")
    differences = kg.serving.verify(tmp_path / "1")
    assert set(differences) == set(model.endpoints())
    assert max(differences.values()) < 1e-4


@pytest.mark.usefixtures("untraced")
def test_a_kernel_density_takes_new_points():
    model = kernel(bandwidth=0.5)
    first, second = blobs(10, seed=1), blobs(25, seed=2)
    model.fit(first, verbose=0)
    before = model.log_prob(second)
    logs = model.fit(second, validation_data=first, verbose=0).history
    assert model.num_points == 25 and len(model.weights) == 5
    np.testing.assert_array_equal(model.points(), second)
    assert np.max(np.abs(model.log_prob(second) - before)) > 0.1
    assert logs["val_nll"][0] == pytest.approx(-float(np.mean(model.log_prob(first))), rel=1e-5)
    again = kernel(bandwidth=0.5)
    again.fit(tf.data.Dataset.from_tensor_slices(second).batch(4), verbose=0)
    np.testing.assert_array_equal(again.log_prob(first), model.log_prob(first))


def test_a_kernel_density_on_replicas(strategy):
    with strategy.scope():
        model = kernel(bandwidth=0.5)
    model.fit(blobs(), validation_data=blobs(19, seed=1), batch_size=8, verbose=0)
    one = kernel(bandwidth=0.5)
    one.fit(blobs(), verbose=0)
    value = model.evaluate(blobs(19, seed=1), batch_size=8, verbose=0)[0]
    assert value == pytest.approx(-float(np.mean(one.log_prob(blobs(19, seed=1)))), rel=1e-5)


@pytest.mark.slow
def test_a_mixture_is_exported_from_replicas(strategy, tmp_path):
    """As another mixture is in tests/contract."""
    with strategy.scope():
        model = gaussian()
    model.fit(blobs(), batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.log_prob(blobs()), model.log_prob(blobs()))
    model.export(tmp_path / "1")
    assert max(kg.serving.verify(tmp_path / "1").values()) < 1e-4


# ---- starts ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("untraced")
def test_the_start_depends_on_the_seed_alone():
    first, second, other = gaussian(), gaussian(), gaussian(seed=5)
    first.initialize(blobs())
    second.fit(tf.data.Dataset.from_tensor_slices(blobs()).batch(8), epochs=0, verbose=0)
    other.initialize(blobs())
    np.testing.assert_array_equal(first.means(), second.means())
    assert np.max(np.abs(first.means() - other.means())) > 1e-3


def test_the_start_finds_groups_that_lie_apart():
    places = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0], [100.0, 100.0]])
    x = np.repeat(places, 25, axis=0) + np.random.default_rng(0).normal(size=(100, 2))
    for seed in range(5):
        rows, labels = k_means_plus_plus(x, 4, np.random.default_rng(seed))
        assert sorted(rows // 25) == [0, 1, 2, 3]
        assert [len(set(labels[group])) for group in np.arange(100).reshape(4, 25)] == [1, 1, 1, 1]
    weight = np.repeat([0.0, 1.0], 50)
    rows, _ = k_means_plus_plus(x, 10, np.random.default_rng(0), weight)
    assert rows.min() >= 50 and len(set(rows)) == 10


@pytest.mark.usefixtures("untraced")
def test_parameters_that_are_set_are_where_training_starts():
    model = gaussian(covariance="spherical")
    means = np.array([[0.0, 0.0], [50.0, 50.0], [-50.0, 50.0]])
    model.set_parameters(mixing_weights=np.full(3, 1 / 3), means=means, covariances=np.ones(3))
    model.fit(blobs(), epochs=2, verbose=0)
    # No example is near them: two components are empty, and keep their places.
    taken = int(np.argmax(model.mixing_weights()))
    rest = [k for k in range(3) if k != taken]
    np.testing.assert_array_equal(model.means().numpy()[rest], means[rest])
    np.testing.assert_array_equal(model.covariances().numpy()[rest], 1.0)
    assert np.all(np.isfinite(model.log_prob(blobs())))


# ---- singular data --------------------------------------------------------------------------------


def singular_data():
    constant = np.concatenate([blobs(40), np.full((40, 1), 3.0, "float32")], axis=1)
    return {
        "a constant column": constant,
        "copies": np.repeat(constant[:4], 10, axis=0),
        "one point": np.repeat(constant[:1], 40, axis=0),
        "large and far": constant * 1e4,
    }


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    ("covariance", "name", "regularization"),
    [
        ("full", "a constant column", 1e-6),
        ("full", "large and far", 1e-6),
        ("full", "one point", 0.0),
        ("tied", "a constant column", 0.0),
        ("diagonal", "a constant column", 1e-6),
        ("diagonal", "copies", 0.0),
        ("spherical", "one point", 0.0),
    ],
)
def test_singular_covariances_are_regularised_with_a_warning(covariance, name, regularization):
    x = singular_data()[name]
    model = GaussianMixture(
        (3,), num_components=4, covariance=covariance, covariance_regularization=regularization, seed=0
    )
    model.compile()
    with pytest.warns(UserWarning, match="no extent.*covariance_regularization"):
        history = model.fit(x, epochs=5, verbose=0).history
    for value in (model.means(), model.covariances(), model.mixing_weights(), model.log_prob(x)):
        assert np.all(np.isfinite(value))
    assert np.all(np.isfinite(history["nll"]))
    if covariance == "diagonal" and regularization:
        # The regularization is all the variance that a constant has.
        np.testing.assert_allclose(model.covariances()[:, 2], regularization, rtol=1e-3)


@pytest.mark.usefixtures("untraced")
@pytest.mark.filterwarnings("ignore:A component of")
def test_online_training_and_gradients_stay_finite_on_singular_data():
    x = singular_data()["copies"]
    for method in ("online_em", "gradient"):
        model = GaussianMixture((3,), num_components=4, method=method, seed=0)
        model.compile()
        model.fit(x, epochs=3, batch_size=8, verbose=0)
        assert np.all(np.isfinite(model.log_prob(x)))
    model = bernoulli(pseudo_count=0.0, num_components=6)
    model.fit(np.repeat(np.eye(6, dtype="float32")[:2], 10, axis=0), epochs=5, verbose=0)
    assert np.all(np.isfinite(model.log_prob(np.ones((1, 6)))))


@pytest.mark.usefixtures("untraced")
def test_a_rule_for_the_bandwidth_warns_of_constant_columns():
    x = singular_data()["a constant column"]
    model = KernelDensity((3,))
    model.compile()
    with pytest.warns(UserWarning, match="1 of 3 dimensions are constant"):
        model.fit(x, verbose=0)
    assert np.all(np.isfinite(model.log_prob(x)))


# ---- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: gaussian(num_components=0), "num_components.*at least 1.*received 0"),
        (lambda: gaussian(covariance="round"), "covariance.*'full'.*'spherical'.*received 'round'"),
        (lambda: gaussian(covariance_regularization=-1.0), "covariance_regularization.*at least 0"),
        (lambda: gaussian(method="vb"), "method.*'em'.*'gradient'.*received 'vb'"),
        (lambda: gaussian(step_exponent=0.5), "step_exponent.*above 0.5"),
        (lambda: gaussian(num_classes=3), "not conditional.*num_classes=3.*per class"),
        (lambda: bernoulli(condition_shape=(2,)), "not conditional.*condition_shape"),
        (lambda: bernoulli(pseudo_count=-0.1), "pseudo_count.*at least 0"),
        (lambda: kernel(bandwidth=0.0), "bandwidth.*above 0.*received 0"),
        (lambda: kernel(bandwidth="wide"), "bandwidth.*'scott'.*received 'wide'"),
        (lambda: kernel(num_classes=3), "not conditional"),
    ],
)
def test_arguments(build, words):
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    ("build", "x", "words"),
    [
        (gaussian, blobs(size=3), r"\[batch, 2\].*\(60, 3\)"),
        (gaussian, np.full((5, 2), np.nan), "finite"),
        (gaussian, blobs(2), "3 components.*received 2.*num_components"),
        (gaussian, tf.data.Dataset.from_tensor_slices(blobs(2)).batch(1), "3 components.*received 2"),
        (bernoulli, bits() * 0.5, "fractions.*[Bb]inarise"),
        (bernoulli, bits() * 2.0, r"integers in \[0, 1\].*[Bb]inarise"),
        (kernel, blobs(size=3), r"\[batch, 2\]"),
        (kernel, blobs(1), "two examples"),
        (kernel, tf.data.Dataset.from_tensors(blobs(4)).repeat(), "endless"),
    ],
)
def test_data(build, x, words):
    model = build()
    before = model.get_weights()
    with pytest.raises(ValueError, match=words):
        model.fit(x, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.usefixtures("untraced")
def test_generators_cannot_start_a_mixture():
    def batches():
        while True:
            yield (blobs(),)

    for model in (gaussian(), kernel(bandwidth=1.0)):
        with pytest.raises(ValueError, match="iterated"):
            model.fit(batches(), steps_per_epoch=1, verbose=0)
    model = gaussian()
    model.initialize(blobs())
    model.fit(batches(), steps_per_epoch=1, verbose=0)


@pytest.mark.usefixtures("untraced")
def test_weights_and_conditions():
    with pytest.raises(ValueError, match="above 0.*received 2"):
        gaussian().fit(blobs(), sample_weight=(np.arange(60) < 2).astype("float32"), verbose=0)
    with pytest.raises(ValueError, match="must not be negative"):
        gaussian().initialize(blobs(), sample_weight=np.full(60, -1.0))
    with pytest.raises(ValueError, match="above 0"):
        kernel().fit(blobs(), sample_weight=np.zeros(60, "float32"), verbose=0)
    with pytest.raises(ValueError, match="unconditional"):
        gaussian().fit(blobs(), np.zeros(60, int), verbose=0)
    model = gaussian()
    model.initialize(blobs())
    with pytest.raises(ValueError, match="unconditional"):
        model.responsibilities(blobs(), condition=1)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: kernel(bandwidth=1.0), "KernelDensity.*Call `fit`"),
        # Room for points, without the points.
        (lambda: kernel(bandwidth=1.0, num_points=3), "KernelDensity.*Call `fit`"),
        (gaussian, "GaussianMixture.*Call `fit`.*initialize"),
        (lambda: gaussian(method="online_em"), "GaussianMixture.*Call `fit`"),
        (lambda: gaussian(method="gradient"), "GaussianMixture.*Call `fit`"),
        (bernoulli, "BernoulliMixture.*Call `fit`"),
    ],
)
def test_questions_before_fit_are_refused(build, words, tmp_path):
    model = build()
    x = data_of(model)
    questions = [
        lambda: model.log_prob(x),
        lambda: model(x),
        lambda: model.bits_per_dim(x),
        lambda: model.anomaly_score(x),
        lambda: model.sample(2),
        lambda: model.predict(x, verbose=0),
        lambda: model.evaluate(x, verbose=0),
        lambda: model.export(tmp_path / "1"),
        model.distribution,
        model.endpoints,
    ]
    names = ("means", "covariances", "probs", "mixing_weights", "points", "bandwidths")
    questions += [getattr(model, name) for name in names if hasattr(model, name)]
    if hasattr(model, "responsibilities"):
        questions += [lambda: model.responsibilities(x), lambda: model.predict_component(x)]
        questions += [lambda: model.bic(x), lambda: model.aic(x)]
    for question in questions:
        with pytest.raises(RuntimeError, match=words):
            question()
    # An unfitted model is saved as such; weights that are loaded or set are those of a fitted one.
    if getattr(model, "num_points", 1) is None:
        return
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    with pytest.raises(RuntimeError, match=words):
        loaded.log_prob(x)
    model.fit(x[:3], verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    loaded.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(loaded.log_prob(x), model.log_prob(x))


def test_parameters():
    def set_gaussian(covariance="full", **changed):
        values = {"mixing_weights": [0.5, 0.5], "means": np.zeros((2, 2)), "covariances": [np.eye(2)] * 2}
        model = GaussianMixture((2,), num_components=2, covariance=covariance)
        model.set_parameters(**{**values, **changed})

    set_gaussian()
    # Symmetric as float32 products are: to the rounding of what was added up.
    almost = np.array([[4.0, 1e-9], [3e-8, 2.0]])
    set_gaussian(covariances=[almost, almost])
    for changed, words in [
        ({"mixing_weights": [0.5, 0.6]}, "sum to 1.*1.1"),
        ({"mixing_weights": [1.5, -0.5]}, "at least 0"),
        ({"mixing_weights": [1.0]}, r"shape \(2,\).*\(1,\)"),
        ({"means": np.zeros((3, 2))}, "each of the 2 components.*received 3"),
        ({"means": np.zeros((2, 3))}, r"\[batch, 2\]"),
        ({"covariances": np.ones((2, 2))}, r"shape \(2, 2, 2\)"),
        ({"covariances": [np.eye(2), -np.eye(2)]}, "positive definite"),
        ({"covariances": [np.eye(2), [[1.0, 0.5], [0.0, 1.0]]]}, "symmetric"),
        ({"covariance": "spherical", "covariances": [1.0, 0.0]}, "positive"),
    ]:
        with pytest.raises(ValueError, match=words):
            set_gaussian(**changed)
    with pytest.raises(ValueError, match=r"probs.*\[0, 1\].*probabilities"):
        bernoulli().set_parameters(mixing_weights=np.full(3, 1 / 3), probs=np.full((3, 6), 1.5))
