"""A model that lacks what a figure needs is refused, and the error names the figures that work."""

import re

import keras
import numpy as np
import pytest

from keras_genmod import FVSBN, GAN, VQVAE, Autoencoder, NormalizingFlow, plots

pytest.importorskip("matplotlib")


def test_the_error_names_what_is_lacking_and_what_works():
    autoencoder = Autoencoder((8, 8, 1), latent_dim=2, seed=0)
    with pytest.raises(TypeError, match="`kg.plots.samples` needs a model with `sample`") as caught:
        plots.samples(autoencoder)
    works = re.search("Of `kg.plots`, (.*) work for it", str(caught.value)).group(1)
    assert works == "`reconstructions`, `latent_map`, `traversals`"
    with pytest.raises(TypeError, match="needs a model with `log_prob`; received a Autoencoder"):
        plots.density_2d(autoencoder)


@pytest.mark.parametrize(
    ("function", "lacks"),
    [("reconstructions", "reconstruct"), ("latent_map", "encode"), ("traversals", "decode` or `generator")],
)
def test_each_function_checks_its_own_need(function, lacks):
    model = FVSBN((4,), seed=0)
    arguments = () if function == "traversals" else (np.zeros((1, 4)),)
    with pytest.raises(TypeError, match=f"`{lacks}`.*Of `kg.plots`, `samples`, `density_2d` work for it"):
        getattr(plots, function)(model, *arguments)


def test_what_is_no_generative_model_has_no_figures():
    with pytest.raises(TypeError, match="received a Dense.*only `history` of its training works for it"):
        plots.samples(keras.layers.Dense(1))
    with pytest.raises(TypeError, match=r"first argument; received ndarray of shape \(1, 4\).*model first"):
        plots.latent_map(np.zeros((1, 4)), FVSBN((4,), seed=0))
    with pytest.raises(TypeError, match="received the class FVSBN. Build one"):
        plots.samples(FVSBN)


def test_families_are_drawn_by_what_they_can_do():
    """Without their classes: a GAN and a density have samples, a vector-quantised model reconstructions."""
    plots.samples(GAN((8, 8, 1), latent_dim=2, seed=0), 4)
    plots.samples(FVSBN((16,), seed=0), 4)
    plots.reconstructions(VQVAE((8, 8, 1), num_codes=4, code_dim=2, seed=0), np.zeros((3, 8, 8, 1)))
    plots.latent_map(NormalizingFlow((3,), [], seed=0), np.eye(3))
