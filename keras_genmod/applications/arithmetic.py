r"""Sums and differences of what examples have in common, in the latent space.

$z = \sum_i \bar p_i - \sum_j \bar m_j$ with the means $\bar p_i$ of the groups that are added and $\bar m_j$
of those that are taken away: smiling woman - neutral woman + neutral man. Single latent vectors carry much
that is their own; the mean of a few keeps what they share.

Reference: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks,
Radford, Metz and Chintala, 2016 (groups of three).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_genmod.applications.latents import as_latents, check_capability, decode
from keras_genmod.core.checks import describe

__all__ = ["latent_arithmetic"]


def latent_arithmetic(
    model: Any, plus: Sequence[Any], minus: Sequence[Any] = (), *, condition: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""The example at the sum of some groups of latent vectors less the sum of others.

    $z = \sum_i \bar p_i - \sum_j \bar m_j$, of the groups' means.

    ```python
    image, z = latent_arithmetic(model, plus=[smiling_women, neutral_men], minus=[neutral_women])
    ```

    Args:
        model: any model with `decode` (or, for an implicit model, a `generator`) and latent vectors.
        plus: list of the groups that are added, each `[n, latent_dim]`, or one vector `[latent_dim]`.
        minus: list of the groups that are taken away.
        condition: of a conditional model: one, without the batch axis.

    Returns:
        The example `[*event]`, and its latent vector `[latent_dim]`, float64.

    Raises:
        TypeError: if the model lacks a capability, latent vectors are whole numbers, or the groups are not
            in a list.
        ValueError: for groups without vectors, of other widths, or with values that are not finite.

    Cost: one pass through the decoder.

    Reference: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks,
    Radford, Metz and Chintala, 2016.
    """
    what = "`latent_arithmetic`"
    check_capability(model, "decode", "generator", what=what)
    added, removed = _group_means("plus", plus), _group_means("minus", minus)
    if not added:
        raise ValueError("`plus` must hold at least one group; received none. Pass latent vectors to add.")
    _check_widths(added, removed, getattr(model, "latent_dim", None))
    z = np.sum(added, axis=0)
    for mean in removed:
        z = z - mean
    return decode(model, z[None], condition, what=what)[0], z


def _group_means(name: str, groups: Sequence[Any]) -> list[np.ndarray]:
    """The mean of each group, `[latent_dim]`."""
    # The rows of an array would each pass for a group, and be added up where their mean was meant.
    if not isinstance(groups, (list, tuple)):
        raise TypeError(
            f"`{name}` must be a list of groups of latent vectors; received {describe(groups)}. "
            f"Put a single group in a list: `{name}=[group]`."
        )
    return [_mean(f"{name}[{index}]", group) for index, group in enumerate(groups)]


def _mean(name: str, group: Any) -> np.ndarray:
    vectors = as_latents(group)
    if vectors.ndim not in (1, 2) or not vectors.size:
        raise ValueError(
            f"`{name}` must be latent vectors [n, latent_dim], or one [latent_dim]; received shape "
            f"{vectors.shape}. Pass at least one vector a group."
        )
    return vectors if vectors.ndim == 1 else vectors.mean(axis=0)


def _check_widths(added: list[np.ndarray], removed: list[np.ndarray], latent_dim: int | None) -> None:
    """Refuses groups that do not fit the model, or one another where it does not tell."""
    named = [(f"plus[{index}]", mean) for index, mean in enumerate(added)]
    named += [(f"minus[{index}]", mean) for index, mean in enumerate(removed)]
    width = len(added[0]) if latent_dim is None else latent_dim
    for name, mean in named:
        if len(mean) != width:
            raise ValueError(
                f"`{name}` must hold latent vectors of width {width}; received {len(mean)}. "
                "Take all groups from the latent space of this model."
            )
