r"""Super-resolution: small pictures to large ones, learned from large pictures alone.

A degradation $d$ makes a small picture of each large one $x$, and a generator $G$ is trained to undo it:

$$ E\lVert x - G(d(x)) \rVert_1 + \gamma E\lVert \phi(x) - \phi(G(d(x))) \rVert^2 + \alpha V(D, G) $$

The distance of pixels alone gives the mean of all pictures that a small one may stand for: the best figures,
and blurred. Features $\phi$ of another network, and a discriminator $D$, ask for texture that is likely.

References: Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network, Ledig et
al., 2017; Enhanced Deep Residual Networks for Single Image Super-Resolution, Lim et al., 2017; ESRGAN, Wang
et al., 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.bases.two_player_objective import TwoPlayerObjective
from keras_genmod.core.checks import (
    ValueRange,
    as_array,
    check_choice,
    check_integer,
    check_number,
    check_shape_tuple,
    describe,
)
from keras_genmod.core.registration import register
from keras_genmod.core.spaces import Space
from keras_genmod.layers.resampling import BicubicDownsampling
from keras_genmod.metrics.image_quality import absolute_error
from keras_genmod.models.translation.translator import Translator, checked_range, default_field
from keras_genmod.networks.defaults import check_network
from keras_genmod.networks.patch_critic import patch_critic
from keras_genmod.networks.subpixel_generator import check_scale, subpixel_generator
from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.training.averaging import copy_network
from keras_genmod.training.players import Player

__all__ = ["SuperResolution"]


@register
class SuperResolution(Translator):
    """A fully convolutional network that enlarges pictures, trained by `fit(high)` on large ones.

    Args:
        low_shape: `(height, width, channels)` of the small pictures in training. `upscale` takes any size.
        scale: 2 or 4.
        adversarial: Weight of the generator's adversarial term; 0 trains no discriminator.
        perceptual: A Keras model from large pictures to features, such as layers of a classifier. A frozen
            copy of it is kept and saved with the model.
        perceptual_weight: Weight of the mean squared difference between features.
        pixel_loss: "l1", the mean absolute difference, or "l2", the mean squared one.
        pixel_weight: Its weight.
        degradation: Layer from large pictures `[B, scale * h, scale * w, C]` to small ones; None takes
            `layers.BicubicDownsampling`, the antialiased bicubic filter.
        value_range: Lowest and highest value of a pixel, to which enlargements are clipped.
        filters, num_blocks: As in `networks.subpixel_generator`.
        loss: The adversarial loss, see `losses.adversarial`.
        receptive_field: As in `Pix2Pix`, of the default discriminator.
        generator: Network from small pictures to large ones.
        discriminator: Network from large pictures to maps of logits `[B, height, width, 1]`.
        r1: Weight of the penalty R1 on the discriminator's mean logit, see `GAN`.
        ema_decay: Decay per step of the moving average of the generator's weights; None keeps no average.
        seed, name, dtype: As in `GenerativeModel`.

    Logs: `loss`; `pixel`, `psnr` and `ssim`, and `perceptual` where there are features. With a discriminator
    these stand under `generator_`, beside `generator_adversarial` and the discriminator's.

    Raises:
        ValueError: For networks or a degradation whose pictures do not fit the scale.

    Cost: one pass through the generator a step; grows with the size of the pictures.

    Example:
        >>> import numpy as np
        >>> model = SuperResolution((8, 8, 1), 2, filters=4, num_blocks=1, seed=0)
        >>> model.upscale(np.zeros((1, 5, 7, 1))).shape
        TensorShape([1, 10, 14, 1])
    """

    _default_endpoint = "upscale"
    _network_names = {"x": "generator"}

    def __init__(
        self,
        low_shape: Sequence[int],
        scale: int = 2,
        *,
        adversarial: float = 0.0,
        perceptual: keras.Model | None = None,
        perceptual_weight: float = 1.0,
        pixel_loss: str = "l1",
        pixel_weight: float = 1.0,
        degradation: keras.layers.Layer | None = None,
        value_range: Sequence[float] = (0.0, 1.0),
        filters: int = 64,
        num_blocks: int = 8,
        loss: str = "non_saturating",
        receptive_field: int | None = None,
        generator: keras.Model | None = None,
        discriminator: keras.Model | None = None,
        r1: float = 0.0,
        ema_decay: float | None = 0.999,
        **kwargs: Any,
    ) -> None:
        low_shape = check_shape_tuple("low_shape", low_shape, ranks=(3,))
        self_scale = check_scale(scale)
        height, width, channels = low_shape
        high_shape = (height * self_scale, width * self_scale, channels)
        super().__init__(high_shape, ema_decay=ema_decay, **kwargs)
        self.low_shape, self.scale = low_shape, self_scale
        self.adversarial = check_number("adversarial", adversarial, minimum=0.0)
        self.perceptual_weight = check_number("perceptual_weight", perceptual_weight, minimum=0.0)
        self.pixel_loss = check_choice("pixel_loss", pixel_loss, ("l1", "l2"))
        self.pixel_weight = check_number("pixel_weight", pixel_weight, minimum=0.0)
        low, high = checked_range("value_range", value_range)
        self._value_range = ValueRange(low, high, advice="Scale the pictures, or pass `value_range=`.")
        self._objective = TwoPlayerObjective(
            loss,
            r1=r1,
            r2=0.0,
            gradient_penalty=0.0,
            label_smoothing=0.0,
            instance_noise=0.0,
            share=0.5,
        )
        if degradation is None:
            degradation = BicubicDownsampling(self_scale, dtype=self.dtype_policy, name="degradation")
        self.degradation = degradation
        self._check_degradation()
        if generator is None:
            generator = subpixel_generator(
                (None, None, channels),
                self_scale,
                filters=check_integer("filters", filters),
                num_blocks=num_blocks,
                name="generator",
                **self._player_options(0),
            )
        self._check_generator(generator)
        self.generator = generator
        if self.adversarial and discriminator is None:
            discriminator = patch_critic(
                high_shape,
                receptive_field=default_field(receptive_field, high_shape),
                filters=filters,
                name="discriminator",
                **self._player_options(1),
            )
        if discriminator is not None:
            self._check_discriminator("discriminator", discriminator, self.event_space())
        self.discriminator = discriminator
        self.perceptual = self._frozen(perceptual)
        self._keep_averages(generator=generator)

    def _check_degradation(self) -> None:
        """Refuses a degradation that does not give pictures of the low shape, or that is trained."""
        high = self.event_space().keras_input()
        if not isinstance(self.degradation, keras.layers.Layer):
            raise TypeError(
                "`degradation` must be a Keras layer or model from large pictures to small ones; received "
                f"{describe(self.degradation)}. A function can be wrapped: `keras.Model(x, function(x))`."
            )
        received = tuple(self.degradation(high).shape)[1:]
        if received != self.low_shape:
            raise ValueError(
                f"`degradation` must make pictures of shape {self.low_shape} of those of shape "
                f"{self.event_shape}; received {received}. Change it, or `scale`."
            )
        self.degradation.trainable = False

    def _check_generator(self, generator: keras.Model) -> None:
        high = self.event_shape
        spaces = [Space("x", self.low_shape, self.real_dtype)]
        inputs = [space.keras_input() for space in spaces]
        why = f"pictures {self.scale} times as large as those of shape {self.low_shape}"
        check_network("generator", generator, inputs, high, why, raw=False, dtype=self.real_dtype)

    def _frozen(self, perceptual: keras.Model | None) -> keras.Model | None:
        """A copy of the network of features, which is not trained."""
        if perceptual is None:
            return None
        if not isinstance(perceptual, keras.Model):
            raise TypeError(
                "`perceptual` must be a Keras model from pictures to features; received "
                f"{describe(perceptual)}. Cut one out of a classifier: "
                "`keras.Model(classifier.input, classifier.get_layer(name).output)`."
            )
        try:
            # One picture of zeros: a symbolic call would not notice another number of channels.
            perceptual(tf.zeros([1, *self.event_shape]), training=False)
        except Exception as error:
            raise ValueError(
                f"`perceptual` could not be called on pictures of shape {self.event_shape}: {error}. Build "
                "it for pictures of that shape."
            ) from error
        return copy_network(perceptual, prefix="frozen")

    # ---- spaces ---------------------------------------------------------------------------------

    def value_range(self) -> ValueRange:
        """The values of pixels."""
        return self._value_range

    def input_space(self) -> Space:
        """The space of one small picture of the size in training."""
        return Space("x", self.low_shape, self.real_dtype, self._value_range)

    def translation_spaces(self, direction: str | None = None) -> tuple[Space, Space]:
        """The spaces of a small picture and of its enlargement."""
        return self.input_space(), self.event_space()

    # ---- training -------------------------------------------------------------------------------

    def players(self) -> Sequence[Player]:
        """The discriminator, if there is one, then the generator."""
        generator = Player(
            "generator",
            (self.generator,),
            self._generator_terms,
            self._generator_weights,
            optimizer="generator_optimizer",
        )
        if not self.adversarial:
            return (generator,)
        discriminator = Player(
            "discriminator",
            (self.discriminator,),
            self._discriminator_terms,
            self._objective.discriminator_weights,
            self.discriminator_steps,
            optimizer="discriminator_optimizer",
        )
        return discriminator, generator

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Adam with learning rate 0.0002, beta_1 0.9 without a discriminator and 0.5 with one."""
        if self.adversarial:
            return super().default_optimizers()
        names = ("generator_optimizer", "discriminator_optimizer")
        return {name: keras.optimizers.Adam(2e-4) for name in names}

    def _generator_weights(self) -> dict[str, Any]:
        weights: dict[str, Any] = {"pixel": self.pixel_weight, **self._sharpness_weights(self._value_range)}
        if self.adversarial:
            weights["adversarial"] = self.adversarial
        if self.perceptual is not None:
            weights["perceptual"] = self.perceptual_weight
        return weights

    def shared_forward(
        self, x: tf.Tensor, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> tf.Tensor:
        """The enlargements of the degraded pictures, `[B, *high_shape]`, not clipped."""
        low = tf.stop_gradient(self.degrade(x))
        return self._enlarged(low, training=training, use_ema=False)

    def _discriminator_terms(
        self, x: tf.Tensor, *, condition: Any, training: bool, seed: tf.Tensor, shared: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        options = {"training": training, "step": self.training_steps, "seed": seed}
        judge = self._judge(self.discriminator, training)
        return self._objective.discriminator_terms(judge, x, shared, **options)

    def _generator_terms(
        self, x: tf.Tensor, *, condition: Any, training: bool, seed: tf.Tensor, shared: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        terms = {}
        if self.adversarial:
            options = {"training": training, "step": self.training_steps, "seed": seed}
            judge = self._judge(self.discriminator, training)
            terms = self._objective.generator_terms(judge, shared, **options)
        if self.pixel_loss == "l1":
            terms["pixel"] = absolute_error(x, shared)
        else:
            terms["pixel"] = tf.reduce_mean(tf.math.squared_difference(x, shared), axis=[1, 2, 3])
        if self.perceptual is not None:
            wanted, given = (self._features(self.perceptual, pictures) for pictures in (x, shared))
            terms["perceptual"] = tf.reduce_mean(tf.math.squared_difference(wanted, given), axis=1)
        return {**terms, **self._sharpness_terms(x, self._clipped(shared), self._value_range)}

    def _features(self, network: keras.Model, x: tf.Tensor) -> tf.Tensor:
        """The features of large pictures, `[B, F]`."""
        outputs = keras.tree.flatten(network(x, training=False))
        rows = tf.shape(x)[0]
        return tf.concat([tf.reshape(tf.cast(part, self.real_dtype), [rows, -1]) for part in outputs], axis=1)

    # ---- capabilities ---------------------------------------------------------------------------

    def degrade(self, x: Any) -> tf.Tensor:
        """The small pictures `[B, *low_shape]` that the degradation makes of large ones.

        Args:
            x: Large pictures `[B, *high_shape]`.
        """
        return tf.cast(self.degradation(x), self.real_dtype)

    def call(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """Enlargements `[B, scale * h, scale * w, C]`, clipped to the range of pixels.

        Args:
            x: Small pictures `[B, h, w, C]`.
            condition: None.
            training: Whether layers act as in training; outside training the averaged generator is used.
        """
        return self._clipped(self._enlarged(x, training=training, use_ema=not training))

    def upscale(self, x: Any, *, use_ema: bool = True, batch_size: int | None = None) -> tf.Tensor:
        """Enlargements of small pictures of any size, clipped to the range of pixels.

        Args:
            x: Small pictures `[B, h, w, C]`; sides may differ from those in training.
            use_ema: Whether to use the averaged generator, if the model has one, or the one in training.
            batch_size: Rows enlarged in one pass, which bounds memory; None uses the model's default.

        Returns:
            `[B, scale * h, scale * w, C]`.

        Cost: memory and time grow with height times width; a new size is traced once.
        """
        x = x if tf.is_tensor(x) else as_array("x", x)
        shape = tuple(x.shape)
        if len(shape) != 4 or shape[3] != self.low_shape[2]:
            raise ValueError(
                f"`x` must have shape [batch, height, width, {self.low_shape[2]}]; received {shape}. Add the "
                "batch axis to a single picture with `x[None]`."
            )
        space = Space("x", shape[1:], self.real_dtype, self._value_range)
        return self._map_rows(
            ("upscale", shape[1:], use_ema),
            lambda x, _: self._clipped(self._enlarged(x, use_ema=use_ema)),
            x,
            None,
            space=space,
            batch_size=batch_size,
        )

    def _enlarged(self, x: tf.Tensor, *, training: bool = False, use_ema: bool = True) -> tf.Tensor:
        network = self._network("generator", use_ema)
        return tf.cast(network(x, training=training), self.real_dtype)

    def _clipped(self, x: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(x, self._value_range.low, self._value_range.high)

    # ---- endpoints, configuration ---------------------------------------------------------------

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint: `upscale`, for pictures of the size in training.

        Args:
            max_samples, num_samples: Not used by this family.
        """
        return {"upscale": Endpoint(lambda x: {"y": self(x, training=False)}, [self.input_space()])}

    def get_config(self) -> dict:
        """The constructor arguments, the networks included."""
        objective = self._objective.get_config()
        networks = ("degradation", "generator", "discriminator", "perceptual")
        return {
            **self._base_config(),
            "low_shape": self.low_shape,
            "scale": self.scale,
            "adversarial": self.adversarial,
            "perceptual_weight": self.perceptual_weight,
            "pixel_loss": self.pixel_loss,
            "pixel_weight": self.pixel_weight,
            "value_range": (self._value_range.low, self._value_range.high),
            "loss": objective["loss"],
            "r1": objective["r1"],
            **{name: keras.saving.serialize_keras_object(getattr(self, name)) for name in networks},
        }
