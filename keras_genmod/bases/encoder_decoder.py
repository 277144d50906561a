"""`EncoderDecoder`: what autoencoders and variational autoencoders share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bases.generative_model import GenerativeModel
from keras_genmod.core.checks import ValueRange
from keras_genmod.core.spaces import Space
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.distributions.heads import BernoulliHead, get_head
from keras_genmod.distributions.real_heads import GaussianHead, StudentTHead
from keras_genmod.networks.activations import Bounds, check_reach, output_bounds
from keras_genmod.networks.defaults import check_network, default_decoder, default_encoder
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["EncoderDecoder"]


class EncoderDecoder(GenerativeModel):
    """A model with an encoder x -> z and a decoder z -> parameters of a likelihood p(x|z).

    Args:
        event_shape: Shape of one example.
        encoder: Network from `x` (`[x, condition]`) to the raw parameters of the code; None takes the
            default one. Discrete data is scaled to [-1, 1] before it enters the encoder.
        decoder: Network from `z` (`[z, condition]`) to the raw parameters of the likelihood; None takes the
            default one.
        likelihood: A name that `distributions.get_head` knows, or a head.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.
    """

    latent_dim: int

    _default_endpoint = "reconstruct"
    _network_names = {"x": "encoder", "z": "decoder"}

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        encoder: keras.Model | None,
        decoder: keras.Model | None,
        likelihood: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, **kwargs)
        self._likelihood_head = head = get_head(likelihood, self.event_shape, self.real_dtype)
        if encoder is None:
            encoder = self._default_encoder()
        code_shape, meaning = self._expected_code(encoder)
        inputs = self._inputs_of("encoder", encoder, self._network_space("x", self.event_shape))
        check_network("encoder", encoder, inputs, code_shape, meaning, dtype=self.real_dtype)
        input_shape = self._decoder_input_shape(code_shape)
        if decoder is None:
            decoder = self._default_decoder(input_shape, head.params_shape)
        check_network(
            "decoder",
            decoder,
            self._inputs_of("decoder", decoder, self._network_space("z", input_shape)),
            head.params_shape,
            f"the parameters of {type(head).__name__}",
            dtype=self.real_dtype,
        )
        check_reach("decoder", decoder, head.bounds_problem)
        self.encoder = encoder
        self.decoder = decoder
        self._warned_of_grey = self._warned_of_bounds = False
        of_locations = isinstance(head, (GaussianHead, StudentTHead))
        self._location_bounds = output_bounds(decoder) if of_locations else None

    # ---- networks -------------------------------------------------------------------------------

    def _expected_code(self, encoder: keras.layers.Layer) -> tuple[tuple[int, ...], str]:
        """The shape of what the encoder must give, and what that is, for an error."""
        return (self.latent_dim,), "the code"

    def _decoder_input_shape(self, code_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what the decoder takes."""
        return self.latent_space().shape

    def _network_space(self, name: str, shape: tuple[int, ...]) -> Space:
        """What a network takes: reals, also where the data or the latent variables are discrete."""
        return Space(name, shape, self.real_dtype)

    def _default_encoder(self) -> keras.Model:
        code_shape, _ = self._expected_code(None)
        return default_encoder(self.event_shape, code_shape, **self._network_options(0))

    def _default_decoder(self, input_shape: tuple[int, ...], params_shape: tuple[int, ...]) -> keras.Model:
        return default_decoder(input_shape, params_shape, **self._network_options(1))

    # ---- what a family writes -------------------------------------------------------------------

    def _code(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The code of `x`, `[B, *latent]`: what `encode` gives."""
        raise TypeError(f"{type(self).__name__} must define `_code`.")

    def _encoder_inputs(self, x: Any, condition: Any) -> Any:
        """What the encoder is called on: data, scaled as the head scales it, with its condition."""
        self._refuse_symbolic("x", x)
        x = self._likelihood_head.standardize(tf.cast(x, self.real_dtype))
        return self._with_condition(self.encoder, x, condition)

    # ---- distributions --------------------------------------------------------------------------

    def likelihood(
        self, z: Any, condition: Any = None, *, training: bool = False
    ) -> tfp.distributions.Distribution:
        """The distribution p(x|z).

        Args:
            z: Latent vectors `[B, latent_dim]`.
            condition: One condition for all rows, or one per row.
            training: Whether layers act as in training.

        Returns:
            A `tfd.Distribution` of batch shape `[B]` over `event_shape`.
        """
        self._refuse_symbolic("z", z)
        z = tf.cast(z, self.real_dtype)
        params = self.decoder(self._with_condition(self.decoder, z, condition), training=training)
        return self._likelihood_head.distribution(tf.cast(params, self.real_dtype))

    # ---- capabilities ---------------------------------------------------------------------------

    def call(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The reconstruction of `x`, `[B, *event_shape]`."""
        z = self._code(x, condition, training)
        return self.likelihood(z, condition=condition, training=training).mean()

    def encode(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The codes of examples (for a VAE the posterior means), `[B, latent_dim]`.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows("encode", self._code, x, condition, batch_size=batch_size)

    def decode(self, z: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """Decodes latent vectors: the mean of p(x|z), `[B, *event_shape]`.

        Args:
            z: Latent vectors `[B, latent_dim]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows(
            "decode", self._mean, z, condition, space=self.latent_space(), batch_size=batch_size
        )

    def reconstruct(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The mean of p(x|z) at the code of `x`, `[B, *event_shape]`.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows("reconstruct", self.call, x, condition, batch_size=batch_size)

    def anomaly_score(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The reconstruction error of each example, `[B]` nats; larger is stranger.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows(
            "anomaly_score", self._reconstruction_error, x, condition, batch_size=batch_size
        )

    def _reconstruction_error(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """-log p(x|z) at the code of `x`, `[B]` nats."""
        return -self.likelihood(self._code(x, condition), condition=condition).log_prob(x)

    def _mean(self, z: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return self.likelihood(z, condition=condition).mean()

    # ---- data, endpoints, configuration ---------------------------------------------------------

    def value_range(self) -> ValueRange:
        """The values that the likelihood covers."""
        return self._likelihood_head.value_range

    def latent_space(self) -> Space:
        """The space of one latent vector `z`."""
        return Space("z", (self.latent_dim,), self.real_dtype)

    def check_data(self, x: Any, condition: Any = None) -> None:
        """Refuses data as `GenerativeModel` does; warns once of data that does not suit the likelihood."""
        if condition is not None and not self._condition_spec:
            if tuple(np.shape(condition)[1:]) == self.event_shape:
                raise ValueError(
                    f"{type(self).__name__} reconstructs its own input: call `fit(x)` with the data "
                    f"once; received it twice, as `x` and as `y` of shape {np.shape(condition)}. For "
                    "noisy inputs use `Autoencoder(denoising=...)`."
                )
        super().check_data(x, condition)
        if isinstance(self._likelihood_head, BernoulliHead) and not self._warned_of_grey:
            self._warn_of_grey(np.asarray(x))
        if self._location_bounds is not None and not self._warned_of_bounds:
            self._warn_of_bounds(np.asarray(x), self._location_bounds)

    def _warn_of_bounds(self, x: np.ndarray, bounds: Bounds) -> None:
        # A few values outside may be noise around the ends.
        if np.mean((x[:256] < bounds.low) | (x[:256] > bounds.high)) > 0.05:
            self._warned_of_bounds = True
            warn_user(
                f"`decoder` ends in {bounds.name}, so that the likelihood's locations are {bounds}, and the "
                f"data has values from {x[:256].min():g} to "
                f"{x[:256].max():g}. Scale the data, or leave the last layer linear.",
            )

    def _warn_of_grey(self, x: np.ndarray) -> None:
        # The first rows are enough: binary data has no such value at all.
        if np.any((x[:256] > 0) & (x[:256] < 1)):
            self._warned_of_grey = True
            warn_user(
                "The data has values strictly between 0 and 1, so under the Bernoulli likelihood the "
                "figures are cross-entropies, not log-densities. For densities use "
                "likelihood='continuous_bernoulli', or binarise the data (`kg.data.binarize`).",
            )

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint: `reconstruct`, `encode`, `decode`, `anomaly_score`.

        Args:
            max_samples, num_samples: As in `GenerativeModel.endpoints`.
        """
        x = self._inputs(self.event_space())

        def named(output: str, function: Callable) -> Callable:
            return lambda *inputs: {output: function(*inputs)}

        return {
            "reconstruct": Endpoint(named("reconstruction", self.call), x),
            "encode": Endpoint(named("z", self._code), x),
            "decode": Endpoint(named("x", self._mean), self._inputs(self.latent_space())),
            "anomaly_score": Endpoint(named("score", self._reconstruction_error), x),
        }

    def get_config(self) -> dict:
        """The constructor arguments, the networks included."""
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "likelihood": keras.saving.serialize_keras_object(self._likelihood_head),
        }
