"""The base of the ready-made flows, which choose their bijections themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_genmod.bijectors.bijection import Bijection
from keras_genmod.bijectors.preprocessing import Logit, UniformDequantization, VariationalDequantization
from keras_genmod.core.checks import check_event_shape, describe
from keras_genmod.models.flows.normalizing_flow import NormalizingFlow
from keras_genmod.networks.defaults import check_rank

__all__ = ["ReadyMadeFlow"]

_DEQUANTIZATIONS = {"uniform": UniformDequantization, "variational": VariationalDequantization}


class ReadyMadeFlow(NormalizingFlow):
    r"""Base of the ready-made flows. A subclass defines `_make_bijections`.

    A subclass stores its own arguments before it calls this constructor, which calls `_make_bijections`.

    Args:
        event_shape: Shape of one example.
        dequantization: "uniform" or "variational" for integer-valued data from 0 to `num_levels - 1`; None
            for real-valued data.
        num_levels: Number of levels of integer-valued data.
        logit_alpha: $\lambda$ of a `Logit` after the dequantisation; None for no `Logit`. Without
            dequantisation the data must then lie in [0, 1].
        base, num_classes, condition_shape, seed, name, dtype: As in `NormalizingFlow`.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        dequantization: str | None = None,
        num_levels: int = 256,
        logit_alpha: float | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        if dequantization is not None and dequantization not in _DEQUANTIZATIONS:
            raise ValueError(
                "`dequantization` must be None, 'uniform' or 'variational'; received "
                f"{describe(dequantization)}. Choose one of these."
            )
        self._preprocessing = {
            "dequantization": dequantization,
            "num_levels": num_levels,
            "logit_alpha": logit_alpha,
        }
        bijections: list[Bijection] = []
        if dequantization is not None:
            options = {"dtype": dtype}
            if dequantization == "variational":
                options["network_options"] = getattr(self, "network_options", None)
            bijections.append(_DEQUANTIZATIONS[dequantization](num_levels, **options))
        if logit_alpha is not None:
            bijections.append(Logit(logit_alpha, dtype=dtype))
        bijections += self._make_bijections(check_event_shape(event_shape), dtype)
        super().__init__(event_shape, bijections, dtype=dtype, **kwargs)

    def _make_bijections(self, event_shape: tuple[int, ...], dtype: Any) -> list[Bijection]:
        """The bijections from the preprocessed data to the noise."""
        raise TypeError(f"{type(self).__name__} must define `_make_bijections(event_shape, dtype)`.")

    def get_config(self) -> dict:
        """The constructor arguments."""
        config = {**super().get_config(), **self._preprocessing}
        del config["bijections"]
        return config


def is_image(event_shape: Sequence[int]) -> bool:
    """Whether events are images; refuses shapes for which there are no default networks."""
    return len(check_rank(event_shape)) == 3
