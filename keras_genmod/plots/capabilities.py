"""Which functions of `kg.plots` work for a model, and the error of the others."""

from __future__ import annotations

from typing import Any

from keras_genmod.applications.latents import check_capability

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
    """Refuses a model without what a function of `kg.plots` needs; names the functions that work for it."""
    try:
        check_capability(model, *_NEEDS[function], what=f"`kg.plots.{function}`")
    except TypeError as error:
        others = [
            f"`{name}`" for name, needs in _NEEDS.items() if any(hasattr(model, need) for need in needs)
        ]
        works = (
            f"Of `kg.plots`, {', '.join(others)} work for it" if others else "No plot of models works for it"
        )
        raise TypeError(f"{error} {works}, and `history` of its training.") from None
