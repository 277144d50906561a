"""Errors of Python code that TensorFlow calls, raised in place of TensorFlow's report of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

__all__ = ["KeptError"]


class KeptError:
    """Carries an error from code that TensorFlow calls to the code that called TensorFlow.

    TensorFlow turns an error of a data set's Python code into an `OpError`, whose text is a page long.
    """

    def __init__(self) -> None:
        self._error: BaseException | None = None

    @contextlib.contextmanager
    def keep(self) -> Iterator[None]:
        """Around the code that TensorFlow calls: notes the error that it raises."""
        try:
            yield
        except BaseException as error:
            self._error = error
            raise

    @contextlib.contextmanager
    def tell(self) -> Iterator[None]:
        """Around the call of TensorFlow: raises the noted error in place of TensorFlow's."""
        try:
            yield
        except tf.errors.OpError:
            if self._error is None:
                raise
            raise self._error from None
