"""The answers of models whose density can be computed exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["ExactDensity"]

if TYPE_CHECKING:
    # The host's answers about rows, of which this part adds more.
    from keras_genmod.bases.row_wise import RowWise as _RowWise
else:
    _RowWise = object


class ExactDensity(_RowWise):
    """The part of a `GenerativeModel` that follows from its log-density; a family writes `_log_prob`.

    Logs: `loss`, the negative log-likelihood in nats per example, also named `nll`.
    """

    event_shape: tuple[int, ...]
    real_dtype: tf.DType
    _condition_spec: ConditionSpec

    density: str | None = "exact"
    _default_endpoint = "log_prob"

    def _log_prob(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The log-density log p(x) of rows in the real dtype, `[B]` nats; a family writes it."""
        raise TypeError(f"{type(self).__name__} must define `_log_prob(x, condition, training)`.")

    def loss_terms(
        self, x: tf.Tensor, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The negative log-likelihood."""
        return {"nll": -self._log_prob(x, condition, training)}

    def call(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The log-density log p(x), `[B]` nats."""
        x = tf.cast(x, self.real_dtype)
        condition = self._condition_spec.rows(condition, x.shape[0] or tf.shape(x)[0])
        return self._log_prob(x, condition, training)

    def log_prob(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The exact log-density log p(x), `[B]` nats.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows("log_prob", self._log_prob, x, condition, batch_size=batch_size)

    def bits_per_dim(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        r"""Bits per dimension, $-\log_2 p(x) / D$, `[B]`.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows("bits_per_dim", self._bits_per_dim, x, condition, batch_size=batch_size)

    def _bits_per_dim(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return -self._log_prob(x, condition) / (math.prod(self.event_shape) * math.log(2.0))

    def anomaly_score(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The negative log-density -log p(x), `[B]` nats; larger is stranger.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows("anomaly_score", self._score, x, condition, batch_size=batch_size)

    def _score(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return -self._log_prob(x, condition)

    def _density_endpoints(self) -> dict[str, Endpoint]:
        """`log_prob`, `bits_per_dim` and `anomaly_score`."""
        x = self._inputs(self.event_space())

        def named(output: str, function: Callable) -> Callable:
            return lambda *inputs: {output: function(*inputs)}

        return {
            "log_prob": Endpoint(named("log_prob", self._log_prob), x),
            "bits_per_dim": Endpoint(named("bits_per_dim", self._bits_per_dim), x),
            "anomaly_score": Endpoint(named("score", self._score), x),
        }
