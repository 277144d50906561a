"""The tabs of the page in their order, one a file; a new one adds its file and its name here."""

from keras_genmod.explorer.tabs.classes import Classes
from keras_genmod.explorer.tabs.completion import Completion
from keras_genmod.explorer.tabs.interpolation import Interpolation
from keras_genmod.explorer.tabs.latents import Latents
from keras_genmod.explorer.tabs.plane import Plane
from keras_genmod.explorer.tabs.samples import Samples
from keras_genmod.explorer.tabs.scores import Scores
from keras_genmod.explorer.tabs.translation import Translation

__all__ = [
    "Samples",
    "Latents",
    "Interpolation",
    "Translation",
    "Scores",
    "Completion",
    "Classes",
    "Plane",
]
