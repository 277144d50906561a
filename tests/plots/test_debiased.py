"""Bars and steps have the heights of the shares that they show."""

import keras
import numpy as np
import pytest

from keras_genmod.applications import DebiasingSampler, group_report
from keras_genmod.plots import group_accuracy, latent_histograms, rare_and_common

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def sampler():
    z = np.array([[0, 5.0], [0, 6], [0, 5], [1, 6]], "float32")
    return DebiasingSampler(keras.layers.Identity(), alpha=0.25, num_bins=2, min_effective_share=0.0).measure(
        z
    )


def test_histograms_of_data_and_of_draws(sampler):
    figure = latent_histograms(sampler)
    data, draws = figure.axes[0].patches
    np.testing.assert_allclose(data.get_data().values, [0.75, 0.25])
    # Weights 1 and 2 in the first latent; the second is even.
    np.testing.assert_allclose(draws.get_data().values, [3 / 5, 2 / 5])
    np.testing.assert_allclose(draws.get_data().edges, [0.0, 0.4985, 0.997], rtol=1e-6)
    assert figure.axes[1].get_title() == "latent 1"
    assert len(latent_histograms(sampler, dims=[1]).axes) == 1
    with pytest.raises(ValueError, match=r"`dims` must be latent dimensions that the sampler uses, \[0, 1\]"):
        latent_histograms(sampler, dims=[2])


def test_rare_images_stand_above_common_ones(sampler):
    figure = rare_and_common(sampler, np.zeros((4, 3, 3, 1)), count=1)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["more", "less"]
    with pytest.raises(ValueError, match="`x` must be the 4 examples that the sampler measured"):
        rare_and_common(sampler, np.zeros((5, 3, 3, 1)))


def test_bars_are_accuracies_with_their_errors():
    y, groups = np.zeros(6, int), [*"aabbbb"]
    reports = {
        "one": group_report(np.array([0, 1, 0, 0, 0, 1]), None, y, groups),
        "two": group_report(np.array([0, 0, 0, 0, 1, 1]), None, y, groups),
    }
    axes = group_accuracy(reports).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [50, 75, 100, 50]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert axes.get_ylim() == (0, 100)
    other = group_report(np.zeros(6, int), None, y, [*"aacccc"])
    with pytest.raises(ValueError, match=r"the same groups, \['a', 'b'\]; received \['a', 'c'\] for 'two'"):
        group_accuracy({"one": reports["one"], "two": other})
    with pytest.raises(TypeError, match="must be a dictionary"):
        group_accuracy(reports["one"])
