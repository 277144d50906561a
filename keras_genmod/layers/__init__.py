"""Layers and transformations that two families or more use."""

from keras_genmod.layers.conditioning import ConcatenateCondition
from keras_genmod.layers.corruption import (
    Corruption,
    GaussianCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
)
from keras_genmod.layers.dropout import Dropout

__all__ = [
    "ConcatenateCondition",
    "Corruption",
    "Dropout",
    "GaussianCorruption",
    "MaskingCorruption",
    "SaltAndPepperCorruption",
]
