"""Samplers as plain functions: Markov chains, tempering, and annealed importance sampling."""

from keras_genmod.samplers.annealing import (
    AnnealedWeights,
    annealed_importance_sampling,
    effective_sample_size,
)
from keras_genmod.samplers.chains import run_chain
from keras_genmod.samplers.gibbs import bernoulli_rows, categorical_rows, gibbs
from keras_genmod.samplers.langevin import langevin
from keras_genmod.samplers.tempering import swap_neighbours

__all__ = [
    "AnnealedWeights",
    "annealed_importance_sampling",
    "bernoulli_rows",
    "categorical_rows",
    "effective_sample_size",
    "gibbs",
    "langevin",
    "run_chain",
    "swap_neighbours",
]
