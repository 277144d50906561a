"""Deep generative models for Keras 3 on TensorFlow: every classical family as a `keras.Model`."""

import keras as _keras

if _keras.backend.backend() != "tensorflow":
    raise ImportError(
        "keras_genmod needs Keras' TensorFlow backend; received "
        f"{_keras.backend.backend()!r}. Set the environment variable KERAS_BACKEND=tensorflow before "
        "Keras is imported, or edit ~/.keras/keras.json."
    )

from keras_genmod import (
    applications,
    bases,
    bijectors,
    callbacks,
    data,
    distributions,
    layers,
    losses,
    metrics,
    models,
    networks,
    plots,
    samplers,
    serving,
    training,
)
from keras_genmod.bases import AdversarialModel, GenerativeModel
from keras_genmod.core.checks import ValueRange
from keras_genmod.core.images import image_grid, write_png
from keras_genmod.core.spaces import Space
from keras_genmod.core.version import __version__
from keras_genmod.explorer import explore
from keras_genmod.models import *
from keras_genmod.training import Player

__all__ = [
    *models.__all__,
    "AdversarialModel",
    "GenerativeModel",
    "Player",
    "Space",
    "ValueRange",
    "__version__",
    "applications",
    "bases",
    "bijectors",
    "callbacks",
    "data",
    "distributions",
    "explore",
    "image_grid",
    "layers",
    "losses",
    "metrics",
    "models",
    "networks",
    "plots",
    "samplers",
    "serving",
    "training",
    "write_png",
]
