r"""What the mixtures share: densities that are sums over components, and whose component an example is from.

$$ p(x) = \sum_{k=1}^{K} \pi_k \, p(x \mid k) $$
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.bases.exact_density import ExactDensity
from keras_genmod.bases.generative_model import GenerativeModel
from keras_genmod.bases.row_wise import SamplesByRow
from keras_genmod.core.checks import ValueRange, check_integer, check_rows, describe
from keras_genmod.core.row_noise import normal_rows, uniform_rows
from keras_genmod.models.mixtures.expectation_maximization import ExpectationMaximization
from keras_genmod.models.mixtures.fitted import AnswersAfterFit
from keras_genmod.models.mixtures.starts import k_means_plus_plus
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["MixtureModel", "as_means", "refuse_conditions", "uniform_and_noise"]

# Share of the examples below which a component counts as empty, for a finite logarithm of its weight.
_LEAST_SHARE = 1e-30


class _Density(AnswersAfterFit, SamplesByRow, ExactDensity, GenerativeModel):
    """The bases of `MixtureModel` below its training."""


class MixtureModel(ExpectationMaximization, _Density):
    """Base of the mixtures; a family writes the joint density of example and component.

    Args:
        event_shape: shape of one example, of any rank.
        num_components: number K of components.
        training: as in `GaussianMixture`.
        step_exponent: as in `GaussianMixture`.
        **kwargs: `seed`, `name`, `dtype`, `trainable`, as in `GenerativeModel`.

    Logs: `loss`, the negative log-likelihood in nats per example (under the name `nll` too).
    """

    # In which densities and statistics of a chunk of rows are computed.
    _real = tf.float64
    _instead_of_fit = ", or `initialize(x)`, or `set_parameters`"

    def __init__(self, event_shape: Sequence[int], *, num_components: int, **kwargs: Any) -> None:
        refuse_conditions(type(self).__name__, kwargs)
        self.num_components = check_integer("num_components", num_components)
        super().__init__(event_shape, **kwargs)
        self._size = math.prod(self.event_shape)
        self._logits = self._add_parameter("logits", (self.num_components,), "zeros")
        self._rows_per_pass = max(1, min(self._rows_per_pass, 2**21 // self._temporary_per_row()))

    # ---- what a family writes ---------------------------------------------------------------------

    def _log_joint(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function from rows `[B, D]` to log p(x, k), `[B, K]`."""
        raise TypeError(f"{type(self).__name__} must define `_log_joint`.")

    def _drawn(self, which: tf.Tensor, uniform: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Rows `[B, D]` from their components `[B]` and random numbers `[B, D]`, uniform and normal."""
        raise TypeError(f"{type(self).__name__} must define `_drawn`.")

    # ---- parameters -------------------------------------------------------------------------------

    def _add_parameter(self, name: str, shape: Sequence[int], initializer: Any) -> keras.Variable:
        """A weight: trained by gradients, or as exact as the M-step that sets it."""
        by_gradient = self.training == "gradient"
        initializer = keras.initializers.get(initializer)
        return self.add_weight(
            shape=shape,
            initializer=lambda shape, dtype: tf.cast(initializer(shape, "float32"), dtype),
            dtype=(self.real_dtype if by_gradient else self._real).name,
            trainable=by_gradient,
            autocast=False,
            aggregation="mean" if by_gradient else "only_first_replica",
            name=name,
        )

    def _log_weights(self) -> tf.Tensor:
        return tf.nn.log_softmax(tf.cast(tf.convert_to_tensor(self._logits), self._real))

    def _set_log_weights(self, counts: tf.Tensor) -> None:
        shares = tf.maximum(counts / tf.reduce_sum(counts), _LEAST_SHARE)
        self._logits.assign(tf.cast(tf.math.log(shares), self._logits.dtype))

    def mixing_weights(self) -> tf.Tensor:
        r"""The weights $\pi_k$ of the components, `[K]`."""
        self._check_fitted()
        return tf.exp(self._log_weights())

    def _checked_weights(self, mixing_weights: Any) -> tf.Tensor:
        """Mixing weights of a user as counts."""
        weights = self._checked("mixing_weights", mixing_weights, (self.num_components,))
        if np.any(weights < 0) or abs(weights.sum() - 1.0) > 1e-4:
            raise ValueError(
                f"`mixing_weights` must be at least 0 and sum to 1; received {describe(mixing_weights)} "
                f"from {weights.min():g} to {weights.max():g} with sum {weights.sum():g}."
            )
        return tf.constant(weights)

    def _checked(self, name: str, value: Any, shape: Sequence[int]) -> np.ndarray:
        """A user's parameter as finite float64 of a shape."""
        value = np.asarray(value)
        if value.shape != tuple(shape):
            raise ValueError(
                f"`{name}` must have shape {tuple(shape)}; received {value.shape}. Reshape it, or build the "
                "model for it."
            )
        ValueRange().check(name, value)
        return value.astype(np.float64)

    def _clusters(
        self, x: np.ndarray, weight: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Clusters about k-means++ centres: who is in which, float64 `[N, K]`, and their means `[K, D]`."""
        _, labels = k_means_plus_plus(x, self.num_components, generator, weight)
        members = np.eye(self.num_components)[labels]
        weighted = members * weight[:, None]
        return members, weighted.T @ x.astype(np.float64) / weighted.sum(axis=0)[:, None]

    # ---- densities and components -----------------------------------------------------------------

    def _flat(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, [-1, self._size])

    def _joint(self, x: tf.Tensor) -> tf.Tensor:
        return self._log_joint()(tf.cast(self._flat(x), self._real))

    def _log_prob(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        return tf.cast(tf.reduce_logsumexp(self._joint(x), axis=1), self.real_dtype)

    def responsibilities(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The probabilities p(k | x) that an example is of each component, `[B, K]`.

        Args:
            x: data `[B, *event_shape]`.
            condition: None; mixtures take none.
            batch_size: rows in one pass, which bounds the memory; None takes the model's own number.

        Example:
            >>> import numpy as np
            >>> from keras_genmod.models.mixtures import GaussianMixture
            >>> mixture = GaussianMixture((1,), num_components=2, covariance="spherical")
            >>> mixture.set_parameters(
            ...     mixing_weights=[0.5, 0.5], means=[[-1.0], [1.0]], covariances=[1.0, 1.0]
            ... )
            >>> mixture.responsibilities(np.zeros((1, 1))).numpy()
            array([[0.5, 0.5]], dtype=float32)
        """
        return self._map_rows("responsibilities", self._responsibilities, x, condition, batch_size=batch_size)

    def _responsibilities(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return tf.cast(tf.nn.softmax(self._joint(x), axis=1), self.real_dtype)

    def predict_component(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The most probable component of each example (hard assignments), int32 `[B]`.

        `predict` gives log-densities, as it gives what `call` computes for every model.

        Args:
            x: data `[B, *event_shape]`.
            condition: None; mixtures take none.
            batch_size: rows in one pass, which bounds the memory; None takes the model's own number.
        """
        return self._map_rows(
            "predict_component", self._predict_component, x, condition, batch_size=batch_size
        )

    def _predict_component(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return tf.argmax(self._joint(x), axis=1, output_type=tf.int32)

    # ---- information criteria -----------------------------------------------------------------------

    def num_parameters(self) -> int:
        """Number of free parameters: the weights count K - 1, since they sum to 1."""
        raise TypeError(f"{type(self).__name__} must define `num_parameters`.")

    def bic(self, x: Any) -> float:
        r"""Bayesian information criterion, $-2 \sum_i \log p(x_i) + P \log N$; smaller is better.

        Compares numbers of components and covariance structures: fit one model for each, and take the one
        with the smallest criterion on the training data. P is `num_parameters()`.

        Args:
            x: data `[N, *event_shape]`.

        Reference: Estimating the Dimension of a Model, Schwarz, 1978.
        """
        log_prob = np.asarray(self.log_prob(x), np.float64)
        return float(self.num_parameters() * math.log(len(log_prob)) - 2.0 * log_prob.sum())

    def aic(self, x: Any) -> float:
        r"""Akaike information criterion, $-2 \sum_i \log p(x_i) + 2 P$; smaller is better.

        Args:
            x: data `[N, *event_shape]`; P is `num_parameters()`.

        Reference: A New Look at the Statistical Model Identification, Akaike, 1974.
        """
        return float(2.0 * self.num_parameters() - 2.0 * np.asarray(self.log_prob(x), np.float64).sum())

    # ---- samples ----------------------------------------------------------------------------------

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
            num_samples: how many.
            condition: None; mixtures take none.
            seed: integer or two integers; None draws anew at every call.
            batch_size: samples in one pass, which bounds the memory; None takes the model's own number.
        """
        return self._sample(num_samples, condition, seed, batch_size)

    def _sample_rows(self, seeds: tf.Tensor, condition: Any = None) -> tf.Tensor:
        choice, uniform, noise = uniform_and_noise(seeds, self._size, self.real_dtype)
        bounds = tf.cast(tf.cumsum(tf.exp(self._log_weights()))[:-1], self.real_dtype)
        which = tf.reduce_sum(tf.cast(choice[:, None] >= bounds, tf.int32), axis=1)
        drawn = tf.cast(self._drawn(which, uniform, noise), self.real_dtype)
        return tf.reshape(drawn, [-1, *self.event_shape])

    # ---- endpoints and configuration ----------------------------------------------------------------

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint: `log_prob`, `bits_per_dim`, `anomaly_score`, `responsibilities`, `sample`, ...

        Args:
            max_samples: the most that one request of `sample` may ask for.
            num_samples: not used: densities are exact.

        Raises:
            RuntimeError: before `fit`.
        """
        self._check_fitted()
        return {
            **self._density_endpoints(),
            "responsibilities": Endpoint(
                lambda x: {"responsibilities": self._responsibilities(x)}, self._inputs(self.event_space())
            ),
            **self._sample_endpoints(max_samples),
        }

    def get_config(self) -> dict:
        """The constructor arguments that all mixtures share."""
        return {**super().get_config(), "num_components": self.num_components}


def refuse_conditions(name: str, arguments: dict) -> None:
    """Refuses the arguments of conditional models, for families that have no such thing."""
    for argument in ("num_classes", "condition_shape"):
        if arguments.get(argument) is not None:
            raise ValueError(
                f"`{name}` is not conditional; received {argument}={arguments[argument]!r}. Fit one model "
                "for each class, or a `MADE` with conditions."
            )


def uniform_and_noise(seeds: tf.Tensor, size: int, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Numbers of each row from its own seed: a uniform one `[B]`, uniform and normal ones `[B, size]`."""
    uniform = uniform_rows(seeds, [size + 1], dtype)
    noise = normal_rows(seeds, [size], dtype, stream=1)
    return uniform[:, 0], uniform[:, 1:], noise


def as_means(name: str, means: Any, num_components: int, event_shape: Sequence[int]) -> np.ndarray:
    """One value of the event's shape a component, float64 `[K, D]`."""
    means = np.asarray(means)
    check_rows(name, means, event_shape)
    if len(means) != num_components:
        raise ValueError(
            f"`{name}` must have one row for each of the {num_components} components; received {len(means)}."
        )
    ValueRange().check(name, means)
    return means.reshape(num_components, -1).astype(np.float64)
