"""`AdversarialModel`: players that train against each other, with an optimizer for each side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_genmod.bases.generative_model import GenerativeModel
from keras_genmod.core.checks import check_integer
from keras_genmod.training.players import Player

__all__ = ["AdversarialModel"]


class AdversarialModel(GenerativeModel):
    """Base of models in which generators and discriminators train against each other.

    A family writes `players`: any number of them, in the order of their updates. Each names the argument of
    `compile` that gives its optimizer, "generator_optimizer" or "discriminator_optimizer", and may own
    several networks. Where players need the same generated examples, the family writes `shared_forward`: the
    pass is made once a step, its result reaches every player's `loss_terms` as `shared=`, and the players of
    the last optimizer differentiate through it.

    The logs hold every player's objective and terms (`generator_loss`, `discriminator_loss`,
    `generator_<term>`, ...) and `loss`, the sum of the players' objectives. That sum is no stopping
    criterion: one player's gain is the other's loss, and it says nothing of the samples. Stop on a
    measure of the samples, such as a distance between features of real and generated data, or on a
    reconstruction term where the model has one.

    Args:
        event_shape, num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.
    """

    # Updates of the discriminators in one step, unless `compile` says otherwise.
    discriminator_steps = 1

    def players(self) -> Sequence[Player]:
        """The players in the order of their updates."""
        raise TypeError(f"{type(self).__name__} must define `players`.")

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Two Adams with the settings of DCGAN (Radford, Metz and Chintala, 2016)."""
        return {
            "generator_optimizer": keras.optimizers.Adam(2e-4, beta_1=0.5),
            "discriminator_optimizer": keras.optimizers.Adam(2e-4, beta_1=0.5),
        }

    def compile(  # type: ignore[override]  # another set of optimizers
        self,
        generator_optimizer: Any = None,
        discriminator_optimizer: Any = None,
        *,
        discriminator_steps: int | None = None,
        micro_batches: int = 1,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
        **refused: Any,
    ) -> None:
        """Configures training. Each player has its own objective: there is no `loss` to pass.

        Args:
            generator_optimizer: Name or instance; None takes the paper's settings. It becomes
                `self.optimizer`, whose learning rate Keras' callbacks change. In `fit` the discriminators'
                rate changes by the same factor, unless it is a schedule or the callback sets it as well;
                outside of `fit` each rate is set by itself.
            discriminator_optimizer: Name or instance; None takes a copy of a given `generator_optimizer`.
            discriminator_steps: Updates of the discriminators for each one of the generators, all on the
                same batch and each with new noise; None takes the family's own number. A learning-rate
                schedule counts training steps and not these updates.
            micro_batches, run_eagerly, steps_per_execution, jit_compile, auto_scale_loss, **refused: As
                in `GenerativeModel.compile`.

        Raises:
            ValueError: As `GenerativeModel.compile`, and for one optimizer object in both places.
        """
        if discriminator_optimizer is None and isinstance(generator_optimizer, keras.optimizers.Optimizer):
            with self.distribute_strategy.scope():
                discriminator_optimizer = type(generator_optimizer).from_config(
                    generator_optimizer.get_config()
                )
        elif discriminator_optimizer is None:
            discriminator_optimizer = generator_optimizer
        if discriminator_steps is None:
            discriminator_steps = type(self).discriminator_steps
        self.discriminator_steps = check_integer("discriminator_steps", discriminator_steps)
        self._compile(
            {
                "generator_optimizer": generator_optimizer,
                "discriminator_optimizer": discriminator_optimizer,
            },
            {"micro_batches": micro_batches, "discriminator_steps": discriminator_steps},
            refused,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )
