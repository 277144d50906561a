"""Registered classes, which `.keras` files load without custom objects, and arguments given by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras

from keras_genmod.core.checks import describe

__all__ = ["PACKAGE", "register", "resolve"]

PACKAGE = "keras_genmod"

_Class = TypeVar("_Class", bound=type)


def register(cls: _Class) -> _Class:
    """Class decorator that makes `cls` loadable from `.keras` files as `keras_genmod>ClassName`."""
    return keras.saving.register_keras_serializable(package=PACKAGE)(cls)


def resolve(
    argument: str, value: Any, by_name: Mapping[str, Callable[[], Any]], kind: type, otherwise: str
) -> Any:
    """Returns the object of an argument that may be a name, the object itself, or its configuration.

    Args:
        argument: Name of the argument, for the error.
        value: The value that was given.
        by_name: A function that makes the object, for each name.
        kind: Class of the object.
        otherwise: What else may be given, for the error, such as "a head such as `GaussianHead()`".

    Raises:
        ValueError: For another name or type.
    """
    if isinstance(value, str) and value in by_name:
        return by_name[value]()
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if not isinstance(value, kind):
        names = ", ".join(map(repr, by_name))
        raise ValueError(f"`{argument}` must be one of {names} or {otherwise}; received {describe(value)}.")
    return value
