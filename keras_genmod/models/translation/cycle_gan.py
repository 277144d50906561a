r"""CycleGAN: translation between two domains, learned from sets of pictures without pairs.

A generator $G$ turns pictures $a$ of one domain into pictures of the other, a generator $F$ turns pictures
$b$ back. Each domain has a discriminator of patches. Without pairs nothing says which picture a translation
of $a$ should be, so it is asked to be translatable back:

$$ \lambda (E\lVert F(G(a)) - a \rVert_1 + E\lVert G(F(b)) - b \rVert_1)
   + \lambda \iota (E\lVert F(a) - a \rVert_1 + E\lVert G(b) - b \rVert_1) $$

The second line, of weight $\iota$, leaves pictures alone that are of the wanted domain already, which keeps
colours. The discriminators see earlier translations too, from a pool.

Reference: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, Zhu, Park, Isola
and Efros, 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.bases.two_player_objective import TwoPlayerObjective
from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import ValueRange, check_choice, check_integer, check_number, check_shape_tuple
from keras_genmod.core.noise import fold_in
from keras_genmod.core.registration import register
from keras_genmod.core.spaces import Space
from keras_genmod.metrics.image_quality import absolute_error
from keras_genmod.models.translation.image_pool import ImagePool
from keras_genmod.models.translation.translator import Translator, default_field
from keras_genmod.networks.activations import output_range
from keras_genmod.networks.defaults import check_network
from keras_genmod.networks.patch_critic import patch_critic
from keras_genmod.networks.residual_translator import residual_translator
from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.training.players import Player

__all__ = ["CycleGAN"]

# Direction -> the domains that a translation comes from and leads to.
_DIRECTIONS = {"ab": ("a", "b"), "ba": ("b", "a")}


@register
class CycleGAN(Translator):
    """Two residual generators and two patch discriminators, trained on pictures of two domains without pairs.

    Train it with `fit({"a": ..., "b": ...})`. The sets may have different lengths: one pass goes once through
    the longer one and begins the shorter one again. Batches of a data set should hold equally many pictures
    of both; if one holds more of one domain, its last ones are left out.

    Args:
        shape_a, shape_b: Shapes of one picture of each domain, `(height, width, channels)`. They may differ
            in channels, and in size by powers of two.
        cycle: Weight of the mean absolute difference between pictures and their translations there and back.
        identity: Weight of the difference between pictures of the wanted domain and their translations, as
            a multiple of `cycle`. It is 0 where the shapes differ.
        pool_size: Number of earlier translations that each discriminator may see, 0 for none.
        loss: The adversarial loss, see `losses.adversarial`.
        filters: Number of channels of the default networks' first layers.
        num_blocks: Number of residual blocks of the default generators; None takes 6, and 9 for sides of 256
            and more.
        receptive_field: As in `Pix2Pix`.
        generator_ab, generator_ba: Networks from pictures of one domain to pictures of the other; their last
            activations determine the ranges of the pictures.
        discriminator_a, discriminator_b: Networks from pictures to maps of logits `[B, height, width, 1]`.
        r1: Weight of the penalty R1 on each discriminator's mean logit, see `GAN`.
        ema_decay: Decay per step of the moving averages of the generators' weights; None keeps no averages.
        seed, name, dtype: As in `GenerativeModel`.

    Logs: `loss` (the sum of all players', no stopping criterion); `generator_cycle_a` and
    `generator_cycle_b`; `generator_adversarial_ab` and `_ba`; `generator_identity_a` and `_b`;
    `discriminator_a_real`, `discriminator_a_fake`, `discriminator_a_accuracy` and those of `b`. None of them
    says whether translations are right: compare features of translations and real pictures.

    Raises:
        ValueError: For networks that do not fit, or an `identity` of domains of different shapes.

    Cost: a step makes each generator's pass three times (two without `identity`) and each discriminator's
    three times.

    Reference: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, Zhu et al.,
    2017.

    Example:
        >>> import numpy as np
        >>> model = CycleGAN((8, 8, 1), (8, 8, 3), filters=4, num_blocks=1, seed=0)
        >>> model.translate(np.zeros((2, 8, 8, 1)), direction="ab").shape
        TensorShape([2, 8, 8, 3])
    """

    directions = tuple(_DIRECTIONS)
    _default_endpoint = "translate_ab"
    _network_names = {"a": "generator_ab", "b": "generator_ba"}

    def __init__(
        self,
        shape_a: Sequence[int],
        shape_b: Sequence[int],
        *,
        cycle: float = 10.0,
        identity: float | None = None,
        pool_size: int = 50,
        loss: str = "least_squares",
        filters: int = 64,
        num_blocks: int | None = None,
        receptive_field: int | None = None,
        generator_ab: keras.Model | None = None,
        generator_ba: keras.Model | None = None,
        discriminator_a: keras.Model | None = None,
        discriminator_b: keras.Model | None = None,
        r1: float = 0.0,
        ema_decay: float | None = 0.999,
        **kwargs: Any,
    ) -> None:
        shape_a = check_shape_tuple("shape_a", shape_a, ranks=(3,))
        super().__init__(shape_a, ema_decay=ema_decay, **kwargs)
        self.shape_a, self.shape_b = shape_a, check_shape_tuple("shape_b", shape_b, ranks=(3,))
        self.cycle_weight = check_number("cycle", cycle, minimum=0.0)
        self.identity_weight = _checked_identity(identity, self.shape_a, self.shape_b)
        self.pool_size = check_integer("pool_size", pool_size, minimum=0)
        self._objective = TwoPlayerObjective(
            loss,
            r1=r1,
            r2=0.0,
            gradient_penalty=0.0,
            label_smoothing=0.0,
            instance_noise=0.0,
            share=0.5,
        )
        filters = check_integer("filters", filters)
        given = {"ab": generator_ab, "ba": generator_ba}
        for number, direction in enumerate(_DIRECTIONS):
            if given[direction] is None:
                given[direction] = residual_translator(
                    self._shape(direction[0]),
                    self._shape(direction[1]),
                    filters=filters,
                    num_blocks=num_blocks,
                    name=f"generator_{direction}",
                    **self._player_options(number),
                )
        self.generator_ab, self.generator_ba = given["ab"], given["ba"]
        self._ranges = {"a": output_range(self.generator_ba), "b": output_range(self.generator_ab)}
        for direction in _DIRECTIONS:
            self._check_generator(direction)
        judges = {"a": discriminator_a, "b": discriminator_b}
        for number, (domain, judge) in enumerate(judges.items(), start=2):
            shape = self._shape(domain)
            if judge is None:
                judges[domain] = patch_critic(
                    shape,
                    receptive_field=default_field(receptive_field, shape),
                    filters=filters,
                    name=f"discriminator_{domain}",
                    **self._player_options(number),
                )
            self._check_discriminator(f"discriminator_{domain}", judges[domain], self._space(domain, "x"))
        self.discriminator_a, self.discriminator_b = judges["a"], judges["b"]
        dtype = self.real_dtype.name
        self.pool_a = ImagePool(self.pool_size, self.shape_a, dtype=dtype, name="pool_a")
        self.pool_b = ImagePool(self.pool_size, self.shape_b, dtype=dtype, name="pool_b")
        self._keep_averages(generator_ab=self.generator_ab, generator_ba=self.generator_ba)

    def _check_generator(self, direction: str) -> None:
        name, (source, target) = f"generator_{direction}", _DIRECTIONS[direction]
        shape = self._shape(target)
        check_network(
            name,
            getattr(self, name),
            [self._space(source, "x").keras_input()],
            shape,
            f"pictures of shape {shape}",
            raw=False,
            dtype=self.real_dtype,
        )

    # ---- spaces ---------------------------------------------------------------------------------

    def _shape(self, domain: str) -> tuple[int, ...]:
        return self.shape_a if domain == "a" else self.shape_b

    def _space(self, domain: str, name: str | None = None) -> Space:
        """The space of one picture of a domain, under the domain's name unless another is given."""
        return Space(name or domain, self._shape(domain), self.real_dtype, self._ranges[domain])

    def translation_spaces(self, direction: str | None = None) -> tuple[Space, Space]:
        """The spaces of a picture and of its translation.

        Args:
            direction: "ab" or "ba".
        """
        source, target = _DIRECTIONS[check_choice("direction", direction or "ab", _DIRECTIONS)]
        return self._space(source, "x"), self._space(target, "y")

    def data_spaces(self) -> tuple[Space, ...]:
        """The spaces of the entries `a` and `b` of the data."""
        return self._space("a"), self._space("b")

    def event_space(self) -> Space:
        """The space of one picture of domain a, which `call` takes."""
        return self._space("a", "x")

    def value_range(self) -> ValueRange:
        """The values of pictures of domain a."""
        return self._ranges["a"]

    def check_data(self, x: Any, condition: Any = None) -> None:
        """Refuses pictures of a wrong shape, type or range, before they are used.

        Args:
            x: `{"a": [N, *shape_a], "b": [M, *shape_b]}`.
            condition: None.

        Raises:
            TypeError, ValueError: As in `GenerativeModel`.
        """
        if condition is not None or not isinstance(x, Mapping):
            received = "pairs" if condition is not None else type(x).__name__
            raise TypeError(
                f"This {type(self).__name__} learns from two sets of pictures without pairs, "
                f"`fit({{'a': ..., 'b': ...}})`; received {received}. `Pix2Pix` learns from pairs, "
                "`fit(sources, targets)`."
            )
        super().check_data(x)

    def _unpack(self, data: Any) -> Batch:
        batch = super()._unpack(data)
        if not isinstance(batch.x, Mapping):
            return batch
        # Equally many of both, so that each term has one value for each example.
        rows = tf.minimum(*(tf.shape(batch.x[domain])[0] for domain in "ab"))
        return batch._replace(x={domain: batch.x[domain][:rows] for domain in "ab"})

    # ---- training -------------------------------------------------------------------------------

    def players(self) -> Sequence[Player]:
        """The discriminators of both domains, then both generators as one player."""
        judges = [
            Player(
                f"discriminator_{domain}",
                (getattr(self, f"discriminator_{domain}"),),
                self._discriminator_terms(domain),
                self._objective.discriminator_weights,
                self.discriminator_steps,
                optimizer="discriminator_optimizer",
            )
            for domain in "ab"
        ]
        generators = Player(
            "generator",
            (self.generator_ab, self.generator_ba),
            self._generator_terms,
            self._generator_weights,
            optimizer="generator_optimizer",
        )
        return *judges, generators

    def _generator_weights(self) -> dict[str, float]:
        weights = {f"cycle_{domain}": self.cycle_weight for domain in "ab"}
        if self.identity_weight:
            weight = self.cycle_weight * self.identity_weight
            weights.update({f"identity_{domain}": weight for domain in "ab"})
        return weights

    def shared_forward(
        self, x: Mapping[str, tf.Tensor], *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The translation of each picture, by the domain that it belongs to afterwards.

        With `identity` the translation of what is in the wanted domain already is made in the same pass, and
        stands under `"aa"` and `"bb"`.
        """
        result = {}
        for direction, (source, target) in _DIRECTIONS.items():
            if self.identity_weight:
                both = tf.concat([x[source], x[target]], axis=0)
                translated = self._translate(both, direction, training=training, use_ema=False)
                result[target], result[2 * target] = tf.split(translated, 2)
            else:
                result[target] = self._translate(x[source], direction, training=training, use_ema=False)
        return result

    def _discriminator_terms(self, domain: str) -> Callable[..., dict[str, tf.Tensor]]:
        judge_network = getattr(self, f"discriminator_{domain}")
        pool = getattr(self, f"pool_{domain}")
        number = "ab".index(domain)

        def terms(
            x: Any, *, condition: Any, training: bool, seed: tf.Tensor, shared: Any
        ) -> dict[str, tf.Tensor]:
            fake = shared[domain]
            if training:
                fake = pool.mixed(fake, fold_in(seed, number))
            options = {"training": training, "step": self.training_steps, "seed": seed}
            return self._objective.discriminator_terms(
                self._judge(judge_network, training), x[domain], fake, **options
            )

        return terms

    def _generator_terms(
        self, x: Any, *, condition: Any, training: bool, seed: tf.Tensor, shared: Any
    ) -> dict[str, tf.Tensor]:
        options = {"training": training, "step": self.training_steps, "seed": seed}
        terms = {}
        for direction, (source, target) in _DIRECTIONS.items():
            judge = self._judge(getattr(self, f"discriminator_{target}"), training)
            fake = shared[target]
            (value,) = self._objective.generator_terms(judge, fake, **options).values()
            terms[f"adversarial_{direction}"] = value
            back = self._translate(fake, direction[::-1], training=training, use_ema=False)
            terms[f"cycle_{source}"] = absolute_error(x[source], back)
            if self.identity_weight:
                terms[f"identity_{target}"] = absolute_error(x[target], shared[2 * target])
        return terms

    def advance_state(self, batch: Batch, *, seed: tf.Tensor, shared: Any) -> None:
        """Lets the new translations into the pools, and moves the averaged generators."""
        self.pool_a.advance(shared["a"], fold_in(seed, 0))
        self.pool_b.advance(shared["b"], fold_in(seed, 1))
        super().advance_state(batch, seed=seed, shared=shared)

    # ---- capabilities ---------------------------------------------------------------------------

    def call(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The translations of pictures of domain a, `[B, *shape_b]`.

        Args:
            x: Pictures `[B, *shape_a]`.
            condition: None.
            training: Whether layers act as in training; outside training the averaged generator is used.
        """
        return self._translate(x, "ab", training=training, use_ema=not training)

    def translate(
        self, x: Any, direction: str = "ab", *, use_ema: bool = True, batch_size: int | None = None
    ) -> tf.Tensor:
        """The translations of pictures, `[B, *shape_b]` or `[B, *shape_a]`.

        Args:
            x: Pictures `[B, *shape_a]` or `[B, *shape_b]`.
            direction: "ab" from domain a to b, or "ba".
            use_ema: Whether to use the averaged generator, if the model has one, or the one in training.
            batch_size: Rows translated in one pass, which bounds memory; None uses the model's default.
        """
        direction = check_choice("direction", direction, _DIRECTIONS)
        return self._map_rows(
            ("translate", direction, use_ema),
            lambda x, _: self._translate(x, direction, use_ema=use_ema),
            x,
            None,
            space=self._space(direction[0], "x"),
            batch_size=batch_size,
        )

    def cycle(
        self, x: Any, direction: str = "ab", *, use_ema: bool = True, batch_size: int | None = None
    ) -> tf.Tensor:
        """Pictures translated there and back, of the shape of `x`; equal to `x` if the cycle is closed.

        Args:
            x, use_ema, batch_size: As in `translate`.
            direction: The way there: "ab" from domain a to b and back, or "ba".
        """
        there = self.translate(x, direction, use_ema=use_ema, batch_size=batch_size)
        back = check_choice("direction", direction, _DIRECTIONS)[::-1]
        return self.translate(there, back, use_ema=use_ema, batch_size=batch_size)

    def _translate(
        self, x: tf.Tensor, direction: str, *, training: bool = False, use_ema: bool = True
    ) -> tf.Tensor:
        network = self._network(f"generator_{direction}", use_ema)
        return tf.cast(network(x, training=training), self.real_dtype)

    # ---- endpoints, configuration ---------------------------------------------------------------

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint: `translate_ab` and `translate_ba`.

        Args:
            max_samples, num_samples: Not used by this family.
        """

        def endpoint(direction: str) -> Endpoint:
            space = self._space(direction[0], "x")
            return Endpoint(lambda x: {"y": self._translate(x, direction)}, [space])

        return {f"translate_{direction}": endpoint(direction) for direction in _DIRECTIONS}

    def get_config(self) -> dict:
        """The constructor arguments, the networks included."""
        networks = ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b")
        objective = self._objective.get_config()
        return {
            **self._base_config(),
            "shape_a": self.shape_a,
            "shape_b": self.shape_b,
            "cycle": self.cycle_weight,
            "identity": self.identity_weight,
            "pool_size": self.pool_size,
            "loss": objective["loss"],
            "r1": objective["r1"],
            **{name: keras.saving.serialize_keras_object(getattr(self, name)) for name in networks},
        }


def _checked_identity(identity: float | None, shape_a: tuple[int, ...], shape_b: tuple[int, ...]) -> float:
    """The weight of the identity terms; None takes 0.5 where the shapes are equal."""
    if identity is None:
        return 0.5 if shape_a == shape_b else 0.0
    identity = check_number("identity", identity, minimum=0.0)
    if identity and shape_a != shape_b:
        raise ValueError(
            f"`identity` compares a picture with its own translation, which needs domains of one shape; "
            f"received identity={identity:g} with shapes {shape_a} and {shape_b}. Leave it out."
        )
    return identity
