r"""The generative adversarial network: samples without a density.

A generator $G$ turns noise $z \sim N(0, I)$ into examples. A discriminator $D$ gives each example a logit,
which is high for real ones. They are trained against each other with one of the losses of
`keras_genmod.losses.adversarial`. The first one was

$$ \min_G \max_D \; E_x[\log\sigma(D(x))] + E_z[\log(1 - \sigma(D(G(z))))] $$

Its optimal discriminator has $\sigma(D(x)) = p(x) / (p(x) + q(x))$ for data $p$ and samples $q$, and its
value there is twice their Jensen-Shannon divergence minus $\log 4$.

References: Generative Adversarial Nets, Goodfellow et al., 2014; Conditional Generative Adversarial Nets,
Mirza and Osindero, 2014; Amortised MAP Inference for Image Super-resolution, Soenderby et al., 2017
(instance noise); Improved Techniques for Training GANs, Salimans et al., 2016 (one-sided label smoothing);
The Unusual Effectiveness of Averaging in GAN Training, Yazici et al., 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bases.adversarial_model import AdversarialModel
from keras_genmod.bases.row_wise import SamplesByRow
from keras_genmod.bases.two_player_objective import TwoPlayerObjective
from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import ValueRange, check_integer, check_number
from keras_genmod.core.noise import sample_rows
from keras_genmod.core.registration import register
from keras_genmod.core.spaces import Space
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.distributions.priors import standard_normal
from keras_genmod.networks.activations import check_reach, output_range
from keras_genmod.networks.defaults import check_network, check_rank
from keras_genmod.networks.discriminators import conv_discriminator, dense_discriminator
from keras_genmod.networks.generators import conv_generator, dense_generator
from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.training.averaging import AveragedNetwork
from keras_genmod.training.players import Player
from keras_genmod.training.schedules import WeightSchedule

__all__ = ["GAN"]


@register
class GAN(SamplesByRow, AdversarialModel):
    """A generator and a discriminator, trained against each other.

    The defaults are the non-saturating loss with the penalty R1, and an averaged generator. The default
    networks of vectors are dense, with a linear output for any real data. Those of images are DCGAN's
    convolutions, with a tanh output for data in [-1, 1] and no batch normalisation in the discriminator.

    Args:
        event_shape: Shape of one example, such as `(2,)` or `(28, 28, 1)`.
        latent_dim: Dimension of the noise z.
        generator: Network from `z` (`[z, condition]`) to examples; its last activation determines the range
            of the data.
        discriminator: Network from `x` (`[x, condition]`) to one logit.
        loss: "minimax", "non_saturating", "least_squares", "hinge" or "wasserstein".
        r1: Weight of the penalty R1, half the squared gradient of the discriminator at real examples. The
            default suits data of few dimensions; if the discriminator's accuracy saturates, as on many
            pixels, take 1 to 10.
        r2: Weight of the same penalty at generated examples.
        gradient_penalty: Weight of the penalty on gradients whose norm is not 1, between real and generated
            examples.
        label_smoothing: The target of real examples is 1 minus this, for losses with labels.
        instance_noise: Standard deviation of the noise that is added to real and generated examples in
            training before the discriminator sees them; a number or a schedule over training steps.
        weight_clip: Bound of the absolute values of the discriminator's weights (as in the first Wasserstein
            GAN); None does not clip.
        ema_decay: Decay per step of the exponential moving average of the generator's weights; None keeps no
            average. The average begins fast: step t has a decay of (1 + t) / (10 + t) at most.
        spectral_norm, minibatch_stddev: Options of the default discriminator, see
            `networks.conv_discriminator`.
        generator_conditioning: How the default generator uses the condition: "concatenate" or "batch_norm".
        discriminator_conditioning: How the default discriminator does: "concatenate" or "projection".
        output_activation: Last activation of the default generator; None takes "linear" for vectors and
            "tanh" for images.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.

    Logs: `loss` (the sum of both players', no stopping criterion), `discriminator_loss`,
    `discriminator_real`, `discriminator_fake`, `discriminator_accuracy` (fraction of real and generated
    examples that it classifies correctly), `discriminator_r1` and so on for penalties, `generator_loss`,
    `generator_adversarial`.

    Warns:
        UserWarning: For a discriminator with `keras.layers.SpectralNormalization`, which judges real and
            generated examples with different weights.

    Raises:
        ValueError: For a penalty on the gradient of a discriminator with batch normalisation, in which an
            example has no gradient of its own, or for options of a default network beside that network.

    Cost: a step makes one pass through the generator and three through the discriminator; each penalty adds
    about two more passes.

    Example:
        >>> import numpy as np
        >>> model = GAN((2,), latent_dim=2, seed=0)
        >>> model.compile()
        >>> _ = model.fit(np.eye(2, dtype="float32"), epochs=1, verbose=0)
        >>> model.sample(3, seed=1).shape
        TensorShape([3, 2])
    """

    _default_endpoint = "generate"
    _network_names = {"x": "discriminator", "z": "generator"}

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        latent_dim: int = 64,
        generator: keras.Model | None = None,
        discriminator: keras.Model | None = None,
        loss: str = "non_saturating",
        r1: float = 0.1,
        r2: float = 0.0,
        gradient_penalty: float = 0.0,
        label_smoothing: float = 0.0,
        instance_noise: float | WeightSchedule = 0.0,
        weight_clip: float | None = None,
        ema_decay: float | None = 0.999,
        spectral_norm: bool = False,
        minibatch_stddev: bool = False,
        generator_conditioning: str = "concatenate",
        discriminator_conditioning: str = "concatenate",
        output_activation: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, **kwargs)
        self.latent_dim = check_integer("latent_dim", latent_dim)
        self._objective = TwoPlayerObjective(
            loss,
            r1=r1,
            r2=r2,
            gradient_penalty=gradient_penalty,
            label_smoothing=label_smoothing,
            instance_noise=instance_noise,
        )
        self.weight_clip = (
            None if weight_clip is None else check_number("weight_clip", weight_clip, above=0.0)
        )
        generator = self._generator_or_default(
            generator, conditioning=generator_conditioning, output_activation=output_activation
        )
        discriminator = self._discriminator_or_default(
            discriminator,
            conditioning=discriminator_conditioning,
            spectral_norm=spectral_norm,
            minibatch_stddev=minibatch_stddev,
        )
        z = self._inputs_of("generator", generator, self.latent_space())
        x = self._inputs_of("discriminator", discriminator, Space("x", self.event_shape, self.real_dtype))
        dtype = self.real_dtype
        example = "one example"
        check_network("generator", generator, z, self.event_shape, example, raw=False, dtype=dtype)
        check_network("discriminator", discriminator, x, (1,), "the logit of 'real'", dtype=dtype)
        check_reach("discriminator", discriminator, self._objective.loss.bounds_problem)
        self._objective.check_discriminator(discriminator)
        _warn_of_moving_weights(discriminator)
        self.generator = generator
        self.discriminator = discriminator
        self._average = None if ema_decay is None else AveragedNetwork(generator, ema_decay, name="ema_decay")
        self.averaged_generator = None if self._average is None else self._average.network
        self._value_range = output_range(generator)

    # ---- networks -------------------------------------------------------------------------------

    def _generator_or_default(
        self, generator: keras.Model | None, *, conditioning: str, output_activation: str | None
    ) -> keras.Model:
        """The generator that was given, or the default one with these options."""
        if generator is not None:
            if output_activation is not None or conditioning != "concatenate":
                _refuse_options("generator", ("output_activation", "generator_conditioning"))
            return generator
        activation = {} if output_activation is None else {"output_activation": output_activation}
        return self._default_generator(
            (self.latent_dim,),
            check_rank(self.event_shape),
            conditioning=conditioning,
            name="generator",
            **activation,
            **self._network_options(0),
        )

    def _discriminator_or_default(
        self,
        discriminator: keras.Model | None,
        *,
        conditioning: str,
        spectral_norm: bool,
        minibatch_stddev: bool,
    ) -> keras.Model:
        """The discriminator that was given, or the default one with these options."""
        if discriminator is not None:
            if spectral_norm or minibatch_stddev or conditioning != "concatenate":
                _refuse_options(
                    "discriminator", ("spectral_norm", "minibatch_stddev", "discriminator_conditioning")
                )
            return discriminator
        return self._default_discriminator(
            check_rank(self.event_shape),
            spectral_norm=spectral_norm,
            minibatch_stddev=minibatch_stddev,
            conditioning=conditioning,
            name="discriminator",
            **self._network_options(1),
        )

    @staticmethod
    def _default_generator(
        input_shape: tuple[int, ...], event_shape: tuple[int, ...], **options: Any
    ) -> keras.Model:
        if len(event_shape) == 1:
            return dense_generator(input_shape, event_shape, **options)
        return conv_generator(input_shape, event_shape, **options)

    @staticmethod
    def _default_discriminator(event_shape: tuple[int, ...], **options: Any) -> keras.Model:
        if len(event_shape) == 1:
            return dense_discriminator(event_shape, **options)
        return conv_discriminator(event_shape, **options)

    # ---- training -------------------------------------------------------------------------------

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Adam: for images with DCGAN's settings, for vectors without momentum and 5 times the rate."""
        if len(self.event_shape) == 3:
            return super().default_optimizers()
        return {
            name: keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99)
            for name in ("generator_optimizer", "discriminator_optimizer")
        }

    def players(self) -> Sequence[Player]:
        """The discriminator, then the generator."""
        bound = self.weight_clip
        return (
            Player(
                "discriminator",
                (self.discriminator,),
                self._discriminator_terms,
                self._objective.discriminator_weights,
                self.discriminator_steps,
                after_update=None if bound is None else lambda: self._clip_weights(bound),
                optimizer="discriminator_optimizer",
            ),
            Player("generator", (self.generator,), self._generator_terms, optimizer="generator_optimizer"),
        )

    def shared_forward(
        self, x: tf.Tensor, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> tf.Tensor:
        """One generated example beside each real one, with its condition, `[B, *event_shape]`."""
        z = self.prior().sample(tf.shape(x)[0], seed=seed)
        generated = self.generator(self._with_condition(self.generator, z, condition), training=training)
        return tf.cast(generated, self.real_dtype)

    def advance_state(self, batch: Batch, *, seed: tf.Tensor, shared: Any) -> None:
        """Moves the averaged generator, if there is one."""
        if self._average is not None:
            self._average.update(self.training_steps)

    def _discriminator_terms(
        self, x: tf.Tensor, *, condition: Any, training: bool, seed: tf.Tensor, shared: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        real, options = tf.cast(x, self.real_dtype), {"training": training, "step": self.training_steps}
        return self._objective.discriminator_terms(
            self._judge(condition, training), real, shared, seed=seed, **options
        )

    def _generator_terms(
        self, x: tf.Tensor, *, condition: Any, training: bool, seed: tf.Tensor, shared: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        options = {"training": training, "step": self.training_steps}
        return self._objective.generator_terms(self._judge(condition, training), shared, seed=seed, **options)

    def _judge(self, condition: Any, training: bool) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function from examples `[B, *event_shape]` to the discriminator's logits `[B]`."""

        def judge(x: tf.Tensor) -> tf.Tensor:
            inputs = self._with_condition(self.discriminator, x, condition)
            return tf.cast(self.discriminator(inputs, training=training), self.real_dtype)[:, 0]

        return judge

    def _clip_weights(self, bound: float) -> None:
        for weight in self.discriminator.trainable_weights:
            weight.assign(tf.clip_by_value(weight.value, -bound, bound))

    # ---- capabilities ---------------------------------------------------------------------------

    def prior(self) -> tfp.distributions.Distribution:
        """The distribution of the noise p(z): N(0, I) over `[latent_dim]`."""
        return standard_normal(self.latent_dim)

    def call(self, z: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The examples of latent vectors, `[B, *event_shape]`; outside training from the averaged generator.

        Args:
            z: Latent vectors `[B, latent_dim]`.
            condition: One condition for all rows, or one per row.
            training: Whether layers act as in training.
        """
        return self._generate(z, condition, training, use_ema=not training)

    def _generate(
        self, z: tf.Tensor, condition: Any = None, training: bool = False, use_ema: bool = True
    ) -> tf.Tensor:
        network = self.generator
        if use_ema and self.averaged_generator is not None:
            network = self.averaged_generator
        return tf.cast(
            network(self._with_condition(network, z, condition), training=training), self.real_dtype
        )

    def sample(
        self,
        num_samples: int,
        *,
        condition: Any = None,
        seed: Any = None,
        use_ema: bool = True,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """New examples, `[num_samples, *event_shape]`.

        Args:
            num_samples: Number of samples to draw.
            condition: One for all or one per sample.
            seed: Integer or two integers; None draws anew at every call.
            use_ema: Whether to use the averaged generator, if the model has one, or the one in training.
            batch_size: Samples drawn in one pass, which bounds memory; None uses the model's default.
        """
        return self._sample(num_samples, condition, seed, batch_size, use_ema=use_ema)

    def _sample_rows(self, seeds: tf.Tensor, condition: Any = None, use_ema: bool = True) -> tf.Tensor:
        z = sample_rows(self.prior(), 1, seeds)[:, 0]
        return self._generate(z, condition, use_ema=use_ema)

    def features(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The discriminator's last features, `[B, F]`, of which its logit is a linear function.

        They are the output of the layer named "features", or else the input of the last layer.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.

        Raises:
            TypeError: For a discriminator that is not a functional or sequential network.

        Reference: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
        Networks, Radford, Metz and Chintala, 2016 (features for classification).
        """
        return self._map_rows("features", self._feature_function(), x, condition, batch_size=batch_size)

    def _feature_function(self) -> Callable:
        network = self.discriminator
        if not isinstance(network, (keras.Sequential, keras.src.models.Functional)):
            raise TypeError(
                "`features` needs a functional or sequential discriminator; received a "
                f"{type(network).__name__}. Build it with `keras.Model(inputs, outputs)`."
            )
        names = [layer.name for layer in network.layers]
        last = network.get_layer("features").output if "features" in names else network.layers[-1].input
        to_features = keras.Model(network.inputs if self._condition_spec else network.inputs[0], last)

        def features(x: tf.Tensor, condition: Any = None) -> tf.Tensor:
            h = to_features(self._with_condition(network, x, condition), training=False)
            return tf.cast(tf.reshape(h, [tf.shape(h)[0], -1]), self.real_dtype)

        return features

    # ---- data, endpoints, configuration ---------------------------------------------------------

    def value_range(self) -> ValueRange:
        """The values that the generator can give."""
        return self._value_range

    def latent_space(self) -> Space:
        """The space of one latent vector `z`."""
        return Space("z", (self.latent_dim,), self.real_dtype)

    def input_space(self) -> Space:
        """The latent space: `call` takes latent vectors."""
        return self.latent_space()

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint: `generate`, `sample`, `sample_rows`, `features`.

        Args:
            max_samples: The most that one request of `sample` may ask for.
            num_samples: Not used by this family.
        """
        features = self._feature_function()
        z, x = self._inputs(self.latent_space()), self._inputs(self.event_space())
        return {
            "generate": Endpoint(lambda *inputs: {"x": self._generate(*inputs)}, z),
            **self._sample_endpoints(max_samples),
            "features": Endpoint(lambda *inputs: {"features": features(*inputs)}, x),
        }

    def get_config(self) -> dict:
        """The constructor arguments, the networks included."""
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            **self._objective.get_config(),
            "weight_clip": self.weight_clip,
            "ema_decay": None if self._average is None else self._average.decay,
        }


def _refuse_options(network: str, options: Sequence[str]) -> None:
    names = ", ".join(f"`{name}`" for name in options)
    raise ValueError(
        f"{names} are options of the default {network}; received them beside a `{network}`. Build them into "
        "that network, or leave it out."
    )


def _warn_of_moving_weights(discriminator: keras.Model) -> None:
    if any(isinstance(one, keras.layers.SpectralNormalization) for one in discriminator._flatten_layers()):
        warn_user(
            "`discriminator` has Keras' SpectralNormalization, which divides its weights in place in "
            "each pass, so that the passes of one step see different weights. Use "
            "`keras_genmod.layers.SpectralNormalization`, whose weights move once an update.",
            UserWarning,
        )
