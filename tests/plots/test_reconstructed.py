"""Each example stands above its own reconstruction."""

import numpy as np
import pytest

from keras_genmod.core.images import image_grid
from keras_genmod.plots import reconstructions
from tests.plots.models import X, scaling_autoencoder, small_vae

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def vae():
    return small_vae()


def pixels(figure):
    return np.asarray(figure.axes[0].images[0].get_array())[..., 0]


def labels(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_rows_are_data_and_reconstructions(vae):
    figure = reconstructions(vae, X, columns=3)
    rebuilt = vae.reconstruct(X).numpy()
    rows = [X[:3], rebuilt[:3], X[3:], rebuilt[3:]]
    np.testing.assert_array_equal(pixels(figure), image_grid(rows, 3, scale=12, padding=6, line=150)[..., 0])
    assert labels(figure) == ["data", "reconstruction:\nmean of p(x|z)"] * 2
    assert figure.texts[0].get_text() == "VAE: data and their reconstructions"


def test_damaged_examples_stand_below_their_originals(vae):
    figure = reconstructions(vae, 1 - X, originals=X)
    rows = [X, 1 - X, vae.reconstruct(1 - X).numpy()]
    np.testing.assert_array_equal(pixels(figure), image_grid(rows, 5, scale=12, padding=6, line=150)[..., 0])
    assert labels(figure)[:2] == ["original", "damaged"]
    with pytest.raises(ValueError, match="one example for each of `x`, 5; received 4"):
        reconstructions(vae, X, originals=X[:4])


def test_conditions_reach_the_model():
    model = small_vae(num_classes=3)
    condition = [0, 1, 2, 1, 0]
    rows = [X, model.reconstruct(X, condition=condition).numpy()]
    shown = pixels(reconstructions(model, X, condition=condition))
    np.testing.assert_array_equal(shown, image_grid(rows, 5, scale=12, padding=6, line=150)[..., 0])


def test_points_are_joined_with_their_reconstructions():
    """The code is the point times (2, -1), and the decoder is the identity."""
    model = scaling_autoencoder([2.0, -1.0])
    x = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    axes = reconstructions(model, x).axes[0]
    data, rebuilt = axes.collections
    np.testing.assert_array_equal(data.get_offsets(), x)
    np.testing.assert_array_equal(rebuilt.get_offsets(), [[2, -2], [6, -4]])
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[1, 2], [2, -2]], [[3, 4], [6, -4]]]


def test_a_single_example_needs_its_batch_axis(vae):
    with pytest.raises(ValueError, match=r"`x\[None\]`"):
        reconstructions(vae, X[0])


def test_points_before_their_damage_have_a_colour_of_their_own():
    model = scaling_autoencoder([2.0, -1.0])
    x = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    axes = reconstructions(model, x, originals=x + 1).axes[0]
    drawn = {points.get_label(): points.get_offsets().tolist() for points in axes.collections}
    assert drawn == {
        "original": [[2, 3], [4, 5]],
        "damaged": [[1, 2], [3, 4]],
        "reconstruction": [[2, -2], [6, -4]],
    }
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[1, 2], [2, -2]], [[3, 4], [6, -4]]]
    with pytest.raises(ValueError, match="one example for each of `x`, 2; received 1"):
        reconstructions(model, x, originals=x[:1])


def test_a_data_set_is_no_array_of_examples(vae):
    with pytest.raises(TypeError, match="`x` must be one array.*received a tuple of 2 parts"):
        reconstructions(vae, (X, np.arange(5)))
