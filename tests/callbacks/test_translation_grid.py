"""Pictures of translations, and figures of their distribution, during `fit`."""

import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.applications.translated import rgb_pictures, translation_rows
from keras_genmod.callbacks import DistributionMetrics, TranslationGrid

GENERATOR = np.random.default_rng(0)
A = GENERATOR.uniform(-0.9, 0.9, (6, 8, 8, 1)).astype("float32")
B = GENERATOR.uniform(-0.9, 0.9, (6, 16, 16, 3)).astype("float32")
MAPS = GENERATOR.integers(0, 3, (6, 8, 8))


@pytest.fixture(scope="module")
def cycle_gan():
    model = kg.CycleGAN((8, 8, 1), (16, 16, 3), filters=2, num_blocks=0, seed=0)
    model.compile(run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def pix2pix():
    model = kg.Pix2Pix((8, 8), (8, 8, 1), source_classes=3, filters=2, adversarial=0.0, seed=0)
    model.compile(run_eagerly=True)
    return model


def test_rows_are_what_the_model_gives(cycle_gan):
    rows = translation_rows(cycle_gan, B, direction="ba")
    assert list(rows) == ["source", "translation", "back"]
    there = cycle_gan.translate(B, "ba").numpy()
    np.testing.assert_allclose(rows["source"], (B + 1) / 2, atol=1e-6)
    # The smaller domain is enlarged to the larger one's size, and grey gets three channels.
    np.testing.assert_allclose(rows["translation"][:, ::2, ::2], (there.repeat(3, -1) + 1) / 2, atol=1e-6)
    np.testing.assert_allclose(rows["back"], (cycle_gan.cycle(B, "ba") + 1) / 2, atol=1e-5)


def test_a_picture_of_source_translation_and_target(pix2pix, tmp_path):
    targets = A[:, :, :, :1]
    grid = TranslationGrid(MAPS[:2], tmp_path, targets=targets[:2], columns=1, scale=1)
    pix2pix.fit(MAPS, targets, epochs=1, verbose=0, callbacks=[grid])
    (path,) = tmp_path.iterdir()
    assert path.name == "epoch_0001_translations.png"
    picture = tf.io.decode_png(path.read_bytes()).numpy()
    rows = translation_rows(pix2pix, MAPS[:2], targets=targets[:2])
    wide = np.concatenate(list(rows.values()), axis=2)
    wanted = np.rint(255 * wide[0])
    np.testing.assert_allclose(picture[1:9, 1:25], wanted, atol=1)


def test_classes_have_colours_of_their_own():
    space = kg.Pix2Pix((8, 8), (8, 8, 1), source_classes=3, filters=2, adversarial=0.0).event_space()
    colours = rgb_pictures(MAPS, space)
    for label in range(3):
        assert len(np.unique(colours[MAPS == label], axis=0)) == 1
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) == 3


def test_what_does_not_translate_is_refused(cycle_gan, pix2pix, tmp_path):
    vae = kg.VAE((4,), latent_dim=2)
    vae.compile()
    with pytest.raises(TypeError, match="translates pictures, such as `Pix2Pix`"):
        vae.fit(np.zeros((4, 4)), verbose=0, callbacks=[TranslationGrid(A, tmp_path)])
    with pytest.raises(ValueError, match="`direction` must be one of 'ab', 'ba'"):
        translation_rows(cycle_gan, A, direction="ac")
    with pytest.raises(ValueError, match="translates in one direction"):
        translation_rows(pix2pix, MAPS, direction="ab")
    with pytest.raises(ValueError, match="one picture for each of `x`, 6; received 2"):
        translation_rows(pix2pix, MAPS, targets=A[:2])


def test_figures_of_translations_are_those_of_the_metrics(cycle_gan):
    quality = DistributionMetrics(A, metrics=("kid", "diversity"), sources=B, direction="ba")
    history = cycle_gan.fit({"a": A, "b": B}, epochs=1, verbose=0, callbacks=[quality]).history
    translated = cycle_gan.translate(B, "ba").numpy().reshape(6, -1)
    wanted = kg.metrics.kernel_distance(A.reshape(6, -1), translated, subset_size=None)
    np.testing.assert_allclose(history["val_kid"], [float(wanted)], rtol=1e-5, atol=1e-7)
    assert quality.measurements[1]["kid"].num_generated == 6


def test_metrics_of_translations_say_what_they_need(cycle_gan):
    with pytest.raises(TypeError, match="Pass `sources`"):
        cycle_gan.fit({"a": A, "b": B}, verbose=0, callbacks=[DistributionMetrics(B)])
    with pytest.raises(ValueError, match=r"`x` must have shape \[batch, 16, 16, 3\]"):
        cycle_gan.fit({"a": A, "b": B}, verbose=0, callbacks=[DistributionMetrics(A, sources=A)])
