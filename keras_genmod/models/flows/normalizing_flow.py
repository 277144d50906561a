r"""Normalizing flows: an invertible map turns simple noise into data, which gives an exact density.

$$ x = f(z), \quad z \sim p(z), \qquad
   \log p(x) = \log p(f^{-1}(x)) + \log \left| \det \frac{\partial f^{-1}(x)}{\partial x} \right| $$

References: Variational Inference with Normalizing Flows, Rezende and Mohamed, 2015; Normalizing Flows for
Probabilistic Modeling and Inference, Papamakarios et al., 2021.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bases.exact_density import ExactDensity
from keras_genmod.bases.generative_model import GenerativeModel
from keras_genmod.bases.row_wise import SamplesByRow
from keras_genmod.bijectors.bijection import Bijection, build_chain, chain, chain_to_noise, check_bijections
from keras_genmod.bijectors.preprocessing import Dequantization
from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import ValueRange, check_integer, check_number
from keras_genmod.core.noise import row_seeds, sample_rows
from keras_genmod.core.registration import register
from keras_genmod.core.rows import log_mean_exp, map_rows
from keras_genmod.core.spaces import Space
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.distributions.priors import StandardNormalPrior, get_prior
from keras_genmod.models.flows.discrete_data import warn_of_discrete_data
from keras_genmod.models.flows.kept_variables import warn_of_kept_variables
from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.training.fused_adam import FusedAdam

__all__ = ["NormalizingFlow"]

tfb = tfp.bijectors
tfd = tfp.distributions

# Number of examples for the data-dependent initialisation.
_INITIAL_ROWS = 1024


@register
class NormalizingFlow(SamplesByRow, ExactDensity, GenerativeModel):
    r"""A flow with the bijections that it is given.

    Args:
        event_shape: Shape of one example.
        bijections: Layers of `keras_genmod.bijectors`, from the data to the noise. A dequantisation must be
            the first one. The data are then integer-valued, densities are lower bounds on their
            log-probability, and `density` is "lower_bound".
        base: Distribution of the noise: "standard_normal", "gaussian_mixture" (trained with the flow), or a
            prior such as `GaussianMixturePrior(20)`.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`. The networks of all
            bijections take the condition.

    Logs: `loss`, the negative log-likelihood in nats per example; `nll` is the same.

    Raises:
        ValueError: If bijections do not fit the shape, or a dequantisation is not the first one.

    Warns:
        UserWarning: If all couplings keep the same variables, whose density the flow then cannot learn.

    Cost: `log_prob` runs each bijection's inverse once, `sample` its forward pass once.

    Example:
        >>> import numpy as np
        >>> from keras_genmod import bijectors
        >>> flow = NormalizingFlow((2,), [bijectors.Coupling(), bijectors.Coupling(swap=True)], seed=0)
        >>> flow.log_prob(np.zeros((1, 2))).numpy()  # untrained: a standard normal distribution
        array([-1.837877], dtype=float32)
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        bijections: Sequence[Bijection],
        *,
        base: Any = "standard_normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, **kwargs)
        self.bijections = check_bijections(bijections)
        if any(isinstance(bijection, Dequantization) for bijection in self.bijections[1:]):
            raise ValueError(
                "A dequantisation must be the first of the `bijections`; received one after others. Move it "
                "to the front."
            )
        self._dequantization: Dequantization | None = None
        if self.bijections and isinstance(self.bijections[0], Dequantization):
            self._dequantization = self.bijections[0]
            self.density = "lower_bound"
        self._noise_shape = build_chain(
            self.bijections,
            self.event_shape,
            condition=self._condition_spec,
            seed=self.seed,
            dtype=self.real_dtype,
        )
        warn_of_kept_variables(self.bijections)
        self.latent_dim = math.prod(self._noise_shape)
        self.base = get_prior(base, "base")
        if self.base.needs_posterior:
            raise ValueError(
                f"`base` must not depend on an encoder; received a {type(self.base).__name__}, which is made "
                "of an encoder's posteriors. Use 'gaussian_mixture'."
            )
        self.base.set_shapes(
            self.latent_dim, (self.latent_dim,), ValueRange(), seed=self.seed, dtype=self.real_dtype
        )

    # ---- distributions --------------------------------------------------------------------------

    def distribution(
        self, condition: Any = None, *, training: bool = False
    ) -> tfp.distributions.TransformedDistribution:
        """The distribution over events; with a dequantisation, that of the real-valued $x + u$.

        Args:
            condition: One condition per row, `[B, ...]`; the distribution then has batch shape `[B]`.
            training: Whether layers run in training mode.
        """
        self._condition_spec.check_presence(condition)
        condition = self._condition_spec.standardize(condition)
        base = self._base_distribution()
        if condition is not None:
            base = tfd.BatchBroadcast(base, [tf.shape(condition)[0]])
        return tfd.TransformedDistribution(base, self._bijector(condition, training))

    def _base_distribution(self) -> tfp.distributions.Distribution:
        """The distribution of the noise over `[latent_dim]`."""
        # The constructor has refused bases that depend on a posterior.
        no_posterior: Any = None
        return self.base.distribution(no_posterior)

    def _bijector(self, condition: Any = None, training: bool = False) -> tfp.bijectors.Bijector:
        """The map from flat noise to data."""
        whole = chain(self.bijections, condition, training)
        if len(self._noise_shape) == 1:
            return whole
        return tfb.Chain([whole, tfb.Reshape(self._noise_shape, [self.latent_dim])])

    def _log_prob(
        self,
        x: tf.Tensor,
        condition: Any = None,
        training: bool = False,
        seeds: tf.Tensor | None = None,
    ) -> tf.Tensor:
        if self._dequantization is None:
            return self._density(x, condition, training)
        num_rows = tf.shape(x)[0]
        if seeds is None:
            noise = self._dequantization.noise(self._fixed_seed(), num_rows, shared=True)
        else:
            noise = self._dequantization.noise(seeds, num_rows)
        u, log_q = self._dequantization.transformed(x, noise, training)
        return self._density(x + u, condition, training) - log_q

    def _density(self, x: tf.Tensor, condition: Any, training: bool) -> tf.Tensor:
        """The log-density of `distribution` at rows x, `[B]`, by the bijections' fast path."""
        self._condition_spec.check_presence(condition)
        z, log_det = chain_to_noise(self.bijections, x, condition, training)
        return self._base_distribution().log_prob(tf.reshape(z, [-1, self.latent_dim])) + log_det

    def _bound(self, x: tf.Tensor, condition: Any, seeds: tf.Tensor, num_samples: int) -> tf.Tensor:
        """The log of the mean density over several draws of the dequantisation's noise, `[B]`."""
        if self._dequantization is None:
            return self._log_prob(x, condition)

        def of_draw(number: Any) -> tf.Tensor:
            return self._log_prob(x, condition, seeds=seeds + tf.stack([number, 0]))

        return log_mean_exp(of_draw, num_samples, tf.shape(x)[0], x.dtype)

    def loss_terms(
        self, x: tf.Tensor, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The negative log-likelihood; with a dequantisation, for one draw of its noise."""
        return {"nll": -self._log_prob(x, condition, training, seed)}

    def log_prob(
        self,
        x: Any,
        condition: Any = None,
        *,
        num_samples: int = 1,
        batch_size: int | None = None,
        seed: Any = None,
    ) -> tf.Tensor:
        """The log-density log p(x), `[B]` nats; with a dequantisation, a lower bound on the log-probability.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            num_samples: Number of draws of the dequantisation's noise. The bound is the log of their mean
                density, which rises with their number. Ignored without dequantisation: the density is exact.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
            seed: Seeds that noise: an integer or pair of integers; None uses the same noise at every call.
        """
        num_samples = check_integer("num_samples", num_samples)
        x = self._as_rows(x)
        num_rows = x.shape[0] or tf.shape(x)[0]
        condition = self._condition_spec.rows(condition, num_rows)
        seeds = row_seeds(self._fixed_seed() if seed is None else self._sampling_seed(seed), 0, num_rows)

        def bound(rows: tuple) -> tf.Tensor:
            x, condition, seeds = rows
            return self._bound(x, condition, seeds, num_samples)

        graph = self._graphs.get(("log_prob", num_samples), bound)
        return map_rows(graph, (x, condition, seeds), batch_size=self._batch_size(batch_size))

    def bits_per_dim(
        self,
        x: Any,
        condition: Any = None,
        *,
        num_samples: int = 1,
        batch_size: int | None = None,
        seed: Any = None,
    ) -> tf.Tensor:
        r"""$-\log_2 p(x) / D$, `[B]` bits.

        Args:
            x, condition, num_samples, batch_size, seed: As in `log_prob`.
        """
        log_prob = self.log_prob(x, condition, num_samples=num_samples, batch_size=batch_size, seed=seed)
        return -log_prob / (math.prod(self.event_shape) * math.log(2.0))

    # ---- noise and data -------------------------------------------------------------------------

    def encode(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The noise z of data, `[B, latent_dim]`; with a dequantisation, that of $x + 1/2$.

        Args:
            x: Data `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows("encode", self._encode, x, condition, batch_size=batch_size)

    def _encode(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return self._bijector(condition).inverse(x if self._dequantization is None else x + 0.5)

    def decode(self, z: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The data x of noise z, `[B, *event_shape]`.

        Args:
            z: Noise `[B, latent_dim]`.
            condition: One condition for all rows, or one per row.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows(
            "decode", self._decode, z, condition, space=self.latent_space(), batch_size=batch_size
        )

    def _decode(self, z: tf.Tensor, condition: Any = None) -> tf.Tensor:
        x = self._bijector(condition).forward(z)
        if self._dequantization is not None:
            return self._dequantization.discretize(x)
        accepted = self.value_range()
        # Values may lie outside by rounding, or because a `Logit` maps to a slightly larger interval.
        return tf.clip_by_value(x, accepted.low, accepted.high) if math.isfinite(accepted.low) else x

    def sample(
        self,
        num_samples: int,
        *,
        condition: Any = None,
        seed: Any = None,
        temperature: float = 1.0,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """New examples, `[num_samples, *event_shape]`, drawn exactly from the model.

        Args:
            num_samples: Number of samples to draw.
            condition: One condition for all samples, or one per sample.
            seed: Integer or pair of integers; None draws anew at every call.
            temperature: Factor on the noise's standard deviation. Other values than 1 need a standard normal
                base.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.

        Raises:
            ValueError: If the temperature is not 1 and the base is not standard normal.
        """
        temperature = check_number("temperature", temperature, above=0.0)
        if temperature != 1.0 and not isinstance(self.base, StandardNormalPrior):
            raise ValueError(
                f"`temperature` needs a standard normal base; received {temperature} with a "
                f"{type(self.base).__name__}. Use 1."
            )
        return self._sample(num_samples, condition, seed, batch_size, temperature=temperature)

    def _sample_rows(self, seeds: tf.Tensor, condition: Any = None, temperature: float = 1.0) -> tf.Tensor:
        z = sample_rows(self._base_distribution(), 1, seeds)[:, 0]
        return self._decode(temperature * z, condition)

    # ---- data -----------------------------------------------------------------------------------

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Adam with gradient clipping, without which single batches can undo the training of deep flows.

        The settings are those of Neural Spline Flows, Durkan et al., 2019.
        """
        return {"optimizer": FusedAdam(5e-4, global_clipnorm=5.0)}

    def value_range(self) -> ValueRange:
        """The values that the first bijection accepts."""
        return self.bijections[0].value_range() if self.bijections else ValueRange()

    def latent_space(self) -> Space:
        """The space of the noise `z` of one example."""
        return Space("z", (self.latent_dim,), self.real_dtype)

    def initialize(self, x: Any, condition: Any = None) -> None:
        """Data-dependent initialisation of weights, such as those of `ActNorm`. `fit` does it if needed.

        Args:
            x: Data `[B, *event_shape]`; at least some hundred examples.
            condition: One condition for all rows, or one per row.
        """
        h = self._as_rows(x)
        condition = self._condition_spec.rows(condition, h.shape[0])
        if self._dequantization is not None:
            noise = self._dequantization.noise(self._fixed_seed(), h.shape[0])
            h += self._dequantization.transformed(h, noise)[0]
        with self.distribute_strategy.scope():
            for bijection in self.bijections:
                h = bijection.initialize(h, condition)

    def _initialize_from_data(self, initial_rows: Callable[[int], Batch] | None) -> None:
        waits = any(bijection.needs_data() for bijection in self.bijections)
        # With a dequantisation, discrete data are right. A flow that was trained before has warned already.
        unseen = self._dequantization is None and not int(self.training_steps)
        if initial_rows is not None and (waits or unseen):
            batch = initial_rows(_INITIAL_ROWS)
            if unseen:
                warn_of_discrete_data(batch.x)
            if waits:
                self.initialize(batch.x, condition=batch.condition)
        elif waits:
            warn_user(
                "This flow has weights with data-dependent initialisation, and a generator cannot be read "
                "before training. Call `model.initialize(x)` with some examples first.",
            )

    # ---- endpoints and configuration ------------------------------------------------------------

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """The endpoints by name.

        They are `log_prob`, `bits_per_dim`, `anomaly_score`, `encode`, `decode`, `sample`, `sample_rows`.
        With a dequantisation, densities use one draw of its noise, the same for all rows.

        Args:
            max_samples: Largest number of samples that one request to `sample` may ask for.
            num_samples: Ignored.
        """

        def encode(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"z": self._encode(*inputs)}

        def decode(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"x": self._decode(*inputs)}

        return {
            **self._density_endpoints(),
            "encode": Endpoint(encode, self._inputs(self.event_space())),
            "decode": Endpoint(decode, self._inputs(self.latent_space())),
            **self._sample_endpoints(max_samples),
        }

    def get_config(self) -> dict:
        """The constructor arguments, including the bijections."""
        return {
            **super().get_config(),
            "bijections": [keras.saving.serialize_keras_object(bijection) for bijection in self.bijections],
            "base": keras.saving.serialize_keras_object(self.base),
        }
