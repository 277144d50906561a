"""`Row`: the models of one case, each with steps that are traced once.

Tracing a step takes a hundred times as long as the three steps of an epoch. So promises that only look at a
trained model train the same one, every time anew from its start.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.bases.generative_model import GenerativeModel
from keras_genmod.core.checks import describe
from keras_genmod.serving.verify import verify as verify_export
from keras_genmod.testing.case import Case

__all__ = ["BATCH", "RAGGED", "SEED", "Restarted", "Row", "policy", "run_variables", "two_replicas"]

BATCH = 8
# Rows of an epoch of two whole batches and one of three rows: two for one replica, one for the other.
RAGGED = 19

SEED = 7


@contextlib.contextmanager
def policy(name: str) -> Iterator[None]:
    """Keras' dtype policy, for a while."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@functools.cache
def two_replicas() -> tf.distribute.MirroredStrategy:
    """A strategy of two replicas on two logical CPU devices, the same object at every call.

    Raises:
        RuntimeError: If TensorFlow has started with one CPU device. Call this function before any tensor is
            made.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    with contextlib.suppress(RuntimeError):  # TensorFlow has started.
        if len(tf.config.get_logical_device_configuration(cpu) or ()) < 2:
            devices = [tf.config.LogicalDeviceConfiguration()] * 2
            tf.config.set_logical_device_configuration(cpu, devices)
    count = len(tf.config.list_logical_devices("CPU"))
    if count < 2:
        raise RuntimeError(
            "Two replicas need two logical CPU devices; TensorFlow has started with one. Call "
            "`keras_genmod.testing.two_replicas()` before any tensor is made, or leave promises of replicas "
            "out: `check_model(case, skip=[name for name in promises() if 'replicas' in name or 'shards' in "
            "name])`."
        )
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def run_variables(model: Any) -> list[keras.Variable]:
    """All that a run of a compiled model changes."""
    slots = [variable for optimizer in model._optimizers() for variable in optimizer.variables]
    return [*model.variables, *slots]


class Restarted:
    """A compiled model that is trained from the same start as often as it is asked to.

    Its start is the value of everything that a run changes: weights, the state of the noise and the
    optimizers' slots. Each such model trains under global random numbers of its own, so that one that draws
    from these differs from its equals.

    Args:
        model: The model; it is compiled here.
        optimizers: Arguments of `compile`.
        options: Named arguments of `compile`.
    """

    _numbers = itertools.count()

    def __init__(self, model: Any, *optimizers: Any, **options: Any) -> None:
        self._global_seed = next(self._numbers)
        model.compile(*optimizers, **options)
        self.model = model
        self.history: dict[str, list] = {}
        self._start = [(variable, variable.numpy()) for variable in run_variables(model)]

    def restart(self) -> Any:
        """The model at its start."""
        for variable, value in self._start:
            variable.assign(value)
        return self.model

    def trained(self, data: tuple, **options: Any) -> Any:
        """The model, trained from its start; `history` holds the logs.

        Args:
            data: The first arguments of `fit`.
            options: Its other arguments; batches have 8 rows by default.
        """
        self.restart()
        return self.trained_further(data, **options)

    def trained_further(self, data: tuple, *, batch_size: int = BATCH, **options: Any) -> Any:
        """The model, trained from where it is.

        Args:
            data, batch_size, options: As in `trained`.
        """
        keras.utils.set_random_seed(self._global_seed)
        self.history = self.model.fit(*data, batch_size=batch_size, verbose=0, **options).history
        return self.model


class Row:
    """The models of one case, each made when a promise first asks for it.

    Args:
        case: The case.
        strategy: A strategy of two replicas; None takes `two_replicas()`. TensorFlow lets one
            `MirroredStrategy` object train in a process, so pass your own where your tests have one.
        verify: Stands for `keras_genmod.serving.verify`.
    """

    def __init__(
        self,
        case: Case,
        *,
        strategy: tf.distribute.Strategy | None = None,
        verify: Callable[[Any], dict[str, float]] = verify_export,
    ) -> None:
        self.case = case
        self.verify = verify
        self._strategy = strategy

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """The strategy of two replicas."""
        return two_replicas() if self._strategy is None else self._strategy

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder, for a while."""
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)

    @functools.cached_property
    def full(self) -> Restarted:
        """The model as users train it: float32, with its noise and its default optimizers."""
        with policy("float32"):
            return Restarted(_checked(self.case.build(SEED)))

    @functools.cached_property
    def twin(self) -> Restarted:
        """Another one, built from the same seed and passed through a file before it has trained."""
        with policy("float32"), self.folder() as folder:
            model = self.case.build(SEED)
            model.compile()
            model.save(folder / "start.keras")
            loaded = keras.saving.load_model(folder / "start.keras")
            return Restarted(loaded)

    @functools.cached_property
    def noisy(self) -> Restarted:
        """The model with its noise in float64, trained by plain gradient steps."""
        with policy("float64"):
            return Restarted(_checked(self.case.build(SEED)), _plain())

    @functools.cached_property
    def exact(self) -> Restarted:
        """The noiseless model in float64: other ways to compute it differ by roundings alone."""
        with policy("float64"):
            return Restarted(_checked(self.case.without_noise(SEED)), _plain())

    @functools.cached_property
    def replicated(self) -> Restarted:
        """The noiseless model in float64 on two replicas."""
        with policy("float64"), self.strategy.scope():
            return Restarted(self.case.without_noise(SEED), _plain())


def _checked(model: Any) -> Any:
    """The model that a case has built, which must be one of this package."""
    if not isinstance(model, GenerativeModel):
        raise TypeError(
            f"`build(seed)` must return a `kg.GenerativeModel`; received {describe(model)}. Derive the "
            "family from it, or from one of `kg.bases`."
        )
    return model


def _plain() -> keras.optimizers.Optimizer:
    """An optimizer whose update is as exact as the gradient, however small that is."""
    return keras.optimizers.SGD(0.005)
