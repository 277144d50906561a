"""Schedules of a term's weight over training steps, such as the annealing of beta."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer, check_number, describe
from keras_genmod.core.registration import register
from keras_genmod.training.arguments import explained

__all__ = [
    "CosineSchedule",
    "CyclicalSchedule",
    "LinearSchedule",
    "WeightSchedule",
    "get_weight",
    "weight_at",
    "weight_config",
]


class WeightSchedule:
    """A weight as a function of the number of training steps done: `schedule(step)`, a scalar.

    Args:
        end: Value after `steps` steps.
        steps: Length of the rise in training steps; of one cycle, for the cyclical schedule.
        start: Value at step 0.
    """

    @explained
    def __init__(self, end: float, steps: int, *, start: float = 0.0) -> None:
        self.end = check_number("end", end, minimum=0.0)
        self.steps = check_integer("steps", steps)
        self.start = check_number("start", start, minimum=0.0)

    def __call__(self, step: Any) -> tf.Tensor:
        """The weight at `step`, float32."""
        # In float64: float32 cannot count beyond 2**24 steps.
        fraction = self._rise(tf.cast(step, tf.float64) / self.steps)
        return tf.cast(self.start + (self.end - self.start) * fraction, tf.float32)

    def _rise(self, time: tf.Tensor) -> tf.Tensor:
        """The fraction of the rise that is done, from 0 to 1, at a time in units of `steps`."""
        raise TypeError(f"{type(self).__name__} must define `_rise(time)`.")

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {"end": self.end, "steps": self.steps, "start": self.start}

    @classmethod
    def from_config(cls, config: dict) -> WeightSchedule:
        """The schedule of a configuration."""
        return cls(**config)


@register
class LinearSchedule(WeightSchedule):
    """Rises linearly from `start` to `end` over `steps` steps, then stays.

    Reference: Generating Sentences from a Continuous Space, Bowman et al., 2016 (annealed KL weight).

    Example:
        >>> [float(LinearSchedule(4.0, 100)(step)) for step in (0, 25, 100, 200)]
        [0.0, 1.0, 4.0, 4.0]
    """

    def _rise(self, time: tf.Tensor) -> tf.Tensor:
        return tf.minimum(time, 1.0)


@register
class CosineSchedule(WeightSchedule):
    r"""Rises as $(1 - \cos \pi t) / 2$ from `start` to `end` over `steps` steps, then stays.

    Example:
        >>> [round(float(CosineSchedule(1.0, 100)(step)), 3) for step in (0, 25, 50, 100, 200)]
        [0.0, 0.146, 0.5, 1.0, 1.0]
    """

    def _rise(self, time: tf.Tensor) -> tf.Tensor:
        return (1.0 - tf.cos(math.pi * tf.minimum(time, 1.0))) / 2.0


@register
class CyclicalSchedule(WeightSchedule):
    """Repeats cycles of `steps` steps: a linear rise over the first part, then a plateau at `end`.

    Args:
        end: Value of the plateau.
        steps: Length of one cycle.
        start: Value at the beginning of each cycle.
        num_cycles: Number of cycles, after which the weight stays at `end`.
        rise: Fraction of a cycle that rises, in (0, 1].

    Reference: Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing, Fu et al., 2019.

    Example:
        >>> schedule = CyclicalSchedule(1.0, 100, num_cycles=2)
        >>> [float(schedule(step)) for step in (0, 25, 60, 100, 125, 200)]
        [0.0, 0.5, 1.0, 0.0, 0.5, 1.0]
    """

    @explained
    def __init__(
        self,
        end: float,
        steps: int,
        *,
        start: float = 0.0,
        num_cycles: int = 4,
        rise: float = 0.5,
    ) -> None:
        super().__init__(end, steps, start=start)
        self.num_cycles = check_integer("num_cycles", num_cycles)
        self.rise = check_number("rise", rise, above=0.0, maximum=1.0)

    def _rise(self, time: tf.Tensor) -> tf.Tensor:
        in_cycle = tf.minimum((time - tf.floor(time)) / self.rise, 1.0)
        return tf.where(time < self.num_cycles, in_cycle, tf.ones_like(time))

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "num_cycles": self.num_cycles, "rise": self.rise}


def get_weight(name: str, value: Any) -> float | WeightSchedule:
    """The checked weight: a non-negative number, or a schedule.

    Args:
        name: The argument that gives the weight, for errors.
        value: A number, a schedule, or the configuration of one.

    Raises:
        ValueError: For anything else.
    """
    if isinstance(value, numbers.Real):
        return check_number(name, value, minimum=0.0)
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if not isinstance(value, WeightSchedule):
        raise ValueError(
            f"`{name}` must be a non-negative number or a schedule such as "
            f"`LinearSchedule(1.0, steps=10_000)`; received {describe(value)}."
        )
    return value


def weight_at(weight: float | WeightSchedule, step: Any) -> float | tf.Tensor:
    """The weight at a step: the number itself, or the schedule's value."""
    return weight(step) if isinstance(weight, WeightSchedule) else weight


def weight_config(weight: float | WeightSchedule) -> Any:
    """The weight as `get_weight` reads it from a configuration."""
    return keras.saving.serialize_keras_object(weight) if isinstance(weight, WeightSchedule) else weight
