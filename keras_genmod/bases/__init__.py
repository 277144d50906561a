"""The bases of models: what every family shares, what several families answer alike, and noise by row."""

from keras_genmod.bases.adversarial_model import AdversarialModel
from keras_genmod.bases.encoder_decoder import EncoderDecoder
from keras_genmod.bases.exact_density import ExactDensity
from keras_genmod.bases.generative_model import GenerativeModel
from keras_genmod.bases.row_wise import SamplesByRow
from keras_genmod.bases.unnormalized_density import UnnormalizedDensity
from keras_genmod.core.noise import fold_in, replica_seed, row_seeds, sample_rows
from keras_genmod.core.replicas import assign_equally
from keras_genmod.core.row_noise import fold_in_rows, normal_rows, uniform_rows
from keras_genmod.core.spaces import ROW_SEEDS

__all__ = [
    "ROW_SEEDS",
    "AdversarialModel",
    "EncoderDecoder",
    "ExactDensity",
    "GenerativeModel",
    "SamplesByRow",
    "UnnormalizedDensity",
    "assign_equally",
    "fold_in",
    "fold_in_rows",
    "normal_rows",
    "replica_seed",
    "row_seeds",
    "sample_rows",
    "uniform_rows",
]
