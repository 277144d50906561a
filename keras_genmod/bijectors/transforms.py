r"""Monotone functions of one variable, with parameters from a network.

Couplings and autoregressive bijections apply one to each variable. A transform states how many raw parameters
it needs. With raw parameters of 0 it is the identity.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bijectors.bijection import has_fast_path
from keras_genmod.bijectors.spline import RationalQuadraticSpline, spline_to_noise
from keras_genmod.core.checks import check_integer, check_number
from keras_genmod.core.registration import register, resolve
from keras_genmod.core.rows import GraphCache

__all__ = ["AdditiveTransform", "AffineTransform", "SplineTransform", "Transform", "get_transform"]

tfb = tfp.bijectors


class Transform:
    """Base of the transforms. A subclass defines `params_per_dim` and `bijector`.

    Attributes:
        params_per_dim: Number of raw parameters for each variable.
    """

    params_per_dim: int = 1

    if TYPE_CHECKING:

        def _to_noise(self, raw: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]: ...

    def bijector(self, params: Sequence[tf.Tensor]) -> tfp.bijectors.Bijector:
        """The elementwise function from noise to data.

        Args:
            params: `params_per_dim` tensors of raw parameters, each of the variables' shape.
        """
        raise TypeError(f"{type(self).__name__} must define `bijector(params)`.")

    def to_noise(self, raw: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        r"""Maps data to noise elementwise, and gives $\log | dz / dx |$ with it.

        It gives the same numbers as `bijector`. A class may define a fast path as `_to_noise`.

        Args:
            raw: Raw parameters `[B, ..., params_per_dim * C]`; parameter k of channel c has index k * C + c.
            x: Data `[B, ..., C]`.
        """
        if has_fast_path(self, "_to_noise"):
            return self._to_noise(raw, x)
        bijector = self.bijector(tf.split(raw, self.params_per_dim, axis=-1))
        log_slope = bijector.inverse_log_det_jacobian(x, event_ndims=0)
        return bijector.inverse(x), tf.broadcast_to(log_slope, tf.shape(x))

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict) -> Transform:
        """The transform from its configuration."""
        return cls(**config)


@register
class AdditiveTransform(Transform):
    """$x = z + t$, which preserves volume. Reference: NICE, Dinh, Krueger and Bengio, 2015."""

    def bijector(self, params: Sequence[tf.Tensor]) -> tfp.bijectors.Bijector:
        """The shift."""
        return tfb.Shift(params[0])

    def _to_noise(self, raw: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return x - raw, tf.zeros_like(x)


@register
class AffineTransform(Transform):
    r"""$x = t + z \, e^{s}$ with $s = a \tanh(\hat s / a)$.

    Args:
        max_log_scale: $a$. Scales lie between $e^{-a}$ and $e^a$, so that deep stacks stay finite.

    Reference: Density Estimation using Real NVP, Dinh, Sohl-Dickstein and Bengio, 2017.
    """

    params_per_dim = 2

    def __init__(self, max_log_scale: float = 2.0) -> None:
        self.max_log_scale = check_number("max_log_scale", max_log_scale, above=0.0)

    def bijector(self, params: Sequence[tf.Tensor]) -> tfp.bijectors.Bijector:
        """Scale and shift."""
        shift, raw = params
        return tfb.Shift(shift)(tfb.Scale(log_scale=self._log_scale(raw)))

    def _to_noise(self, raw: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shift, raw = tf.split(raw, 2, axis=-1)
        log_scale = self._log_scale(raw)
        return (x - shift) * tf.exp(-log_scale), -log_scale

    def _log_scale(self, raw: tf.Tensor) -> tf.Tensor:
        return self.max_log_scale * tf.tanh(raw / self.max_log_scale)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {"max_log_scale": self.max_log_scale}


@register
class SplineTransform(Transform):
    r"""A monotone rational-quadratic spline on [-B, B]; the identity outside.

    Its 3 K - 1 parameters are the widths and heights of K bins and the slopes at the K - 1 inner knots.

    Args:
        num_bins: Number K of bins.
        bound: Half-width B of the interval.
        min_bin_size: Minimum width and height of a bin, as a fraction of 2 B.
        min_slope: Minimum slope at a knot.

    Cost: About 30 elementwise operations on `[..., K]`.

    Reference: Neural Spline Flows, Durkan, Bekasov, Murray and Papamakarios, 2019.
    """

    def __init__(
        self, num_bins: int = 8, bound: float = 4.0, *, min_bin_size: float = 1e-3, min_slope: float = 1e-3
    ) -> None:
        self.num_bins = check_integer("num_bins", num_bins, minimum=2)
        self.bound = check_number("bound", bound, above=0.0)
        self.min_bin_size = check_number("min_bin_size", min_bin_size, above=0.0, maximum=0.5 / num_bins)
        self.min_slope = check_number("min_slope", min_slope, above=0.0, maximum=0.5)
        self.params_per_dim = 3 * self.num_bins - 1

    def bijector(self, params: Sequence[tf.Tensor]) -> tfp.bijectors.Bijector:
        """The spline."""
        bins = self.num_bins
        raw = tf.stack(params, axis=-1)
        widths, heights, slopes = tf.split(raw, [bins, bins, bins - 1], axis=-1)
        return RationalQuadraticSpline(
            self._sizes(widths), self._sizes(heights), self._slopes(slopes), self.bound
        )

    def _sizes(self, raw: tf.Tensor) -> tf.Tensor:
        """Widths or heights of the bins, `[..., K]`."""
        share = self.min_bin_size + (1.0 - self.num_bins * self.min_bin_size) * tf.nn.softmax(raw)
        return 2.0 * self.bound * share

    def _slopes(self, raw: tf.Tensor) -> tf.Tensor:
        """Slopes at the inner knots, `[..., K - 1]`; a raw value of 0 gives slope 1."""
        start = math.log(math.expm1(1.0 - self.min_slope))
        return self.min_slope + tf.nn.softplus(raw + start)

    def _to_noise(self, raw: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        channels, params = x.shape[-1], self.params_per_dim
        rows = tf.reshape(raw, [-1, params, channels])
        rows = tf.reshape(tf.transpose(rows, [0, 2, 1]), [-1, params])
        graph = _SPLINES.get(tuple(self.get_config().items()), functools.partial(_spline_of_rows, self))
        both = tf.reshape(graph(rows, tf.reshape(x, [-1])), [-1, *x.shape[1:], 2])
        noise, log_slope = tf.unstack(both, axis=-1)
        return noise, log_slope

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            "num_bins": self.num_bins,
            "bound": self.bound,
            "min_bin_size": self.min_bin_size,
            "min_slope": self.min_slope,
        }


def _spline_of_rows(transform: SplineTransform, raw: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """The noise and the log-slope at x `[N]` for raw parameters `[N, 3 K - 1]`, as `[N, 2]`."""
    bins = transform.num_bins
    sizes, slopes = tf.split(raw, [2 * bins, bins - 1], axis=-1)
    sizes = transform._sizes(tf.reshape(sizes, [-1, 2, bins]))
    return tf.stack(spline_to_noise(x, sizes, transform._slopes(slopes), transform.bound), axis=-1)


# A spline with its gradient has about a hundred operations, and a flow has many splines. So each kind is
# traced once for all layers of all models and then copied into a flow's graph. The graphs hold no weights and
# no models.
_SPLINES = GraphCache()

_TRANSFORMS = {"additive": AdditiveTransform, "affine": AffineTransform, "spline": SplineTransform}


def get_transform(transform: Any) -> Transform:
    """The transform that a `transform` argument gives: a name, a `Transform` or its configuration.

    Raises:
        ValueError: If the name is unknown, or the argument is of another type.
    """
    other = "a transform such as `SplineTransform(num_bins=16)`"
    return resolve("transform", transform, _TRANSFORMS, Transform, other)
