"""`compile` of a generative model: optimizers of all players, built under the model's strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer, describe
from keras_genmod.core.keras_noise import seed_generators, separate_replicas
from keras_genmod.core.replicas import num_replicas
from keras_genmod.training.arguments import unexpected_argument
from keras_genmod.training.players import Player, check_players, weights_of

__all__ = ["Compilable"]

# Arguments of Keras' `compile` that have no meaning here -> what to do instead.
_REFUSED = {
    "loss": "The model defines its own objective; choose it in the constructor.",
    "loss_weights": "Terms are weighted in the constructor, such as `VAE(beta=...)`.",
    "metrics": "The terms are logged by themselves; measure more in a callback.",
    "weighted_metrics": "The terms are weighted by `sample_weight` already.",
}


if TYPE_CHECKING:

    class _Compiling:
        """What `Compilable` extends of `keras.Model`."""

        def compile(self, *args: Any, **kwargs: Any) -> None: ...

        def _resolve_auto_jit_compile(self) -> bool: ...

else:
    _Compiling = object


class Compilable(_Compiling):
    """The part of `GenerativeModel` that configures training."""

    # Whether XLA was measured to make a step faster on a CPU: for networks of dense layers alone, for others.
    _xla_on_cpu = {"dense": False, "other": False}

    # What it needs of the model.
    compiled: bool
    dtype_policy: keras.DTypePolicy
    distribute_strategy: tf.distribute.Strategy
    _distribute_strategy: tf.distribute.Strategy | None

    if TYPE_CHECKING:

        @property
        def training_steps(self) -> tf.Tensor: ...

        def _check_state(self) -> None: ...

        def _players_by_stage(self) -> list[Sequence[Player]]: ...

        def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]: ...

        def _flatten_layers(
            self, recursive: bool = True, include_self: bool = True
        ) -> Iterator[keras.layers.Layer]: ...

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
            optimizer: Name or instance; None takes the paper's settings.
            micro_batches: Number of parts that a replica's batch is cut into. One update follows all of
                them: the same gradient in less memory.
            run_eagerly: Whether steps run in Python, operation by operation, for debugging.
            steps_per_execution: Training steps per call into TensorFlow.
            jit_compile: Whether XLA compiles the steps; `"auto"` turns it on where it was measured to be
                faster.
            auto_scale_loss: Whether `mixed_float16` models scale their losses.
            **refused: `loss`, `loss_weights`, `metrics` and `weighted_metrics` get an error that says
                what to do instead.

        Raises:
            ValueError: For refused arguments, for players that name no optimizer of this model, or under a
                strategy that is not the model's.
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
        """Compiles with one optimizer for each argument of `compile` that players name.

        Args:
            optimizers: Argument of `compile` -> optimizer. The first is the main one and becomes
                `self.optimizer`, the others become attributes of their argument's name.
            own: The other arguments of `compile` that Keras does not know.
            refused: Arguments that get an error.
            auto_scale_loss: As in `compile`.
            **keras_options: The arguments of `compile` that Keras knows.
        """
        self._refuse(refused)
        self._check_strategy()
        self._check_built()
        self._check_state()
        self._micro_batches = check_integer("micro_batches", own["micro_batches"])
        check_integer("steps_per_execution", keras_options["steps_per_execution"])
        scale = auto_scale_loss and self.dtype_policy.name == "mixed_float16"
        with self.distribute_strategy.scope():
            # Built here, under the strategy: built inside a replica's step they would fail.
            defaults = self.default_optimizers()
            passed = {
                name: self._get_optimizer(defaults[name] if given is None else given)
                for name, given in optimizers.items()
            }
            _check_objects(passed)
            by_stage = self._players_by_stage()
            for players in by_stage:
                check_players(players, list(optimizers))
            # A file says what the user passed: the loss scale that is put around it here is put there again.
            self._scaled_here = frozenset(
                name for name, one in passed.items() if scale and not _is_scaled(one)
            )
            built = {
                name: keras.optimizers.LossScaleOptimizer(one) if name in self._scaled_here else one
                for name, one in passed.items()
            }
            main, *others = built
            super().compile(built[main], auto_scale_loss=False, **keras_options)
            for name in others:
                setattr(self, name, built[name])
            every = [player for players in by_stage for player in players]
            for name, optimizer in built.items():
                _build(optimizer, name, [player for player in every if player.optimizer == name])
                if len(by_stage) > 1:
                    # It may make no update in some stages.
                    _count_training_steps(optimizer, lambda: self.training_steps)
        # The objective is one of the model's own means.
        self._loss_tracker = None
        self._optimizer_arguments = {main: "optimizer", **{name: name for name in others}}
        separate_replicas(seed_generators(self))
        self._compile_options = {**own, **keras_options, "auto_scale_loss": auto_scale_loss}

    def _check_built(self) -> None:
        """Refuses layers without weights yet, for which the optimizers could have no slots."""
        unbuilt = [layer.name for layer in self._flatten_layers(include_self=False) if _waits(layer)]
        if unbuilt:
            raise ValueError(
                f"All layers of {type(self).__name__} must have their weights before `compile`, which builds "
                f"the optimizers; not built yet: {', '.join(unbuilt)}. Build networks in the constructor: "
                "give a `keras.Sequential` a `keras.Input`, make functional models, or call each layer once, "
                "`self.network(keras.Input((784,)))`."
            )

    def _refuse(self, arguments: Mapping[str, Any]) -> None:
        """Refuses what a generative model does not take from `compile`."""
        for name, value in arguments.items():
            if name not in _REFUSED:
                raise TypeError(unexpected_argument(self.compile, name))
            if value is not None:
                raise ValueError(f"`compile` takes no `{name}`; received {value!r}. {_REFUSED[name]}")

    def _optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The optimizers of all players, `self.optimizer` first."""
        return [getattr(self, attribute) for attribute in self._optimizer_arguments.values()]

    def _optimizer_of(self, player: Player) -> keras.optimizers.Optimizer:
        """The optimizer that a player names."""
        return getattr(self, self._optimizer_arguments[player.optimizer])

    def get_compile_config(self) -> dict:
        """The arguments of `compile`, with the optimizers as they are now."""
        if not self.compiled:
            return {}
        optimizers = {
            argument: getattr(self, attribute) for argument, attribute in self._optimizer_arguments.items()
        }
        for argument in self._scaled_here:
            optimizers[argument] = _unscaled(optimizers[argument])
        return keras.saving.serialize_keras_object({**optimizers, **self._compile_options})

    def _get_optimizer(self, identifier: Any) -> keras.optimizers.Optimizer:
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
        inner = _unscaled(optimizer)
        for argument, advice in unsafe.items():
            if getattr(inner, argument) and self.distribute_strategy.num_replicas_in_sync > 1:
                raise ValueError(
                    f"`{argument}` of an optimizer does not work on several replicas; received "
                    f"{getattr(inner, argument)}. {advice}"
                )
        made_under = getattr(optimizer, "_distribution_strategy", None)
        if self._distribute_strategy is not None and made_under is not self._distribute_strategy:
            raise ValueError(
                "The optimizer was created outside the strategy of the model. Create it inside "
                "`with strategy.scope():`, or pass its name."
            )
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


