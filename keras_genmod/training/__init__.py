"""Training: the base classes, the one optimisation step, schedules."""

from keras_genmod.training.adversarial_model import AdversarialModel
from keras_genmod.training.encoder_decoder import EncoderDecoder
from keras_genmod.training.exact_density import ExactDensity
from keras_genmod.training.generative_model import GenerativeModel
from keras_genmod.training.schedules import (
    CosineSchedule,
    CyclicalSchedule,
    LinearSchedule,
    WeightSchedule,
)
from keras_genmod.training.step import MEASURE, Player, SharedForward, keep_state

__all__ = [
    "MEASURE",
    "AdversarialModel",
    "CosineSchedule",
    "CyclicalSchedule",
    "EncoderDecoder",
    "ExactDensity",
    "GenerativeModel",
    "LinearSchedule",
    "Player",
    "SharedForward",
    "WeightSchedule",
    "keep_state",
]
