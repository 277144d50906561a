r"""PixelRNN: recurrent layers over an image to the factors of all its pixels.

$p(x)$ is the product over pixels in raster-scan order, as in `PixelCNN`. The layers are recurrent, so each
pixel may depend on almost all earlier pixels (`DiagonalBiLSTM`) or on a triangle above it (`RowLSTM`). Not on
all of them, because a pixel's features do not contain its own value: the recurrent states miss the last pixel
of the row above, which only the first layer's kernel can cover.

Reference: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner and Kavukcuoglu, 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_choice, check_integer, check_shape_tuple
from keras_genmod.core.registration import register
from keras_genmod.models.autoregressive.autoregressive_model import AutoregressiveModel
from keras_genmod.models.autoregressive.factors import get_factor_head
from keras_genmod.networks.pixel_networks import pixel_rnn

__all__ = ["PixelRNN"]


@register
class PixelRNN(AutoregressiveModel):
    """Recurrent layers over rows or diagonals, with residual connections.

    Args:
        event_shape: `(height, width, channels)`.
        kind: "diagonal" (`DiagonalBiLSTM`) or "row" (`RowLSTM`).
        units: Number of features of the recurrent states; the layers between have twice as many channels.
        num_layers: Number of recurrent layers.
        first_kernel_size: Side of the first layer's square kernel, an odd number.
        likelihood: "bernoulli" (values 0 and 1), "categorical" (0..255), "discretized_logistic_mixture"
            (0..255), or a head.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`. Every layer takes the
            condition; a condition with the image's height and width is applied pixel by pixel.

    Logs: as `AutoregressiveModel`.

    Cost: one pass for a density, in H (row) or H + W - 1 (diagonal) sequential steps; about one pass for
    samples, in H * W sequential steps.

    Example:
        >>> import numpy as np
        >>> model = PixelRNN((4, 4, 1), units=4, seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.ones((4, 4, 4, 1), "float32"), epochs=1, verbose=0)
        >>> model.log_prob(np.ones((2, 4, 4, 1))).shape
        TensorShape([2])
    """

    # The features of all pixels of an image are in memory at the same time.
    _rows_per_pass = 128

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        kind: str = "diagonal",
        units: int = 32,
        num_layers: int = 1,
        first_kernel_size: int = 7,
        likelihood: Any = "bernoulli",
        **kwargs: Any,
    ) -> None:
        super().__init__(check_shape_tuple("event_shape", event_shape, ranks=(3,)), **kwargs)
        self.kind = check_choice("kind", kind, ("diagonal", "row"))
        self.units = check_integer("units", units)
        self.num_layers = check_integer("num_layers", num_layers)
        self.first_kernel_size = first_kernel_size
        head = get_factor_head(likelihood, self.event_shape, self.real_dtype)
        network = pixel_rnn(
            self.event_shape,
            head.params_per_dim,
            kind=self.kind,
            units=self.units,
            num_layers=self.num_layers,
            first_kernel_size=self.first_kernel_size,
            condition=self._condition_spec,
            seed=self.seed,
            dtype=self.dtype_policy,
        )
        self._use(network, head)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "kind": self.kind,
            "units": self.units,
            "num_layers": self.num_layers,
            "first_kernel_size": self.first_kernel_size,
            "likelihood": keras.saving.serialize_keras_object(self._likelihood_head),
        }
