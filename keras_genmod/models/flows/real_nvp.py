"""Real NVP: affine couplings, for images over several scales.

Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein and Bengio, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_genmod.bijectors.bijection import Bijection
from keras_genmod.bijectors.coupling import Coupling
from keras_genmod.bijectors.linear import ActNorm
from keras_genmod.bijectors.shapes import Split, Squeeze
from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register
from keras_genmod.models.flows.ready_made import ReadyMadeFlow, is_image

__all__ = ["RealNVP"]


@register
class RealNVP(ReadyMadeFlow):
    """Affine couplings, each with an `ActNorm` in front (the paper has batch normalisation).

    Vectors: couplings of halves that take turns. Images: on each scale three couplings by checkerboard, then
    pixels become channels, three couplings by channel, and half of the channels are noise; on the last scale
    four by checkerboard.

    Args:
        event_shape: `(size,)` or `(height, width, channels)`.
        num_layers: couplings of a flow over vectors.
        num_scales: scales of a flow over images; each but the last halves the sides. None: as long as the
            sides are even and the halves 4 or more, three at most.
        network_options: arguments of `keras_genmod.networks.coupling_network`.
        dequantization, num_levels, logit_alpha: as in `ReadyMadeFlow`.
        base, num_classes, condition_shape, seed, name, dtype: as in `NormalizingFlow`.

    Logs: as `NormalizingFlow`.

    Cost: one pass through each network in both directions.

    Example:
        >>> RealNVP((2,), seed=0).sample(3, seed=1).shape
        TensorShape([3, 2])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_layers: int = 6,
        num_scales: int | None = None,
        network_options: dict | None = None,
        **kwargs: Any,
    ) -> None:
        self.num_layers = check_integer("num_layers", num_layers)
        self.num_scales = None if num_scales is None else check_integer("num_scales", num_scales)
        self.network_options = dict(network_options or {})
        super().__init__(event_shape, **kwargs)

    def _make_bijections(self, event_shape: tuple[int, ...], dtype: Any) -> list[Bijection]:
        def couplings(count: int, mask: str | None) -> list[Bijection]:
            layers = []
            for number in range(count):
                layers.append(ActNorm(dtype=dtype))
                layers.append(
                    Coupling(mask, swap=bool(number % 2), network_options=self.network_options, dtype=dtype)
                )
            return layers

        if not is_image(event_shape):
            return couplings(self.num_layers, None)
        if self.num_scales is None:
            self.num_scales = default_scales(event_shape)
        layers = couplings(4, "checkerboard")
        for _ in range(self.num_scales - 1):
            layers = [
                *couplings(3, "checkerboard"),
                Squeeze(dtype=dtype),
                *couplings(3, "channel"),
                Split(layers, dtype=dtype),
            ]
        return layers

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "num_scales": self.num_scales,
            "network_options": self.network_options,
        }


def default_scales(event_shape: Sequence[int], most: int = 3) -> int:
    """Scales of an image: one more for each halving that leaves even sides 4 or more, up to `most`."""
    height, width, _ = event_shape
    scales = 1
    while scales < most and height % 2 == width % 2 == 0 and min(height, width) >= 8:
        height, width, scales = height // 2, width // 2, scales + 1
    return scales
