"""Gradients of each example by itself, through layers that mix the examples of a batch.

If each output depends on its own input alone, the gradient of the sum of all outputs by the inputs gives each
example's own gradient. A layer that uses a statistic of the batch breaks this: an input then changes the
outputs of other examples too. Such a layer can hide the statistic from one tape. It computes the statistic
inside `hidden_from_example_gradients`, and all other tapes still see everything.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

__all__ = ["example_gradients", "hidden_from_example_gradients", "in_example_gradients"]

# Each thread has its own value, and each replica its own thread.
_TAPE: contextvars.ContextVar[tf.GradientTape | None] = contextvars.ContextVar("tape", default=None)


@contextlib.contextmanager
def example_gradients(tape: tf.GradientTape) -> Iterator[None]:
    """A context in which `tape` sees only the effect of each example's input on its own output.

    Args:
        tape: A tape that is recording.
    """
    token = _TAPE.set(tape)
    try:
        yield
    finally:
        _TAPE.reset(token)


def in_example_gradients() -> bool:
    """Whether the code runs inside `example_gradients`."""
    return _TAPE.get() is not None


def hidden_from_example_gradients() -> contextlib.AbstractContextManager:
    """A context whose results are constants for the tape of `example_gradients`, and for no other tape."""
    tape = _TAPE.get()
    return contextlib.nullcontext() if tape is None else tape.stop_recording()
