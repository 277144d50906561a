"""Metrics: `keras.Metric`s and functions on arrays; they know no model."""

from keras_genmod.metrics.latent_usage import LatentUsage, active_units
from keras_genmod.metrics.means import TermMeans, TransientMetric

__all__ = ["LatentUsage", "TermMeans", "TransientMetric", "active_units"]
