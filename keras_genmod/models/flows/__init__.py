"""Normalizing flows."""

from keras_genmod.models.flows.glow import Glow
from keras_genmod.models.flows.maf import IAF, MAF
from keras_genmod.models.flows.neural_spline_flow import NeuralSplineFlow
from keras_genmod.models.flows.nice import NICE
from keras_genmod.models.flows.normalizing_flow import NormalizingFlow
from keras_genmod.models.flows.real_nvp import RealNVP

__all__ = ["IAF", "MAF", "NICE", "Glow", "NeuralSplineFlow", "NormalizingFlow", "RealNVP"]
