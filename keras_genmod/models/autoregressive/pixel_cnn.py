r"""PixelCNN: masked convolutions from an image to the factors of all its pixels.

$$ p(x) = \prod_{r,c} p(x_{rc} \mid \text{rows above, pixels to the left}) $$

Within a pixel each colour is conditioned on the colours before it: G on R, B on R and G.

References: Pixel Recurrent Neural Networks, van den Oord, Kalchbrenner and Kavukcuoglu, 2016; Conditional
Image Generation with PixelCNN Decoders, van den Oord et al., 2016 (gated); PixelCNN++, Salimans, Karpathy,
Chen and Kingma, 2017 (discretised logistic mixtures).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_integer, check_shape_tuple
from keras_genmod.core.registration import register
from keras_genmod.models.autoregressive.autoregressive_model import AutoregressiveModel
from keras_genmod.models.autoregressive.factors import get_factor_head
from keras_genmod.networks.pixel_networks import pixel_cnn

__all__ = ["PixelCNN"]


@register
class PixelCNN(AutoregressiveModel):
    """Masked convolutions with residual or gated blocks.

    Args:
        event_shape: `(height, width, channels)`.
        filters: Number of channels of the blocks.
        num_blocks: Number of blocks after the first layer.
        gated: Whether to use gated blocks with a vertical and a horizontal stack, which have no blind spot.
        kernel_size: Side of the blocks' square kernels, an odd number.
        first_kernel_size: Side of the first layer's square kernel, an odd number.
        position_bias: Whether to add a learned bias for each row and column to the first layer's features.
            Without it, convolutions hardly know the position in the image. The papers do not have it.
        likelihood: "bernoulli" (values 0 and 1), "categorical" (0..255), "discretized_logistic_mixture"
            (0..255), or a head.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`. Every layer takes the
            condition; a condition with the image's height and width is applied pixel by pixel.

    Logs: as `AutoregressiveModel`.

    Cost: one pass for a density; about one pass for samples, in H * W sequential steps.

    Example:
        >>> import numpy as np
        >>> model = PixelCNN((4, 4, 1), filters=4, num_blocks=1, seed=0)
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
        filters: int = 64,
        num_blocks: int = 5,
        gated: bool = False,
        kernel_size: int = 3,
        first_kernel_size: int = 7,
        position_bias: bool = True,
        likelihood: Any = "bernoulli",
        **kwargs: Any,
    ) -> None:
        super().__init__(check_shape_tuple("event_shape", event_shape, ranks=(3,)), **kwargs)
        self.filters = check_integer("filters", filters)
        self.num_blocks = check_integer("num_blocks", num_blocks)
        self.gated = bool(gated)
        self.kernel_size = kernel_size
        self.first_kernel_size = first_kernel_size
        self.position_bias = bool(position_bias)
        head = get_factor_head(likelihood, self.event_shape, self.real_dtype)
        network = pixel_cnn(
            self.event_shape,
            head.params_per_dim,
            filters=self.filters,
            num_blocks=self.num_blocks,
            gated=self.gated,
            kernel_size=self.kernel_size,
            first_kernel_size=self.first_kernel_size,
            position_bias=self.position_bias,
            condition=self._condition_spec,
            seed=self.seed,
            dtype=self.dtype_policy,
        )
        self._use(network, head)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "gated": self.gated,
            "kernel_size": self.kernel_size,
            "first_kernel_size": self.first_kernel_size,
            "position_bias": self.position_bias,
            "likelihood": keras.saving.serialize_keras_object(self._likelihood_head),
        }
