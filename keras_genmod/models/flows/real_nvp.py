"""Real NVP: affine couplings; for images, on several scales.

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
    """Affine couplings, each preceded by an `ActNorm` (the paper uses batch normalisation).

    Vectors pass through couplings by alternating halves. Images pass on each scale through three couplings by
    checkerboard, a `Squeeze` and three couplings by channel; then half of the channels are split off as
    noise. The last scale has four couplings by checkerboard.

    Args:
        event_shape: `(size,)` or `(height, width, channels)`.
        num_layers: Number of couplings of a flow over vectors.
        num_scales: Number of scales of a flow over images; each but the last halves the sides. None: one, and
            one more for each halving of even sides to at least 4, at most three.
        network_options: Arguments of `keras_genmod.networks.coupling_network`.
        dequantization, num_levels, logit_alpha: As in `ReadyMadeFlow`.
        base, num_classes, condition_shape, seed, name, dtype: As in `NormalizingFlow`.

    Logs: As for `NormalizingFlow`.

    Cost: One pass through each network in either direction.

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
            layers: list[Bijection] = []
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
    """Number of scales: one, and one more for each halving of even sides to 4 or more, at most `most`."""
    height, width, _ = event_shape
    scales = 1
    while scales < most and height % 2 == width % 2 == 0 and min(height, width) >= 8:
        height, width, scales = height // 2, width // 2, scales + 1
    return scales