def _waits(layer: keras.layers.Layer) -> bool:
    """Whether a layer will create weights when it is first called, as far as one can see."""
    # Merging layers have no weights; the layers of a `Sequential` are asked themselves.
    without = isinstance(layer, (keras.src.layers.merging.base_merge.Merge, keras.Sequential))
    return not (layer.built or without or type(layer).build is keras.layers.Layer.build)


def _check_objects(optimizers: Mapping[str, keras.optimizers.Optimizer]) -> None:
    """Refuses one optimizer object in two places, where it would update the weights of both together."""
    places: dict[int, str] = {}
    for name, optimizer in optimizers.items():
        first = places.setdefault(id(_unscaled(optimizer)), name)
        if first != name:
            raise ValueError(
                f"`{first}` and `{name}` must be two optimizers; received one {type(optimizer).__name__} "
                "object for both. Pass a name, such as 'adam', or two objects."
            )


def _build(optimizer: keras.optimizers.Optimizer, name: str, players: Sequence[Player]) -> None:
    """Makes an optimizer ready for the weights of the players that name it."""
    # It may have been compiled before, with another number of updates.
    _unscaled(optimizer).__dict__.pop("_get_current_learning_rate", None)
    if not players:
        return
    weights = weights_of(players)
    if not optimizer.built:
        optimizer.build(weights)
    unknown = [w.path for w in weights if optimizer._var_key(w) not in optimizer._trainable_variables_indices]
    if unknown:
        raise ValueError(
            f"`{name}` must be new, or have trained this model's weights before; received a "
            f"{type(optimizer).__name__} that was built for others, without {unknown[:3]}"
            f"{' and more' if len(unknown) > 3 else ''}. Pass a name, such as 'adam', or a new object."
        )
    updates = sorted({player.updates_per_step for player in players})
    if len(updates) > 1:
        raise ValueError(
            f"The players that name the optimizer {name!r} must have equal `updates_per_step` in all stages; "
            f"received {updates}. Make them equal, or name another optimizer."
        )
    if updates[0] > 1:
        _count_training_steps(optimizer, lambda: _unscaled(optimizer)._iterations // updates[0])
    _sum_over_several_replicas(optimizer)


def _count_training_steps(optimizer: keras.optimizers.Optimizer, steps: Callable[[], Any]) -> None:
    """Makes a learning-rate schedule count training steps, if they are not the optimizer's updates.

    Keras evaluates the schedule at the number of updates, which the optimizer's moments need to count. Here
    the optimizer gives its learning rate in another way, to its own updates and to whoever asks; the
    schedule in it and its configuration stay the user's.

    Args:
        optimizer: The optimizer.
        steps: Gives the number of training steps.
    """
    inner = _unscaled(optimizer)
    keras_rate = type(inner)._get_current_learning_rate

    def learning_rate() -> Any:
        schedule = inner._learning_rate
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            return schedule(steps())
        return keras_rate(inner)

    inner._get_current_learning_rate = learning_rate


def _sum_over_several_replicas(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes an optimizer leave out the sum of the gradients over replicas where there is one replica.

    The sum has a gradient of its own. TensorFlow keeps it in a table for good, and with it the graph that it
    was traced in, so that the step of a model that is no longer used would stay in memory.
    """
    inner = _unscaled(optimizer)
    inner.__dict__.pop("_all_reduce_sum_gradients", None)
    keras_sum = inner._all_reduce_sum_gradients

    def summed(grads_and_vars: Any) -> Any:
        return list(grads_and_vars) if num_replicas() == 1 else keras_sum(grads_and_vars)

    inner._all_reduce_sum_gradients = summed


def _is_scaled(optimizer: Any) -> bool:
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


def _unscaled(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    return optimizer.inner_optimizer if _is_scaled(optimizer) else optimizer
