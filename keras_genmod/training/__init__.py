"""Training: the one optimisation step, its players, stages, and schedules."""

from keras_genmod.training.schedules import (
    CosineSchedule,
    CyclicalSchedule,
    LinearSchedule,
    WeightSchedule,
)
from keras_genmod.training.stages import Stage
from keras_genmod.training.step import MEASURE, Player, SharedForward, keep_state

__all__ = [
    "MEASURE",
    "CosineSchedule",
    "CyclicalSchedule",
    "LinearSchedule",
    "Player",
    "SharedForward",
    "Stage",
    "WeightSchedule",
    "keep_state",
]
