r"""The generative adversarial network: samples without a density.

A generator $G$ turns noise $z \sim N(0, I)$ into examples, a discriminator $D$ gives examples a logit that is
high for real ones. They are trained against each other by one of the losses of
`keras_genmod.losses.adversarial`; the first was

$$ \min_G \max_D \; E_x[\log\sigma(D(x))] + E_z[\log(1 - \sigma(D(G(z))))] $$

whose optimal discriminator has $\sigma(D(x)) = p(x) / (p(x) + q(x))$ for data $p$ and samples $q$, and whose
value there is twice their Jensen-Shannon divergence, less $\log 4$.

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
from keras_genmod.core.checks import ValueRange, check_integer, check_number
from keras_genmod.core.noise import sample_rows
from keras_genmod.core.registration import register
from keras_genmod.core.spaces import Space
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.distributions.priors import standard_normal
from keras_genmod.losses.adversarial import get_adversarial_loss
from keras_genmod.models.adversarial.objective import TwoPlayerObjective
from keras_genmod.networks.activations import check_reach, output_range
from keras_genmod.networks.defaults import check_network, check_rank
from keras_genmod.networks.discriminators import conv_discriminator, dense_discriminator
from keras_genmod.networks.generators import conv_generator, dense_generator
from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.training.averaging import copy_network
from keras_genmod.training.schedules import WeightSchedule, get_weight, weight_config

__all__ = ["GAN"]


@register
class GAN(SamplesByRow, TwoPlayerObjective, AdversarialModel):
    """A generator and a discriminator, trained against each other.

    The defaults are the non-saturating loss with R1 and an averaged generator. Vectors get dense networks
    with a linear output (any real data), images DCGAN's convolutions with tanh (data in [-1, 1]), without
    batch normalisation in the discriminator.

    Args:
        event_shape: shape of one example, such as `(2,)` or `(28, 28, 1)`.
        latent_dim: width of the noise z.
        generator: network from `z` (`[z, condition]`) to examples; its last activation tells the range of
            the data.
        discriminator: network from `x` (`[x, condition]`) to one logit.
        loss: "minimax", "non_saturating", "least_squares", "hinge" or "wasserstein".
        r1: weight of half the squared gradient of the discriminator at real examples. The default suits data
            of few dimensions; where the discriminator's accuracy saturates, as on many pixels, take 1 to 10.
        r2: the same at generated examples.
        gradient_penalty: weight of the penalty on gradients of a norm other than 1, between real and
            generated examples.
        label_smoothing: the target of real examples is 1 less this, for losses with labels.
        instance_noise: standard deviation of the noise that real and generated examples get in training
            before the discriminator sees them; a number or a schedule over training steps.
        weight_clip: bound of the absolute value of the discriminator's weights (as in the first
            Wasserstein GAN); None leaves them free.
        ema_decay: decay per step of the exponential moving average of the generator's weights; None keeps
            none. The average begins fast: step t has a decay of (1 + t) / (10 + t) at most.
        spectral_norm, minibatch_stddev: of the default discriminator, see `networks.conv_discriminator`.
            Penalties on the gradient take each example's own, beside `minibatch_stddev` too.
        generator_conditioning: of the default generator: "concatenate" or "batch_norm".
        discriminator_conditioning: of the default discriminator: "concatenate" or "projection".
        output_activation: of the default generator; None takes "linear" for vectors, "tanh" for images.
        num_classes, condition_shape, seed, name, dtype: as in `GenerativeModel`.

    Logs: `loss` (the sum of both, no stopping criterion), `discriminator_loss`, `discriminator_real`,
    `discriminator_fake`, `discriminator_accuracy` (share of real and generated examples that it tells
    right), `discriminator_r1` and so on for penalties, `generator_loss`, `generator_adversarial`.

    Warns:
        UserWarning: for a discriminator with `keras.layers.SpectralNormalization`, which judges real and
            generated examples by different weights.

    Raises:
        ValueError: for penalties on the gradient of a discriminator with batch normalisation, in which one
            example has no gradient of its own, or for options of default networks beside networks.

    Cost: a step makes one pass through the generator and three through the discriminator; a penalty adds
    about the cost of two more passes.

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
        self.loss_name = loss
        self._adversarial_loss = get_adversarial_loss(loss)
        self.r1 = check_number("r1", r1, minimum=0.0)
        self.r2 = check_number("r2", r2, minimum=0.0)
        self.gradient_penalty = check_number("gradient_penalty", gradient_penalty, minimum=0.0)
        self.label_smoothing = check_number("label_smoothing", label_smoothing, minimum=0.0, maximum=0.5)
        if self.label_smoothing and not self._adversarial_loss.has_labels:
            raise ValueError(
                f"`label_smoothing` needs a loss with labels; received {label_smoothing} with loss={loss!r}. "
                "Use 'minimax', 'non_saturating' or 'least_squares', or leave it 0."
            )
        self.instance_noise = get_weight("instance_noise", instance_noise)
        self.weight_clip = (
            None if weight_clip is None else check_number("weight_clip", weight_clip, above=0.0)
        )
        self.ema_decay = (
            None if ema_decay is None else check_number("ema_decay", ema_decay, minimum=0.0, maximum=1.0)
        )
        if generator is None:
            activation = {} if output_activation is None else {"output_activation": output_activation}
            generator = self._default_generator(
                (self.latent_dim,),
                check_rank(self.event_shape),
                conditioning=generator_conditioning,
                name="generator",
                **activation,
                **self._network_options(0),
            )
        elif output_activation is not None or generator_conditioning != "concatenate":
            _refuse_options("generator", ("output_activation", "generator_conditioning"))
        if discriminator is None:
            discriminator = self._default_discriminator(
                check_rank(self.event_shape),
                spectral_norm=spectral_norm,
                minibatch_stddev=minibatch_stddev,
                conditioning=discriminator_conditioning,
                name="discriminator",
                **self._network_options(1),
            )
        elif spectral_norm or minibatch_stddev or discriminator_conditioning != "concatenate":
            _refuse_options(
                "discriminator", ("spectral_norm", "minibatch_stddev", "discriminator_conditioning")
            )
        z = self._inputs_of("generator", generator, self.latent_space())
        x = self._inputs_of("discriminator", discriminator, Space("x", self.event_shape, self.real_dtype))
        dtype = self.real_dtype
        example = "one example"
        check_network("generator", generator, z, self.event_shape, example, raw=False, dtype=dtype)
        check_network("discriminator", discriminator, x, (1,), "the logit of 'real'", dtype=dtype)
        check_reach("discriminator", discriminator, self._adversarial_loss.bounds_problem)
        self.generator = generator
        self.discriminator = discriminator
        self._check_discriminator()
        self.averaged_generator = None if self.ema_decay is None else copy_network(generator)
        self._value_range = output_range(generator)
        self.built = True

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

    def _check_discriminator(self) -> None:
        layers = self.discriminator._flatten_layers()
        if any(isinstance(layer, keras.layers.SpectralNormalization) for layer in layers):
            warn_user(
                "`discriminator` has Keras' SpectralNormalization, which divides its weights in place in "
                "each pass, so that the passes of one step see different weights. Use "
                "`keras_genmod.layers.SpectralNormalization`, whose weights move once an update.",
                UserWarning,
            )
        penalties = {"r1": self.r1, "r2": self.r2, "gradient_penalty": self.gradient_penalty}
        used = [f"{name}={weight:g}" for name, weight in penalties.items() if weight]
        mixing = [
            layer.name
            for layer in self.discriminator._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        if used and mixing:
            raise ValueError(
                "A penalty on the gradient of one example needs a discriminator without batch normalisation; "
                f"received {', '.join(used)} and the layers {mixing}. Set the penalties to 0, or use a "
                "discriminator without these layers."
            )

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Adam: for images with DCGAN's settings, for vectors without momentum and five times as fast."""
        if len(self.event_shape) == 3:
            return super().default_optimizers()
        return {
            name: keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99)
            for name in ("generator_optimizer", "discriminator_optimizer")
        }

    # ---- capabilities ---------------------------------------------------------------------------

    def prior(self) -> tfp.distributions.Distribution:
        """The distribution of the noise p(z): N(0, I) over `[latent_dim]`."""
        return standard_normal(self.latent_dim)

    def call(self, z: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The examples of latent vectors, `[B, *event_shape]`; outside training by the averaged generator.

        Args:
            z: latent vectors `[B, latent_dim]`.
            condition: one for all or one per row.
            training: whether layers act as in training.
        """
        return self._generate(z, condition, training, use_ema=not training)

    def _generate(
        self, z: tf.Tensor, condition: Any = None, training: bool = False, use_ema: bool = True
    ) -> tf.Tensor:
        averaged = use_ema and self.averaged_generator is not None
        network = self.averaged_generator if averaged else self.generator
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
            num_samples: how many.
            condition: one for all or one per sample.
            seed: integer or two integers; None draws anew at every call.
            use_ema: whether the averaged generator draws, if the model has one; else the one in training.
            batch_size: samples in one pass, which bounds the memory; None takes the model's own number.
        """
        return self._sample(num_samples, condition, seed, batch_size, use_ema=use_ema)

    def _sample_rows(self, seeds: tf.Tensor, condition: Any = None, use_ema: bool = True) -> tf.Tensor:
        z = sample_rows(self.prior(), 1, seeds)[:, 0]
        return self._generate(z, condition, use_ema=use_ema)

    def features(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The discriminator's last features, `[B, F]`: what its logit is linear in.

        They are the output of the layer named "features", or else what goes into the last layer.

        Args:
            x: data `[B, *event_shape]`.
            condition: one for all or one per row.
            batch_size: rows in one pass, which bounds the memory; None takes the model's own number.

        Raises:
            TypeError: for a discriminator that is no functional or sequential network.

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
            max_samples: the most that one request of `sample` may ask for.
            num_samples: not used by this family.
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
            "loss": self.loss_name,
            "r1": self.r1,
            "r2": self.r2,
            "gradient_penalty": self.gradient_penalty,
            "label_smoothing": self.label_smoothing,
            "instance_noise": weight_config(self.instance_noise),
            "weight_clip": self.weight_clip,
            "ema_decay": self.ema_decay,
        }


def _refuse_options(network: str, options: Sequence[str]) -> None:
    names = ", ".join(f"`{name}`" for name in options)
    raise ValueError(
        f"{names} are options of the default {network}; received them beside a `{network}`. Build them into "
        "that network, or leave it out."
    )
