"""Misspelt and misplaced arguments: the error names the model that was called and the nearest argument.

Python's own error names the class that defines the method, or the last constructor of a chain, which the
caller may never have heard of.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

__all__ = ["ExplainsCalls", "explained", "unexpected_argument"]

# Names in other libraries and tutorials -> what may be meant. The first that is an argument is suggested.
_OTHER_NAMES = {
    **dict.fromkeys(
        ("c", "classes", "cond", "condition", "conditions", "label", "labels", "target", "targets", "y"),
        ("condition", "y"),
    ),
    **dict.fromkeys(("n", "n_samples", "num", "size"), ("num_samples",)),
    **dict.fromkeys(
        ("code_size", "encoding_dim", "latent_size", "noise_dim", "nz", "z_dim"), ("latent_dim", "code_dim")
    ),
    **dict.fromkeys(("data_shape", "image_shape", "img_shape", "input_dim", "shape"), ("event_shape",)),
    **dict.fromkeys(("hidden", "hidden_sizes", "hidden_units", "units"), ("hidden_dims", "hidden_dim")),
    **dict.fromkeys(("codebook_size", "n_embeddings", "num_embeddings"), ("num_codes",)),
    **dict.fromkeys(
        ("depth", "n_blocks", "n_layers", "num_blocks", "num_layers"), ("num_blocks", "num_layers")
    ),
    **dict.fromkeys(("freq", "frequency", "period", "save_freq"), ("every_n_epochs",)),
    **dict.fromkeys(("random_seed", "random_state", "rng"), ("seed",)),
    **dict.fromkeys(("learning_rate", "lr"), ("optimizer", "generator_optimizer")),
    **dict.fromkeys(("g_optimizer", "gen_optimizer", "optimizer"), ("generator_optimizer",)),
    **dict.fromkeys(("c_optimizer", "critic_optimizer", "d_optimizer"), ("discriminator_optimizer",)),
    **dict.fromkeys(("n_critic", "critic_steps"), ("discriminator_steps",)),
    "critic": ("discriminator",),
    "embedding_dim": ("code_dim", "latent_dim"),
    "input_shape": ("event_shape",),
}
# Methods of Keras that people call. Keras calls the others itself.
_CALLED_BY_PEOPLE = {
    "compile",
    "evaluate",
    "export",
    "fit",
    "load_weights",
    "predict",
    "save",
    "save_weights",
}


class ExplainsCalls:
    """The part of `GenerativeModel` that explains calls which do not fit a signature.

    Signatures, docstrings and `help` stay as they are.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Checks the arguments against the constructor; a copy is made without arguments."""
        if args or kwargs:
            accepted = constructor_arguments(cls)
            message = misfit(f"{cls.__name__}", cls.__init__, (None, *args), kwargs, accepted)
            if message is not None:
                raise TypeError(message)
        return super().__new__(cls, *args, **kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        package = __name__.partition(".")[0]
        for base in cls.__mro__:
            if base.__module__.partition(".")[0] != package or base is ExplainsCalls:
                continue
            for name, function in list(vars(base).items()):
                keras_own = hasattr(keras.Model, name) and name not in _CALLED_BY_PEOPLE
                if inspect.isfunction(function) and not name.startswith("_") and not keras_own:
                    setattr(base, name, explained(function))


def explained(function: Callable) -> Callable:
    """Wraps a method so that a call which does not fit its signature is explained."""
    if getattr(function, "is_explained", False):
        return function
    describe = misfit
    is_constructor = function.__name__ == "__init__"
    accepted_by = constructor_arguments

    def call(self, *args, **kwargs):
        try:
            return function(self, *args, **kwargs)
        except TypeError:
            cls = type(self)
            owner = cls.__name__ if is_constructor else f"{cls.__name__}.{function.__name__}"
            accepted = accepted_by(cls) if is_constructor else None
            message = describe(owner, function, (self, *args), kwargs, accepted)
            if message is None:
                raise
        raise TypeError(message)

    # `call` gets the method's own module, where doctests are looked for. It uses no global of this one.
    call = types.FunctionType(call.__code__, function.__globals__, closure=call.__closure__)
    call.__dict__["is_explained"] = True
    return functools.update_wrapper(call, function)


def misfit(
    owner: str,
    function: Callable,
    args: tuple,
    kwargs: Mapping[str, Any],
    accepted: Iterable[str] | None = None,
) -> str | None:
    """Says what is wrong with a call of a method; None if the call fits the signature.

    Args:
        owner: What was called, in the caller's words.
        function: The method.
        args: Positional arguments, `self` first.
        kwargs: Arguments by name.
        accepted: All names that the method takes, if it passes some of them on to another method.
    """
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        pass
    else:
        return None
    _, *parameters = signature.parameters.values()
    kinds = inspect.Parameter
    names = [each.name for each in parameters if each.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    accepted = names if accepted is None else list(accepted)
    passes_on = any(each.kind is kinds.VAR_KEYWORD for each in parameters) and accepted == names
    unknown = [] if passes_on else [name for name in kwargs if name not in {*accepted, *names}]
    if unknown:
        return _unexpected(owner, unknown[0], accepted)
    positional = [each.name for each in parameters if each.kind is kinds.POSITIONAL_OR_KEYWORD]
    if len(args) - 1 > len(positional):
        listed = ", ".join(f"`{name}`" for name in positional) or "none"
        others = ", ".join(name for name in accepted if name not in positional)
        return (
            f"{owner}() takes {len(positional)} positional argument{'' if len(positional) == 1 else 's'} "
            f"({listed}); received {len(args) - 1}. Pass the others by name: {others}."
        )
    given = {*positional[: len(args) - 1], *kwargs}
    missing = [
        each.name
        for each in parameters
        if each.name in names and each.default is kinds.empty and each.name not in given
    ]
    return f"{owner}() needs the argument `{missing[0]}`." if missing else None


def unexpected_argument(method: Any, name: str) -> str:
    """The message for an unknown argument of a bound method that takes any keyword."""
    parameters = inspect.signature(method).parameters.values()
    accepted = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    return _unexpected(f"{type(method.__self__).__name__}.{method.__name__}", name, accepted)


def _unexpected(owner: str, name: str, accepted: list[str]) -> str:
    """The message for an unknown argument. It names the argument that may be meant, or lists all."""
    meant = [other for other in _OTHER_NAMES.get(name, ()) if other in accepted]
    meant += difflib.get_close_matches(name, accepted, n=1)
    advice = f"Did you mean `{meant[0]}`?" if meant else f"It takes: {', '.join(accepted)}."
    return f"{owner}() got an unexpected argument {name!r}. {advice}"


def constructor_arguments(cls: type) -> list[str]:
    """Names of the arguments of a constructor, and of the constructors that it passes arguments on to."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        takes_others = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
        named = [each for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
        if names:
            # The class itself passes the arguments that its base needs.
            named = [each for each in named if each.default is not each.empty]
        names.update((each.name, None) for each in named)
        if not takes_others:
            break
    return list(names)
