"""Named data sets, and pipelines that feed `fit`."""

from keras_genmod.data.binarization import binarize, dynamic_binarization, stochastic_binarize
from keras_genmod.data.sets import load

__all__ = ["binarize", "dynamic_binarization", "load", "stochastic_binarize"]
