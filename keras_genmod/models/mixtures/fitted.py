"""Densities that have no parameters before `fit` refuse questions until then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["AnswersAfterFit"]


class AnswersAfterFit:
    """The part of a mixture that refuses to answer while its parameters are not those of any data.

    The networks of other families give meaningful, if poor, numbers before training. A mixture's parameters
    are arbitrary until `fit` looks at the data, so figures of it would be taken for those of a fitted model.
    Weights that are loaded or set bring along that they were fitted.
    """

    # What may be called in place of `fit`, for the error.
    _instead_of_fit = ""

    def _is_fitted(self) -> bool:
        """Whether the parameters were set; in a graph, which cannot look at weights, whether they may be."""
        raise TypeError(f"{type(self).__name__} must define `_is_fitted`.")

    def _check_fitted(self) -> None:
        if not self._is_fitted():
            raise RuntimeError(
                f"This `{type(self).__name__}` has not been fitted yet. Call `fit` with the training data "
                f"first{self._instead_of_fit}, or load weights of a fitted model."
            )

    def call(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The log-density log p(x), `[B]` nats."""
        self._check_fitted()
        return super().call(x, condition=condition, training=training)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """The log-density of every example, as `GenerativeModel.predict`.

        Args:
            *args, **kwargs: of `GenerativeModel.predict`.
        """
        self._check_fitted()
        return super().predict(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """The means of the objective over data, as `GenerativeModel.evaluate`.

        Args:
            *args, **kwargs: of `GenerativeModel.evaluate`.
        """
        self._check_fitted()
        return super().evaluate(*args, **kwargs)

    def _map_rows(self, key: Any, function: Callable, *args: Any, **kwargs: Any) -> tf.Tensor:
        self._check_fitted()
        return super()._map_rows(key, function, *args, **kwargs)

    def _sample(self, *args: Any, **kwargs: Any) -> tf.Tensor:
        self._check_fitted()
        return super()._sample(*args, **kwargs)
