"""`compile` of a generative model: optimizers of all players, built under the model's strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer, describe

__all__ = ["Compilable"]


class Compilable:
    """The part of `GenerativeModel` that configures training."""

    # Whether XLA was measured to make a step faster on a CPU: networks of dense layers alone, others.
    _xla_on_cpu = {"dense": False, "other": False}

    def compile(
        self,
        optimizer: Any = None,
        *,
        micro_batches: int = 1,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
        **refused: Any,
    ) -> None:
        """Configures training. The objective is the model's own: there is no `loss` to pass.

        Args:
            optimizer: name or instance; None takes the paper's settings.
            micro_batches: parts that a replica's batch is cut into, one after the other, with one
                update for all: the same gradient in less memory.
            run_eagerly: for debugging, step by step in Python.
            steps_per_execution: training steps per call into TensorFlow.
            jit_compile: XLA; `"auto"` turns it on where it was measured to be faster.
            auto_scale_loss: whether `mixed_float16` models scale their losses.
            **refused: `loss`, `loss_weights`, `metrics` and `weighted_metrics` get an error that says
                what to do instead.

        Raises:
            ValueError: for refused arguments, or under a strategy that is not the model's.
        """
        self._compile(
            {"optimizer": optimizer},
            {"micro_batches": micro_batches},
            refused,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )

    def _compile(
        self,
        optimizers: Mapping[str, Any],
        own: Mapping[str, Any],
        refused: Mapping[str, Any],
        *,
        auto_scale_loss: bool,
        **keras_options: Any,
    ) -> None:
        """Compiles with one optimizer per argument of `compile`, the first being the main one.

        Args:
            optimizers: argument of `compile` -> optimizer; the main one becomes `self.optimizer`, the
                others attributes of their argument's name.
            own: the other arguments of `compile` that Keras does not know.
            refused: arguments that get an error.
            auto_scale_loss: as in `compile`.
            **keras_options: the arguments of `compile` that Keras knows.
        """
        _refuse(refused)
        self._check_strategy()
        self._micro_batches = check_integer("micro_batches", own["micro_batches"])
        check_integer("steps_per_execution", keras_options["steps_per_execution"])
        scale = auto_scale_loss and self.dtype_policy.name == "mixed_float16"
        with self.distribute_strategy.scope():
            # Built here, under the strategy: built inside a replica's step they would fail.
            defaults = self.default_optimizers()
            built = {
                name: self._get_optimizer(defaults[name] if given is None else given, scale)
                for name, given in optimizers.items()
            }
            main, *others = built.items()
            super().compile(main[1], auto_scale_loss=False, **keras_options)
            for name, optimizer in others:
                setattr(self, name, optimizer)
            players = self.players()
            _check_names([player.name for player in players])
            for player in players:
                optimizer = self._optimizer_of(player)
                if not optimizer.built:
                    optimizer.build(player.weights)
                _count_training_steps(optimizer, player.updates_per_step)
        # The objective is one of the model's own means.
        self._loss_tracker = None
        self._optimizer_arguments = {name: name for name in optimizers}
        self._optimizer_arguments[main[0]] = "optimizer"
        self._compile_options = {**own, **keras_options, "auto_scale_loss": auto_scale_loss}

    def _optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The optimizers of all players, `self.optimizer` first."""
        return [getattr(self, attribute) for attribute in self._optimizer_arguments.values()]

    def get_compile_config(self) -> dict:
        """The arguments of `compile`, with the optimizers as they are now."""
        if not self.compiled:
            return {}
        optimizers = {
            argument: _unscaled(getattr(self, attribute))
            for argument, attribute in self._optimizer_arguments.items()
        }
        return keras.saving.serialize_keras_object({**optimizers, **self._compile_options})

    def _get_optimizer(self, identifier: Any, scale: bool) -> keras.optimizers.Optimizer:
        try:
            optimizer = keras.optimizers.get(identifier)
        except (TypeError, ValueError) as error:
            raise ValueError(
                "An optimizer must be a name such as 'adam' or a `keras.optimizers.Optimizer`; "
                f"received {describe(identifier)}."
            ) from error
        unsafe = {
            "gradient_accumulation_steps": "Use `compile(micro_batches=...)` or larger batches.",
            "ema_overwrite_frequency": "Leave it None; the average is taken at the end of `fit`.",
        }
        for argument, advice in unsafe.items():
            if getattr(optimizer, argument) and self.distribute_strategy.num_replicas_in_sync > 1:
                raise ValueError(
                    f"`{argument}` of an optimizer does not work on several replicas; received "
                    f"{getattr(optimizer, argument)}. {advice}"
                )
        made_under = getattr(optimizer, "_distribution_strategy", None)
        if self._distribute_strategy is not None and made_under is not self._distribute_strategy:
            raise ValueError(
                "The optimizer was created outside the strategy of the model. Create it inside "
                "`with strategy.scope():`, or pass its name."
            )
        if scale and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        return optimizer

    def _check_strategy(self) -> None:
        if not tf.distribute.has_strategy():
            return
        current = tf.distribute.get_strategy()
        if current is not self._distribute_strategy:
            raise ValueError(
                f"The model was created outside the strategy that is active now "
                f"({type(current).__name__}). Create the model inside `with strategy.scope():` too."
            )

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles as a file says; the optimizers are built, ready for their slots."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def _resolve_auto_jit_compile(self) -> bool:
        devices = {device.device_type for device in tf.config.list_physical_devices()}
        if self._distribute_strategy is not None or devices != {"CPU"}:
            return super()._resolve_auto_jit_compile()
        layers = (layer for layer in self._flatten_layers() if layer.trainable_weights)
        kinds = (keras.Model, keras.layers.Dense)
        dense = all(isinstance(layer, kinds) or not layer._layers for layer in layers)
        return self._xla_on_cpu["dense" if dense else "other"]


def _refuse(arguments: Mapping[str, Any]) -> None:
    """Refuses what a generative model does not take from `compile`."""
    advice = {
        "loss": "The model defines its own objective; choose it in the constructor.",
        "loss_weights": "Terms are weighted in the constructor, such as `VAE(beta=...)`.",
        "metrics": "The terms are logged by themselves; measure more in a callback.",
        "weighted_metrics": "The terms are weighted by `sample_weight` already.",
    }
    for name, value in arguments.items():
        if name not in advice:
            raise TypeError(f"compile() got an unexpected argument {name!r}.")
        if value is not None:
            raise ValueError(f"`compile` takes no `{name}`; received {value!r}. {advice[name]}")


def _check_names(names: Sequence[str]) -> None:
    """Refuses players of one name, whose terms and losses would take each other's place."""
    if len(set(names)) < len(names):
        raise ValueError(
            f"`players` must give each player a name of its own; received {list(names)}. Rename one."
        )


def _count_training_steps(optimizer: keras.optimizers.Optimizer, updates_per_step: int) -> None:
    """Makes a learning-rate schedule count training steps, in each of which there are several updates.

    Keras evaluates the schedule at the number of updates, which the optimizer's moments need to count. Here
    the optimizer answers for its learning rate in another way, for its own updates and for whoever asks; the
    schedule in it and its configuration stay the user's.
    """
    inner = _unscaled(optimizer)
    vars(inner).pop("_get_current_learning_rate", None)
    keras_rate = inner._get_current_learning_rate

    def learning_rate() -> Any:
        schedule = inner._learning_rate
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            return schedule(inner._iterations // updates_per_step)
        return keras_rate()

    if updates_per_step > 1:
        inner._get_current_learning_rate = learning_rate


def _unscaled(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    return getattr(optimizer, "inner_optimizer", optimizer)
