"""What an entry of the reference says: its docstring, its signature, its bases."""

import inspect
import types

from docstrings import to_rst
from public_names import is_model, is_own, members, path_of
from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

import keras_genmod

__all__ = ["bases_above", "convert", "full_signature", "paragraphs", "public_bases", "summary"]


def paragraphs(module: types.ModuleType) -> str:
    """The docstring of a module."""
    return inspect.getdoc(module) or ""


def summary(value: object) -> str:
    """The first paragraph of a docstring on one line, for a cell of a table."""
    if not isinstance(value, type | types.FunctionType | types.ModuleType):
        return f"`{value!r}`" if len(repr(value)) < 60 else ""
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split()).replace("|", "\\|")


def convert(_: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Turns a docstring into reStructuredText; a model's one gets the idea and equation of its file."""
    text = "\n".join(lines)
    if what == "data" and text.strip() == inspect.getdoc(type(value)):
        text = ""  # A constant without a comment of its own has the docstring of its type.
    if what == "class" and value in _models():
        first, _, rest = text.partition("\n\n")
        idea = inspect.getdoc(inspect.getmodule(value)) or ""
        text = "\n\n".join([first, idea, rest.rstrip()])
    lines[:] = to_rst(text, path_of).split("\n")
    if what == "class" and is_model(value):
        lines += ["", _shared_members(), ""]
    if what in {"attribute", "data", "property"}:
        # Napoleon would take the words before a colon in the first line for a type.
        lines.insert(0, "\\")


def _models() -> list[type]:
    return [getattr(keras_genmod, name) for name in keras_genmod.models.__all__]


def _shared_members() -> str:
    """A line of links to what a model has from the base of all models."""
    links = (
        f":py:obj:`~keras_genmod.GenerativeModel.{name}`" for name in members(keras_genmod.GenerativeModel)
    )
    return f"**As every model:** {', '.join(links)}."


def full_signature(
    _: Sphinx, what: str, name: str, value: object, options: object, signature: str, annotation: str
) -> tuple[str, str] | None:
    """The arguments of a constructor, with those that it passes on to the constructors of its bases."""
    if what != "class":
        return None
    named: dict[str, inspect.Parameter] = {}
    others: list[inspect.Parameter] = []
    for base in value.__mro__:
        if "__init__" not in vars(base) or not is_own(base):
            continue
        own = list(inspect.signature(base.__init__).parameters.values())[1:]
        others = [each for each in own if each.kind is each.VAR_KEYWORD]
        # A class itself passes the arguments that its base needs.
        is_base = bool(named)
        for each in own:
            if each not in others and not (is_base and each.default is each.empty):
                named.setdefault(each.name, each)
        if not others:
            break
    if not named:
        return None
    shown = (each.replace(default=_readable(each.default)) for each in named.values())
    parameters = sorted([*shown, *others], key=lambda each: each.kind)
    return stringify_signature(inspect.Signature(parameters), unqualified_typehints=True), ""


class _Written:
    """A default value that is shown as a text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _readable(default: object) -> object:
    """A default value whose text is Python, unlike `<class 'dict'>`: Sphinx reads the signature again."""
    if default is inspect.Parameter.empty or not repr(default).startswith("<"):
        return default
    return _Written(getattr(default, "__name__", "..."))


def public_bases(_: Sphinx, name: str, value: type, options: object, bases: list[type]) -> None:
    """Shows the public classes above a private base instead of it."""
    bases[:] = bases_above(value)


def bases_above(cls: type) -> list[type]:
    """The nearest public classes above a class, without `object`."""
    return list(dict.fromkeys(public for base in cls.__bases__ for public in _public_above(base)))


def _public_above(base: type) -> list[type]:
    if not is_own(base) or path_of(base.__name__):
        return [] if base is object else [base]
    return bases_above(base)
