"""Neural spline flows: couplings or autoregressive layers of rational-quadratic splines.

Reference: Neural Spline Flows, Durkan, Bekasov, Murray and Papamakarios, 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_genmod.bijectors.autoregressive import MaskedAutoregressive
from keras_genmod.bijectors.bijection import Bijection
from keras_genmod.bijectors.coupling import Coupling
from keras_genmod.bijectors.linear import ActNorm, InvertibleConvolution
from keras_genmod.bijectors.transforms import SplineTransform
from keras_genmod.core.checks import check_integer, check_integers, check_number
from keras_genmod.core.registration import register
from keras_genmod.models.flows.ready_made import ReadyMadeFlow, is_image

__all__ = ["NeuralSplineFlow"]


@register
class NeuralSplineFlow(ReadyMadeFlow):
    """Layers of splines with a mixing of the variables (for images: of the channels) between them.

    Args:
        event_shape: `(size,)` or `(height, width, channels)`; autoregressive ones of any rank.
        num_layers: how many.
        autoregressive: whether the layers are masked autoregressive ones and not couplings.
        num_bins: of each spline.
        bound: the splines act on [-bound, bound]; beyond they are the identity. Data are brought to mean 0
            and variance 1 in front.
        hidden_dims: units of the dense layers of the networks.
        network_options: further arguments of `keras_genmod.networks.coupling_network`.
        dequantization, num_levels, logit_alpha: as in `ReadyMadeFlow`.
        base, num_classes, condition_shape, seed, name, dtype: as in `NormalizingFlow`.

    Logs: as `NormalizingFlow`.

    Cost: one pass through each network; from noise to data that of `MAF` for autoregressive layers.

    Example:
        >>> NeuralSplineFlow((2,), num_layers=2, hidden_dims=(8,), seed=0).sample(3, seed=1).shape
        TensorShape([3, 2])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_layers: int = 6,
        autoregressive: bool = False,
        num_bins: int = 8,
        bound: float = 4.0,
        hidden_dims: Sequence[int] = (128, 128),
        network_options: dict | None = None,
        **kwargs: Any,
    ) -> None:
        self.num_layers = check_integer("num_layers", num_layers)
        self.autoregressive = bool(autoregressive)
        self.num_bins = check_integer("num_bins", num_bins, minimum=2)
        self.bound = check_number("bound", bound, above=0.0)
        self.hidden_dims = check_integers("hidden_dims", hidden_dims, min_length=1)
        self.network_options = dict(network_options or {})
        super().__init__(event_shape, **kwargs)

    def _make_bijections(self, event_shape: tuple[int, ...], dtype: Any) -> list[Bijection]:
        transform = SplineTransform(self.num_bins, self.bound)
        mixes = not self.autoregressive and event_shape[-1] > 1
        if not self.autoregressive:
            is_image(event_shape)
        layers = [ActNorm(dtype=dtype)]
        for number in range(self.num_layers):
            if number and mixes:
                layers.append(InvertibleConvolution(dtype=dtype))
            if self.autoregressive:
                layer = MaskedAutoregressive(
                    self.hidden_dims,
                    transform=transform,
                    ordering="reverse" if number % 2 else "natural",
                    dtype=dtype,
                )
            else:
                options = {"hidden_dims": self.hidden_dims, **self.network_options}
                layer = Coupling(
                    swap=bool(number % 2), transform=transform, network_options=options, dtype=dtype
                )
            layers.append(layer)
        return layers

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "autoregressive": self.autoregressive,
            "num_bins": self.num_bins,
            "bound": self.bound,
            "hidden_dims": self.hidden_dims,
            "network_options": self.network_options,
        }
