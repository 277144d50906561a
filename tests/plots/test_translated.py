"""Sources, translations and targets in one figure."""

import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod.applications.translated import translation_rows
from keras_genmod.plots.canvas import shown_grid


def test_a_figure_shows_rows_of_sources_translations_and_targets():
    generator = np.random.default_rng(0)
    maps = generator.integers(0, 3, (3, 8, 8))
    targets = generator.uniform(-0.9, 0.9, (3, 8, 8, 3)).astype("float32")
    model = kg.Pix2Pix((8, 8), (8, 8, 3), source_classes=3, filters=2, adversarial=0.0, seed=0)
    figure = kg.plots.translations(model, maps, targets=targets, columns=2)
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["source", "translation", "target"] * 2
    rows = translation_rows(model, maps, targets=targets)
    wanted = shown_grid([part[first : first + 2] for first in (0, 2) for part in rows.values()], 2, (0, 1))
    np.testing.assert_array_equal(axes.images[0].get_array(), wanted)


def test_the_way_back_takes_the_place_of_targets():
    model = kg.CycleGAN((8, 8, 1), (8, 8, 1), filters=2, num_blocks=0, seed=0)
    figure = kg.plots.translations(model, np.zeros((2, 8, 8, 1), "float32"), direction="ba")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["source", "translation", "translated back"]


def test_other_models_are_refused():
    with pytest.raises(TypeError, match="`kg.plots.translations` needs a model that translates"):
        kg.plots.translations(kg.VAE((4,), latent_dim=2), np.zeros((1, 4)))
