"""Metrics: `keras.Metric`s and functions on arrays. They do not depend on any model."""

from keras_genmod.metrics.code_usage import CodeUsage
from keras_genmod.metrics.disentanglement import DCI, dci, dci_from_importance, sap_score
from keras_genmod.metrics.factor_votes import factor_vae_score
from keras_genmod.metrics.features import FeatureExtractor
from keras_genmod.metrics.frechet import FrechetDistance, frechet_distance, frechet_distance_of_moments
from keras_genmod.metrics.image_quality import absolute_error, psnr, ssim
from keras_genmod.metrics.kernel_distance import KernelDistance, kernel_distance
from keras_genmod.metrics.latent_usage import LatentUsage, active_units
from keras_genmod.metrics.means import TermMeans, TransientMetric
from keras_genmod.metrics.measurement import Measurement
from keras_genmod.metrics.modes import ModeCount, ModeCounts, count_classes, count_modes
from keras_genmod.metrics.mutual_information import (
    gaussian_total_correlation,
    mutual_information,
    mutual_information_gap,
)
from keras_genmod.metrics.neighbours import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    precision_recall,
)
from keras_genmod.metrics.pairwise import mean_pairwise_distance
from keras_genmod.metrics.parzen import choose_bandwidth, parzen_log_prob

__all__ = [
    "CodeUsage",
    "DCI",
    "DensityCoverage",
    "FeatureExtractor",
    "FrechetDistance",
    "KernelDistance",
    "LatentUsage",
    "Measurement",
    "ModeCount",
    "ModeCounts",
    "PrecisionRecall",
    "TermMeans",
    "TransientMetric",
    "absolute_error",
    "active_units",
    "choose_bandwidth",
    "count_classes",
    "count_modes",
    "dci",
    "dci_from_importance",
    "density_coverage",
    "factor_vae_score",
    "frechet_distance",
    "frechet_distance_of_moments",
    "gaussian_total_correlation",
    "kernel_distance",
    "mean_pairwise_distance",
    "mutual_information",
    "mutual_information_gap",
    "parzen_log_prob",
    "precision_recall",
    "psnr",
    "sap_score",
    "ssim",
]
