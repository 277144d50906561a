"""Which functions of `kg.plots` work for a model, and the error of the others."""

from __future__ import annotations

from typing import Any

import keras

from keras_genmod.applications.latents import check_capability
from keras_genmod.core.checks import describe

__all__ = ["require"]

# Function -> the methods or networks of which a model must have one.
_NEEDS = {
    "samples": ("sample",),
    "reconstructions": ("reconstruct",),
    "latent_map": ("encode",),
    "traversals": ("decode", "generator"),
    "density_2d": ("log_prob",),
    "translations": ("translation_spaces",),
}


def require(model: Any, function: str) -> None:
    """Refuses a model without what a function of `kg.plots` needs; names the functions that work for it.

    Raises:
        TypeError: For such a model, and for what is no model.
    """
    if isinstance(model, type):
        raise TypeError(
            f"`kg.plots.{function}` needs a model; received the class {model.__name__}. Build one, and "
            "pass it."
        )
    try:
        check_capability(model, *_NEEDS[function], what=f"`kg.plots.{function}`")
    except TypeError as error:
        if not isinstance(model, keras.layers.Layer):
            raise TypeError(
                f"`kg.plots.{function}` needs a model as its first argument; received {describe(model)}. "
                "Pass the model first, then the data."
            ) from None
        others = [
            f"`{name}`" for name, needs in _NEEDS.items() if any(hasattr(model, need) for need in needs)
        ]
        works = (
            f"Of `kg.plots`, {', '.join(others)} work for it, and `history` of its training."
            if others
            else "Of `kg.plots`, only `history` of its training works for it."
        )
        raise TypeError(f"{error} {works}") from None
