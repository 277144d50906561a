"""Registered objects: `.keras` files name them without custom objects, and arguments may name them too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras

from keras_genmod.core.checks import describe

__all__ = ["PACKAGE", "register", "resolve"]

PACKAGE = "keras_genmod"

_Class = TypeVar("_Class", bound=type)


def register(cls: _Class) -> _Class:
    """Class decorator: makes `cls` loadable from `.keras` files as `keras_genmod>ClassName`."""
    return keras.saving.register_keras_serializable(package=PACKAGE)(cls)


def resolve(
    argument: str, value: Any, by_name: Mapping[str, Callable[[], Any]], kind: type, otherwise: str
) -> Any:
    """The object of an argument that may be a name, the object itself, or its configuration.

    Args:
        argument: its name, for the error.
        value: what was given.
        by_name: the names, each with a function that makes its object.
        kind: class that the object must be of.
        otherwise: what else may be given, for the error, such as "a head such as `GaussianHead()`".

    Raises:
        ValueError: for another name or type.
    """
    if isinstance(value, str) and value in by_name:
        return by_name[value]()
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if not isinstance(value, kind):
        names = ", ".join(map(repr, by_name))
        raise ValueError(f"`{argument}` must be one of {names} or {otherwise}; received {describe(value)}.")
    return value
