"""What is shown are the model's samples for the seed, and the captions say of what kind they are."""

import numpy as np
import pytest

from keras_genmod import FVSBN, NormalizingFlow
from keras_genmod.core.images import image_grid
from keras_genmod.plots import samples
from tests.plots.models import X, small_vae

pytest.importorskip("matplotlib")


def pictures(figure):
    """Caption -> the pixels of its grid, `[height, width]`."""
    return {axes.get_title(): np.asarray(axes.images[0].get_array())[..., 0] for axes in figure.axes}


def grid(images, columns=None):
    return image_grid(np.asarray(images), columns, scale=12, padding=6, line=150)[..., 0]


@pytest.fixture(scope="module")
def vae():
    return small_vae()


@pytest.fixture(scope="module")
def flow():
    return NormalizingFlow((2,), [], seed=0)


def test_pixels_are_the_samples_of_the_seed(vae):
    figure = samples(vae, 5, x=X, seed=3, columns=5)
    shown = pictures(figure)
    assert figure.texts[0].get_text() == "VAE: 5 samples beside data"
    assert list(shown) == ["data", "samples: draws from p(x|z)", "samples: means of p(x|z)"]
    draws = vae.sample(5, seed=3, from_likelihood=True)
    for caption, images in zip(shown, (X, draws, vae.sample(5, seed=3)), strict=True):
        np.testing.assert_array_equal(shown[caption], grid(images, 5))
    assert set(np.unique(draws)) <= {0.0, 1.0}, "draws are black and white, as data are"


def test_options_reach_the_model_and_the_caption(vae):
    for from_likelihood, kind in ((False, "means"), (True, "draws")):
        ((caption, shown),) = pictures(samples(vae, 4, from_likelihood=from_likelihood)).items()
        assert kind in caption
        np.testing.assert_array_equal(shown, grid(vae.sample(4, seed=0, from_likelihood=from_likelihood)))
    with pytest.raises(TypeError, match="temperature"):
        samples(vae, 4, temperature=0.5)


def test_conditions_reach_the_model():
    model = small_vae(num_classes=3)
    condition = [0, 1, 2, 2]
    shown = pictures(samples(model, 4, condition=condition, title="Three classes"))
    np.testing.assert_array_equal(
        shown["samples: means of p(x|z)"], grid(model.sample(4, condition=condition, seed=0))
    )
    with pytest.raises(ValueError, match="needs a `condition`"):
        samples(model, 4)


def test_without_a_seed_every_figure_has_new_samples(vae):
    first, second = (pictures(samples(vae, 4, seed=None)) for _ in range(2))
    assert any(np.any(first[caption] != second[caption]) for caption in first)


def test_points_of_the_plane_are_scattered_over_data(flow):
    data = np.arange(8.0).reshape(4, 2)
    axes = samples(flow, 3, x=data, seed=5).axes[0]
    for points, expected in zip(axes.collections, (data[:3], flow.sample(3, seed=5)), strict=True):
        np.testing.assert_array_equal(points.get_offsets(), expected)
    assert axes.get_title() == "NormalizingFlow: samples"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("column 0 of x", "column 1 of x")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["data (3)", "samples (3)"]


def test_two_columns_of_a_table_can_be_chosen():
    model = NormalizingFlow((5,), [], seed=0)
    axes = samples(model, 6, seed=1, dims=(4, 1)).axes[0]
    np.testing.assert_array_equal(
        axes.collections[0].get_offsets(), model.sample(6, seed=1).numpy()[:, [4, 1]]
    )
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("column 4 of x", "column 1 of x")
    with pytest.raises(ValueError, match=r"examples of shape \(5,\).*`dims=\(0, 1\)`"):
        samples(model)
    for dims in ((0, 5), (1,), (3, 3)):
        with pytest.raises(ValueError, match="`dims` must be two columns"):
            samples(model, dims=dims)
    for dims in (1, "01"):
        with pytest.raises(ValueError, match=r"`dims` must be a list, such as \(0, 1\)"):
            samples(model, dims=dims)


def test_short_vectors_of_square_length_are_no_images():
    with pytest.raises(ValueError, match=r"examples of shape \(9,\)"):
        samples(FVSBN((9,), seed=0), 2)
    ((caption, shown),) = pictures(samples(FVSBN((16,), seed=0), 1)).items()
    assert caption == "samples" and shown.shape == (6 + 48 + 6, 6 + 48 + 6)


def test_data_of_another_shape_are_refused(vae):
    with pytest.raises(ValueError, match=r"`x` must have shape \[batch, 4, 4, 1\].*received \(4, 4, 1\)"):
        samples(vae, 4, x=X[0])


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (255 * X, ValueError, r"`x` must hold values in \[0, 1\]; received values from 0.0 to 255.0"),
        (np.full_like(X, np.nan), ValueError, "`x` must hold finite values"),
        ((X, np.arange(len(X))), TypeError, "`x` must be one array"),
    ],
    ids=["bytes", "nan", "with labels"],
)
def test_data_beside_samples_have_the_values_of_the_model(vae, x, error, message):
    """Outside of the range they would be black or white without a sign of it."""
    with pytest.raises(error, match=message):
        samples(vae, 4, x=x)


@pytest.mark.parametrize(
    ("value_range", "message"),
    [
        (1, "must be two numbers"),
        ((0, 1, 2), "must be two numbers"),
        ((1, 0), "increasing"),
        ("ab", "number"),
    ],
)
def test_the_values_of_black_and_white_are_two_increasing_numbers(vae, value_range, message):
    with pytest.raises(ValueError, match=f"`value_range` .*{message}"):
        samples(vae, 4, value_range=value_range)
