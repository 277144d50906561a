"""The models, one folder a family."""

from keras_genmod.models import (
    adversarial,
    autoencoders,
    autoregressive,
    energy,
    flows,
    mixtures,
    translation,
    variational,
)
from keras_genmod.models.adversarial import *
from keras_genmod.models.autoencoders import *
from keras_genmod.models.autoregressive import *
from keras_genmod.models.energy import *
from keras_genmod.models.flows import *
from keras_genmod.models.mixtures import *
from keras_genmod.models.translation import *
from keras_genmod.models.variational import *

__all__ = [
    *adversarial.__all__,
    *autoencoders.__all__,
    *autoregressive.__all__,
    *energy.__all__,
    *flows.__all__,
    *mixtures.__all__,
    *translation.__all__,
    *variational.__all__,
]
