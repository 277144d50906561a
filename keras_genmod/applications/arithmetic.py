r"""Arithmetic with groups of examples in the latent space.

$z = \sum_i \bar p_i - \sum_j \bar m_j$ with the means $\bar p_i$ of the added groups and $\bar m_j$ of the
subtracted groups, such as smiling woman - neutral woman + neutral man. A single latent vector encodes much
that is particular to its example; the mean of a few encodes what the examples share.

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
    r"""Decodes a sum and difference of the means of groups of latent vectors.

    $z = \sum_i \bar p_i - \sum_j \bar m_j$ with the groups' means $\bar p_i$ and $\bar m_j$.

    ```python
    image, z = latent_arithmetic(model, plus=[smiling_women, neutral_men], minus=[neutral_women])
    ```

    Args:
        model: Any model with `decode` (or, for an implicit model, a `generator`) and latent vectors.
        plus: List of the groups to add; each is `[n, latent_dim]`, or one vector `[latent_dim]`.
        minus: List of the groups to subtract.
        condition: One condition, without the batch axis.

    Returns:
        The example `[*event]` and its latent vector `[latent_dim]`, float64.

    Raises:
        TypeError: If the model lacks a method, the latent vectors are integers, or the groups are not in a
            list.
        ValueError: If a group is empty, has another width or has values that are not finite.

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
    # Each row of an array would count as a group of its own, so the rows' sum would replace their mean.
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
            f"{vectors.shape}. Pass at least one vector per group."
        )
    return vectors if vectors.ndim == 1 else vectors.mean(axis=0)


def _check_widths(added: list[np.ndarray], removed: list[np.ndarray], latent_dim: int | None) -> None:
    """Raises an error if groups do not fit the model, or one another if the model has no `latent_dim`."""
    named = [(f"plus[{index}]", mean) for index, mean in enumerate(added)]
    named += [(f"minus[{index}]", mean) for index, mean in enumerate(removed)]
    width = len(added[0]) if latent_dim is None else latent_dim
    for name, mean in named:
        if len(mean) != width:
            raise ValueError(
                f"`{name}` must hold latent vectors of width {width}; received {len(mean)}. "
                "Take all groups from the latent space of this model."
            )
