r"""The vector-quantised variational autoencoder: its latent codes are entries of a learned codebook.

$$ L = -\log p(x \mid e_{k(z)}) + \beta \, \lVert z - sg(e_{k(z)}) \rVert^2, \quad z = f(x) $$

Each vector $z$ that the encoder gives is replaced by the nearest code. The gradient of the reconstruction
passes unchanged from the code to $z$ ("straight through"), the second term keeps $z$ near its code, and the
codebook follows the vectors by moving averages, once a training step.

References: Neural Discrete Representation Learning, van den Oord, Vinyals and Kavukcuoglu, 2017; Jukebox: A
Generative Model for Music, Dhariwal et al., 2020 (revival of unused codes).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bases.encoder_decoder import EncoderDecoder
from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import ValueRange, check_integer, check_number
from keras_genmod.core.registration import register
from keras_genmod.core.spaces import Space
from keras_genmod.layers.vector_quantizer import VectorQuantizer
from keras_genmod.metrics.code_usage import CodeUsage
from keras_genmod.networks.defaults import default_decoder, default_encoder
from keras_genmod.networks.residual import residual_decoder, residual_encoder

__all__ = ["VQVAE"]


@register
class VQVAE(EncoderDecoder):
    r"""An autoencoder whose latent code is an array of integers 0..num_codes-1.

    The default networks of images are convolutions that halve the sides twice, so that 28x28 pixels become
    7x7 codes; those of vectors are dense, with `num_latents` codes. New examples cannot be drawn: that needs
    a prior over the codes, which is another model.

    Args:
        event_shape: Shape of one example.
        num_codes: Size K of the codebook.
        code_dim: Width D of a code's vector.
        num_latents: Number of codes of one example, for the default networks of vectors.
        encoder: Network from `x` (`[x, condition]`) to vectors `[..., D]`, such as `[h, w, D]`.
        decoder: Network from those (`[z, condition]`) to the raw parameters of the likelihood.
        likelihood: As in `VAE`.
        commitment_weight: Weight $\beta$ of the second term, which is summed over an example's codes, as the
            log-likelihood is over its dimensions. The paper takes the mean over codes instead: for an example
            of n codes its weight $\beta$ is $\beta / n$ here.
        ema_decay, revival_threshold: How the codebook moves, see `layers.VectorQuantizer`.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs: `loss`, `reconstruction` (nats per example), `commitment` (the squared distance, summed over the
    codes of an example), `perplexity` (the effective number of codes in use, see `metrics.CodeUsage`).

    Cost: one pass through encoder and decoder, and K D for each code of an example.

    Example:
        >>> import numpy as np
        >>> model = VQVAE((4,), num_codes=8, code_dim=2, num_latents=3, seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.eye(4, dtype="float32"), epochs=1, verbose=0)
        >>> codes = model.encode(np.eye(4))
        >>> codes.shape, model.decode(codes).shape
        (TensorShape([4, 3]), TensorShape([4, 4]))
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_codes: int = 512,
        code_dim: int = 64,
        num_latents: int = 16,
        encoder: keras.Model | None = None,
        decoder: keras.Model | None = None,
        likelihood: Any = "bernoulli",
        commitment_weight: float = 0.25,
        ema_decay: float = 0.99,
        revival_threshold: float = 0.1,
        **kwargs: Any,
    ) -> None:
        self.num_codes = check_integer("num_codes", num_codes, minimum=2)
        self.code_dim = check_integer("code_dim", code_dim)
        self.num_latents = check_integer("num_latents", num_latents)
        self.commitment_weight = check_number("commitment_weight", commitment_weight, minimum=0.0)
        super().__init__(event_shape, encoder=encoder, decoder=decoder, likelihood=likelihood, **kwargs)
        self._quantizer = VectorQuantizer(
            num_codes,
            ema_decay=ema_decay,
            revival_threshold=revival_threshold,
            seed=self.seed,
            name="quantizer",
            dtype=self.real_dtype.name,
        )
        self._quantizer.build((None, self.code_dim))
        self.code_usage = CodeUsage(num_codes)

    # ---- networks and shapes --------------------------------------------------------------------

    def _default_encoder(self) -> keras.Model:
        options = self._network_options(0)
        if len(self.event_shape) == 3:
            return residual_encoder(self.event_shape, self.code_dim, name="encoder", **options)
        return default_encoder(self.event_shape, (self.num_latents, self.code_dim), **options)

    def _default_decoder(self, input_shape: tuple[int, ...], params_shape: tuple[int, ...]) -> keras.Model:
        options = self._network_options(1)
        if len(self.event_shape) == 3:
            return residual_decoder(input_shape, params_shape, name="decoder", **options)
        return default_decoder(input_shape, params_shape, **options)

    def _expected_code(self, encoder: keras.layers.Layer) -> tuple[tuple[int, ...], str]:
        """The shape of the vectors that the encoder gives, each of width `code_dim`."""
        inputs = self._inputs_of("encoder", encoder, self._network_space("x", self.event_shape))
        shape = tuple(encoder(inputs if len(inputs) > 1 else inputs[0]).shape[1:])
        leading = shape[:-1] if len(shape) > 1 else (self.num_latents,)
        return (*leading, self.code_dim), f"vectors of code_dim={self.code_dim}"

    def _decoder_input_shape(self, code_shape: tuple[int, ...]) -> tuple[int, ...]:
        self._code_shape = code_shape
        return code_shape

    def latent_space(self) -> Space:
        """The space of the codes `z` of one example: integers from 0 to `num_codes` - 1."""
        codes = ValueRange(0, self.num_codes - 1, integer=True, advice="Codes are what `encode` gives.")
        return Space("z", self._code_shape[:-1], tf.int32, codes)

    # ---- codes ----------------------------------------------------------------------------------

    def codebook(self) -> tf.Tensor:
        """The codes, `[num_codes, code_dim]`."""
        return self._quantizer.codebook()

    def _vectors(self, x: tf.Tensor, condition: Any, training: bool) -> tf.Tensor:
        return tf.cast(self.encoder(self._encoder_inputs(x, condition), training=training), self.real_dtype)

    def _code(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        return self._quantizer(self._vectors(x, condition, training))

    def likelihood(
        self, z: Any, condition: Any = None, *, training: bool = False
    ) -> tfp.distributions.Distribution:
        """The distribution p(x|z) of codes.

        Args:
            z: Codes, integers `[B, *latent_shape]`.
            condition: One condition for all rows, or one per row.
            training: Whether layers act as in training.
        """
        self._refuse_symbolic("z", z)
        return super().likelihood(
            self._quantizer.lookup(tf.cast(z, tf.int32)), condition=condition, training=training
        )

    # ---- objective ------------------------------------------------------------------------------

    def shared_forward(
        self, x: Any, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The encoder's vectors `z`, `[B, ..., D]`, and the codes nearest to them, int32 `[B, ...]`."""
        z = self._vectors(x, condition, training)
        return {"z": z, "codes": self._quantizer(z)}

    def loss_terms(
        self,
        x: Any,
        *,
        condition: Any = None,
        training: bool = False,
        seed: Any = None,
        shared: dict[str, tf.Tensor] | None = None,
    ) -> dict[str, tf.Tensor]:
        """`reconstruction` and `commitment`."""
        if shared is None:
            shared = self.shared_forward(x, condition=condition, training=training)
        z = shared["z"]
        nearest = tf.cast(self._quantizer.lookup(shared["codes"]), z.dtype)
        self.code_usage.update_state(shared["codes"])
        through = z + tf.stop_gradient(nearest - z)
        likelihood = super().likelihood(through, condition=condition, training=training)
        distances = tf.math.squared_difference(z, tf.stop_gradient(nearest))
        return {
            "reconstruction": -likelihood.log_prob(x),
            "commitment": tf.reduce_sum(tf.reshape(distances, [-1, math.prod(self._code_shape)]), axis=1),
        }

    def advance_state(self, batch: Batch, *, seed: tf.Tensor, shared: dict[str, tf.Tensor]) -> None:
        """Moves the codebook towards the vectors that the encoder gave in this step."""
        self._quantizer.update(shared["z"], shared["codes"], seed)

    def term_weights(self) -> dict[str, Any]:
        """The weight of the second term."""
        return {"commitment": self.commitment_weight}

    def get_config(self) -> dict:
        """The constructor arguments, the networks included."""
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "code_dim": self.code_dim,
            "num_latents": self.num_latents,
            "commitment_weight": self.commitment_weight,
            "ema_decay": self._quantizer.ema_decay,
            "revival_threshold": self._quantizer.revival_threshold,
        }
