"""Training: the one optimisation step, its players and stages, averaged networks, and schedules."""

from keras_genmod.training.averaging import AveragedNetwork
from keras_genmod.training.objective import MEASURE, SharedForward, keep_state
from keras_genmod.training.players import Player
from keras_genmod.training.schedules import (
    CosineSchedule,
    CyclicalSchedule,
    LinearSchedule,
    WeightSchedule,
)
from keras_genmod.training.stages import Stage

__all__ = [
    "MEASURE",
    "AveragedNetwork",
    "CosineSchedule",
    "CyclicalSchedule",
    "LinearSchedule",
    "Player",
    "SharedForward",
    "Stage",
    "WeightSchedule",
    "keep_state",
]
