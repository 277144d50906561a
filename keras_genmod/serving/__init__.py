"""Endpoints, exporting them as a SavedModel, checking an export, and the files that a model server reads."""

from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.serving.export import export_saved_model
from keras_genmod.serving.models_config import write_models_config
from keras_genmod.serving.runner import call, run
from keras_genmod.serving.verify import verify
from keras_genmod.serving.warmup import write_warmup

__all__ = [
    "Endpoint",
    "call",
    "export_saved_model",
    "run",
    "verify",
    "write_models_config",
    "write_warmup",
]
