"""What a model offers to a server: named functions of tensors.

A model describes each question that a server may ask it as an `Endpoint`; `export_saved_model` writes
a set of them as the signatures of one SavedModel.
"""

import dataclasses
import keyword
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["SERVED_DTYPES", "Endpoint", "fit_request", "is_name"]

SERVED_DTYPES = (
    tf.float32,
    tf.float64,
    tf.bool,
    tf.int8,
    tf.int16,
    tf.int32,
    tf.int64,
    tf.uint8,
    tf.uint16,
    tf.uint32,
    tf.uint64,
)
"""Types that a request or an answer may have: those that JSON and NumPy know."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One question that a server may ask a model.

    A batched endpoint is row-wise: each input and output has the batch in front, and row i of the
    answer depends on row i of the request alone, so that a server may join requests into one batch.
    An input named `seed` then holds one seed a row. (`serving.verify` tries whether rows mix.)

    Args:
        function: Takes one tensor per entry of `inputs`, positionally and in that order, and returns a
            flat dict of tensors. It must be pure: the same tensors give the same answer, on a machine
            without Python and without XLA.
        inputs: Ordered dict, argument name -> `tf.TensorSpec`. Batched: the first dimension of each is
            `None`, and `seed` is int32 of shape `[None, 2]`.
        batched: False for a signature whose arguments are not rows, such as
            `sample(num_samples: int32 [], seed: int32 [2])`.

    Raises:
        ValueError: An argument is not as described.

    Example:
        >>> double = Endpoint(lambda x: {"y": 2.0 * x}, {"x": tf.TensorSpec([None, 3], tf.float32)})
        >>> double.specs
        (TensorSpec(shape=(None, 3), dtype=tf.float32, name='x'),)
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: Mapping[str, tf.TensorSpec]
    batched: bool = True

    def __post_init__(self):
        if not callable(self.function):
            raise ValueError(
                f"`function` must be callable; received {self.function!r}. Pass the function, not its result."
            )
        if not isinstance(self.inputs, Mapping) or not self.inputs:
            raise ValueError(
                "`inputs` must be a non-empty dict, argument name -> `tf.TensorSpec`; "
                f"received {self.inputs!r}. Name each argument of `function`, in order."
            )
        for name, spec in self.inputs.items():
            self._check_input(name, spec)

    def _check_input(self, name: str, spec: tf.TensorSpec) -> None:
        if not is_name(name):
            raise ValueError(
                f"Names in `inputs` must be Python identifiers; received {name!r}. "
                "They become names of arguments: choose another."
            )
        if not isinstance(spec, tf.TensorSpec) or spec.shape.rank is None:
            raise ValueError(
                f"Input `{name}` must be a `tf.TensorSpec` of known rank; received {spec!r}. "
                "Use `None` for the dimensions that vary."
            )
        if spec.dtype not in SERVED_DTYPES:
            raise ValueError(
                f"Input `{name}` must have one of the types "
                f"{', '.join(dtype.name for dtype in SERVED_DTYPES)}; received {spec.dtype.name}. "
                "Take a wider type and cast inside `function`."
            )
        if not self.batched:
            return
        if spec.shape.rank == 0 or spec.shape[0] is not None:
            raise ValueError(
                f"Input `{name}` of a batched endpoint must have shape [None, ...]; received {spec.shape}. "
                "Put the batch in front, or pass `batched=False`."
            )
        if name == "seed" and (spec.dtype != tf.int32 or spec.shape.as_list() != [None, 2]):
            raise ValueError(
                "Input `seed` of a batched endpoint must be int32 of shape [None, 2], one seed a row; "
                f"received {spec.dtype.name} of shape {spec.shape}. Draw each row from its own seed."
            )

    @property
    def specs(self) -> tuple[tf.TensorSpec, ...]:
        """The specs in order, each under its argument's name."""
        return tuple(tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in self.inputs.items())


def is_name(name: object) -> bool:
    """Whether `name` can name an argument, an output or a signature."""
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)


def fit_request(
    what: str, specs: Mapping[str, tf.TensorSpec], request: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The inputs of a request as arrays of the types in `specs`; `what` names the request in errors."""
    if set(request) != set(specs):
        raise ValueError(
            f"{what} must have the inputs {sorted(specs)}; received {sorted(request)}. "
            "Give each of them and no others."
        )
    arrays = {}
    for name, spec in specs.items():
        array, dtype = np.asarray(request[name]), spec.dtype.as_numpy_dtype
        fits = spec.shape.is_compatible_with(array.shape)
        if not fits or not np.can_cast(array.dtype, dtype, "same_kind"):
            raise ValueError(
                f"{what} must have the input `{name}` of type {spec.dtype.name} and shape {spec.shape}; "
                f"received {array.dtype} of shape {array.shape}. Convert it."
            )
        arrays[name] = _cast(f"{what} must have the input `{name}`", array, dtype)
    return arrays


def _cast(what: str, array: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """The array in a type of its kind; an error where numbers would wrap around or become infinite."""
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    wrong = cast != array if np.issubdtype(dtype, np.integer) else np.isinf(cast) & ~np.isinf(array)
    if wrong.any():
        raise ValueError(
            f"{what} within the range of {np.dtype(dtype).name}; received {array[wrong][0]}. "
            "Give numbers that the type can hold."
        )
    return cast
