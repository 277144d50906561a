"""Warnings that point at the user's line, however deep in the library they arise."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_user"]

# Packages whose frames may lie between a user's line and a warning: this package, its callers and wrappers.
_INTERNAL = {"keras_genmod", "keras", "tensorflow", "tensorflow_probability", "contextlib", "functools"}


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the innermost line outside this package, Keras and TensorFlow.

    A fixed `stacklevel` would point at the wrong line as soon as the call goes through one more function.
    Python shows a warning once for each line it points at, so a warning that points into this package would
    be shown once in all, not once for each line of the user.

    Args:
        message: What is wrong and what to do.
        category: Class of the warning.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_internal(frame.f_globals.get("__name__")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _is_internal(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in _INTERNAL
