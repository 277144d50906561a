"""Gradients of each example by itself, through layers that mix the examples of a batch.

The gradient of a sum of outputs by the inputs is each example's own gradient if each output depends on its
own input alone. A layer that shows an example a statistic of the batch adds to it what the input does to the
outputs of the others. Such a layer can leave that out for one tape: it computes the statistic inside
`hidden_from_example_gradients`, and tapes further out still see everything.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

__all__ = ["example_gradients", "hidden_from_example_gradients", "in_example_gradients"]

# One for each thread, and each replica has a thread of its own.
_TAPE: contextvars.ContextVar[tf.GradientTape | None] = contextvars.ContextVar("tape", default=None)


@contextlib.contextmanager
def example_gradients(tape: tf.GradientTape) -> Iterator[None]:
    """A context in which `tape` is to see of each example what its own input does to its own output.

    Args:
        tape: records now.
    """
    token = _TAPE.set(tape)
    try:
        yield
    finally:
        _TAPE.reset(token)


def in_example_gradients() -> bool:
    """Whether some tape is to see gradients of each example by itself."""
    return _TAPE.get() is not None


def hidden_from_example_gradients() -> contextlib.AbstractContextManager:
    """A context whose operations are constants for the tape of `example_gradients`, and for no other tape."""
    tape = _TAPE.get()
    return contextlib.nullcontext() if tape is None else tape.stop_recording()
