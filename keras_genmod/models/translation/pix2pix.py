r"""Pix2Pix: translation learned from pairs, a picture of one domain and what it becomes in the other.

A generator $G$ turns a source $s$ into a picture. A discriminator $D$ looks at patches of a pair, the source
and a picture, and gives each patch a logit. With the true target $x$ of $s$ they are trained by

$$ \min_G \max_D \; V(D, G) + \lambda E\lVert x - G(s) \rVert_1 $$

where $V$ is the objective of a GAN for pairs $(s, x)$ and $(s, G(s))$. The distance alone gives the median of
all targets that a source may have, which is blurred. The discriminator forces a choice among them.

Reference: Image-to-Image Translation with Conditional Adversarial Networks, Isola, Zhu, Zhou and Efros, 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.bases.two_player_objective import TwoPlayerObjective
from keras_genmod.core.checks import (
    ValueRange,
    check_integer,
    check_number,
    check_shape_tuple,
    describe,
)
from keras_genmod.core.noise import fold_in, row_seeds
from keras_genmod.core.registration import register
from keras_genmod.core.spaces import ROW_SEEDS, Space
from keras_genmod.core.targets import TargetSpec
from keras_genmod.layers.paired_augmentation import PairedAugmentation
from keras_genmod.layers.row_dropout import NO_NOISE
from keras_genmod.metrics.image_quality import absolute_error
from keras_genmod.models.translation.translator import Translator, checked_range, default_field
from keras_genmod.networks.activations import output_range
from keras_genmod.networks.defaults import check_network
from keras_genmod.networks.patch_critic import patch_critic
from keras_genmod.networks.unet import unet
from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.training.players import Player

__all__ = ["Pix2Pix"]


@register
class Pix2Pix(Translator):
    """A U-Net that translates pictures, trained on pairs with a distance and against a patch discriminator.

    Train it with `fit(sources, targets)`. The translation of a row does not depend on the other rows of its
    batch: the default networks have instance normalisation, in training and afterwards.

    Args:
        source_shape: Shape of one source, `(height, width, channels)`; `(height, width)` for maps of class
            indices.
        target_shape: Shape of one target, `(height, width, channels)`.
        source_classes: Number of classes, if sources are maps of class indices. The default networks embed
            them.
        source_range: Lowest and highest value of sources that are no class indices; None accepts all
            finite values.
        l1: Weight of the mean absolute difference between targets and translations.
        loss: The adversarial loss, see `losses.adversarial`: "non_saturating", "least_squares", ...
        adversarial: Weight of the generator's adversarial term; 0 leaves regression alone, and no
            discriminator is trained.
        dropout: Dropout rate in the inner layers of the default generator, the model's only noise. Each
            row's mask is drawn from a seed of its own.
        receptive_field: Side of the patches that the default discriminator judges, in pixels: 1, 16, 34, 70,
            142 or 286. None takes the largest of 16, 34 and 70 that is at most 5/8 of the picture's
            shorter side, at least 16.
        filters: Number of channels of the default networks' first layers.
        generator: Network from `x` (`[x, seed]` for one with `layers.RowDropout`) to pictures; its last
            activation determines the range of the targets.
        discriminator: Network of `[x, source]`, a picture and its source, to a map of logits
            `[B, height, width, 1]`.
        r1: Weight of the penalty R1 on the discriminator's mean logit, see `GAN`.
        label_smoothing: As in `GAN`.
        augmentation: Moves pictures and sources alike before the discriminator sees them, in training, which
            keeps it from learning a small training set by heart.
        ema_decay: Decay per step of the moving average of the generator's weights; None keeps no average.
        seed, name, dtype: As in `GenerativeModel`.

    Logs: `loss` (the sum of both players', no stopping criterion); `generator_l1`, and `generator_psnr` and
    `generator_ssim` where the range of the targets has two ends, which are criteria; `generator_adversarial`;
    `discriminator_real`, `discriminator_fake`, `discriminator_accuracy` (fraction of patches that it
    classifies correctly).

    Raises:
        ValueError: For sides that the default generator's depth does not divide, and for networks that do
            not fit.

    Cost: a step makes one pass through the generator and three through the discriminator.

    Reference: Image-to-Image Translation with Conditional Adversarial Networks, Isola et al., 2017.

    Example:
        >>> import numpy as np
        >>> model = Pix2Pix((16, 16), (16, 16, 3), source_classes=4, filters=4, seed=0)
        >>> model.translate(np.zeros((2, 16, 16), "int32")).shape
        TensorShape([2, 16, 16, 3])
    """

    _default_endpoint = "translate"
    _network_names = {"x": "generator"}

    def __init__(
        self,
        source_shape: Sequence[int],
        target_shape: Sequence[int],
        *,
        source_classes: int | None = None,
        source_range: Sequence[float] | None = (-1.0, 1.0),
        l1: float = 100.0,
        loss: str = "non_saturating",
        adversarial: float = 1.0,
        dropout: float = 0.0,
        receptive_field: int | None = None,
        filters: int = 64,
        generator: keras.Model | None = None,
        discriminator: keras.Model | None = None,
        r1: float = 0.0,
        label_smoothing: float = 0.0,
        augmentation: PairedAugmentation | None = None,
        ema_decay: float | None = 0.999,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        source_shape, source_classes = _checked_source(source_shape, source_classes)
        super().__init__(source_shape, ema_decay=ema_decay, seed=seed, **kwargs)
        self.source_shape = source_shape
        self.target_shape = check_shape_tuple("target_shape", target_shape, ranks=(3,))
        self.source_classes = source_classes
        self.source_range = None if source_range is None else checked_range("source_range", source_range)
        self.l1 = check_number("l1", l1, minimum=0.0)
        self.adversarial = check_number("adversarial", adversarial, minimum=0.0)
        self.augmentation = augmentation
        self._objective = TwoPlayerObjective(
            loss,
            r1=r1,
            r2=0.0,
            gradient_penalty=0.0,
            label_smoothing=label_smoothing,
            instance_noise=0.0,
            share=0.5,
        )
        options = {"filters": check_integer("filters", filters), "source_classes": source_classes}
        if generator is None:
            generator = unet(
                source_shape,
                self.target_shape,
                dropout=check_number("dropout", dropout, minimum=0.0, maximum=1.0),
                name="generator",
                **options,
                **self._player_options(0),
            )
        elif dropout:
            raise ValueError(
                f"`dropout` is an option of the default generator; received {dropout} beside a `generator`. "
                "Build it into that network with `layers.RowDropout`, or leave it out."
            )
        self.has_noise = len(getattr(generator, "inputs", ())) == 2
        self._value_range = output_range(generator)
        inputs = [space.keras_input() for space in self._generator_spaces()]
        why = f"pictures of shape {self.target_shape}"
        check_network(
            "generator", generator, inputs, self.target_shape, why, raw=False, dtype=self.real_dtype
        )
        self.generator = generator
        if self.adversarial and discriminator is None:
            discriminator = patch_critic(
                self.target_shape,
                source_shape=source_shape,
                receptive_field=default_field(receptive_field, self.target_shape),
                name="discriminator",
                **options,
                **self._player_options(1),
            )
        if discriminator is not None:
            picture = Space("x", self.target_shape, self.real_dtype)
            source = Space("source", source_shape, self.event_space().dtype)
            self._check_discriminator("discriminator", discriminator, picture, source)
        self.discriminator = discriminator
        self._keep_averages(generator=generator)

    # ---- spaces ---------------------------------------------------------------------------------

    def event_space(self) -> Space:
        """The space of one source `x`."""
        dtype = self.real_dtype if self.source_classes is None else tf.int32
        return Space("x", self.source_shape, dtype, self.value_range())

    def value_range(self) -> ValueRange:
        """The values of sources."""
        if self.source_classes is not None:
            advice = f"Sources are class indices, and the model has source_classes={self.source_classes}."
            return ValueRange(0, self.source_classes - 1, integer=True, advice=advice)
        if self.source_range is None:
            return ValueRange()
        low, high = self.source_range
        advice = "Scale the sources, or build the model with another `source_range`."
        return ValueRange(low, high, advice=advice)

    def target_space(self) -> Space:
        """The space of one target, and of one translation."""
        return Space("target", self.target_shape, self.real_dtype, self._value_range)

    def translation_spaces(self, direction: str | None = None) -> tuple[Space, Space]:
        """The spaces of a source and of its translation."""
        return self.event_space(), self.target_space()

    @property
    def _second_entry(self) -> TargetSpec:
        return TargetSpec(self.target_space())

    def _generator_spaces(self) -> list[Space]:
        """What the generator takes: a source, and seeds if it has noise."""
        return [self.event_space(), *([ROW_SEEDS] if self.has_noise else [])]

    def check_data(self, x: Any, condition: Any = None) -> None:
        """Refuses sources and targets of a wrong shape, type or range, before they are used.

        Args:
            x: Sources `[N, *source_shape]`.
            condition: Targets `[N, *target_shape]`.

        Raises:
            TypeError, ValueError: As in `GenerativeModel`.
        """
        if isinstance(x, dict):
            raise TypeError(
                f"This {type(self).__name__} learns from pairs, `fit(sources, targets)`; received a "
                f"dictionary with the keys {list(x)}. `CycleGAN` learns from sets without pairs."
            )
        super().check_data(x, condition)
        self._warn_of_half("target", self._value_range, condition[:256])

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

    def _generator_weights(self) -> dict[str, Any]:
        adversarial = {"adversarial": self.adversarial} if self.adversarial else {}
        return {**adversarial, "l1": self.l1, **self._sharpness_weights(self._value_range)}

    def shared_forward(
        self, x: tf.Tensor, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> tf.Tensor:
        """The translation of each source, `[B, *target_shape]`; with noise in training."""
        seeds = row_seeds(fold_in(seed, 1), 0, tf.shape(x)[0]) if training else None
        return self._translate(x, seeds, training=training, use_ema=False)

    def _discriminator_terms(
        self, x: tf.Tensor, *, condition: Any, training: bool, seed: tf.Tensor, shared: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        options = {"training": training, "step": self.training_steps, "seed": seed}
        judge = self._judge_of_pairs(x, training, seed)
        return self._objective.discriminator_terms(judge, condition, shared, **options)

    def _generator_terms(
        self, x: tf.Tensor, *, condition: Any, training: bool, seed: tf.Tensor, shared: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        terms = {}
        if self.adversarial:
            options = {"training": training, "step": self.training_steps, "seed": seed}
            terms = self._objective.generator_terms(
                self._judge_of_pairs(x, training, seed), shared, **options
            )
        return {
            **terms,
            "l1": absolute_error(condition, shared),
            **self._sharpness_terms(condition, shared, self._value_range),
        }

    def _judge_of_pairs(
        self, source: tf.Tensor, training: bool, seed: tf.Tensor
    ) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function from pictures `[B, *target_shape]` to the discriminator's logits `[B, h, w]`.

        Real pictures and translations of one step are moved alike, each with its source.
        """
        source = tf.cast(source, self.event_space().dtype)
        judge_pair = self._judge(self.discriminator, training)
        if not training or self.augmentation is None:
            return lambda picture: judge_pair([picture, source])
        augmentation, seeds = self.augmentation, row_seeds(fold_in(seed, 2), 0, tf.shape(source)[0])
        return lambda picture: judge_pair(augmentation([picture, source], seeds))

    # ---- capabilities ---------------------------------------------------------------------------

    def call(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The translations of sources without noise, `[B, *target_shape]`.

        Args:
            x: Sources `[B, *source_shape]`.
            condition: None.
            training: Whether layers act as in training; outside training the averaged generator is used.
        """
        return self._translate(x, training=training, use_ema=not training)

    def translate(
        self, x: Any, *, seed: Any = None, use_ema: bool = True, batch_size: int | None = None
    ) -> tf.Tensor:
        """The translations of sources, `[B, *target_shape]`.

        Args:
            x: Sources `[B, *source_shape]`.
            seed: Integer or two integers, the seed of the generator's noise, where it has some; None
                translates without noise.
            use_ema: Whether to use the averaged generator, if the model has one, or the one in training.
            batch_size: Rows translated in one pass, which bounds memory; None uses the model's default.

        Raises:
            ValueError: For a seed of a generator without noise.
        """
        if seed is None:
            key = ("translate", use_ema)
            return self._map_rows(
                key, lambda x, _: self._translate(x, use_ema=use_ema), x, None, batch_size=batch_size
            )
        self._require_noise(seed)
        x = self._as_rows(x)
        seeds = row_seeds(self._sampling_seed(seed), 0, x.shape[0])
        return self._map_rows(
            ("translate with noise", use_ema),
            lambda x, seeds, _: self._translate(x, seeds, use_ema=use_ema),
            (x, seeds),
            None,
            space=(self.event_space(), ROW_SEEDS),
            batch_size=batch_size,
        )

    def _require_noise(self, seed: Any) -> None:
        if not self.has_noise:
            raise ValueError(
                f"The generator of this {type(self).__name__} has no noise for a `seed` to draw; received "
                f"seed={describe(seed)}. Leave it out, or build the model with `dropout=0.5`."
            )

    def _translate(
        self, x: tf.Tensor, seeds: tf.Tensor | None = None, *, training: bool = False, use_ema: bool = True
    ) -> tf.Tensor:
        """Translations; `seeds` are those of the rows' noise, None for translations without noise."""
        network = self._network("generator", use_ema)
        inputs: Any = tf.cast(x, self.event_space().dtype)
        if self.has_noise:
            if seeds is None:
                seeds = tf.fill([tf.shape(x)[0], 2], NO_NOISE)
            inputs = [inputs, seeds]
        return tf.cast(network(inputs, training=training), self.real_dtype)

    # ---- endpoints, configuration ---------------------------------------------------------------

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint: `translate`; with noise `translate_rows`, of one seed a row.

        Args:
            max_samples, num_samples: Not used by this family.
        """
        source = self.event_space()
        endpoints = {"translate": Endpoint(lambda x: {"y": self._translate(x)}, [source])}
        if self.has_noise:
            endpoints["translate_rows"] = Endpoint(
                lambda x, seed: {"y": self._translate(x, seed)}, [source, ROW_SEEDS]
            )
        return endpoints

    def get_config(self) -> dict:
        """The constructor arguments, the networks included."""
        objective = self._objective.get_config()
        return {
            **self._base_config(),
            "source_shape": self.source_shape,
            "target_shape": self.target_shape,
            "source_classes": self.source_classes,
            "source_range": self.source_range,
            "l1": self.l1,
            "adversarial": self.adversarial,
            **{name: objective[name] for name in ("loss", "r1", "label_smoothing")},
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "augmentation": keras.saving.serialize_keras_object(self.augmentation),
        }


def _checked_source(shape: Sequence[int], classes: int | None) -> tuple[tuple[int, ...], int | None]:
    """The shape of sources and their number of classes, which must fit each other."""
    if classes is None:
        shape = check_shape_tuple("source_shape", shape)
        if len(shape) != 3:
            raise ValueError(
                f"`source_shape` must be (height, width, channels); received {shape}. For maps of class "
                "indices, of shape (height, width), give `source_classes` too."
            )
        return shape, None
    shape = check_shape_tuple("source_shape", shape)
    if len(shape) != 2:
        raise ValueError(
            f"`source_shape` must be (height, width) for maps of class indices; received {shape} with "
            f"source_classes={classes}. Take `np.argmax(one_hot, axis=-1)` of one-hot maps, or leave "
            "`source_classes` out for pictures."
        )
    return shape, check_integer("source_classes", classes, minimum=2)
