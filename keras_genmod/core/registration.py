"""Registration of the package's Keras objects, so that `.keras` files name them without custom objects."""

import keras

__all__ = ["PACKAGE", "register"]

PACKAGE = "keras_genmod"


def register(cls: type) -> type:
    """Class decorator: makes `cls` loadable from `.keras` files as `keras_genmod>ClassName`."""
    return keras.saving.register_keras_serializable(package=PACKAGE)(cls)
