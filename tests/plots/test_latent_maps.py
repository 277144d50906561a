"""Two latents are drawn as they are, more by their first two principal components."""

import numpy as np
import pytest

from keras_genmod import VQVAE
from keras_genmod.plots import latent_map
from tests.plots.models import scaling_autoencoder, small_vae

pytest.importorskip("matplotlib")


def test_two_latents_are_the_axes():
    model = scaling_autoencoder([2.0, -1.0])
    axes = latent_map(model, np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 5.0]])).axes[0]
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), [[2, -2], [6, -4], [10, -5]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("latent 0", "latent 1")
    assert axes.get_title() == "Autoencoder: latent space, codes of 3 examples"


def test_more_latents_are_projected_on_principal_components():
    """Against NumPy's eigenvectors of the covariance, whose signs are free."""
    scales = [1.0, -2.0, 0.5, 3.0]
    model = scaling_autoencoder(scales)
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    axes = latent_map(model, x).axes[0]
    codes = x.astype(np.float64) * scales
    centred = codes - codes.mean(axis=0)
    variances, vectors = np.linalg.eigh(centred.T @ centred)
    variances, vectors = variances[::-1], vectors[:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), range(4)])
    # The codes are rounded to float32.
    np.testing.assert_allclose(axes.collections[0].get_offsets(), (centred @ vectors)[:, :2], atol=1e-5)
    first, second = variances[:2] / variances.sum()
    assert axes.get_xlabel() == f"principal component 1 ({first:.0%} of the variance)"
    assert axes.get_ylabel() == f"principal component 2 ({second:.0%} of the variance)"


def test_classes_have_colours_and_names():
    model = scaling_autoencoder([1.0, 1.0])
    x = np.arange(8.0).reshape(4, 2)
    axes = latent_map(model, x, ["b", "a", "b", "a"]).axes[0]
    first, second = axes.collections
    np.testing.assert_array_equal(first.get_offsets(), x[[1, 3]])
    np.testing.assert_array_equal(second.get_offsets(), x[[0, 2]])
    assert np.any(first.get_facecolor() != second.get_facecolor())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


def test_numbers_are_a_scale_of_colours():
    model = scaling_autoencoder([1.0, 1.0])
    for y in (np.linspace(0.0, 1.0, 30), np.arange(30)):
        figure = latent_map(model, np.arange(60.0).reshape(30, 2), y)
        (points,) = figure.axes[0].collections
        np.testing.assert_array_equal(points.get_array(), y)
        assert figure.axes[1].get_ylabel() == "y"


def test_conditions_reach_the_model():
    model = small_vae(num_classes=3)
    x = np.random.default_rng(0).integers(0, 2, (6, 4, 4, 1)).astype("float32")
    one, other = (
        latent_map(model, x, condition=condition).axes[0].collections[0].get_offsets() for condition in (0, 2)
    )
    assert np.abs(one - other).max() > 1e-3


def test_errors_say_what_to_do():
    model = scaling_autoencoder([1.0, 1.0])
    with pytest.raises(ValueError, match="`y` must have one class or number for each of the 3 examples"):
        latent_map(model, np.zeros((3, 2)), np.zeros(4))
    with pytest.raises(ValueError, match="two latent dimensions or more.*histogram"):
        latent_map(scaling_autoencoder([1.0]), np.zeros((3, 1)))
    with pytest.raises(TypeError, match="Discrete codes"):
        latent_map(VQVAE((8, 8, 1), num_codes=4, code_dim=2, seed=0), np.zeros((2, 8, 8, 1)))


def test_names_may_stand_beside_none():
    model = scaling_autoencoder([1.0, 1.0])
    axes = latent_map(model, np.eye(2), [None, "cat"]).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["None", "cat"]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.eye(22), r"`np.argmax\(y, axis=-1\)`"),
        (np.zeros((22, 1)), r"`np.ravel\(y\)`"),
        ([f"class {number}" for number in range(22)], "at most 20 different classes; received 22"),
        ([np.nan, *range(21)], "finite numbers or classes; received 1 NaN"),
    ],
    ids=["one-hot", "column", "many names", "nan"],
)
def test_what_is_no_class_is_refused(y, message):
    model = scaling_autoencoder([1.0, 1.0])
    with pytest.raises(ValueError, match=message):
        latent_map(model, np.zeros((22, 2)), y)
