"""Figures of models and their scores, by matplotlib; they depend on a model's methods, never on its class."""

from keras_genmod.plots.captioned import images
from keras_genmod.plots.curves import history
from keras_genmod.plots.debiased import group_accuracy, latent_histograms, rare_and_common
from keras_genmod.plots.densities import density_2d
from keras_genmod.plots.latent_maps import latent_map
from keras_genmod.plots.probed import probe_accuracy
from keras_genmod.plots.reconstructed import reconstructions
from keras_genmod.plots.sampled import samples
from keras_genmod.plots.scores import roc, score_histogram
from keras_genmod.plots.translated import translations
from keras_genmod.plots.traversed import traversals

__all__ = [
    "density_2d",
    "group_accuracy",
    "history",
    "images",
    "latent_histograms",
    "latent_map",
    "probe_accuracy",
    "rare_and_common",
    "reconstructions",
    "roc",
    "samples",
    "score_histogram",
    "translations",
    "traversals",
]
