"""What a model offers to a server: named functions of tensors.

A model describes each question that a server may ask it as an `Endpoint`; `export_saved_model` writes
a set of them as the signatures of one SavedModel.
"""

import dataclasses
import keyword
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.core.spaces import EXAMPLE_ROWS, ROW_SEEDS, Space

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
        function: Takes one tensor for each space of `inputs`, positionally and in that order, and returns a
            flat dict of tensors. It must be pure: the same tensors give the same answer, on a machine
            without Python and without XLA.
        inputs: The spaces of the inputs (see `core.spaces.Space`), each named like its argument. In a batched
            endpoint every space is batched, and `seed` is int32 of shape `(2,)`.
        batched: False for a signature with an argument that a request has only once, such as
            `sample(num_samples: int32 [], seed: int32 [2])`.
        example: Input name -> array, for inputs that shall not have their space's own example in the
            request that an export records.

    Raises:
        ValueError: An argument is not as described, or a value of `example` does not lie in its space.

    Example:
        >>> double = Endpoint(lambda x: {"y": 2.0 * x}, [Space("x", (3,))])
        >>> double.specs
        (TensorSpec(shape=(None, 3), dtype=tf.float32, name='x'),)
        >>> double.request()["x"].shape
        (3, 3)
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: Sequence[Space]
    batched: bool = True
    example: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(
                f"`function` must be callable; received {self.function!r}. Pass the function, not its result."
            )
        spaces = isinstance(self.inputs, Sequence) and all(isinstance(one, Space) for one in self.inputs)
        if not spaces or not self.inputs:
            raise ValueError(
                f"`inputs` must be a non-empty list of `Space`s; received {self.inputs!r}. Describe each "
                "argument of `function`, in order, such as `Space('x', (3,))`."
            )
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if len(set(self.names)) < len(self.names):
            raise ValueError(
                f"The names of `inputs` must differ; received {list(self.names)}. Rename a space."
            )
        unknown = sorted(set(self.example) - set(self.names))
        if unknown:
            raise ValueError(
                f"`example` must hold values of the inputs {list(self.names)}; received {unknown} too. "
                "Leave them out."
            )
        for space in self.inputs:
            self._check_input(space)
            if space.name in self.example:
                space.check(np.asarray(self.example[space.name]))

    def _check_input(self, space: Space) -> None:
        if not is_name(space.name):
            raise ValueError(
                f"Names in `inputs` must be Python identifiers; received {space.name!r}. "
                "They become names of arguments: choose another."
            )
        if space.dtype not in SERVED_DTYPES:
            raise ValueError(
                f"Input `{space.name}` must have one of the types "
                f"{', '.join(dtype.name for dtype in SERVED_DTYPES)}; received {space.dtype.name}. "
                "Take a wider type and cast inside `function`."
            )
        if not self.batched:
            return
        if not space.batched:
            raise ValueError(
                f"Input `{space.name}` of a batched endpoint must have the batch in front; received a space "
                "without one. Give one value a row, or pass `batched=False` to the endpoint."
            )
        if space.name == "seed" and (space.dtype, space.shape) != (ROW_SEEDS.dtype, ROW_SEEDS.shape):
            raise ValueError(
                "Input `seed` of a batched endpoint must be int32 of shape [None, 2], one seed a row; "
                f"received {space.dtype.name} of shape {space.spec().shape}. Draw each row from its own seed."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(space.name for space in self.inputs)

    @property
    def specs(self) -> tuple[tf.TensorSpec, ...]:
        """The entries of the signature, in order, each under its argument's name."""
        return tuple(space.spec() for space in self.inputs)

    def request(self, num_rows: int = EXAMPLE_ROWS) -> dict[str, np.ndarray]:
        """The example request, the same at every call: input name -> array.

        Args:
            num_rows: Number of rows of inputs that have a batch.
        """
        examples = {space.name: space.example(num_rows) for space in self.inputs}
        specs = {spec.name: spec for spec in self.specs}
        return fit_request("The example request", specs, {**examples, **self.example})


def is_name(name: object) -> bool:
    """Whether `name` can name an argument, an output or a signature."""
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)


def fit_request(
    what: str, specs: Mapping[str, tf.TensorSpec], request: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The inputs of a request as arrays of the types of a signature.

    Args:
        what: Names the request in errors, such as "The example of `encode`".
        specs: Input name -> entry of the signature.
        request: Input name -> array, or what NumPy makes one of.

    Raises:
        ValueError: Other inputs, or arrays that do not fit.
    """
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
    """The array in a type of its kind; refuses numbers that would wrap around or become infinite."""
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    wrong = cast != array if np.issubdtype(dtype, np.integer) else np.isinf(cast) & ~np.isinf(array)
    if wrong.any():
        raise ValueError(
            f"{what} within the range of {np.dtype(dtype).name}; received {array[wrong][0]}. "
            "Give numbers that the type can hold."
        )
    return cast
