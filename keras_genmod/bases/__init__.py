"""The bases of models: what every family shares, and what several families answer alike."""

from keras_genmod.bases.adversarial_model import AdversarialModel
from keras_genmod.bases.encoder_decoder import EncoderDecoder
from keras_genmod.bases.exact_density import ExactDensity
from keras_genmod.bases.generative_model import GenerativeModel
from keras_genmod.bases.row_wise import SamplesByRow
from keras_genmod.bases.unnormalized_density import UnnormalizedDensity

__all__ = [
    "AdversarialModel",
    "EncoderDecoder",
    "ExactDensity",
    "GenerativeModel",
    "SamplesByRow",
    "UnnormalizedDensity",
]
