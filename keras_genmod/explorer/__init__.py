"""A page in the browser over what a model can do."""

from keras_genmod.explorer.explorer import Explorer, explore

__all__ = ["Explorer", "explore"]
