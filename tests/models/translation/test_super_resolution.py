"""Super-resolution: the objective by hand, any size, degradations, and what is refused."""

import keras
import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod.layers import BicubicDownsampling, BicubicUpsampling


def pictures(rows=4, shape=(8, 8, 1), seed=0):
    return np.random.default_rng(seed).uniform(0.0, 1.0, (rows, *shape)).astype("float32")


def small(**options):
    return kg.SuperResolution((4, 4, 1), 2, **{"filters": 2, "num_blocks": 1, "seed": 0, **options})


def features():
    x = keras.Input((8, 8, 1))
    return keras.Model(x, keras.layers.Conv2D(3, 3, activation="tanh")(x))


@pytest.mark.parametrize("pixel_loss", ["l1", "l2"])
def test_an_untrained_model_has_the_figures_of_bicubic_enlargement(pixel_loss):
    network = features()
    model = small(pixel_loss=pixel_loss, pixel_weight=3.0, perceptual=network, perceptual_weight=0.5)
    model.compile()
    x = pictures()
    found = model.evaluate(x, return_dict=True, verbose=0)
    low = BicubicDownsampling(2)(x)
    output = BicubicUpsampling(2)(low)
    difference = (np.abs if pixel_loss == "l1" else np.square)(x - output).mean()
    content = np.square(network(x) - network(output)).mean()
    clipped = np.clip(output, 0, 1)
    np.testing.assert_allclose(found["pixel"], difference, rtol=1e-4)
    np.testing.assert_allclose(found["perceptual"], content, rtol=1e-4)
    np.testing.assert_allclose(found["loss"], 3.0 * difference + 0.5 * content, rtol=1e-4)
    np.testing.assert_allclose(found["psnr"], np.mean(kg.metrics.psnr(x, clipped, (0, 1))), rtol=1e-4)
    np.testing.assert_allclose(model.degrade(x), low, atol=1e-6)


def test_the_features_are_frozen_and_the_users_network_is_left_alone():
    network = features()
    model = small(perceptual=network, adversarial=0.01)
    before = [weight.copy() for weight in model.perceptual.get_weights()]
    model.compile()
    model.fit(pictures(), epochs=3, verbose=0)
    for one, other in zip(before, model.perceptual.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert network.trainable and len(network.trainable_weights) == 2
    assert not model.perceptual.trainable_weights


def test_any_size_is_enlarged_and_rows_do_not_depend_on_their_batch():
    model = small()
    model.compile("adam")
    model.fit(pictures(), epochs=2, verbose=0)
    x = pictures(rows=3, shape=(6, 10, 1))
    whole = model.upscale(x)
    assert whole.shape == (3, 12, 20, 1)
    np.testing.assert_allclose(model.upscale(x[1:2]), whole[1:2], atol=1e-5)
    np.testing.assert_allclose(model.upscale(x, batch_size=2), whole, atol=1e-5)
    # Far from the border a part of a picture is enlarged as the whole is.
    large = pictures(rows=1, shape=(40, 40, 1))
    part = model.upscale(large[:, 10:30, 10:30])
    inside = slice(18, -18)
    np.testing.assert_allclose(
        part[:, inside, inside], model.upscale(large)[:, 20:60, 20:60][:, inside, inside], atol=1e-5
    )


def test_another_degradation(tmp_path):
    """Averages over 2x2 pixels, which a file keeps."""
    model = small(degradation=keras.layers.AveragePooling2D(2))
    x = pictures()
    wanted = x.reshape(4, 4, 2, 4, 2).mean(axis=(2, 4))[..., None]
    np.testing.assert_allclose(model.degrade(x), wanted, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.degrade(x), wanted, atol=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="2 or 4"):
        kg.SuperResolution((4, 4, 1), 3)
    with pytest.raises(ValueError, match=r"must make pictures of shape \(4, 4, 1\)"):
        small(degradation=keras.layers.AveragePooling2D(4))
    with pytest.raises(TypeError, match="`degradation` must be a Keras layer"):
        small(degradation=lambda x: x[:, ::2, ::2])
    with pytest.raises(TypeError, match="`perceptual` must be a Keras model"):
        small(perceptual="vgg")
    with pytest.raises(ValueError, match=r"\(8, 8, 1\)"):
        x = keras.Input((8, 8, 3))
        small(perceptual=keras.Model(x, keras.layers.Conv2D(2, 3)(x)))
    model = small()
    model.compile()
    with pytest.raises(ValueError, match=r"`x` must hold values in \[0, 1\].*value_range"):
        model.fit(255 * pictures(), verbose=0)
    with pytest.raises(ValueError, match=r"shape \[batch, height, width, 1\]"):
        model.upscale(pictures()[0])


def test_rescaling_pictures_rescales_the_answer():
    """A model of [-1, 1] gives, untrained, the picture of [0, 1] on its own scale."""
    x = pictures()[:, :4, :4]
    wanted = 2.0 * small().upscale(x) - 1.0
    np.testing.assert_allclose(small(value_range=(-1, 1)).upscale(2 * x - 1), wanted, atol=1e-5)


def test_without_a_critic_there_is_one_player():
    assert [player.name for player in small().players()] == ["generator"]
    assert small().discriminator is None
    assert [player.name for player in small(adversarial=0.1).players()] == ["discriminator", "generator"]
