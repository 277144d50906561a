"""Layers and transformations that at least two families use."""

from keras_genmod.layers.conditioning import ConcatenateCondition
from keras_genmod.layers.corruption import (
    Corruption,
    GaussianCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
)
from keras_genmod.layers.diagonal_lstm import DiagonalBiLSTM
from keras_genmod.layers.dropout import Dropout
from keras_genmod.layers.masked_conv import MaskedConv2D
from keras_genmod.layers.masked_dense import MaskedDense
from keras_genmod.layers.minibatch_stddev import MinibatchStddev
from keras_genmod.layers.normalization import BatchNormalization, ConditionalBatchNormalization
from keras_genmod.layers.paired_augmentation import PairedAugmentation
from keras_genmod.layers.pixel_blocks import GatedPixelBlock, PixelResidualBlock
from keras_genmod.layers.pixel_lstm import PixelLSTMBlock
from keras_genmod.layers.position_bias import PositionBias
from keras_genmod.layers.raster import RasterLayer, Walker
from keras_genmod.layers.reflection_padding import ReflectionPadding2D
from keras_genmod.layers.resampling import (
    BicubicDownsampling,
    BicubicUpsampling,
    SubpixelUpsampling,
)
from keras_genmod.layers.row_dropout import NO_NOISE, RowDropout
from keras_genmod.layers.row_lstm import RowLSTM
from keras_genmod.layers.spectral_normalization import SpectralNormalization
from keras_genmod.layers.vector_quantizer import VectorQuantizer

__all__ = [
    "NO_NOISE",
    "BatchNormalization",
    "BicubicDownsampling",
    "BicubicUpsampling",
    "ConcatenateCondition",
    "ConditionalBatchNormalization",
    "Corruption",
    "DiagonalBiLSTM",
    "Dropout",
    "GatedPixelBlock",
    "GaussianCorruption",
    "MaskedConv2D",
    "MaskedDense",
    "MaskingCorruption",
    "MinibatchStddev",
    "PairedAugmentation",
    "PixelLSTMBlock",
    "PixelResidualBlock",
    "PositionBias",
    "RasterLayer",
    "ReflectionPadding2D",
    "RowDropout",
    "RowLSTM",
    "SaltAndPepperCorruption",
    "SpectralNormalization",
    "SubpixelUpsampling",
    "VectorQuantizer",
    "Walker",
]
