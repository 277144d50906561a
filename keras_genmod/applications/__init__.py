"""Applications of generative models; they depend on a model's methods, never on its class."""

from keras_genmod.applications.arithmetic import latent_arithmetic
from keras_genmod.applications.augmentation import augment
from keras_genmod.applications.classifiers import ClassifierExtractor, classifier_extractor, predict_classes
from keras_genmod.applications.debiasing import DebiasingSampler, GroupShare
from keras_genmod.applications.estimators import Codes, DensityEstimator
from keras_genmod.applications.extractors import inception_extractor
from keras_genmod.applications.feature_vectors import features
from keras_genmod.applications.group_reports import GroupReport, group_report
from keras_genmod.applications.interpolation import interpolate, lerp, slerp
from keras_genmod.applications.latent_sampler import LatentSampler
from keras_genmod.applications.probes import ProbeReport, linear_probe
from keras_genmod.applications.traversal import traverse

__all__ = [
    "ClassifierExtractor",
    "Codes",
    "DebiasingSampler",
    "DensityEstimator",
    "GroupReport",
    "GroupShare",
    "LatentSampler",
    "ProbeReport",
    "augment",
    "classifier_extractor",
    "features",
    "group_report",
    "inception_extractor",
    "interpolate",
    "latent_arithmetic",
    "lerp",
    "linear_probe",
    "predict_classes",
    "slerp",
    "traverse",
]
