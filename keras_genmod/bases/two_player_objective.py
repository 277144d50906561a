"""What a discriminator and a generator minimise: losses, penalties on the discriminator, instance noise.

A discriminator may give one logit an example, or a map of them, one for each patch of a picture. The loss of
a map is the mean of its patches' losses; a penalty on the slope is that of the mean logit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_number
from keras_genmod.core.noise import fold_in
from keras_genmod.losses.adversarial import get_adversarial_loss
from keras_genmod.losses.gradient_penalties import gradient_penalty, squared_gradient_penalty
from keras_genmod.training.objective import MEASURE, keep_state
from keras_genmod.training.schedules import WeightSchedule, get_weight, weight_at, weight_config

__all__ = ["TwoPlayerObjective"]

Judge = Callable[[tf.Tensor], tf.Tensor]
"""A function from examples `[B, *event]` to the discriminator's logits: `[B]`, or a map `[B, H, W]`."""


class TwoPlayerObjective:
    """The objectives of a discriminator and a generator.

    Args:
        loss, r1, r2, gradient_penalty, label_smoothing, instance_noise: As in `GAN`.
        share: Factor of the discriminator's losses, not of its penalties. Translators take 1/2, which slows
            the discriminator down against the generator.

    Raises:
        ValueError: For a value out of range, or label smoothing with a loss that has no labels.
    """

    def __init__(
        self,
        loss: str,
        *,
        r1: float,
        r2: float,
        gradient_penalty: float,
        label_smoothing: float,
        instance_noise: float | WeightSchedule,
        share: float = 1.0,
    ) -> None:
        self.loss = get_adversarial_loss(loss)
        self.r1 = check_number("r1", r1, minimum=0.0)
        self.r2 = check_number("r2", r2, minimum=0.0)
        self.gradient_penalty = check_number("gradient_penalty", gradient_penalty, minimum=0.0)
        self.label_smoothing = check_number("label_smoothing", label_smoothing, minimum=0.0, maximum=0.5)
        if self.label_smoothing and not self.loss.has_labels:
            raise ValueError(
                f"`label_smoothing` needs a loss with labels; received {label_smoothing} with loss={loss!r}. "
                "Use 'minimax', 'non_saturating' or 'least_squares', or leave it 0."
            )
        self.instance_noise = get_weight("instance_noise", instance_noise)
        self._share = share

    def penalties(self) -> dict[str, float]:
        """The weights of the penalties that are in use, by name."""
        weights = {"r1": self.r1, "r2": self.r2, "gradient_penalty": self.gradient_penalty}
        return {name: weight for name, weight in weights.items() if weight}

    def discriminator_terms(
        self,
        judge: Judge,
        real: tf.Tensor,
        fake: tf.Tensor,
        *,
        training: bool,
        step: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The discriminator's terms, each `[B]`: `real`, `fake`, penalties, and `accuracy`.

        Args:
            judge: Function from examples to the discriminator's logits.
            real: Real examples `[B, *event]`.
            fake: Generated examples `[B, *event]`.
            training: Whether examples get instance noise.
            step: Number of training steps done, a scalar, for a schedule of the noise.
            seed: int32 `[2]`, seed of the noise, and of the points at which a gradient is penalised.
        """
        if training:
            real, fake = (self._with_noise(x, step, seed, number) for number, x in ((1, real), (2, fake)))
        penalties: dict[str, tf.Tensor] = {}
        # Batch normalisation and its like learn their moving averages from the pass of the real examples.
        real_logits = _judged(judge, real, self.r1, "r1", penalties)
        with keep_state():
            fake_logits = _judged(judge, fake, self.r2, "r2", penalties)
            if self.gradient_penalty:
                mix = tf.random.stateless_uniform([tf.shape(real)[0]], fold_in(seed, 3), dtype=real.dtype)
                mean_logit = _mean_logit(judge)
                penalties["gradient_penalty"] = gradient_penalty(mean_logit, real, fake, mix)
        terms = {
            "real": _mean(self.loss.real(real_logits, self.label_smoothing)),
            "fake": _mean(self.loss.fake(fake_logits)),
            **penalties,
        }
        if self.loss.threshold is not None:
            right = (real_logits > self.loss.threshold, fake_logits <= self.loss.threshold)
            of_real, of_fake = (_mean(tf.cast(one, real_logits.dtype)) for one in right)
            terms["accuracy"] = 0.5 * (of_real + of_fake)
        return terms

    def discriminator_weights(self) -> dict[str, Any]:
        """The weights of the discriminator's terms."""
        measures = {} if self.loss.threshold is None else {"accuracy": MEASURE}
        shares = {} if self._share == 1.0 else {"real": self._share, "fake": self._share}
        return {**shares, **self.penalties(), **measures}

    def generator_terms(
        self, judge: Judge, fake: tf.Tensor, *, training: bool, step: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The generator's term `adversarial`, `[B]`.

        Args:
            judge, fake, training, step, seed: As in `discriminator_terms`, the noise of `fake` included.
        """
        if training:
            fake = self._with_noise(fake, step, seed, 2)
        with keep_state():
            return {"adversarial": _mean(self.loss.generator(judge(fake)))}

    def _with_noise(self, x: tf.Tensor, step: tf.Tensor, seed: tf.Tensor, number: int) -> tf.Tensor:
        """Examples with instance noise, if there is any."""
        if self.instance_noise == 0.0:
            return x
        stddev = weight_at(self.instance_noise, step)
        noise = tf.random.stateless_normal(tf.shape(x), fold_in(seed, number), dtype=x.dtype)
        return x + tf.cast(stddev, x.dtype) * noise

    def check_discriminator(self, discriminator: keras.Model) -> None:
        """Refuses a penalty on the gradient of a discriminator in which no example has one of its own.

        Raises:
            ValueError: Naming the layers that mix the examples of a batch.
        """
        mixing = [
            layer.name
            for layer in discriminator._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        used = [f"{name}={weight:g}" for name, weight in self.penalties().items()]
        if used and mixing:
            raise ValueError(
                "A penalty on the gradient of one example needs a discriminator without batch normalisation; "
                f"received {', '.join(used)} and the layers {mixing}. Set the penalties to 0, or use a "
                "discriminator without these layers."
            )

    def get_config(self) -> dict[str, Any]:
        """The arguments, as in the configuration of a `GAN`."""
        return {
            "loss": self.loss.name,
            "r1": self.r1,
            "r2": self.r2,
            "gradient_penalty": self.gradient_penalty,
            "label_smoothing": self.label_smoothing,
            "instance_noise": weight_config(self.instance_noise),
        }


def _judged(
    judge: Judge, x: tf.Tensor, weight: float, name: str, penalties: dict[str, tf.Tensor]
) -> tf.Tensor:
    """The logits of `x`; a penalty with a weight goes into `penalties`, from the same pass."""
    if not weight:
        return judge(x)
    logits: list[tf.Tensor] = []
    _, penalties[name] = squared_gradient_penalty(_mean_logit(judge, logits), x)
    return logits[0]


def _mean(values: tf.Tensor) -> tf.Tensor:
    """The mean over the patches of each example, `[B]`; values that are one an example stay."""
    return values if values.shape.rank == 1 else tf.reduce_mean(values, axis=range(1, values.shape.rank))


def _mean_logit(judge: Judge, logits: list[tf.Tensor] | None = None) -> Judge:
    """The function from examples to their mean logit `[B]`; the logits are appended to `logits`."""

    def mean_logit(x: tf.Tensor) -> tf.Tensor:
        given = judge(x)
        if logits is not None:
            logits.append(given)
        return _mean(given)

    return mean_logit
