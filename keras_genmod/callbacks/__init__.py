"""Callbacks that show or guard a model during `fit`."""

from keras_genmod.callbacks.distribution_metrics import DistributionMetrics
from keras_genmod.callbacks.grids import ImageGrid, ReconstructionGrid, TraversalGrid
from keras_genmod.callbacks.stop_on_non_finite import StopOnNonFinite
from keras_genmod.callbacks.translation_grid import TranslationGrid

__all__ = [
    "DistributionMetrics",
    "ImageGrid",
    "ReconstructionGrid",
    "StopOnNonFinite",
    "TranslationGrid",
    "TraversalGrid",
]
