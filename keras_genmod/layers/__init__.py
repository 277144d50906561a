"""Layers and transformations that two families or more use."""

from keras_genmod.layers.conditioning import ConcatenateCondition
from keras_genmod.layers.corruption import (
    Corruption,
    GaussianCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
)
from keras_genmod.layers.dropout import Dropout
from keras_genmod.layers.minibatch_stddev import MinibatchStddev
from keras_genmod.layers.normalization import BatchNormalization, ConditionalBatchNormalization

__all__ = [
    "BatchNormalization",
    "ConcatenateCondition",
    "ConditionalBatchNormalization",
    "Corruption",
    "Dropout",
    "GaussianCorruption",
    "MaskingCorruption",
    "MinibatchStddev",
    "SaltAndPepperCorruption",
]
