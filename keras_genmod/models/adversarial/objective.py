"""What the two players of a GAN minimise: losses, penalties and noise, and what follows their updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_genmod.core.noise import fold_in
from keras_genmod.losses.gradient_penalties import gradient_penalty, squared_gradient_penalty
from keras_genmod.training.averaging import update_average
from keras_genmod.training.objective import MEASURE, keep_state
from keras_genmod.training.players import Player
from keras_genmod.training.schedules import weight_at

__all__ = ["TwoPlayerObjective"]


class TwoPlayerObjective:
    """The part of `GAN` that trains. The options it reads are those of `GAN`'s constructor."""

    def players(self) -> Sequence[Player]:
        """The discriminator, then the generator."""
        return (
            Player(
                "discriminator",
                (self.discriminator,),
                self._discriminator_terms,
                self._discriminator_weights,
                self.discriminator_steps,
                optimizer="discriminator_optimizer",
                after_update=None if self.weight_clip is None else self._clip_weights,
            ),
            Player(
                "generator",
                (self.generator,),
                self._generator_terms,
                optimizer="generator_optimizer",
                after_update=None if self.ema_decay is None else self._average_generator,
            ),
        )

    def shared_forward(
        self, x: tf.Tensor, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> tf.Tensor:
        """One generated example beside each real one, with its condition, `[B, *event_shape]`."""
        z = self.prior().sample(tf.shape(x)[0], seed=seed)
        generated = self.generator(self._with_condition(self.generator, z, condition), training=training)
        return tf.cast(generated, self.real_dtype)

    def _discriminator_terms(
        self, x: tf.Tensor, *, condition: Any, training: bool, seed: tf.Tensor, shared: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        def judge(examples: tf.Tensor) -> tf.Tensor:
            return self._logits(examples, condition, training)

        real = self._with_noise(tf.cast(x, self.real_dtype), training, seed, 1)
        fake = self._with_noise(shared, training, seed, 2)
        loss = self._adversarial_loss
        terms = {}
        # Batch normalisation and its like learn their moving averages from the pass of the real examples.
        real_logits = _judged(judge, real, self.r1, "r1", terms)
        with keep_state():
            fake_logits = _judged(judge, fake, self.r2, "r2", terms)
            if self.gradient_penalty:
                mix = tf.random.stateless_uniform([tf.shape(real)[0]], fold_in(seed, 3), dtype=real.dtype)
                terms["gradient_penalty"] = gradient_penalty(judge, real, fake, mix)
        if loss.threshold is not None:
            right = tf.stack([real_logits > loss.threshold, fake_logits <= loss.threshold])
            terms["accuracy"] = tf.reduce_mean(tf.cast(right, self.real_dtype), axis=0)
        return {
            "real": loss.real(real_logits, self.label_smoothing),
            "fake": loss.fake(fake_logits),
            **terms,
        }

    def _discriminator_weights(self) -> dict[str, Any]:
        weights = {"r1": self.r1, "r2": self.r2, "gradient_penalty": self.gradient_penalty}
        used = {name: weight for name, weight in weights.items() if weight}
        return used if self._adversarial_loss.threshold is None else {**used, "accuracy": MEASURE}

    def _generator_terms(
        self, x: tf.Tensor, *, condition: Any, training: bool, seed: tf.Tensor, shared: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        fake = self._with_noise(shared, training, seed, 2)
        with keep_state():
            logits = self._logits(fake, condition, training)
        return {"adversarial": self._adversarial_loss.generator(logits)}

    def _logits(self, x: tf.Tensor, condition: Any, training: bool = False) -> tf.Tensor:
        """The discriminator's logits `[B]`."""
        logits = self.discriminator(self._with_condition(self.discriminator, x, condition), training=training)
        return tf.cast(logits, self.real_dtype)[:, 0]

    def _with_noise(self, x: tf.Tensor, training: bool, seed: tf.Tensor, number: int) -> tf.Tensor:
        """Examples with instance noise, in training and if there is any."""
        if not training or self.instance_noise == 0.0:
            return x
        stddev = weight_at(self.instance_noise, self.training_steps)
        noise = tf.random.stateless_normal(tf.shape(x), fold_in(seed, number), dtype=x.dtype)
        return x + tf.cast(stddev, x.dtype) * noise

    def _clip_weights(self) -> None:
        for weight in self.discriminator.trainable_weights:
            weight.assign(tf.clip_by_value(weight.value, -self.weight_clip, self.weight_clip))

    def _average_generator(self) -> None:
        update_average(self.averaged_generator, self.generator, self.ema_decay, self.training_steps)


def _judged(judge: Callable, x: tf.Tensor, weight: float, name: str, terms: dict) -> tf.Tensor:
    """The logits of `x`; a penalty with a weight goes into `terms`, from the same pass."""
    if not weight:
        return judge(x)
    logits, terms[name] = squared_gradient_penalty(judge, x)
    return logits
