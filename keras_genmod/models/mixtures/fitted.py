"""Exact densities that have no meaningful parameters before `fit`, and refuse questions until then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.bases.exact_density import ExactDensity
from keras_genmod.bases.generative_model import GenerativeModel
from keras_genmod.bases.row_wise import SamplesByRow
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["FittedDensity"]


class FittedDensity(SamplesByRow, ExactDensity, GenerativeModel):
    """Base of exact densities that refuse to answer before their parameters come from data.

    The networks of other families return meaningful, if poor, numbers before training. A mixture's parameters
    are arbitrary until `fit` has seen the data, and its figures would be mistaken for those of a fitted
    model. Whether a model is fitted is part of its weights, so loading or setting weights is enough.
    """

    # What may be called in place of `fit`, for the error message.
    _instead_of_fit = ""

    def _is_fitted(self) -> bool:
        """Whether the parameters were set; True in a graph, which cannot read weights."""
        raise TypeError(f"{type(self).__name__} must define `_is_fitted`.")

    def _check_fitted(self) -> None:
        if not self._is_fitted():
            raise RuntimeError(
                f"This `{type(self).__name__}` has not been fitted yet. Call `fit` with the training data "
                f"first{self._instead_of_fit}, or load weights of a fitted model."
            )

    def _add_state(self, name: str, shape: Sequence[int], dtype: str) -> keras.Variable:
        """A weight that gradients do not train, zero at first and equal on all replicas."""
        return self.add_weight(
            shape=shape,
            initializer="zeros",
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name=name,
        )

    def call(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        """The log-density log p(x), `[B]` nats."""
        self._check_fitted()
        return super().call(x, condition=condition, training=training)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """The log-density of every example; see `GenerativeModel.predict`.

        Args:
            *args, **kwargs: As in `GenerativeModel.predict`.
        """
        self._check_fitted()
        return super().predict(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """The means of the objective over data; see `GenerativeModel.evaluate`.

        Args:
            *args, **kwargs: As in `GenerativeModel.evaluate`.
        """
        self._check_fitted()
        return super().evaluate(*args, **kwargs)

    def _map_rows(self, key: Any, function: Callable, *args: Any, **kwargs: Any) -> tf.Tensor:
        self._check_fitted()
        return super()._map_rows(key, function, *args, **kwargs)

    def sample(
        self,
        num_samples: int,
        *,
        condition: Any = None,
        seed: Any = None,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """New examples, `[num_samples, *event_shape]`.

        Args:
            num_samples: Number of samples to draw.
            condition: None, since the model takes no condition.
            seed: Integer or pair of integers; None draws anew at every call.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._sample(num_samples, condition, seed, batch_size)

    def _sample(self, *args: Any, **kwargs: Any) -> tf.Tensor:
        self._check_fitted()
        return super()._sample(*args, **kwargs)

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint: `log_prob`, `bits_per_dim`, `anomaly_score`, `sample`, `sample_rows`.

        Args:
            max_samples: Largest number of samples that one request to `sample` may draw.
            num_samples: Not used, since densities are exact.

        Raises:
            RuntimeError: If the model has not been fitted.
        """
        self._check_fitted()
        return {**self._density_endpoints(), **self._sample_endpoints(max_samples)}
