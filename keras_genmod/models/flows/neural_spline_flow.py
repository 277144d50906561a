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
    """Layers of splines; between couplings, a matrix mixes the variables (of images: the channels).

    Args:
        event_shape: `(size,)` or `(height, width, channels)`; of any rank with `autoregressive`.
        num_layers: Number of layers of splines.
        autoregressive: Whether the layers are masked autoregressive instead of couplings.
        num_bins: Number of bins of each spline.
        bound: The splines act on [-bound, bound] and are the identity outside. A first layer scales the data
            to mean 0 and variance 1.
        hidden_dims: Widths of the networks' dense hidden layers.
        network_options: Further arguments of `keras_genmod.networks.coupling_network`.
        dequantization, num_levels, logit_alpha: As in `ReadyMadeFlow`.
        base, num_classes, condition_shape, seed, name, dtype: As in `NormalizingFlow`.

    Logs: As for `NormalizingFlow`.

    Cost: One pass through each network. With `autoregressive`, samples cost as much as those of `MAF`.

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
        options = {"hidden_dims": self.hidden_dims, **self.network_options}
        layers: list[Bijection] = [ActNorm(dtype=dtype)]
        for number in range(self.num_layers):
            if number and mixes:
                layers.append(InvertibleConvolution(dtype=dtype))
            if self.autoregressive:
                order = "reverse" if number % 2 else "natural"
                layers.append(
                    MaskedAutoregressive(self.hidden_dims, transform=transform, ordering=order, dtype=dtype)
                )
            else:
                swap = bool(number % 2)
                layers.append(Coupling(swap=swap, transform=transform, network_options=options, dtype=dtype))
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
