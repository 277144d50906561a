"""Learning rates of several players: the factor by which a callback changes the main rate changes them all.

Keras' callbacks know one optimizer, `model.optimizer`. If `ReduceLROnPlateau` lowered its rate alone, the
balance between the players would change although nobody asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["with_rates_together"]


class _Rates:
    """The main optimizer's rate, and the rates that follow it by the same factor.

    Args:
        main: `model.optimizer`.
        others: The optimizers of the other players.
    """

    def __init__(
        self, main: keras.optimizers.Optimizer, others: Sequence[keras.optimizers.Optimizer]
    ) -> None:
        self._main, self._others = main, others
        self._ratios: list[float | None] = [None] * len(others)
        self._read()

    def _read(self) -> None:
        self._rate = _rate(self._main)
        self._rates = [_rate(other) for other in self._others]
        if self._rate:
            self._ratios = [rate / self._rate for rate in self._rates]

    def follow(self) -> None:
        """Changes the other rates if the main one was changed; one that was changed too is left alone."""
        rate = _rate(self._main)
        if rate == self._rate:
            return
        for other, before, ratio in zip(self._others, self._rates, self._ratios, strict=True):
            # A file that was loaded, or a callback that knows all optimizers, sets every rate by itself.
            if ratio is not None and _rate(other) == before:
                other.learning_rate = ratio * rate
        self._read()


class _Follow(keras.callbacks.Callback):
    """Runs right after a callback that may have changed the main rate, before the next one reads it."""

    def __init__(self, rates: _Rates) -> None:
        super().__init__()
        self._rates = rates

    def on_train_begin(self, logs: Any = None) -> None:
        self._rates.follow()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._rates.follow()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._rates.follow()


class _FollowInSteps(_Follow):
    """The same after a callback that acts in steps."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._rates.follow()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._rates.follow()


def with_rates_together(
    callbacks: Any, model: keras.Model, optimizers: Sequence[keras.optimizers.Optimizer]
) -> Any:
    """Adds to the callbacks of `fit` what lets all optimizers' rates change by the main one's factor.

    The rates are changed right after the callback that changed the main one, so that a file that the next
    callback writes holds rates that belong together.

    Args:
        callbacks: The callbacks that `fit` was given.
        model: The model.
        optimizers: The optimizers of the players, the main one first. A rate that is a schedule stays as it
            is.

    Returns:
        The callbacks that `fit` shall use.
    """
    main = optimizers[0]
    others = [other for other in optimizers[1:] if other is not main and _is_number(other)]
    if not others or not _is_number(main):
        return callbacks
    is_list = isinstance(callbacks, keras.callbacks.CallbackList)
    given = callbacks.callbacks if is_list else [] if callbacks is None else keras.tree.flatten(callbacks)
    rates = _Rates(main, others)
    together = []
    for callback in given:
        # A list that served in another `fit` holds the ones of that `fit`, with the rates it began with.
        if isinstance(callback, _Follow):
            continue
        follow = (_FollowInSteps if _acts_in_steps(callback) else _Follow)(rates)
        if is_list:
            follow.set_model(model)
        together += [callback, follow]
    if not is_list:
        return together
    callbacks.callbacks[:] = together
    return callbacks


def _acts_in_steps(callback: keras.callbacks.Callback) -> bool:
    """Whether a user's callback acts in each step; those of the libraries set no rates there."""
    kind = type(callback)
    if kind.__module__.startswith(("keras.", "keras_genmod.")):
        return isinstance(callback, keras.callbacks.LambdaCallback)
    names = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    return any(getattr(kind, name) is not getattr(keras.callbacks.Callback, name) for name in names)


def _inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer without the scaling of its loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _is_number(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether the rate is a number; a schedule cannot be set."""
    return isinstance(_inner(optimizer)._learning_rate, keras.Variable)


def _rate(optimizer: keras.optimizers.Optimizer) -> float:
    return float(keras.ops.convert_to_numpy(_inner(optimizer)._learning_rate))
