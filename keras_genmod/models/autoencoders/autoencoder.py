r"""The autoencoder: encodes data through a bottleneck and is trained to reconstruct them.

$$ L = E_x[-\log p(x \mid z)], \quad z = f(\tilde x) $$

with the encoder $f$, a likelihood $p(x \mid z)$ whose parameters the decoder computes, and $\tilde x$ the
data or, for denoising, a corrupted copy. For a sparse code, $\lambda \sum_j |z_j|$ is added.

References: Reducing the Dimensionality of Data with Neural Networks, Hinton and Salakhutdinov, 2006;
Extracting and Composing Robust Features with Denoising Autoencoders, Vincent et al., 2008.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.bases.encoder_decoder import EncoderDecoder
from keras_genmod.core.checks import check_integer, check_number
from keras_genmod.core.registration import register
from keras_genmod.layers.corruption import Corruption

__all__ = ["Autoencoder"]


@register
class Autoencoder(EncoderDecoder):
    """Compresses examples to `latent_dim` numbers and reconstructs them.

    Args:
        event_shape: Shape of one example; `(size,)` gets dense default networks, `(height, width, channels)`
            convolutional ones.
        latent_dim: Width of the bottleneck.
        encoder: Network from `x` (`[x, condition]`) to `latent_dim` numbers.
        decoder: Network from `z` (`[z, condition]`) to the raw parameters of the likelihood.
        likelihood: "bernoulli" (data in [0, 1]), "continuous_bernoulli" ([0, 1]), "gaussian" (real data; half
            the squared error up to a constant) or a head such as `GaussianHead(scale="learned")`.
        denoising: Corruption of the encoder's input in training: a masking rate in [0, 1], or a
            `layers.Corruption`.
        sparsity: Weight of the code's L1 norm.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs: `loss`, `reconstruction` (nats per example), and `sparsity` (the L1 norm) if its weight is above 0.

    Cost: one pass through encoder and decoder per example.

    Example:
        >>> import numpy as np
        >>> model = Autoencoder((4,), latent_dim=2, likelihood="gaussian", seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.eye(4, dtype="float32"), epochs=1, verbose=0)
        >>> model.encode(np.eye(4)).shape
        TensorShape([4, 2])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        latent_dim: int = 32,
        encoder: keras.Model | None = None,
        decoder: keras.Model | None = None,
        likelihood: Any = "bernoulli",
        denoising: Any = None,
        sparsity: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.latent_dim = check_integer("latent_dim", latent_dim)
        self.denoising = Corruption.of(denoising)
        self.sparsity = check_number("sparsity", sparsity, minimum=0.0)
        super().__init__(event_shape, encoder=encoder, decoder=decoder, likelihood=likelihood, **kwargs)

    def _code(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        return tf.cast(self.encoder(self._encoder_inputs(x, condition), training=training), self.real_dtype)

    def loss_terms(
        self, x: Any, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The reconstruction error, and the L1 norm of the code if its weight is above 0."""
        corrupted = self.denoising.corrupt(x, seed) if training and self.denoising is not None else x
        z = self._code(corrupted, condition, training)
        likelihood = self.likelihood(z, condition=condition, training=training)
        terms = {"reconstruction": -likelihood.log_prob(x)}
        if self.sparsity:
            terms["sparsity"] = tf.reduce_sum(tf.abs(z), axis=-1)
        return terms

    def term_weights(self) -> dict[str, Any]:
        """The weight of the L1 norm."""
        return {"sparsity": self.sparsity} if self.sparsity else {}

    def get_config(self) -> dict:
        """The constructor arguments, including the networks."""
        denoising = self.denoising and keras.saving.serialize_keras_object(self.denoising)
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "denoising": denoising,
            "sparsity": self.sparsity,
        }
