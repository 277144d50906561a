"""Uses of generative models, over what a model can do, never over what it is."""

from keras_genmod.applications.interpolation import interpolate, lerp, slerp
from keras_genmod.applications.traversal import traverse

__all__ = ["interpolate", "lerp", "slerp", "traverse"]
