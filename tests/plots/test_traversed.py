"""Rows are those of `traverse`, and dimensions that the encoder does not use are marked."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod import GAN
from keras_genmod.applications import traverse
from keras_genmod.applications.latent_use import latent_use
from keras_genmod.core.images import image_grid
from keras_genmod.plots import traversals
from tests.plots.models import SHAPE, X, scaling_autoencoder, small_vae

pytest.importorskip("matplotlib")
VALUES = [-2.0, 0.0, 1.5]


def vae_with_an_idle_latent(**options):
    """A VAE whose latent 1 has the prior as its posterior, whatever the example."""
    model = small_vae(**options)
    last = [layer for layer in model.encoder.layers if layer.get_weights()][-1]
    kernel, bias = last.get_weights()
    for column in (1, 4):
        kernel[:, column] = 0.0
        bias[column] = 0.0
    # The other means differ from example to example.
    kernel[:, 0] *= 5.0
    kernel[:, 2] *= 10.0
    last.set_weights([kernel, bias])
    return model


def rows(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def pixels(figure):
    return np.asarray(figure.axes[0].images[0].get_array())[..., 0]


def grid(images, **options):
    return image_grid(images, scale=12, padding=6, line=150, **options)[..., 0]


def test_latents_that_are_not_used_are_marked_and_last():
    model = vae_with_an_idle_latent()
    figure = traversals(model, X, values=VALUES)
    usage = latent_use(model, X)
    divergences = usage.kl_per_latent()
    # The prior's own parameters, but for the rounding of a softplus, whose square the divergence is.
    assert divergences[1] < 1e-8 and divergences[2] > divergences[0] > 1e-3
    assert rows(figure) == ["latent 2", "latent 0", "latent 1\nnot used"]
    colours = [label.get_color() for label in figure.axes[0].get_yticklabels()]
    assert colours[0] == colours[1] != colours[2]
    np.testing.assert_array_equal(pixels(figure), grid(traverse(model, X[0], dims=[2, 0, 1], values=VALUES)))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["-2", "0", "1.5"]
    assert figure.axes[0].get_xlabel() == "value of the latent dimension"
    assert figure.texts[0].get_text() == "VAE: traversals of the latent dimensions, most used first"


def test_the_use_is_the_divergence_and_the_variance_over_all_examples():
    model = small_vae()
    x = np.random.default_rng(1).integers(0, 2, (700, *SHAPE)).astype("float32")
    usage = latent_use(model, x)
    normal = model.posterior(x).distribution
    mean, stddev = normal.loc.numpy().astype(np.float64), normal.scale.numpy().astype(np.float64)
    divergence = 0.5 * (mean**2 + stddev**2 - 1.0) - np.log(stddev)
    # Means over 700 values of order 1 in float32.
    np.testing.assert_allclose(usage.kl_per_latent(), divergence.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(usage.variance_per_latent(), mean.var(axis=0), rtol=1e-4, atol=1e-6)


def test_what_the_model_measured_itself_is_taken_for_a_single_example():
    model = small_vae()
    assert rows(traversals(model, X[0])) == ["latent 0", "latent 1", "latent 2"], "nothing was measured"
    means = tf.constant([[0.0, -1.0, 0.0], [0.0, 1.0, 0.05]])
    model.latent_usage.update_state(means, tf.constant([[0.2, 1.0, 0.3]] * 2))
    assert rows(traversals(model, X[0])) == ["latent 1", "latent 2\nnot used", "latent 0\nnot used"]


def test_dimensions_can_be_chosen():
    model = vae_with_an_idle_latent()
    figure = traversals(model, X, dims=[1, -1])
    assert rows(figure) == ["latent 1\nnot used", "latent 2"]
    assert "most used first" not in figure.texts[0].get_text()
    assert rows(traversals(model, X, max_dims=1)) == ["latent 2"]


def test_conditions_reach_the_model():
    model = vae_with_an_idle_latent(num_classes=3)
    expected = grid(traverse(model, X[0], values=VALUES, dims=[0, 1, 2], condition=2))
    shown = traversals(model, X, values=VALUES, dims=[0, 1, 2], condition=[2, 0, 1, 1, 0])
    np.testing.assert_array_equal(pixels(shown), expected)
    np.testing.assert_array_equal(
        pixels(traversals(model, X[0], values=VALUES, dims=[0, 1, 2], condition=2)), expected
    )
    one_hot = np.eye(3)[[2, 0, 1, 1, 0]]
    shown = traversals(model, X, values=VALUES, dims=[0, 1, 2], condition=one_hot)
    np.testing.assert_array_equal(pixels(shown), expected)


def test_an_implicit_model_is_traversed_from_the_middle_of_its_prior():
    model = GAN((16,), latent_dim=2, seed=0)
    figure = traversals(model, values=VALUES, value_range=(-1.0, 1.0))
    images = traverse(model, values=VALUES).reshape(2, 3, *SHAPE)
    np.testing.assert_array_equal(pixels(figure), grid(images, value_range=(-1.0, 1.0)))
    assert rows(figure) == ["latent 0", "latent 1"]
    with pytest.raises(TypeError, match="`x` needs a model with `encode`; received a GAN.*Omit it"):
        traversals(model, np.zeros((2, 16)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": ["low"]}, "`values` must be a list of numbers; received .'low'"),
        ({"values": 2.0}, "`values` must be a list of numbers; received 2.0"),
        ({"dims": 1}, r"`dims` must be a list, such as \(0, 1\); received 1"),
        ({"value_range": 1}, "`value_range` must be two numbers"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        traversals(small_vae(), **options)


def test_without_a_prior_no_variance_is_small():
    """An autoencoder may use a latent on any scale."""
    model = scaling_autoencoder([1e-3] * 15 + [1.0])
    x = np.random.default_rng(0).random((5, 16)).astype("float32")
    assert rows(traversals(model, x, max_dims=2))[0] == "latent 15"
    assert not any("not used" in row for row in rows(traversals(model, x)))


def test_examples_that_are_no_images_are_refused():
    with pytest.raises(ValueError, match=r"examples of shape \(3,\).*`kg.applications.traverse`"):
        traversals(scaling_autoencoder([1.0] * 3))
