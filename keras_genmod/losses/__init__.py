"""Losses of two players and penalties on gradients: pure functions, one value per example."""

from keras_genmod.losses.adversarial import AdversarialLoss, get_adversarial_loss
from keras_genmod.losses.gradient_penalties import (
    gradient_penalty,
    input_gradient_norm,
    squared_gradient_penalty,
)

__all__ = [
    "AdversarialLoss",
    "get_adversarial_loss",
    "gradient_penalty",
    "input_gradient_norm",
    "squared_gradient_penalty",
]
