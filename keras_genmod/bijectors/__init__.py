"""Bijections: Keras layers that own their weights and build TensorFlow Probability bijectors from them."""

from keras_genmod.bijectors.autoregressive import InverseAutoregressive, MaskedAutoregressive
from keras_genmod.bijectors.bijection import Bijection
from keras_genmod.bijectors.coupling import Coupling
from keras_genmod.bijectors.latent_flows import FlowPosterior, FlowPrior
from keras_genmod.bijectors.linear import ActNorm, InvertibleConvolution, Permutation
from keras_genmod.bijectors.preprocessing import (
    Dequantization,
    Logit,
    UniformDequantization,
    VariationalDequantization,
)
from keras_genmod.bijectors.shapes import Split, Squeeze
from keras_genmod.bijectors.transforms import (
    AdditiveTransform,
    AffineTransform,
    SplineTransform,
    Transform,
)

__all__ = [
    "ActNorm",
    "AdditiveTransform",
    "AffineTransform",
    "Bijection",
    "Coupling",
    "Dequantization",
    "FlowPosterior",
    "FlowPrior",
    "InverseAutoregressive",
    "InvertibleConvolution",
    "Logit",
    "MaskedAutoregressive",
    "Permutation",
    "SplineTransform",
    "Split",
    "Squeeze",
    "Transform",
    "UniformDequantization",
    "VariationalDequantization",
]
