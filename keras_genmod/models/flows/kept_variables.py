"""A warning about variables that every coupling of a flow keeps, so that their density is not learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_genmod.bijectors.bijection import Bijection
from keras_genmod.bijectors.coupling import Coupling
from keras_genmod.bijectors.linear import ActNorm
from keras_genmod.bijectors.preprocessing import Dequantization, Logit
from keras_genmod.core.user_warnings import warn_user

__all__ = ["warn_of_kept_variables"]

# They act on each variable by itself, and leave it in its place.
_ELEMENTWISE = (ActNorm, Dequantization, Logit)


def warn_of_kept_variables(bijections: Sequence[Bijection]) -> None:
    """Warns if two or more couplings keep the same variables and nothing else transforms these.

    Args:
        bijections: The bijections of a flow, with their shapes set.
    """
    couplings = [one for one in bijections if isinstance(one, Coupling)]
    others = [one for one in bijections if not isinstance(one, Coupling)]
    if len(couplings) < 2 or not all(isinstance(one, _ELEMENTWISE) for one in others):
        return
    kept = np.logical_and.reduce([coupling.kept_variables() for coupling in couplings])
    if kept.any():
        warn_user(
            f"All {len(couplings)} couplings keep {int(kept.sum())} of {kept.size} variables, the same ones, "
            "so the flow cannot learn their density. Alternate `Coupling()` and `Coupling(swap=True)`, or "
            "put a `Permutation` between them."
        )
