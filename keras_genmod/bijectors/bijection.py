r"""The base of the bijections: Keras layers that own weights and build TensorFlow Probability bijectors.

A flow is a chain of invertible maps between data x and noise z; its density is

$$ \log p(x) = \log p(z) + \log \left| \det \frac{\partial z}{\partial x} \right| $$

A `Bijection` is one such map. Its `bijector()` is a plain `tfb.Bijector` at the present weights, whose
`forward` goes from noise to data, as `tfd.TransformedDistribution` has it, and whose `inverse` from data to
noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import ValueRange, check_event_shape, describe
from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.precision import real_dtype, set_real_dtype

__all__ = [
    "Bijection",
    "Memory",
    "OwnBijector",
    "build_chain",
    "chain",
    "chain_to_noise",
    "check_bijections",
    "has_own_way",
    "sum_over_event",
    "tile_condition",
    "to_rows",
]

tfb = tfp.bijectors
_numbers = itertools.count()


class Bijection(keras.layers.Layer):
    """Base of the bijections. A subclass writes `bijector`, `_create` if it has weights, and `get_config`.

    The flow that uses a bijection gives it its shapes by `set_shapes`; a bijection belongs to one flow.
    """

    def __init__(self, *, name: str | None = None, **kwargs: Any) -> None:
        # No autocast: densities are computed in float32, only networks inside follow the policy.
        super().__init__(name=name, autocast=False, **kwargs)
        self.event_shape = None

    def set_shapes(
        self,
        event_shape: Sequence[int],
        *,
        condition: ConditionSpec | None = None,
        seed: int | None = None,
    ) -> tuple[int, ...]:
        """Fixes the shape of an event on the side of the data, and creates the weights.

        Args:
            event_shape: shape of one event.
            condition: what the flow is conditioned on.
            seed: of the initial weights.

        Returns:
            The shape of an event on the side of the noise.

        Raises:
            ValueError: for a shape that the bijection cannot take, or if it belongs to another flow.
        """
        event_shape = check_event_shape(event_shape)
        if self.event_shape is not None:
            raise ValueError(
                f"This {type(self).__name__} belongs to a flow over {self.event_shape} already; received it "
                f"again for {event_shape}. Make a new one."
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
        """Of weights and densities: float32 whatever the policy, but for float64."""
        return real_dtype(self.dtype_policy)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of an event on the side of the noise."""
        return self.event_shape

    def value_range(self) -> ValueRange:
        """The values of x that can be mapped."""
        return ValueRange()

    def get_build_config(self) -> None:
        """Nothing: the flow that a bijection is loaded with gives it its shapes."""

    def bijector(self, condition: Any = None, training: bool = False) -> tfb.Bijector:
        """The map from noise to data at the present weights.

        Args:
            condition: one row for each row of the data, or None.
            training: whether layers act as in training.
        """
        raise TypeError(f"{type(self).__name__} must define `bijector(condition, training)`.")

    def to_noise(
        self, x: tf.Tensor, condition: Any = None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        r"""The noise of data and $\log | \det \partial z / \partial x |$, both at once.

        Training goes this way. It gives the numbers of `bijector`, without TensorFlow Probability's
        bookkeeping around each bijector, which is most of the time until a flow's first step. A class that
        knows a short way writes it as `_to_noise`; another that writes a `bijector` alone is asked for that.

        Args:
            x: data `[B, *event_shape]`.
            condition: one row for each row of the data, or None.
            training: whether layers act as in training.

        Returns:
            The noise `[B, *output_shape]`, and the log-determinants `[B]`, or `[]` if they are all the same.
        """
        if has_own_way(self, "_to_noise"):
            return self._to_noise(x, condition, training)
        bijector = self.bijector(condition, training)
        log_det = bijector.inverse_log_det_jacobian(x, event_ndims=len(self.event_shape))
        return bijector.inverse(x), log_det

    def initialize(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Sets weights that start from data, if there are any, and gives the image of the data.

        Args:
            x: data `[B, *event_shape]` as it reaches this bijection.
            condition: one row for each row of the data, or None.

        Returns:
            The noise `[B, *output_shape]`.
        """
        return self.to_noise(x, condition)[0]

    def needs_data(self) -> bool:
        """Whether weights still wait for `initialize`."""
        return False


def check_bijections(bijections: Any) -> list[Bijection]:
    """The bijections of a list of them, or of their configurations.

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(bijections, Iterable) or isinstance(bijections, (str, dict)):
        raise ValueError(f"`bijections` must be a list of bijections; received {describe(bijections)}.")
    checked = []
    for entry in bijections:
        if isinstance(entry, dict):
            entry = keras.saving.deserialize_keras_object(entry)
        if not isinstance(entry, Bijection):
            raise ValueError(
                "`bijections` must be a list of `keras_genmod.bijectors` such as [Coupling()], from the data "
                f"to the noise; it holds {describe(entry)}."
            )
        if any(entry is other for other in checked):
            raise ValueError(
                f"`bijections` holds the same {type(entry).__name__} twice. Make one for each place."
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
    """Gives the bijections of a chain, from data to noise, shapes and dtype; returns the noise's shape."""
    shape = check_event_shape(event_shape)
    for number, bijection in enumerate(bijections):
        set_real_dtype(bijection, dtype)
        own = None if seed is None else (seed + 7919 * (number + 1)) % 2**31
        shape = bijection.set_shapes(shape, condition=condition, seed=own)
    return shape


def chain(bijections: Sequence[Bijection], condition: Any = None, training: bool = False) -> tfb.Bijector:
    """The bijector of all of them, from noise to data."""
    if not bijections:
        return tfb.Identity()
    return tfb.Chain([bijection.bijector(condition, training) for bijection in bijections])


def chain_to_noise(
    bijections: Sequence[Bijection], x: tf.Tensor, condition: Any = None, training: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """The noise of data and the log-determinant of the way there, through all of them.

    Args:
        bijections: from the data to the noise.
        x: data `[B, *event_shape]`.
        condition: one row for each row of the data, or None.
        training: whether layers act as in training.

    Returns:
        The noise, and the log-determinants `[B]` or `[]`.
    """
    h, of_rows, of_all = x, [], [tf.zeros([], x.dtype)]
    for bijection in bijections:
        h, log_det = bijection.to_noise(h, condition, training)
        (of_rows if log_det.shape.rank else of_all).append(log_det)
    # `add_n` has no broadcasting, whose gradients are many small operations.
    total = tf.add_n(of_all)
    return h, total + tf.add_n(of_rows) if of_rows else total


def has_own_way(owner: Any, name: str) -> bool:
    """Whether the method `name` belongs to the `bijector` of this very class.

    A subclass that writes another `bijector` must not be asked for the short way of its parent.
    """
    for cls in type(owner).__mro__:
        if name in vars(cls) or "bijector" in vars(cls):
            return name in vars(cls)
    return False


def sum_over_event(values: tf.Tensor) -> tf.Tensor:
    """The sum of each row, `[B, ...]` to `[B]`."""
    # With the axes kept, the gradient need not find out where they were.
    return tf.reshape(tf.reduce_sum(values, axis=list(range(1, values.shape.rank)), keepdims=True), [-1])


class OwnBijector(tfb.Bijector):
    """Base of the package's own bijectors.

    Args:
        event_ndims: rank of an event on the side of the noise.
        data_event_ndims: rank on the side of the data, if another.
        dtype: of the values, None for any.
        is_constant_jacobian: whether the log-determinant is the same everywhere.
    """

    def __init__(
        self,
        event_ndims: int,
        *,
        data_event_ndims: int | None = None,
        dtype: tf.DType | None = None,
        is_constant_jacobian: bool = False,
    ) -> None:
        super().__init__(
            forward_min_event_ndims=event_ndims,
            inverse_min_event_ndims=event_ndims if data_event_ndims is None else data_event_ndims,
            is_constant_jacobian=is_constant_jacobian,
            dtype=dtype,
            # TensorFlow Probability keeps the images of bijectors of the same class with equal parameters
            # together, as if they were one. No two of these are.
            parameters={"number": next(_numbers)},
            name=type(self).__name__.strip("_"),
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any) -> dict:
        return {}


class Memory:
    """What a bijector computed for the last few tensors, by their identity.

    Asked for an image and for the log-determinant, one after the other, of the same tensor, a bijector runs
    its network once.
    """

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._entries = []

    def recall(self, tensor: tf.Tensor, compute: Callable[[], Any]) -> Any:
        """What was noted for this very tensor; else what `compute` gives, which is noted."""
        graph = tf.compat.v1.get_default_graph()
        for known, known_graph, value in self._entries:
            # A tensor from outside of a loop is known inside, but what was made of it there is not outside.
            if known is tensor and known_graph is graph:
                return value
        value = compute()
        self.note(tensor, value)
        return value

    def note(self, tensor: tf.Tensor, value: Any) -> None:
        """Notes a value for a tensor."""
        entry = (tensor, tf.compat.v1.get_default_graph(), value)
        self._entries = [entry, *self._entries][: self._size]


def to_rows(x: tf.Tensor, event_shape: Sequence[int]) -> tf.Tensor:
    """`[..., *event_shape]` as rows `[R, *event_shape]`."""
    return tf.reshape(x, [-1, *event_shape])


def tile_condition(condition: Any, num_rows: tf.Tensor) -> Any:
    """A condition `[B, ...]` repeated n times, for rows `[n * B, ...]`."""
    if condition is None:
        return None
    times = num_rows // tf.shape(condition)[0]
    return tf.tile(condition, tf.concat([[times], tf.ones([tf.rank(condition) - 1], tf.int32)], axis=0))
