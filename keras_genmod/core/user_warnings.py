"""Warnings that point at the user's line, however deep in the library they arise."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_user"]

# What lies between a user's line and a warning: this package, those that call it back, and wrappers.
_INTERNAL = {"keras_genmod", "keras", "tensorflow", "tensorflow_probability", "contextlib", "functools"}


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the first line outside of this package, Keras and TensorFlow.

    A fixed `stacklevel` points somewhere else as soon as one more function lies between, and Python shows a
    warning once for each line that it points at, so that it would be shown once for all users' lines.

    Args:
        message: what is wrong and what to do.
        category: class of the warning.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_internal(frame.f_globals.get("__name__")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _is_internal(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in _INTERNAL
