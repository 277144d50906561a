"""Named data sets, and pipelines that feed `fit`."""

from keras_genmod.data.binarization import binarize, dynamic_binarization, stochastic_binarize
from keras_genmod.data.paired import augment_pairs
from keras_genmod.data.planar import PLANAR_SETS, planar
from keras_genmod.data.sets import load
from keras_genmod.data.sprites import Sprites

__all__ = [
    "PLANAR_SETS",
    "Sprites",
    "augment_pairs",
    "binarize",
    "dynamic_binarization",
    "load",
    "planar",
    "stochastic_binarize",
]
