"""What the ready-made flows share: they choose their bijections by themselves."""

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
    r"""Base of the flows by name. A subclass writes `_make_bijections`; it has its own arguments by then.

    Args:
        event_shape: shape of one example.
        dequantization: "uniform" or "variational" for whole numbers from 0 to `num_levels - 1`; None for real
            data.
        num_levels: how many whole numbers there are.
        logit_alpha: None, or $\lambda$ of a `Logit` behind the dequantisation (of data in [0, 1] without).
        base, num_classes, condition_shape, seed, name, dtype: as in `NormalizingFlow`.
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
                f"{describe(dequantization)}."
            )
        self._preprocessing = {
            "dequantization": dequantization,
            "num_levels": num_levels,
            "logit_alpha": logit_alpha,
        }
        bijections = []
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
        """The bijections from preprocessed data to the noise."""
        raise TypeError(f"{type(self).__name__} must define `_make_bijections(event_shape, dtype)`.")

    def get_config(self) -> dict:
        """The constructor arguments."""
        config = {**super().get_config(), **self._preprocessing}
        del config["bijections"]
        return config


def is_image(event_shape: Sequence[int]) -> bool:
    """Whether it is the shape of images; refuses what has no default networks."""
    return len(check_rank(event_shape)) == 3
