r"""Priors p(z) over latent vectors, some of them with weights that are trained.

A prior is a layer that a model owns. `prior.distribution(posterior)` gives the `tfd.Distribution` at the
present weights. `posterior` is the model's map from data to q(z|x), for priors that are made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import ValueRange, check_integer, check_rows
from keras_genmod.core.precision import real_dtype, set_real_dtype
from keras_genmod.core.registration import register, resolve
from keras_genmod.distributions.gaussian_mixture import DiagonalGaussianMixture
from keras_genmod.distributions.real_heads import positive

__all__ = [
    "GaussianMixturePrior",
    "Prior",
    "StandardNormalPrior",
    "VampPrior",
    "get_prior",
    "standard_normal",
]

tfd = tfp.distributions

Posterior = Callable[[tf.Tensor], tfp.distributions.Distribution]


def standard_normal(latent_dim: int, dtype: Any = tf.float32) -> tfp.distributions.Distribution:
    """The factorised standard normal N(0, I) over `[latent_dim]`, without a batch axis."""
    zeros = tf.zeros([latent_dim], dtype)
    return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), reinterpreted_batch_ndims=1)


class Prior(keras.layers.Layer):
    """Base of the priors. A subclass writes `distribution`, and `build` if it has weights."""

    # Whether the prior depends on the encoder, which takes a condition in a conditional model.
    needs_posterior = False
    # Number of latent dimensions; None until a model gives it.
    latent_dim: Any
    event_shape: tuple[int, ...]

    def __init__(self, *, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name, autocast=False, **kwargs)
        self.latent_dim = None

    def set_shapes(
        self,
        latent_dim: int,
        event_shape: Sequence[int],
        value_range: ValueRange,
        *,
        seed: int | None = None,
        dtype: tf.DType = tf.float32,
    ) -> None:
        """Fixes the shapes and creates the weights; the model that uses the prior calls it.

        Args:
            latent_dim: Number of latent dimensions.
            event_shape: Shape of one example.
            value_range: Values of the data.
            seed: Seed of the initial weights.
            dtype: The model's real dtype.

        Raises:
            ValueError: If the prior belongs to a model of another shape or dtype.
        """
        event_shape = tuple(event_shape)
        if self.latent_dim is not None and (self.latent_dim, self.event_shape) != (latent_dim, event_shape):
            raise ValueError(
                f"This {type(self).__name__} is for {self.latent_dim} latent dimensions of events of shape "
                f"{self.event_shape}; received {latent_dim} and {event_shape}. Make a new one."
            )
        set_real_dtype(self, dtype)
        if self.latent_dim is None:
            self.latent_dim, self.event_shape, self.value_range = latent_dim, event_shape, value_range
            self.seed, self._initial = seed, keras.initializers.RandomNormal(stddev=1.0, seed=seed)
            self.build()

    @property
    def real_dtype(self) -> tf.DType:
        """Dtype of weights and densities."""
        return real_dtype(self.dtype_policy)

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights."""
        self.built = True

    def get_build_config(self) -> None:
        """None: the model that a prior is loaded with sets its shapes."""

    def distribution(self, posterior: Posterior) -> tfp.distributions.Distribution:
        """p(z) over `[latent_dim]`, without a batch axis.

        Args:
            posterior: Function from data `[K, *event_shape]` to q(z|x) of batch shape `[K]`.
        """
        raise TypeError(f"{type(self).__name__} must define `distribution(posterior)`.")


@register
class StandardNormalPrior(Prior):
    """N(0, I)."""

    def distribution(self, posterior: Posterior | None = None) -> tfp.distributions.Distribution:
        """The standard normal distribution."""
        return standard_normal(self.latent_dim, self.real_dtype)

    def get_config(self) -> dict:
        """The constructor arguments."""
        # Those of every layer. Keras finds them by itself only where the dtype is a name; in files it is an
        # object.
        return super().get_config()


class _MixturePrior(Prior):
    """Base of the mixtures: the number of components and their learned weights."""

    def __init__(self, num_components: int, **kwargs: Any) -> None:
        self.num_components = check_integer("num_components", num_components)
        super().__init__(**kwargs)

    def _add(self, name: str, shape: Sequence[int], initializer: Any) -> keras.Variable:
        dtype = self.real_dtype.name
        return self.add_weight(shape=shape, initializer=initializer, dtype=dtype, autocast=False, name=name)

    def build(self, input_shape: Any = None) -> None:
        """Creates the logits of the components' weights, equal at the start."""
        self.logits = self._add("logits", (self.num_components,), "zeros")
        super().build()

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {**super().get_config(), "num_components": self.num_components}


