"""`promise`: makes a function of a row a promise, which is tried under conditions of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras

from keras_genmod.testing.row import Row, policy

__all__ = ["Promise", "promise"]

Promise = Callable[[Row], None]


def promise(dtype: str) -> Callable[[Promise], Promise]:
    """Decorator of a promise: Keras' random numbers start anew, and layers have the given dtype policy."""

    def decorated(function: Promise) -> Promise:
        @functools.wraps(function)
        def kept(row: Row) -> None:
            keras.utils.set_random_seed(0)
            with policy(dtype):
                function(row)

        return kept

    return decorated
