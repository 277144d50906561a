"""NICE: additive couplings, which preserve volume, and one scale for each variable at the end.

Reference: NICE: Non-linear Independent Components Estimation, Dinh, Krueger and Bengio, 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_genmod.bijectors.bijection import Bijection
from keras_genmod.bijectors.coupling import Coupling
from keras_genmod.bijectors.linear import ActNorm
from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register
from keras_genmod.models.flows.ready_made import ReadyMadeFlow, is_image

__all__ = ["NICE"]


@register
class NICE(ReadyMadeFlow):
    """Additive couplings by halves (vectors) or checkerboards (images), followed by a scale per variable.

    Args:
        event_shape: `(size,)` or `(height, width, channels)`.
        num_layers: Number of couplings. With at least 3, each variable can depend on every other.
        network_options: Arguments of `keras_genmod.networks.coupling_network`, such as
            `{"hidden_dims": (1000, 1000)}`.
        dequantization, num_levels, logit_alpha: As in `ReadyMadeFlow`.
        base, num_classes, condition_shape, seed, name, dtype: As in `NormalizingFlow`.

    Logs: As for `NormalizingFlow`.

    Cost: One pass through each network in either direction.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_layers: int = 4,
        network_options: dict | None = None,
        **kwargs: Any,
    ) -> None:
        self.num_layers = check_integer("num_layers", num_layers)
        self.network_options = dict(network_options or {})
        super().__init__(event_shape, **kwargs)

    def _make_bijections(self, event_shape: tuple[int, ...], dtype: Any) -> list[Bijection]:
        is_image(event_shape)
        couplings = [
            Coupling(
                swap=bool(number % 2),
                transform="additive",
                network_options=self.network_options,
                dtype=dtype,
            )
            for number in range(self.num_layers)
        ]
        return [*couplings, ActNorm(dtype=dtype)]

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "network_options": self.network_options,
        }
