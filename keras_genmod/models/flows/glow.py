"""Glow: steps of activation normalisation, invertible 1x1 convolution and affine coupling on several scales.

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
    """A flow over images on several scales, or over vectors on one scale.

    Args:
        event_shape: `(size,)` or `(height, width, channels)`; the sides of images must be multiples of
            2 ** num_scales.
        num_steps: Number of steps on each scale. In the steps of vectors, the 1x1 convolution is a product
            with a square matrix.
        num_scales: Number of scales. Each halves the sides; all but the last split off half of their channels
            as noise. None: as many as the sides can be halved, at most three.
        transform: The couplings' transform, as in `keras_genmod.bijectors.Coupling`.
        network_options: Arguments of `keras_genmod.networks.coupling_network`.
        dequantization, num_levels, logit_alpha: As in `ReadyMadeFlow`.
        base, num_classes, condition_shape, seed, name, dtype: As in `NormalizingFlow`.

    Logs: As for `NormalizingFlow`.

    Raises:
        ValueError: If images have odd sides.

    Cost: One pass through each network in either direction. The paper's couplings have 512 channels.
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
            layers: list[Bijection] = []
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
        layers: list[Bijection] = [Squeeze(dtype=dtype), *steps()]
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
    """How often both sides can be halved, at most `most`. At least 1: `Squeeze` refuses odd sides."""
    height, width, _ = event_shape
    count = 0
    while count < most and height % 2 == width % 2 == 0:
        height, width, count = height // 2, width // 2, count + 1
    return max(1, count)
