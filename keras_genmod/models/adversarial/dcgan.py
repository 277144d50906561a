"""The deep convolutional GAN, built by the guidelines of its paper.

- Strided convolutions in the discriminator and transposed ones in the generator, no pooling.
- Batch normalisation in both networks, except in the generator's last and the discriminator's first layer.
- No dense hidden layer: the noise is projected and reshaped, the last convolution flattened into one logit.
- Rectifiers and a last tanh in the generator, leaky rectifiers of slope 0.2 in the discriminator.
- Initial weights from N(0, 0.02), Adam with learning rate 0.0002 and beta_1 0.5, images in [-1, 1].

Reference: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks,
Radford, Metz and Chintala, 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.checks import check_shape_tuple
from keras_genmod.core.registration import register
from keras_genmod.models.adversarial.gan import GAN
from keras_genmod.networks.discriminators import conv_discriminator
from keras_genmod.networks.generators import conv_generator

__all__ = ["DCGAN"]

_INITIAL_STDDEV = 0.02


@register
class DCGAN(GAN):
    """A `GAN` of images with the paper's networks and the non-saturating loss.

    Samples come from an averaged generator, which the paper does not have and which does not change training;
    `sample(use_ema=False)` or `ema_decay=None` gives the paper's samples.

    Args:
        event_shape: `(height, width, channels)`.
        latent_dim: Dimension of the noise z, which is N(0, I) (uniform in the paper).
        r1: Weight of the penalty R1, as in `GAN`; it must be 0 beside batch normalisation, which the default
            discriminator has.
        **kwargs: As in `GAN`.

    Raises:
        ValueError: For an `event_shape` that is not that of images.

    Example:
        >>> DCGAN((28, 28, 1), seed=0).sample(2, seed=1).shape
        TensorShape([2, 28, 28, 1])
    """

    def __init__(
        self, event_shape: Sequence[int], *, latent_dim: int = 100, r1: float = 0.0, **kwargs: Any
    ) -> None:
        check_shape_tuple("event_shape", event_shape, ranks=(3,))
        super().__init__(event_shape, latent_dim=latent_dim, r1=r1, **kwargs)

    @staticmethod
    def _default_generator(
        input_shape: tuple[int, ...], event_shape: tuple[int, ...], **options: Any
    ) -> keras.Model:
        return conv_generator(input_shape, event_shape, initial_stddev=_INITIAL_STDDEV, **options)

    @staticmethod
    def _default_discriminator(event_shape: tuple[int, ...], **options: Any) -> keras.Model:
        return conv_discriminator(event_shape, batch_norm=True, initial_stddev=_INITIAL_STDDEV, **options)
