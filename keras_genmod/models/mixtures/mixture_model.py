r"""What the mixtures share: densities that are sums over components, and the components' responsibilities.

$$ p(x) = \sum_{k=1}^{K} \pi_k \, p(x \mid k) $$
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import ValueRange, check_integer, check_rows, describe
from keras_genmod.core.row_noise import normal_rows, uniform_rows
from keras_genmod.models.mixtures.expectation_maximization import ExpectationMaximization
from keras_genmod.models.mixtures.starts import k_means_plus_plus
from keras_genmod.serving.endpoints import Endpoint

__all__ = ["MixtureModel", "as_means", "refuse_conditions", "uniform_and_noise"]

# The least mixing weight, so that its logarithm is finite.
_LEAST_SHARE = 1e-30


class MixtureModel(ExpectationMaximization):
    """Base of the mixtures; a family writes the joint density of example and component.

    Args:
        event_shape: Shape of one example, of any rank.
        num_components: Number K of components.
        method, step_exponent: As in `GaussianMixture`.
        **kwargs: `seed`, `name`, `dtype`, `trainable`, as in `GenerativeModel`.

    Logs: `loss`, the negative log-likelihood in nats per example, also named `nll`.
    """

    @property
    def _real(self) -> tf.DType:
        """The dtype in which densities and statistics of a chunk of rows are computed."""
        return tf.float64

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
        """Rows `[B, D]` drawn from their components `[B]` with uniform and normal random numbers `[B, D]`."""
        raise TypeError(f"{type(self).__name__} must define `_drawn`.")

    # ---- parameters -------------------------------------------------------------------------------

    def _add_parameter(self, name: str, shape: Sequence[int], initializer: Any) -> keras.Variable:
        """A weight, trainable if gradients train it, otherwise in the precision of the M-step."""
        by_gradient = self.method == "gradient"
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
        """A user's mixing weights, checked, as counts."""
        weights = self._checked("mixing_weights", mixing_weights, (self.num_components,))
        if np.any(weights < 0) or abs(weights.sum() - 1.0) > 1e-4:
            raise ValueError(
                f"`mixing_weights` must be at least 0 and sum to 1; received {describe(mixing_weights)} "
                f"from {weights.min():g} to {weights.max():g} with sum {weights.sum():g}. Divide them by "
                "their sum."
            )
        return tf.constant(weights)

    def _checked(self, name: str, value: Any, shape: Sequence[int]) -> np.ndarray:
        """A user's parameter as a finite float64 array of a given shape."""
        value = np.asarray(value)
        if value.shape != tuple(shape):
            raise ValueError(
                f"`{name}` must have shape {tuple(shape)}; received {value.shape}. Reshape it, or build the "
                "model with other arguments."
            )
        ValueRange().check(name, value)
        return value.astype(np.float64)

    def _clusters(
        self, x: np.ndarray, weight: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Clusters about k-means++ centres: one-hot labels, float64 `[N, K]`, and means `[K, D]`."""
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
        """The probabilities p(k | x) that an example belongs to each component, `[B, K]`.

        Args:
            x: Data `[B, *event_shape]`.
            condition: None, since mixtures take no condition.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.

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

        `predict` returns log-densities, because it returns the result of `call` for every model.

        Args:
            x: Data `[B, *event_shape]`.
            condition: None, since mixtures take no condition.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows(
            "predict_component", self._predict_component, x, condition, batch_size=batch_size
        )

    def _predict_component(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return tf.argmax(self._joint(x), axis=1, output_type=tf.int32)

    # ---- information criteria -----------------------------------------------------------------------

    def num_parameters(self) -> int:
        """Number of free parameters; the weights count as K - 1, since they sum to 1."""
        raise TypeError(f"{type(self).__name__} must define `num_parameters`.")

    def bic(self, x: Any) -> float:
        r"""Bayesian information criterion, $-2 \sum_i \log p(x_i) + P \log N$; smaller is better.

        To choose the number of components and the covariance structure, fit one model for each choice, and
        take the model with the smallest criterion on the training data. P is `num_parameters()`.

        Args:
            x: Data `[N, *event_shape]`.

        Reference: Estimating the Dimension of a Model, Schwarz, 1978.
        """
        log_prob = np.asarray(self.log_prob(x), np.float64)
        return float(self.num_parameters() * math.log(len(log_prob)) - 2.0 * log_prob.sum())

    def aic(self, x: Any) -> float:
        r"""Akaike information criterion, $-2 \sum_i \log p(x_i) + 2 P$; smaller is better.

        Args:
            x: Data `[N, *event_shape]`; P is `num_parameters()`.

        Reference: A New Look at the Statistical Model Identification, Akaike, 1974.
        """
        return float(2.0 * self.num_parameters() - 2.0 * np.asarray(self.log_prob(x), np.float64).sum())

    # ---- samples ----------------------------------------------------------------------------------

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
            max_samples: Largest number of samples that one request to `sample` may draw.
            num_samples: Not used, since densities are exact.

        Raises:
            RuntimeError: If the model has not been fitted.
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
    """Refuses the arguments of conditional models, for families that are never conditional."""
    for argument in ("num_classes", "condition_shape"):
        if arguments.get(argument) is not None:
            raise ValueError(
                f"`{name}` is not conditional; received {argument}={arguments[argument]!r}. Fit one model "
                "per class, or use a conditional `MADE`."
            )


def uniform_and_noise(seeds: tf.Tensor, size: int, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Numbers of each row from its own seed: a uniform one `[B]`, uniform and normal ones `[B, size]`."""
    uniform = uniform_rows(seeds, [size + 1], dtype)
    noise = normal_rows(seeds, [size], dtype, stream=1)
    return uniform[:, 0], uniform[:, 1:], noise


def as_means(name: str, means: Any, num_components: int, event_shape: Sequence[int]) -> np.ndarray:
    """One array of the event's shape per component, checked and flattened, float64 `[K, D]`."""
    means = np.asarray(means)
    check_rows(name, means, event_shape)
    if len(means) != num_components:
        raise ValueError(
            f"`{name}` must have one row for each of the {num_components} components; received {len(means)} "
            "rows. Pass one row per component."
        )
    ValueRange().check(name, means)
    return means.reshape(num_components, -1).astype(np.float64)
