"""MAF and IAF: stacks of masked autoregressive layers with alternating orders.

References: Masked Autoregressive Flow for Density Estimation, Papamakarios, Pavlakou and Murray, 2017;
Improving Variational Inference with Inverse Autoregressive Flow, Kingma et al., 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.bijectors.autoregressive import InverseAutoregressive, MaskedAutoregressive
from keras_genmod.bijectors.bijection import Bijection
from keras_genmod.bijectors.linear import ActNorm
from keras_genmod.core.checks import check_integer, check_integers
from keras_genmod.core.registration import register
from keras_genmod.models.flows.ready_made import ReadyMadeFlow

__all__ = ["IAF", "MAF"]


@register
class MAF(ReadyMadeFlow):
    """Masked autoregressive layers, each preceded by an `ActNorm` (the paper uses batch normalisation).

    Args:
        event_shape: Shape of one example, of any rank.
        num_layers: Number of autoregressive layers.
        hidden_dims: Widths of the hidden layers of each network.
        activation: Activation of the hidden layers.
        dequantization, num_levels, logit_alpha: As in `ReadyMadeFlow`.
        base, num_classes, condition_shape, seed, name, dtype: As in `NormalizingFlow`.

    Logs: As for `NormalizingFlow`.

    Cost: One pass through each layer for a density. A sample also takes about the work of one pass, but in
    one sequential step per variable and layer.

    Example:
        >>> MAF((3,), hidden_dims=(8,), seed=0).sample(2, seed=1).shape
        TensorShape([2, 3])
    """

    _layer = MaskedAutoregressive

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_layers: int = 5,
        hidden_dims: Sequence[int] = (256, 256),
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        self.num_layers = check_integer("num_layers", num_layers)
        self.hidden_dims = check_integers("hidden_dims", hidden_dims, min_length=1)
        self.activation = keras.activations.get(activation)
        super().__init__(event_shape, **kwargs)

    def _make_bijections(self, event_shape: tuple[int, ...], dtype: Any) -> list[Bijection]:
        layers: list[Bijection] = []
        for number in range(self.num_layers):
            layers.append(ActNorm(dtype=dtype))
            layers.append(
                self._layer(
                    self.hidden_dims,
                    ordering="reverse" if number % 2 else "natural",
                    activation=self.activation,
                    dtype=dtype,
                )
            )
        return layers

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "hidden_dims": self.hidden_dims,
            "activation": keras.activations.serialize(self.activation),
        }


@register
class IAF(MAF):
    """Inverse autoregressive layers: samples take one pass each, densities one sequential step per variable.

    Args:
        event_shape, num_layers, hidden_dims, activation: As in `MAF`.
        dequantization, num_levels, logit_alpha: As in `ReadyMadeFlow`.
        base, num_classes, condition_shape, seed, name, dtype: As in `NormalizingFlow`.

    Logs: As for `NormalizingFlow`.

    Cost: As for `MAF`, with densities and samples exchanged. So training by `fit`, which needs densities, is
    slow in many dimensions. The density of a sample itself needs no further pass.
    """

    _layer = InverseAutoregressive
