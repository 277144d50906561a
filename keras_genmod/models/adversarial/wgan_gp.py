r"""The Wasserstein GAN with gradient penalty.

$$ \min_G \max_D \; E_x[D(x)] - E_z[D(G(z))] - \lambda E_{\hat x}[(\lVert\nabla D(\hat x)\rVert - 1)^2] $$

The critic $D$ does not give a probability. If it is the best of all functions of slope at most 1, the
difference is the Wasserstein-1 distance between data and samples. The penalty keeps the slope near 1 at
points between real and generated examples.

References: Wasserstein GAN, Arjovsky, Chintala and Bottou, 2017; Improved Training of Wasserstein GANs,
Gulrajani et al., 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.core.registration import register
from keras_genmod.models.adversarial.gan import GAN

__all__ = ["WGAN_GP"]


@register
class WGAN_GP(GAN):
    """A `GAN` with the Wasserstein loss, a gradient penalty of weight 10, and 5 critic updates in a step.

    The critic has no batch normalisation, and one that has is refused. `discriminator_real` and
    `discriminator_fake` add up to minus the estimated distance; the distance falls as samples improve.

    Args:
        event_shape: Shape of one example.
        latent_dim: Dimension of the noise z.
        gradient_penalty: Weight of the penalty.
        loss: The loss, "wasserstein" in the paper.
        r1: Weight of the penalty R1, as in `GAN`; the gradient penalty takes its place here.
        **kwargs: As in `GAN`.

    Cost: five critic updates for each generator update; `compile(discriminator_steps=1)` is faster and often
    good enough.

    Example:
        >>> WGAN_GP((2,), latent_dim=2, seed=0).sample(3, seed=1).shape
        TensorShape([3, 2])
    """

    discriminator_steps = 5

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        latent_dim: int = 64,
        gradient_penalty: float = 10.0,
        loss: str = "wasserstein",
        r1: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            event_shape, latent_dim=latent_dim, gradient_penalty=gradient_penalty, loss=loss, r1=r1, **kwargs
        )

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Adam with the paper's settings: learning rate 0.0001, no momentum."""
        return {
            name: keras.optimizers.Adam(1e-4, beta_1=0.0, beta_2=0.9)
            for name in ("generator_optimizer", "discriminator_optimizer")
        }
