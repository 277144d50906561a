r"""A mixture of normal distributions.

$$ p(x) = \sum_k \pi_k \, N(x; \mu_k, \Sigma_k) $$

Expectation maximisation alternates the responsibilities $r_{ik} = p(k \mid x_i)$ with the parameters of
largest likelihood given them:

$$ N_k = \sum_i r_{ik}, \quad \pi_k = N_k / N, \quad \mu_k = \frac{1}{N_k} \sum_i r_{ik} x_i, \quad
   \Sigma_k = \frac{1}{N_k} \sum_i r_{ik} (x_i - \mu_k) (x_i - \mu_k)^T + \epsilon I $$

Reference: Maximum Likelihood from Incomplete Data via the EM Algorithm, Dempster, Laird and Rubin, 1977.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import check_choice, check_number
from keras_genmod.core.registration import register
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.distributions.real_heads import positive
from keras_genmod.models.mixtures.covariances import ROUNDING, DiagonalCovariance, SphericalCovariance
from keras_genmod.models.mixtures.mixture_model import MixtureModel, as_means
from keras_genmod.models.mixtures.triangular_covariances import FullCovariance, TiedCovariance

__all__ = ["GaussianMixture"]

tfd = tfp.distributions
tfb = tfp.bijectors

_COVARIANCES = {
    kind.name: kind for kind in (FullCovariance, DiagonalCovariance, TiedCovariance, SphericalCovariance)
}
# A component of fewer examples than this is empty, and keeps its place.
_LEAST_COUNT = 1e-10
# The variance of examples that are all alike, without regularization.
_LEAST_VARIANCE = 1e-30
# Rounding to a grid of step s adds s^2 / 12 to a variance v: from this many steps a deviation on it adds
# less than 1e-3 nats, s^2 / (24 v), to the mean log-density of a dimension.
_LEAST_STEPS = 7.0


@register
class GaussianMixture(MixtureModel):
    r"""A mixture of normal distributions, trained by expectation maximisation or by gradients.

    `compile()` and `fit(x, epochs=...)` start by k-means++ and run one iteration of EM an epoch. The
    likelihood of the training data never falls (but by what the regularization costs).

    Moments are taken about each component's mean, in float64: a component may be narrow beside its distance
    from the others. Data, and means that gradients move, are float32, whose numbers about m lie
    $1.2 \cdot 10^{-7} m$ apart; `fit` warns of deviations below seven such steps. Above, log-densities are
    within 1e-3 nats (or their float32 rounding) of exact arithmetic on the float32 data and the parameters.

    Args:
        event_shape: shape of one example, of any rank; D is its number of values.
        num_components: number K of components.
        covariance: "full" (a matrix for each component), "tied" (one matrix for all), "diagonal" or
            "spherical" (one variance for each component).
        covariance_regularization: $\epsilon$, added to all variances in the M-step; by gradients its root
            is the least scale. In units of the data, squared.
        method: "em": an epoch of `fit` is one iteration of exact EM, whatever the batches; "online_em":
            each step moves averages of the statistics by $(t + 2)^{-\alpha}$ and takes the parameters from
            them, for data that are too many to see often; "gradient": the optimizer of `compile` moves
            weights' logits, means and scales. The optimizer is used by "gradient" alone.
        step_exponent: $\alpha$ of "online_em", above 0.5 and up to 1; smaller forgets sooner.
        **kwargs: `seed` (of the start and all draws), `name`, `dtype`, as in `GenerativeModel`.

    Raises:
        ValueError: for other arguments, or conditions, which mixtures do not take.

    Logs: `loss`, the negative log-likelihood in nats per example (under the name `nll` too); with
    `method="em"` that of the parameters at the epoch's begin.

    Cost: an example takes K D products ("full": K D^2, "tied": K D + D^2) for a density and as many for the
    M-step, in float64; "full" and "tied" factorise matrices in D^3 an iteration.

    Reference: Maximum Likelihood from Incomplete Data via the EM Algorithm, Dempster, Laird and Rubin, 1977;
    On-line Expectation-Maximization Algorithm for Latent Data Models, Cappé and Moulines, 2009.

    Example:
        >>> import numpy as np
        >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]], "float32")
        >>> model = GaussianMixture((1,), num_components=2, covariance="spherical", seed=0)
        >>> model.compile()
        >>> _ = model.fit(x, epochs=10, verbose=0)
        >>> np.sort(model.means().numpy().ravel()).round(1)
        array([-1.5,  1.5])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_components: int,
        covariance: str = "full",
        covariance_regularization: float = 1e-6,
        method: str = "em",
        step_exponent: float = 0.6,
        **kwargs: Any,
    ) -> None:
        self.covariance = check_choice("covariance", covariance, _COVARIANCES)
        self.covariance_regularization = check_number(
            "covariance_regularization", covariance_regularization, minimum=0.0
        )
        super().__init__(
            event_shape,
            num_components=num_components,
            method=method,
            step_exponent=step_exponent,
            **kwargs,
        )
        kind = self._kind()
        normal = keras.initializers.RandomNormal(stddev=1.0, seed=self.seed)
        self._means = self._add_parameter("means", (self.num_components, self._size), normal)
        if self.method == "gradient":
            self._scale = self._add_parameter("raw_scale", kind.free_shape, "zeros")
        else:
            one = tf.eye(self._size, batch_shape=kind.scale_shape[:-2]) if self._is_triangular else 1.0
            self._scale = self._add_parameter(
                "scale", kind.scale_shape, lambda shape, dtype: tf.zeros(shape, dtype) + one
            )
        self._add_averages()
        self.built = True

    @property
    def _is_triangular(self) -> bool:
        return self.covariance in ("full", "tied")

    def _kind(self) -> Any:
        size = math.prod(self.event_shape)
        return _COVARIANCES[self.covariance](self.num_components, size)

    def _temporary_per_row(self) -> int:
        return self._kind().temporary()

    # ---- parameters -------------------------------------------------------------------------------

    def _parameters(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Means and scales, float64."""
        means, scale = (tf.cast(tf.convert_to_tensor(w), tf.float64) for w in (self._means, self._scale))
        if self.method != "gradient":
            return means, scale
        return means, self._kind().from_free(scale, self._positive)

    def _positive(self, raw: tf.Tensor) -> tf.Tensor:
        return positive(raw) + math.sqrt(self.covariance_regularization)

    def _raw(self, scale: tf.Tensor) -> tf.Tensor:
        """The inverse of `_positive`, where there is one."""
        least = self._positive(tf.constant(-math.inf, tf.float64))
        at_zero = math.log(math.e - 1.0)
        return tfp.math.softplus_inverse(tf.maximum(scale - least, 1e-12)) - at_zero

    def _set(self, counts: tf.Tensor, means: tf.Tensor, scale: tf.Tensor) -> None:
        self._set_log_weights(counts)
        if self.method == "gradient":
            scale = self._kind().to_free(scale, self._raw)
        self._means.assign(tf.cast(means, self._means.dtype))
        self._scale.assign(tf.cast(scale, self._scale.dtype))

    def means(self) -> tf.Tensor:
        r"""The means $\mu_k$, float64 `[K, *event_shape]`."""
        self._check_fitted()
        return tf.reshape(self._parameters()[0], [-1, *self.event_shape])

    def covariances(self) -> tf.Tensor:
        r"""The covariances: `[K, D, D]` ("full"), `[D, D]` ("tied"), `[K, D]` or `[K]`, float64."""
        self._check_fitted()
        return self._kind().covariances_of(self._parameters()[1])

    def num_parameters(self) -> int:
        """Number of free parameters: K - 1 weights, K D means, D (D + 1) / 2 of each matrix."""
        return self.num_components - 1 + self.num_components * self._size + math.prod(self._kind().free_shape)

    def set_parameters(self, *, mixing_weights: Any, means: Any, covariances: Any) -> None:
        """Sets all parameters; `fit` goes on from them and does not start by k-means++.

        Args:
            mixing_weights: `[K]`, with sum 1.
            means: `[K, *event_shape]`.
            covariances: `[K, D, D]` for "full", `[D, D]` for "tied", `[K, D]` for "diagonal", `[K]` for
                "spherical".

        Raises:
            ValueError: for other shapes, or covariances that are not positive definite.
        """
        counts = self._checked_weights(mixing_weights)
        means = as_means("means", means, self.num_components, self.event_shape)
        covariances = self._checked("covariances", covariances, self._kind().scale_shape)
        if self._is_triangular:
            # Those of other packages may be sums of float32 products, symmetric to rounding alone.
            rounding = 1e-6 * np.max(np.abs(covariances))
            symmetric = np.allclose(covariances, np.swapaxes(covariances, -1, -2), atol=rounding)
            valid = symmetric and np.all(np.linalg.eigvalsh(covariances) > 0.0)
        else:
            valid = np.all(covariances > 0.0)
        if not valid:
            raise ValueError(
                "`covariances` must be positive (symmetric and positive definite, where they are matrices); "
                "received others. Add a small number to the diagonal."
            )
        self._set(counts, tf.constant(means), self._kind().scale_of(tf.constant(covariances)))
        self._has_parameters()

    def _start_at(self, x: np.ndarray, weight: np.ndarray, generator: np.random.Generator) -> None:
        """Means of k-means++ clusters, with the covariance within clusters for all."""
        members, means = self._clusters(x, weight, generator)
        x = x.astype(np.float64)
        within = x - means[np.argmax(members, axis=1)]
        pooled = (within * weight[:, None]).T @ within / weight.sum()
        # Rounding of sums and of means, see `Covariance.rounding`.
        least = ROUNDING * np.diagonal(pooled) + np.square(ROUNDING * np.max(np.abs(x), axis=0))
        pooled += np.diag(np.maximum(least, max(self.covariance_regularization, _LEAST_VARIANCE)))
        scale = self._kind().scale_of(self._kind().from_pooled(tf.constant(pooled)))
        self._set(tf.constant(weight @ members + 1.0), tf.constant(means), scale)
        self._has_parameters()

    # ---- EM ---------------------------------------------------------------------------------------

    def _log_joint(self) -> Callable[[tf.Tensor], tf.Tensor]:
        densities, log_weights = self._kind().densities(*self._parameters()), self._log_weights()
        return lambda x: log_weights + densities(x)

    def _statistics_shapes(self) -> list[tuple[int, ...]]:
        sums = (self.num_components, self._size)
        return [(self.num_components,), sums, self._kind().scale_shape]

    def _statistics(self) -> Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]]:
        moments = self._kind().moments(*self._parameters())
        return lambda x, responsibilities: [
            tf.reduce_sum(responsibilities, axis=0),
            *moments(x, responsibilities),
        ]

    def _expected_statistics(self) -> list[tf.Tensor]:
        shares = tf.exp(self._log_weights())
        means, scale = self._parameters()
        second = self._kind().moments_of(shares, self._kind().covariances_of(scale))
        return [shares, tf.zeros_like(means), second]

    def _maximize(self, statistics: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        counts, sums, second = statistics
        kind = self._kind()
        means, scale = self._parameters()
        # What is left of a variance that is rounding alone must still be a variance.
        least = tf.maximum(kind.rounding(counts, second, means, scale), _LEAST_VARIANCE)
        least = tf.maximum(tf.constant(self.covariance_regularization, tf.float64), least)
        empty = counts < _LEAST_COUNT * tf.reduce_sum(counts)
        shift = tf.where(empty[:, None], tf.zeros_like(sums), sums / counts[:, None])
        second = kind.recentred(counts, shift, second)
        covariances = kind.covariances(counts, second)
        covariances = kind.kept(empty, tf.zeros_like(covariances), covariances)
        self._set(counts, means + shift, kind.kept(empty, scale, kind.scale_of(covariances, least)))
        return [counts, sums - counts[:, None] * shift, second]

    def _look_at_parameters(self) -> None:
        means, scale = self._parameters()
        given_others, variances = self._kind().extents(scale)
        # What the data's dtype can tell apart beside the mean: nothing nearer than this.
        steps = np.finfo(self.real_dtype.as_numpy_dtype).eps * tf.abs(means)
        least = tf.maximum(1e-10 * variances, tf.square(0.1 * steps))
        least = tf.maximum(least, 10.0 * max(self.covariance_regularization, _LEAST_VARIANCE))
        if self.method != "gradient" and bool(tf.reduce_any(given_others <= least)):
            warn_user(
                f"A component of {self.name!r} has no extent of its own in some direction (variance "
                f"{float(tf.reduce_min(given_others)):.1e}): values that never differ, or fewer different "
                "examples than dimensions. There the density is what "
                f"`covariance_regularization={self.covariance_regularization:g}` says. Raise it, take fewer "
                "components, or a simpler `covariance`.",
            )
        elif bool(tf.reduce_any(_LEAST_STEPS * steps > tf.sqrt(variances))):
            where = np.unravel_index(
                int(tf.argmax(tf.reshape(steps / tf.sqrt(variances), [-1]))), steps.shape
            )
            deviation = np.broadcast_to(np.sqrt(variances), steps.shape)[where]
            warn_user(
                f"A component of {self.name!r} has the standard deviation {deviation:.1e} about "
                f"{float(means[where]):.6g}, where {self.real_dtype.name} numbers lie "
                f"{float(steps[where]):.1e} apart: the rounding of the data counts in its density. Subtract "
                "a constant from the data in float64, or build the model with dtype='float64'.",
            )

    # ---- samples and distributions ----------------------------------------------------------------

    def _drawn(self, which: tf.Tensor, uniform: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        means, scale = self._parameters()
        return tf.gather(means, which) + self._kind().moved(tf.cast(noise, tf.float64), which, scale)

    def distribution(self) -> tfd.Distribution:
        """The mixture at the present parameters as a distribution over `[*event_shape]`, in the real dtype.

        `log_prob` of the model computes in float64, which tells more of very narrow components.
        """
        self._check_fitted()
        log_weights, means, scale = (
            tf.cast(value, self.real_dtype) for value in (self._log_weights(), *self._parameters())
        )
        mixture = self._kind().distribution(log_weights, means, scale)
        if len(self.event_shape) == 1:
            return mixture
        return tfd.TransformedDistribution(mixture, tfb.Reshape(self.event_shape, (self._size,)))

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "covariance": self.covariance,
            "covariance_regularization": self.covariance_regularization,
        }
