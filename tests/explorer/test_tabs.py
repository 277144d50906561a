"""What each tab computes, and which models have it: values in, arrays out, without a browser."""

import math

import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod.explorer import tabs
from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.tabs.classes import class_probabilities, samples_by_class
from keras_genmod.explorer.tabs.completion import complete, half, painted
from keras_genmod.explorer.tabs.interpolation import path_between_draws, path_between_examples
from keras_genmod.explorer.tabs.latents import decode_vector
from keras_genmod.explorer.tabs.plane import density_on_grid
from keras_genmod.explorer.tabs.scores import figures, reconstruction, share_below
from keras_genmod.explorer.tabs.translation import translated
from tests.explorer.tiny import made, mixture, pictures, vae, with_random_weights

MODELS = {
    "vae": (vae, "Samples Latents Interpolation Scores"),
    "conditional vae": (lambda: vae(num_classes=3), "Samples Latents Interpolation Scores Classes"),
    "autoencoder": (lambda: kg.Autoencoder((16,), latent_dim=2, seed=0), "Latents Interpolation Scores"),
    "discrete codes": (lambda: kg.VQVAE((16,), seed=0), "Scores"),
    "gan": (lambda: kg.GAN((2,), latent_dim=2, seed=0), "Samples Latents Interpolation"),
    "made": (made, "Samples Scores Completion"),
    "conditional made": (lambda: made(num_classes=3), "Samples Scores Completion Classes"),
    "flow in the plane": (
        lambda: kg.RealNVP((2,), num_layers=2, seed=0),
        "Samples Latents Interpolation Scores Plane",
    ),
    "mixture in the plane": (mixture, "Samples Scores Plane"),
    "label maps": (
        lambda: kg.Pix2Pix((8, 8), (8, 8, 3), source_classes=2, filters=2, adversarial=0.0, seed=0),
        "Translation",
    ),
    "super-resolution": (
        lambda: kg.SuperResolution((4, 4, 1), 2, filters=2, num_blocks=0, seed=0),
        "Translation",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_tabs_that_it_can_fill(name):
    build, expected = MODELS[name]
    model = build()
    x = np.random.default_rng(0).integers(0, 2, (3, *model.event_shape)).astype("float32")
    explored = Explored(model, x)
    shown = [tab for tab in tabs.__all__ if getattr(tabs, tab).when(explored)]
    assert sorted(shown) == sorted(expected.split())


# ---- latents and paths ------------------------------------------------------------------------------


def test_a_decoded_vector_is_what_the_model_decodes():
    model, z = vae(), np.array([0.5, -1.0, 2.0])
    np.testing.assert_array_equal(decode_vector(Explored(model), z), model.decode(z[None]))
    gan = with_random_weights(kg.GAN((2,), latent_dim=3, seed=0))
    np.testing.assert_array_equal(decode_vector(Explored(gan), z), gan(z[None].astype("float32")))
    conditional = vae(num_classes=3)
    drawn = decode_vector(Explored(conditional), z, 2)
    np.testing.assert_array_equal(drawn, conditional.decode(z[None], condition=2))
    assert np.any(drawn != decode_vector(Explored(conditional), z, 1))


def test_a_path_begins_and_ends_at_the_examples_reconstructions():
    model, x = vae(), pictures(2)
    explored = Explored(model, x)
    path = path_between_examples(explored, *x, 5, "linear")
    np.testing.assert_allclose(path[[0, -1]], model.reconstruct(x), atol=1e-5)
    middle = np.asarray(model.encode(x)).mean(axis=0)
    np.testing.assert_allclose(path[2], model.decode(middle[None])[0], atol=1e-5)
    with pytest.raises(ValueError, match="both"):
        path_between_examples(explored, x[0], None, 5, "linear")


def test_a_path_of_a_gan_goes_from_one_draw_of_the_noise_to_another():
    model = with_random_weights(kg.GAN((2,), latent_dim=3, seed=0))
    explored = Explored(model)
    there = path_between_draws(explored, 4, 7, 5, "spherical")
    back = path_between_draws(explored, 7, 4, 5, "spherical")
    np.testing.assert_allclose(there, back[::-1], atol=1e-5)
    # The ends depend on their own seed alone.
    other = path_between_draws(explored, 4, 8, 5, "spherical")
    np.testing.assert_array_equal(there[0], other[0])
    assert np.any(there[-1] != other[-1])


# ---- scores -----------------------------------------------------------------------------------------


def test_the_figures_are_the_models_own():
    model, (x,) = made(), pictures(1)
    nats = float(model.log_prob(x[None])[0])
    found = figures(Explored(model, x[None]), x)
    assert found == {
        "log-density, exact [nats]": pytest.approx(nats),
        "negative log-density [bits per value]": pytest.approx(-nats / (16 * math.log(2))),
        "anomaly score, larger is stranger [nats]": pytest.approx(-nats),
    }
    assert "log-density, a lower bound [nats]" in figures(Explored(vae(), x[None]), x)
    np.testing.assert_array_equal(reconstruction(Explored(vae(), x[None]), x), vae().reconstruct(x[None])[0])


def test_an_example_is_compared_with_those_that_are_known():
    # The further from its component, the stranger.
    x = np.array([[2.0, 0.0], [2.0, 0.5], [2.0, 1.0], [2.0, 3.0]])
    explored = Explored(mixture(), x)
    shares = [share_below(explored, point) for point in ([-2.0, 0.0], [2.0, 0.7], [9.0, 9.0])]
    assert shares == [0.0, 0.5, 1.0]


def test_known_conditions_are_used_for_the_comparison():
    model, x = made(num_classes=2), pictures(6)
    labels = np.array([0, 1, 0, 1, 0, 1])
    scores = np.asarray(model.anomaly_score(x, condition=labels))
    under_other = np.asarray(model.anomaly_score(x[:1], condition=1))[0]
    assert share_below(Explored(model, (x, labels)), x[0], 1) == np.mean(scores < under_other)
    scores = np.asarray(model.anomaly_score(x, condition=1))
    assert share_below(Explored(model, x), x[0], 1) == np.mean(scores < under_other)


# ---- completion -------------------------------------------------------------------------------------


def test_halves_and_the_middle():
    shape = (4, 5, 1)
    lower, upper = half("lower half", shape), half("upper half", shape)
    assert lower[2:].all() and not lower[:2].any() and np.array_equal(upper, ~lower)
    left, right = half("left half", shape), half("right half", shape)
    assert left[:, :2].all() and not left[:, 2:].any() and np.array_equal(right, ~left)
    middle = np.zeros((4, 4), bool)
    middle[1:3, 1:3] = True
    np.testing.assert_array_equal(half("middle", (4, 4, 3)), middle)


def test_a_pixel_is_painted_over_from_half_of_its_area_on():
    paint = np.zeros((40, 40, 4), np.uint8)
    paint[10:20, 20:30] = 255  # All of pixel (1, 2).
    paint[0:10, 0:5, 3] = 255  # Half of pixel (0, 0).
    paint[30:40, 34:39, 3] = 255
    paint[30, 34, 3] = 0  # Just less than half of pixel (3, 3).
    np.testing.assert_array_equal(np.argwhere(painted([paint], (4, 4, 1))), [[0, 0], [1, 2]])


@pytest.mark.parametrize("layers", [None, [], [np.zeros((40, 40, 4), np.uint8)]])
def test_an_empty_mask_is_refused(layers):
    with pytest.raises(ValueError, match="Nothing is painted"):
        painted(layers, (4, 4, 1))


def test_completions_keep_what_is_given_and_are_the_models_own_draws():
    model, (x,) = made(), pictures(1)
    missing = half("lower half", (4, 4, 1))
    drawn = complete(Explored(model, x[None]), x, missing, 6, 3, 1.0)
    np.testing.assert_array_equal(drawn[:, :8], np.tile(x[:8], (6, 1)))
    assert len(np.unique(drawn[:, 8:], axis=0)) > 1
    expected = model.inpaint(np.tile(x, (6, 1)), 1 - missing.ravel(), seed=3)
    np.testing.assert_array_equal(drawn, expected)
    with pytest.raises(ValueError, match="no example"):
        complete(Explored(model), None, missing, 6, 3, 1.0)


def test_all_channels_of_a_missing_pixel_are_drawn():
    model = with_random_weights(
        kg.PixelCNN((2, 2, 3), filters=3, num_blocks=1, first_kernel_size=3, likelihood="bernoulli", seed=0)
    )
    x = np.ones((2, 2, 3), "float32")
    missing = np.array([[False, False], [False, True]])
    drawn = complete(Explored(model, x[None]), x, missing, 16, 0, 1.0)
    assert drawn[:, ~missing].all()
    # Each channel of the last pixel is drawn anew: 16 draws are not all alike.
    assert all(len(np.unique(drawn[:, 1, 1, channel])) == 2 for channel in range(3))


# ---- classes and the plane --------------------------------------------------------------------------


def test_samples_of_each_class_come_from_the_same_seed():
    model = made(num_classes=3)
    drawn = samples_by_class(Explored(model), 4, 5)
    expected = [model.sample(4, seed=5, condition=number) for number in range(3)]
    np.testing.assert_array_equal(drawn, expected)


def test_classes_by_bayes_rule():
    model, (x,) = made(num_classes=3), pictures(1)
    densities = np.exp([float(model.log_prob(x[None], condition=number)[0]) for number in range(3)])
    found = class_probabilities(Explored(model), x)
    np.testing.assert_allclose(found, densities / densities.sum(), rtol=1e-5)


def test_the_density_over_the_plane_adds_up_to_one():
    corners = np.array([[-6.0, -4.0], [6.0, 4.0]])
    density, (left, right, below, above) = density_on_grid(Explored(mixture()), corners)
    np.testing.assert_allclose([left, right, below, above], [-7.2, 7.2, -4.8, 4.8])
    cell = (right - left) * (above - below) / density.size
    # Cells are a quarter of a deviation wide, where the sum over a grid is exact beyond float32.
    np.testing.assert_allclose(density.sum() * cell, 1.0, atol=1e-4)
    # Rows go along the second axis: a row through the middle meets both components.
    middle, column = density[60], density[:, 60]
    assert middle.max() > 100 * column.max()


# ---- translations -----------------------------------------------------------------------------------


def test_a_picture_is_translated_there_and_back():
    generator = np.random.default_rng(0)
    x = {name: generator.uniform(-0.9, 0.9, (3, 8, 8, 1)).astype("float32") for name in "ab"}
    model = kg.CycleGAN((8, 8, 1), (8, 8, 1), filters=2, num_blocks=0, seed=0)
    explored = Explored(model, x)
    np.testing.assert_array_equal(explored.examples, x["a"])
    np.testing.assert_array_equal(explored.others, x["b"])
    for direction, given in (("ab", explored.examples[1]), ("ba", explored.others[1])):
        rows = translated(explored, given, direction)
        there = model.translate(given[None], direction)
        np.testing.assert_allclose(rows["translation"][..., :1], (there + 1) / 2, atol=1e-6)
        back = model.cycle(given[None], direction)
        np.testing.assert_allclose(rows["back"][..., :1], (back + 1) / 2, atol=1e-6)
    with pytest.raises(ValueError, match="no example yet"):
        translated(explored, None, "ab")
    with pytest.raises(ValueError, match="dictionary of the arrays"):
        Explored(model, {"a": x["a"]})


def test_a_super_resolution_enlarges_the_degraded_example():
    model = kg.SuperResolution((4, 4, 1), 2, filters=2, num_blocks=0, seed=0)
    x = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 1)).astype("float32")
    rows = translated(Explored(model, x), x[0])
    low = np.clip(model.degrade(x[:1]), 0, 1)
    np.testing.assert_allclose(rows["source"][:, ::2, ::2, :1], low, atol=1e-6)
    np.testing.assert_allclose(rows["translation"][..., :1], model.upscale(low), atol=1e-6)
