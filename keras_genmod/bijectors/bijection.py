r"""The base of the bijections: Keras layers that own weights and build TensorFlow Probability bijectors.

A flow is a chain of invertible maps between data x and noise z. Its density is

$$ \log p(x) = \log p(z) + \log \left| \det \frac{\partial z}{\partial x} \right| $$

A `Bijection` is one such map. Its `bijector()` is a plain `tfb.Bijector` with the current weights. As
`tfd.TransformedDistribution` expects, its `forward` maps noise to data and its `inverse` data to noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import ValueRange, check_event_shape, describe
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.precision import real_dtype, set_real_dtype

__all__ = [
    "Bijection",
    "build_chain",
    "chain",
    "chain_to_noise",
    "check_bijections",
    "has_fast_path",
]

tfb = tfp.bijectors


class Bijection(keras.layers.Layer):
    """Base of the bijections. A subclass defines `bijector`, `_create` if it has weights, and `get_config`.

    The flow that uses a bijection sets its shapes with `set_shapes`. A bijection belongs to one flow.

    Attributes:
        event_shape: Shape of an event on the data side; () until `set_shapes`.
    """

    event_shape: tuple[int, ...] = ()

    def __init__(self, *, name: str | None = None, **kwargs: Any) -> None:
        # Without autocast, because densities are computed in float32; only the networks follow the policy.
        super().__init__(name=name, autocast=False, **kwargs)

    def set_shapes(
        self,
        event_shape: Sequence[int],
        *,
        condition: ConditionSpec | None = None,
        seed: int | None = None,
    ) -> tuple[int, ...]:
        """Sets the shape of an event on the data side, and creates the weights.

        Args:
            event_shape: Shape of one event.
            condition: What the flow is conditioned on.
            seed: Seeds the initial weights.

        Returns:
            The shape of an event on the noise side.

        Raises:
            ValueError: If the bijection cannot take the shape, or belongs to another flow.
        """
        event_shape = check_event_shape(event_shape)
        if self.event_shape:
            raise ValueError(
                f"This {type(self).__name__} already belongs to a flow over events of shape "
                f"{self.event_shape}; received it for another flow, over {event_shape}. Create a new one."
            )
        self.event_shape = event_shape
        self.condition = condition or ConditionSpec()
        self._create(seed)
        self.built = True
        return self.output_shape

    def _create(self, seed: int | None) -> None:
        """Checks `self.event_shape` and creates the weights."""

    @property
    def real_dtype(self) -> tf.DType:
        """Dtype of weights and densities: float64 under that policy, else float32."""
        return real_dtype(self.dtype_policy)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of an event on the noise side."""
        return self.event_shape

    def value_range(self) -> ValueRange:
        """The accepted values of x."""
        return ValueRange()

    def get_build_config(self) -> None:
        """Nothing, because the flow that a bijection is loaded with sets its shapes."""

    def bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """The map from noise to data with the current weights.

        Args:
            condition: One condition per row, `[B, ...]`, or None.
            training: Whether layers run in training mode.
        """
        raise TypeError(f"{type(self).__name__} must define `bijector(condition, training)`.")

    def to_noise(
        self, x: tf.Tensor, condition: Any = None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        r"""Maps data to noise, and gives $\log | \det \partial z / \partial x |$ with it.

        Training uses this method. It gives the same numbers as `bijector`, but without TensorFlow
        Probability's bookkeeping for each bijector, which takes most of the time until a flow's first step. A
        class may define a fast path as `_to_noise`; otherwise its `bijector` is used.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition per row, `[B, ...]`, or None.
            training: Whether layers run in training mode.

        Returns:
            The noise `[B, *output_shape]`, and the log-determinants `[B]`, or `[]` if all rows have the same.
        """
        if has_fast_path(self, "_to_noise"):
            return self._to_noise(x, condition, training)
        bijector = self.bijector(condition, training)
        log_det = bijector.inverse_log_det_jacobian(x, event_ndims=len(self.event_shape))
        return bijector.inverse(x), log_det

    def initialize(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initialises weights from data, if the bijection has such weights, and maps the data to noise.

        Args:
            x: The input of this bijection, `[B, *event_shape]`, for the first rows of the data.
            condition: One condition per row, `[B, ...]`, or None.

        Returns:
            The noise `[B, *output_shape]`.
        """
        return self.to_noise(x, condition)[0]

    def needs_data(self) -> bool:
        """Whether weights still need `initialize`, the data-dependent initialisation."""
        return False


def check_bijections(bijections: Any) -> list[Bijection]:
    """The bijections from a list of bijections or of their configurations.

    Raises:
        ValueError: If the argument is anything else, or holds a bijection twice.
    """
    if not isinstance(bijections, Iterable) or isinstance(bijections, (str, dict)):
        raise ValueError(
            f"`bijections` must be a list of bijections; received {describe(bijections)}. Pass a list such "
            "as [Coupling()]."
        )
    checked: list[Bijection] = []
    for entry in bijections:
        if isinstance(entry, dict):
            entry = keras.saving.deserialize_keras_object(entry)
        if not isinstance(entry, Bijection):
            raise ValueError(
                "`bijections` must be a list of `keras_genmod.bijectors` such as [Coupling()], from the data "
                f"to the noise; the list holds {describe(entry)}."
            )
        if any(entry is other for other in checked):
            raise ValueError(
                f"`bijections` must hold different objects; received the same {type(entry).__name__} twice. "
                "Create one for each position."
            )
        checked.append(entry)
    return checked


def build_chain(
    bijections: Sequence[Bijection],
    event_shape: Sequence[int],
    *,
    condition: ConditionSpec | None = None,
    seed: int | None = None,
    dtype: tf.DType = tf.float32,
) -> tuple[int, ...]:
    """Sets the shapes and dtype of all bijections of a chain, from data to noise.

    Args:
        bijections: The bijections, from the data to the noise.
        event_shape: Shape of one event on the data side.
        condition: What the flow is conditioned on.
        seed: Seeds the initial weights.
        dtype: Dtype of weights and densities.

    Returns:
        The shape of an event on the noise side.
    """
    shape = check_event_shape(event_shape)
    for number, bijection in enumerate(bijections):
        set_real_dtype(bijection, dtype)
        own = None if seed is None else (seed + 7919 * (number + 1)) % 2**31
        shape = bijection.set_shapes(shape, condition=condition, seed=own)
    return shape


def chain(
    bijections: Sequence[Bijection], condition: Any = None, training: bool = False
) -> tfp.bijectors.Bijector:
    """The bijector of the whole chain, from noise to data."""
    if not bijections:
        return tfb.Identity()
    return tfb.Chain([bijection.bijector(condition, training) for bijection in bijections])


def chain_to_noise(
    bijections: Sequence[Bijection], x: tf.Tensor, condition: Any = None, training: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Maps data to noise through the whole chain, and gives the log-determinant with it.

    Args:
        bijections: The bijections, from the data to the noise.
        x: Data `[B, *event_shape]`.
        condition: One condition per row, `[B, ...]`, or None.
        training: Whether layers run in training mode.

    Returns:
        The noise, and the log-determinants `[B]` or `[]`.
    """
    h = x
    # Log-determinants that differ between rows, and those that all rows share.
    per_row: list[tf.Tensor] = []
    shared = [tf.zeros([], x.dtype)]
    for bijection in bijections:
        h, log_det = bijection.to_noise(h, condition, training)
        (per_row if log_det.shape.rank else shared).append(log_det)
    # `add_n` does not broadcast; the gradient of broadcasting takes many small operations.
    total = tf.add_n(shared)
    return h, total + tf.add_n(per_row) if per_row else total


def has_fast_path(owner: Any, name: str) -> bool:
    """Whether the method `name` computes the same map as the owner's `bijector`.

    It does not if a subclass overrides `bijector` alone: the inherited method then is its parent's map.
    """
    for cls in type(owner).__mro__:
        if name in vars(cls) or "bijector" in vars(cls):
            return name in vars(cls)
    return False
