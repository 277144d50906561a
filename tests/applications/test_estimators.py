"""Estimators keep scikit-learn's contract, and their figures are those of the models."""

import functools
import sys

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import keras_genmod as kg
from keras_genmod.applications import Codes, DensityEstimator
from keras_genmod.networks import dense_network
from tests.models.mixtures.tiny import blobs

mixture = functools.partial(kg.GaussianMixture, num_components=2, covariance="diagonal", seed=0)


def eager(model):
    """Without graphs, which would be traced for each of hundreds of fits."""
    model.compile(run_eagerly=True)
    return model


def kernels(event_shape, bandwidth=1.0):
    return eager(kg.KernelDensity(event_shape, bandwidth=bandwidth))


def flow(event_shape, **options):
    return eager(kg.NICE(event_shape, num_layers=2, seed=0, **options))


def two_codes(event_shape):
    # In float64: scikit-learn compares codes of other batches to 1e-7, which float32 cannot hold.
    options = {"hidden_dims": (), "seed": 0, "dtype": "float64"}
    encoder, decoder = (
        dense_network(*shapes, **options) for shapes in ((event_shape, (2,)), ((2,), event_shape))
    )
    networks = {"encoder": encoder, "decoder": decoder}
    return eager(
        kg.Autoencoder(event_shape, latent_dim=2, likelihood="gaussian", dtype="float64", **networks)
    )


class Recipe:
    """A function of the shape whose representation, and with it a test's name, holds no address."""

    def __init__(self, build):
        self.build = build

    def __call__(self, event_shape):
        return self.build(event_shape)

    def __repr__(self):
        return self.build.__name__


ESTIMATORS = [
    DensityEstimator(Recipe(kernels), epochs=1),
    Codes(Recipe(two_codes), epochs=1, batch_size=100),
]


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(ESTIMATORS)
def test_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_without_scikit_learn_the_way_out_is_told(monkeypatch):
    estimator = DensityEstimator(kernels)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sklearn.utils.validation", None)
        with pytest.raises(ImportError, match="`DensityEstimator` needs scikit-learn: `pip install scikit-l"):
            estimator.fit(blobs())
    monkeypatch.delattr("sklearn.utils.validation.validate_data")
    with pytest.raises(ImportError, match=r"needs scikit-learn 1\.6 or newer; installed is 1\."):
        estimator.fit(blobs())


def test_scores_and_samples_are_those_of_the_model():
    x = blobs(60)
    estimator = DensityEstimator(mixture, epochs=5).fit(x)
    model = mixture((2,))
    model.compile()
    history = model.fit(x, epochs=5, verbose=0).history
    np.testing.assert_allclose(estimator.score_samples(x), model.log_prob(x), rtol=1e-6)
    assert estimator.score(x) == pytest.approx(float(np.mean(model.log_prob(x))), rel=1e-6)
    assert estimator.history_["loss"] == pytest.approx(history["loss"])
    np.testing.assert_array_equal(estimator.sample(7, random_state=3), model.sample(7, seed=3))
    generators = [np.random.RandomState(3), np.random.default_rng(3)]
    for generator in generators:
        assert np.any(estimator.sample(2, generator) != estimator.sample(2, generator))
    again = estimator.sample(4, random_state=np.random.RandomState(5))
    np.testing.assert_array_equal(again, estimator.sample(4, random_state=np.random.RandomState(5)))


def test_a_model_is_a_prototype_that_fit_does_not_train():
    x = blobs(60, size=4)
    prototype = kg.VAE((2, 2, 1), latent_dim=1, likelihood="gaussian", seed=0)
    prototype.compile(keras.optimizers.SGD(3e-3), micro_batches=2, run_eagerly=True)
    before = prototype.get_weights()
    estimator = DensityEstimator(prototype, epochs=1, batch_size=20)
    assert clone(estimator).model is not prototype
    first = estimator.fit(x).score_samples(x)
    # An image goes in flattened or not, and each fit begins anew.
    np.testing.assert_array_equal(estimator.fit(x.reshape(-1, 2, 2, 1)).score_samples(x), first)
    np.testing.assert_array_equal(clone(estimator).fit(x).score_samples(x), first)
    for old, new in zip(before, prototype.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    assert estimator.get_params()["model"] is prototype
    optimizer = estimator.model_.optimizer
    assert isinstance(optimizer, keras.optimizers.SGD) and estimator.model_._micro_batches == 2
    assert float(optimizer.learning_rate) == pytest.approx(3e-3)
    assert int(estimator.model_.training_steps) == 3 and int(prototype.training_steps) == 0
    assert estimator.sample(5).shape == (5, 4)
    twin = type(prototype).from_config(prototype.get_config())
    twin.compile_from_config(prototype.get_compile_config())
    twin.fit(x.reshape(-1, 2, 2, 1), epochs=1, batch_size=20, verbose=0)
    np.testing.assert_allclose(twin.log_prob(x.reshape(-1, 2, 2, 1), seed=0), first, rtol=1e-6)


def test_pipelines_cross_validation_and_searches():
    x = blobs(90, size=3)
    labels = (x[:, 0] > np.median(x[:, 0])).astype(int)
    density = make_pipeline(StandardScaler(), PCA(2), DensityEstimator(kernels, epochs=1))
    scores = cross_val_score(density, x, cv=2)
    assert scores.shape == (2,) and np.all(np.isfinite(scores))
    held_out = density.fit(x[45:]).score_samples(x[:45])
    assert scores[0] == pytest.approx(held_out.mean(), rel=1e-5)
    recipes = [functools.partial(kernels, bandwidth=bandwidth) for bandwidth in (1e-2, 0.7)]
    search = GridSearchCV(DensityEstimator(kernels, epochs=1), {"model": recipes}, cv=2).fit(x)
    assert search.best_params_["model"].keywords == {"bandwidth": 0.7}
    classifier = make_pipeline(StandardScaler(), Codes(flow, epochs=1), LogisticRegression())
    assert classifier.fit(x, labels).score(x, labels) > 0.9, "an invertible map loses nothing"
    scaled, codes = classifier[0].transform(x), classifier[1]
    np.testing.assert_allclose(codes.transform(scaled), codes.model_.encode(scaled), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("estimator", "error", "words"),
    [
        (
            DensityEstimator(3),
            TypeError,
            "must be a model of keras_genmod, or a function.*received 3",
        ),
        (DensityEstimator(lambda shape: None), TypeError, "`model` must be a model of keras_genmod"),
        (DensityEstimator(kg.GAN), TypeError, "`DensityEstimator` needs a model with `log_prob`.*a GAN"),
        (Codes(mixture), TypeError, "`Codes` needs a model with `encode`.*a GaussianMixture"),
        (Codes(functools.partial(flow, num_classes=2)), ValueError, "unconditional"),
        (DensityEstimator(kg.NICE((3,))), ValueError, r"shape \[batch, 3\]"),
    ],
)
def test_models_that_do_not_fit_are_refused(estimator, error, words):
    with pytest.raises(error, match=words):
        estimator.fit(blobs())


@pytest.mark.parametrize(
    "ask",
    [
        lambda: Codes(kg.Autoencoder).transform(blobs()),
        lambda: DensityEstimator(kg.KernelDensity).score_samples(blobs()),
        lambda: DensityEstimator(kg.KernelDensity).sample(2),
    ],
)
def test_before_fit_scikit_learn_s_error_says_so(ask):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        ask()
