"""Packages that the library uses where they are there, and does without elsewhere."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["optional_module"]

# Module -> the name to install it by.
_PACKAGES = {"sklearn": "scikit-learn"}


def optional_module(name: str, *, what: str) -> ModuleType:
    """A module of an optional package.

    Args:
        name: of the module, such as "sklearn.mixture".
        what: who needs it, for the error.

    Raises:
        ImportError: if the package is missing, with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        package = _PACKAGES.get(package, package)
        raise ImportError(f"{what} needs {package}: `pip install {package}`.") from error
