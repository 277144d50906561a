"""Training: the one optimisation step, its players, and schedules."""

from keras_genmod.training.objective import MEASURE, SharedForward, keep_state
from keras_genmod.training.players import Player
from keras_genmod.training.schedules import (
    CosineSchedule,
    CyclicalSchedule,
    LinearSchedule,
    WeightSchedule,
)

__all__ = [
    "MEASURE",
    "CosineSchedule",
    "CyclicalSchedule",
    "LinearSchedule",
    "Player",
    "SharedForward",
    "WeightSchedule",
    "keep_state",
]
