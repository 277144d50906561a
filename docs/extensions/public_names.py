"""The public names of the package: under which path each is documented, and which members a class shows."""

import inspect
import sys
import types

import keras
import tensorflow_probability as tfp

import keras_genmod
import keras_genmod.testing

__all__ = [
    "PACKAGE",
    "PUBLIC",
    "canonical",
    "documented_path",
    "families",
    "is_model",
    "is_own",
    "members",
    "path_of",
    "subpackages",
]

PACKAGE = keras_genmod.__name__

# Keras and TensorFlow Probability call their other methods themselves and document all of them.
_CALLED_BY_PEOPLE = {
    "call",
    "compile",
    "evaluate",
    "export",
    "fit",
    "load_weights",
    "predict",
    "quantize",
    "reset_state",
    "result",
    "save",
    "save_weights",
    "summary",
    "update_state",
}
_FOREIGN = (
    keras.Model,
    keras.layers.Layer,
    keras.metrics.Metric,
    keras.callbacks.Callback,
    tfp.distributions.Distribution,
    tfp.bijectors.Bijector,
)


def subpackages() -> dict[str, types.ModuleType]:
    """The public folders by name; `testing` is imported on its own."""
    found = {name: getattr(keras_genmod, name) for name in [*keras_genmod.__all__, "testing"]}
    return {name: value for name, value in found.items() if isinstance(value, types.ModuleType)}


def families() -> dict[str, types.ModuleType]:
    """The folders of models by name."""
    found = vars(keras_genmod.models)
    return {name: found[name] for name in sorted(found) if isinstance(found[name], types.ModuleType)}


def _public() -> dict[str, object]:
    names = {f"{PACKAGE}.{name}": getattr(keras_genmod, name) for name in keras_genmod.__all__}
    for folder, module in subpackages().items():
        names.update({f"{PACKAGE}.{folder}.{name}": getattr(module, name) for name in module.__all__})
    return names


# Path -> what it names; the root first.
PUBLIC = _public()
# Class or function -> its path. Constants may be equal by accident.
_PATHS: dict[object, str] = {}
for _path, _value in PUBLIC.items():
    if isinstance(_value, type | types.FunctionType):
        _PATHS.setdefault(_value, _path)
# `Coupling` -> its path, for names that are no words of everyday language.
_BY_NAME: dict[str, set[str]] = {}
for _path in _PATHS.values():
    _BY_NAME.setdefault(_path.rpartition(".")[2], set()).add(_path)
_BY_NAME = {name: paths for name, paths in _BY_NAME.items() if name != name.lower() or "_" in name}


def canonical(path: str) -> str:
    """The path under which a public name is documented."""
    value = PUBLIC[path]
    return _PATHS.get(value, path) if isinstance(value, type | types.FunctionType) else path


def is_own(value: object) -> bool:
    """Whether a class or function was written in this package."""
    return (getattr(value, "__module__", None) or "").partition(".")[0] == PACKAGE


def is_model(cls: type) -> bool:
    """Whether a class is a model with a base class above it that documents what all models have."""
    return issubclass(cls, keras_genmod.GenerativeModel) and cls is not keras_genmod.GenerativeModel


def members(cls: type) -> list[str]:
    """Names of the members of a class that its entry shows.

    These are the documented ones of this package, inherited ones too. What a model has from `GenerativeModel`
    is shown there.
    """
    return [name for name in sorted(dir(cls)) if not name.startswith("_") and _is_shown(cls, name)]


def _is_shown(cls: type, name: str) -> bool:
    owner = next(base for base in [*cls.__mro__, type(cls)] if name in vars(base))
    is_foreign = issubclass(cls, _FOREIGN) and any(hasattr(base, name) for base in _FOREIGN)
    if not is_own(owner) or (is_foreign and name not in _CALLED_BY_PEOPLE):
        return False
    if is_model(cls) and name in dir(keras_genmod.GenerativeModel):
        shared = inspect.getattr_static(keras_genmod.GenerativeModel, name)
        if inspect.getattr_static(cls, name) is shared:
            return False
    # An undocumented override says what its base says; Keras' own text is left to Keras.
    documented = (base for base in cls.__mro__ if getattr(vars(base).get(name), "__doc__", None))
    value = inspect.getattr_static(cls, name)
    is_member = callable(value) or isinstance(value, property | classmethod | staticmethod)
    return is_member and is_own(next(documented, None))


def path_of(code: str) -> str | None:
    """The path of what a piece of code names, such as `VampPrior` or `kg.data.load`; None for other code."""
    path = f"{PACKAGE}.{code.removeprefix('kg.').removeprefix(PACKAGE + '.')}"
    if path in PUBLIC:
        return canonical(path)
    head, _, tail = code.partition(".")
    paths = _BY_NAME.get(head, set())
    if len(paths) != 1:
        return None
    (path,) = paths
    return documented_path(f"{path}.{tail}") if tail else path


def documented_path(target: str) -> str | None:
    """The path under which the thing at `target` is documented.

    Returns:
        "" for what exists and has no entry, such as a private base class or a method of Keras; None for what
        does not exist.
    """
    if target in PUBLIC:
        return canonical(target)
    owner, _, name = target.rpartition(".")
    cls = PUBLIC.get(owner) or _find(owner)
    if isinstance(cls, type):
        for base in cls.__mro__:
            if base in _PATHS and name in members(base):
                return f"{_PATHS[base]}.{name}"
        return "" if hasattr(cls, name) else None
    value = _find(target)
    if value is None:
        return None
    return _PATHS.get(value, "") if isinstance(value, type | types.FunctionType) else ""


def _find(path: str) -> object | None:
    """What a path in the package names, or a bare name of a class, as error messages and types write it."""
    module, _, name = path.rpartition(".")
    if module:
        return getattr(sys.modules.get(module), name, None)
    own = (vars(each).get(name) for key, each in sys.modules.items() if key.partition(".")[0] == PACKAGE)
    return next((value for value in own if isinstance(value, type) and is_own(value)), None)
