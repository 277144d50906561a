"""Autoregressive models: exact densities by the chain rule."""

from keras_genmod.models.autoregressive.fvsbn import FVSBN
from keras_genmod.models.autoregressive.made import MADE
from keras_genmod.models.autoregressive.nade import NADE
from keras_genmod.models.autoregressive.pixel_cnn import PixelCNN
from keras_genmod.models.autoregressive.pixel_rnn import PixelRNN

__all__ = ["FVSBN", "MADE", "NADE", "PixelCNN", "PixelRNN"]