@register
class GaussianMixturePrior(_MixturePrior):
    r"""A learned mixture of normal distributions with diagonal covariances.

    $$ p(z) = \sum_k \pi_k \, N(z; \mu_k, diag(\sigma_k^2)) $$

    Weights, means (drawn from N(0, 1) at the start) and scales (1 at the start) are trained with the model.
    The divergence from it has no closed form and is estimated from the draws of training.

    Args:
        num_components: Number of components.

    Reference: Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders, Dilokthanakul et
    al., 2016 (a mixture as prior); VAE with a VampPrior, Tomczak and Welling, 2018 (as its baseline "MoG").
    """

    def __init__(self, num_components: int = 10, **kwargs: Any) -> None:
        super().__init__(num_components, **kwargs)

    def build(self, input_shape: Any = None) -> None:
        """Creates weights, means and raw scales."""
        super().build()
        shape = (self.num_components, self.latent_dim)
        self.loc = self._add("loc", shape, self._initial)
        self.raw_scale = self._add("raw_scale", shape, "zeros")

    def distribution(self, posterior: Posterior | None = None) -> tfp.distributions.Distribution:
        """The mixture at the present weights."""
        logits, loc, raw = map(tf.convert_to_tensor, (self.logits, self.loc, self.raw_scale))
        return DiagonalGaussianMixture(logits, loc, positive(raw))


@register
class VampPrior(_MixturePrior):
    r"""A mixture of the posteriors of learned pseudo-inputs: $p(z) = \sum_k \pi_k \, q(z \mid u_k)$.

    The best prior for the bound is the mean of the posteriors of all data. This prior approximates it with K
    learned examples $u_k$. Where the range of the data is bounded, a logistic function keeps them in it.

    Args:
        num_components: Number K of pseudo-inputs.
        pseudo_inputs: Their values at the start, `[K, *event_shape]`, such as some training examples; None
            draws them at random about the middle of the range. They are not part of the configuration, since
            the weights are saved.

    Cost: every step encodes K more examples.

    Raises:
        ValueError: In a conditional model, whose encoder would need a condition for each pseudo-input, or
            for `pseudo_inputs` of another shape or range.

    Reference: VAE with a VampPrior, Tomczak and Welling, 2018 (with equal weights; here they are
    learned, and equal at the start).
    """

    needs_posterior = True

    def __init__(self, num_components: int = 500, *, pseudo_inputs: Any = None, **kwargs: Any) -> None:
        super().__init__(num_components, **kwargs)
        self._start = None if pseudo_inputs is None else np.asarray(pseudo_inputs)

    def _bounds(self) -> tuple[float, float] | None:
        low, high = self.value_range.low, self.value_range.high
        return (low, high) if np.isfinite(low) and np.isfinite(high) else None

    def build(self, input_shape: Any = None) -> None:
        """Creates logits and raw pseudo-inputs."""
        super().build()
        initializer = self._initial
        if self._start is not None:
            check_rows("pseudo_inputs", self._start, self.event_shape)
            self.value_range.check("pseudo_inputs", self._start)
            if len(self._start) != self.num_components:
                raise ValueError(
                    f"`pseudo_inputs` must hold {self.num_components} examples, one a component; received "
                    f"{len(self._start)}."
                )
            raw, bounds = self._start.astype("float64"), self._bounds()
            if bounds:
                # Away from the ends, where the logistic function has no slope left.
                fraction = np.clip((raw - bounds[0]) / (bounds[1] - bounds[0]), 0.02, 0.98)
                raw = np.log(fraction) - np.log1p(-fraction)
            initializer = lambda shape, dtype: tf.cast(raw, dtype)  # noqa: E731
            self._start = None
        shape = (self.num_components, *self.event_shape)
        self.raw_inputs = self._add("raw_inputs", shape, initializer)

    def pseudo_inputs(self) -> tf.Tensor:
        """The pseudo-inputs $u_k$, `[K, *event_shape]`."""
        raw, bounds = tf.convert_to_tensor(self.raw_inputs), self._bounds()
        return bounds[0] + (bounds[1] - bounds[0]) * tf.sigmoid(raw) if bounds else raw

    def distribution(self, posterior: Posterior) -> tfp.distributions.Distribution:
        """The mixture of the posteriors of the pseudo-inputs."""
        components = posterior(self.pseudo_inputs())
        logits = tf.convert_to_tensor(self.logits)
        base = getattr(components, "distribution", None)
        if isinstance(components, tfd.Independent) and isinstance(base, tfd.Normal):
            return DiagonalGaussianMixture(logits, base.loc, base.scale)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), components)


_PRIORS = {
    "standard_normal": StandardNormalPrior,
    "gaussian_mixture": GaussianMixturePrior,
    "vamp": VampPrior,
}


def get_prior(prior: Any, argument: str = "prior") -> Prior:
    """Returns the prior of a model's `prior` argument: a name, a `Prior`, or a prior's configuration.

    Args:
        prior: The value that was given.
        argument: Name of the argument, for the error.

    Raises:
        ValueError: For another name or type.
    """
    return resolve(argument, prior, _PRIORS, Prior, "a prior such as `VampPrior(num_components=500)`")
