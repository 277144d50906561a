"""Models with an energy: Boltzmann machines."""

from keras_genmod.models.energy.rbm import RBM

__all__ = ["RBM"]
