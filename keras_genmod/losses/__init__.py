"""Losses of two players, penalties on gradients and on latents: pure functions, one value per example."""

from keras_genmod.losses.adversarial import AdversarialLoss, get_adversarial_loss
from keras_genmod.losses.aggregate_posterior import (
    covariance_penalties,
    log_aggregate_posterior,
    permute_latents,
)
from keras_genmod.losses.gradient_penalties import (
    gradient_penalty,
    input_gradient_norm,
    squared_gradient_penalty,
)
from keras_genmod.losses.maximum_mean_discrepancy import maximum_mean_discrepancy

__all__ = [
    "AdversarialLoss",
    "covariance_penalties",
    "get_adversarial_loss",
    "gradient_penalty",
    "input_gradient_norm",
    "log_aggregate_posterior",
    "maximum_mean_discrepancy",
    "permute_latents",
    "squared_gradient_penalty",
]
