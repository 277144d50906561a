r"""A mixture of normal distributions.

$$ p(x) = \sum_k \pi_k \, N(x; \mu_k, \Sigma_k) $$

Expectation maximisation alternates between the responsibilities $r_{ik} = p(k \mid x_i)$ and the parameters
of largest likelihood given the responsibilities:

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
from keras_genmod.distributions.real_heads import positive
from keras_genmod.models.mixtures.covariances import ROUNDING, is_positive
from keras_genmod.models.mixtures.diagonal_covariances import DiagonalCovariance, SphericalCovariance
from keras_genmod.models.mixtures.mixture_model import MixtureModel, as_means
from keras_genmod.models.mixtures.narrow_components import warn_of_narrow_components
from keras_genmod.models.mixtures.triangular_covariances import FullCovariance, TiedCovariance

__all__ = ["GaussianMixture"]

tfd = tfp.distributions
tfb = tfp.bijectors

_COVARIANCES = {
    kind.name: kind for kind in (FullCovariance, DiagonalCovariance, TiedCovariance, SphericalCovariance)
}
# A component with a smaller fraction of the examples counts as empty and keeps its parameters.
_LEAST_COUNT = 1e-10
# The least variance, used for identical examples without regularization.
_LEAST_VARIANCE = 1e-30


@register
class GaussianMixture(MixtureModel):
    r"""A mixture of normal distributions, trained by expectation maximisation or by gradients.

    After `compile()`, `fit(x, epochs=...)` initialises the components by k-means++ and runs one iteration of
    EM per epoch. The likelihood of the training data never falls, except by the effect of the regularization.

    Moments are computed about each component's mean, in float64, so a component may be narrow compared with
    its distance from the others. The data, and means trained by gradients, are float32; numbers of this dtype
    near m are $1.2 \cdot 10^{-7} m$ apart. `fit` warns of standard deviations below seven such steps. Above
    that, log-densities differ by less than 1e-3 nats (or their own float32 rounding) from exact arithmetic on
    the same float32 data and parameters.

    Args:
        event_shape: Shape of one example, of any rank; D is its number of values.
        num_components: Number K of components.
        covariance: "full" (a matrix per component), "tied" (one matrix for all), "diagonal" (a variance per
            component and dimension) or "spherical" (one variance per component).
        covariance_regularization: $\epsilon$, added to all variances in the M-step, in squared units of the
            data. With "gradient", its square root is the least scale.
        method: "em": an epoch of `fit` is one iteration of exact EM, whatever the batches. "online_em": each
            step moves averages of the statistics by $(t + 2)^{-\alpha}$ towards the batch's, and computes the
            parameters from them; this suits data too many to see often. "gradient": the optimizer of
            `compile` trains the logits of the weights, the means and the scales. The other methods do not use
            the optimizer.
        step_exponent: $\alpha$ of "online_em", above 0.5 and up to 1; smaller values forget sooner.
        **kwargs: `seed` (seeds the initialisation and all draws), `name`, `dtype`, as in `GenerativeModel`.

    Raises:
        ValueError: If an argument is invalid, or a condition is given, since mixtures take none.

    Logs: `loss`, the negative log-likelihood in nats per example, also named `nll`; with `method="em"` that
    of the parameters at the beginning of the epoch.

    Cost: K D products per example ("full": K D^2, "tied": K D + D^2) for a density, and as many for the
    M-step, in float64. "full" and "tied" also factorise matrices, D^3 per iteration.

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
        """The means and scales, float64."""
        means, scale = (tf.cast(tf.convert_to_tensor(w), tf.float64) for w in (self._means, self._scale))
        if self.method != "gradient":
            return means, scale
        return means, self._kind().from_free(scale, self._positive)

    def _positive(self, raw: tf.Tensor) -> tf.Tensor:
        return positive(raw) + math.sqrt(self.covariance_regularization)

    def _raw(self, scale: tf.Tensor) -> tf.Tensor:
        """The inverse of `_positive`, for values in its range."""
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
        """Sets all parameters; `fit` continues from them instead of starting with k-means++.

        Args:
            mixing_weights: Weights of the components, `[K]`, with sum 1.
            means: Means `[K, *event_shape]`.
            covariances: Covariances or variances: `[K, D, D]` for "full", `[D, D]` for "tied", `[K, D]` for
                "diagonal", `[K]` for "spherical".

        Raises:
            ValueError: If a shape is wrong, or a covariance is not positive definite.
        """
        counts = self._checked_weights(mixing_weights)
        means = as_means("means", means, self.num_components, self.event_shape)
        covariances = self._checked("covariances", covariances, self._kind().scale_shape)
        if not is_positive(covariances, as_matrices=self._is_triangular):
            raise ValueError(
                "`covariances` must be positive, and matrices symmetric and positive definite; received "
                "values that are not. Add a small number to the diagonal."
            )
        self._set(counts, tf.constant(means), self._kind().scale_of(tf.constant(covariances)))
        self._has_parameters()

    def _start_at(self, x: np.ndarray, weight: np.ndarray, generator: np.random.Generator) -> None:
        """Starts from the means of k-means++ clusters, with the pooled covariance within clusters for all."""
        members, means = self._clusters(x, weight, generator)
        x = x.astype(np.float64)
        within = x - means[np.argmax(members, axis=1)]
        pooled = (within * weight[:, None]).T @ within / weight.sum()
        # The rounding errors of sums and means, see `Covariance.rounding`.
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
        # A variance that is mere rounding error must still become a positive variance.
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
        warn_of_narrow_components(
            self.name,
            means,
            given_others,
            variances,
            dtype=self.real_dtype,
            regularization=self.covariance_regularization,
            least_variance=_LEAST_VARIANCE,
            check_extent=self.method != "gradient",
        )

    # ---- samples and distributions ----------------------------------------------------------------

    def _drawn(self, which: tf.Tensor, uniform: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        means, scale = self._parameters()
        return tf.gather(means, which) + self._kind().moved(tf.cast(noise, tf.float64), which, scale)

    def distribution(self) -> tfp.distributions.Distribution:
        """The mixture with the current parameters as a distribution over `[*event_shape]`, in the real dtype.

        The model's own `log_prob` computes in float64, which is more exact for very narrow components.
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
