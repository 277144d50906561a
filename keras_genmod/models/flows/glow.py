"""Glow: steps of normalisation, invertible 1x1 convolution and affine coupling, over several scales.

Reference: Glow: Generative Flow with Invertible 1x1 Convolutions, Kingma and Dhariwal, 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.bijectors.bijection import Bijection
from keras_genmod.bijectors.coupling import Coupling
from keras_genmod.bijectors.linear import ActNorm, InvertibleConvolution
from keras_genmod.bijectors.shapes import Split, Squeeze
from keras_genmod.bijectors.transforms import get_transform
from keras_genmod.core.checks import check_integer
from keras_genmod.core.registration import register
from keras_genmod.models.flows.ready_made import ReadyMadeFlow, is_image

__all__ = ["Glow"]


@register
class Glow(ReadyMadeFlow):
    """Images over several scales; vectors on one, mixed by a square matrix.

    Args:
        event_shape: `(size,)` or `(height, width, channels)`; the sides of images are multiples of
            2 ** num_scales.
        num_steps: steps on each scale.
        num_scales: scales; each halves the sides, and all but the last give half of their channels to the
            noise. None: as long as the sides are even, three at most.
        transform: of the couplings, as in `keras_genmod.bijectors.Coupling`.
        network_options: arguments of `keras_genmod.networks.coupling_network`.
        dequantization, num_levels, logit_alpha: as in `ReadyMadeFlow`.
        base, num_classes, condition_shape, seed, name, dtype: as in `NormalizingFlow`.

    Logs: as `NormalizingFlow`.

    Raises:
        ValueError: for images with odd sides.

    Cost: one pass through each network in both directions; the paper's couplings have 512 channels.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_steps: int = 8,
        num_scales: int | None = None,
        transform: Any = "affine",
        network_options: dict | None = None,
        **kwargs: Any,
    ) -> None:
        self.num_steps = check_integer("num_steps", num_steps)
        self.num_scales = None if num_scales is None else check_integer("num_scales", num_scales)
        self.transform = get_transform(transform)
        self.network_options = dict(network_options or {})
        super().__init__(event_shape, **kwargs)

    def _make_bijections(self, event_shape: tuple[int, ...], dtype: Any) -> list[Bijection]:
        def steps() -> list[Bijection]:
            layers = []
            for _ in range(self.num_steps):
                layers.append(ActNorm(dtype=dtype))
                layers.append(InvertibleConvolution(dtype=dtype))
                layers.append(
                    Coupling(
                        "channel",
                        transform=self.transform,
                        network_options=self.network_options,
                        dtype=dtype,
                    )
                )
            return layers

        if not is_image(event_shape):
            return steps()
        if self.num_scales is None:
            self.num_scales = _halvings(event_shape)
        layers = [Squeeze(dtype=dtype), *steps()]
        for _ in range(self.num_scales - 1):
            layers = [Squeeze(dtype=dtype), *steps(), Split(layers, dtype=dtype)]
        return layers

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "num_steps": self.num_steps,
            "num_scales": self.num_scales,
            "transform": keras.saving.serialize_keras_object(self.transform),
            "network_options": self.network_options,
        }


def _halvings(event_shape: Sequence[int], most: int = 3) -> int:
    """How often both sides can be halved: once at least, or `Squeeze` says what is wrong."""
    height, width, _ = event_shape
    count = 0
    while count < most and height % 2 == width % 2 == 0:
        height, width, count = height // 2, width // 2, count + 1
    return max(1, count)
