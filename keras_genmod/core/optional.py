"""Imports of optional packages."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["optional_module"]

# Module -> the name under which `pip` installs it.
_PACKAGES = {"sklearn": "scikit-learn"}


def optional_module(name: str, *, what: str, extra: str | None = None) -> ModuleType:
    """Imports a module of an optional package.

    Args:
        name: Name of the module, such as "sklearn.mixture".
        what: What needs the module, for the error message.
        extra: The extra of this package that installs it with what else is needed; None for a package that
            is installed by itself.

    Raises:
        ImportError: If the package is missing; the message gives the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        package = _PACKAGES.get(package, package)
        wanted = package if extra is None else f"keras_genmod[{extra}]"
        raise ImportError(f"{what} needs {package}: `pip install {wanted}`.") from error
