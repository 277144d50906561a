"""Endpoints, their export as a SavedModel, and the check of an export."""

from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.serving.export import export_saved_model
from keras_genmod.serving.runner import call, run
from keras_genmod.serving.verify import verify

__all__ = ["Endpoint", "call", "export_saved_model", "run", "verify"]
