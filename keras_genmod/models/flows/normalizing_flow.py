r"""Normalizing flows: data as the image of simple noise under an invertible map.

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
from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.training.fused_adam import FusedAdam

__all__ = ["NormalizingFlow"]

tfb = tfp.bijectors
tfd = tfp.distributions

# Examples that weights which start from data are set with.
_START_ROWS = 1024


@register
class NormalizingFlow(SamplesByRow, ExactDensity, GenerativeModel):
    r"""A density by change of variables.

    Args:
        event_shape: shape of one example.
        bijections: layers of `keras_genmod.bijectors`, from the data to the noise. A dequantisation stands
            first; the data are then whole numbers, and densities lower bounds on their probabilities.
        base: distribution of the noise: "standard_normal", "gaussian_mixture" (trained; for flat noise), or
            a prior such as `GaussianMixturePrior(20)`.
        num_classes, condition_shape, seed, name, dtype: as in `GenerativeModel`. Conditions enter the
            networks of all bijections.

    Logs: `loss`, the negative log-likelihood in nats per example (under the name `nll` too).

    Raises:
        ValueError: for bijections that do not fit the shape, or a dequantisation elsewhere than first.

    Cost: a density takes each bijection's way to the noise once, a sample the way back.

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
        first, *others = self.bijections or [None]
        if any(isinstance(bijection, Dequantization) for bijection in others):
            raise ValueError(
                "A dequantisation must be the first of the `bijections`; received one behind others."
            )
        self._dequantization = first if isinstance(first, Dequantization) else None
        self._noise_shape = build_chain(
            self.bijections,
            self.event_shape,
            condition=self._condition_spec,
            seed=self.seed,
            dtype=self.real_dtype,
        )
        self.latent_dim = math.prod(self._noise_shape)
        self.base = get_prior(base, "base")
        if self.base.needs_posterior:
            raise ValueError(
                f"`base` must be a distribution of its own; received a {type(self.base).__name__}, which is "
                "made of a model's posterior. Use 'gaussian_mixture'."
            )
        self.base.set_shapes(
            self.latent_dim, (self.latent_dim,), ValueRange(), seed=self.seed, dtype=self.real_dtype
        )
        self.built = True

    @property
    def density(self) -> str:
        """`"exact"`; `"lower_bound"` on the probability of whole numbers."""
        return "exact" if self._dequantization is None else "lower_bound"

    # ---- distributions --------------------------------------------------------------------------

    def distribution(self, condition: Any = None, *, training: bool = False) -> tfd.TransformedDistribution:
        """The density over `event_shape`; with a dequantisation that of $x + u$.

        Args:
            condition: rows `[B, ...]`: the distribution then has batch shape `[B]`.
            training: whether layers act as in training.
        """
        self._condition_spec.check_presence(condition)
        condition = self._condition_spec.standardize(condition)
        base = self.base.distribution(None)
        if condition is not None:
            base = tfd.BatchBroadcast(base, [tf.shape(condition)[0]])
        return tfd.TransformedDistribution(base, self._bijector(condition, training))

    def _bijector(self, condition: Any = None, training: bool = False) -> tfb.Bijector:
        """From flat noise to data."""
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
        """The log-density of `distribution` at rows x, `[B]`, by the short way through the bijections."""
        self._condition_spec.check_presence(condition)
        z, log_det = chain_to_noise(self.bijections, x, condition, training)
        return self.base.distribution(None).log_prob(tf.reshape(z, [-1, self.latent_dim])) + log_det

    def _bound(self, x: tf.Tensor, condition: Any, seeds: tf.Tensor, num_samples: int) -> tf.Tensor:
        """The log-density from several draws of the dequantisation's noise, `[B]`."""
        if self._dequantization is None:
            return self._log_prob(x, condition)

        def of_draw(number: Any) -> tf.Tensor:
            return self._log_prob(x, condition, seeds=seeds + tf.stack([number, 0]))

        return log_mean_exp(of_draw, num_samples, tf.shape(x)[0], x.dtype)

    def loss_terms(
        self, x: tf.Tensor, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The negative log-likelihood, of whole numbers with one draw of the dequantisation's noise."""
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
        """The log-density log p(x), `[B]` nats; of whole numbers a lower bound on their log-probability.

        Args:
            x: data `[B, *event_shape]`.
            condition: one for all or one per row.
            num_samples: draws of the dequantisation's noise, whose mean density the bound is: it rises with
                their number. Without a dequantisation the density is exact and has no noise.
            batch_size: rows in one pass, which bounds the memory; None takes the model's own number.
            seed: of that noise, an integer or two integers; None takes the same at every call.
        """
        num_samples = check_integer("num_samples", num_samples)
        x = self._as_rows(x)
        num_rows = x.shape[0] or tf.shape(x)[0]
        condition = self._condition_spec.rows(condition, num_rows)
        seeds = row_seeds(self._fixed_seed() if seed is None else self._sampling_seed(seed), 0, num_rows)
        graph = self._graphs.get(
            ("log_prob", num_samples), lambda rows: self._bound(*rows, num_samples=num_samples)
        )
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
            x, condition, num_samples, batch_size, seed: as in `log_prob`.
        """
        log_prob = self.log_prob(x, condition, num_samples=num_samples, batch_size=batch_size, seed=seed)
        return -log_prob / (math.prod(self.event_shape) * math.log(2.0))

    # ---- noise and data -------------------------------------------------------------------------

    def encode(self, x: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The noise z of data, `[B, latent_dim]`; whole numbers are taken at the middle of their interval.

        Args:
            x: data `[B, *event_shape]`.
            condition: one for all or one per row.
            batch_size: rows in one pass, which bounds the memory; None takes the model's own number.
        """
        return self._map_rows("encode", self._encode, x, condition, batch_size=batch_size)

    def _encode(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return self._bijector(condition).inverse(x if self._dequantization is None else x + 0.5)

    def decode(self, z: Any, condition: Any = None, *, batch_size: int | None = None) -> tf.Tensor:
        """The data of noise z, `[B, *event_shape]`.

        Args:
            z: noise `[B, latent_dim]`.
            condition: one for all or one per row.
            batch_size: rows in one pass, which bounds the memory; None takes the model's own number.
        """
        return self._map_rows(
            "decode", self._decode, z, condition, space=self.latent_space(), batch_size=batch_size
        )

    def _decode(self, z: tf.Tensor, condition: Any = None) -> tf.Tensor:
        x = self._bijector(condition).forward(z)
        if self._dequantization is not None:
            return self._dequantization.whole_numbers(x)
        accepted = self.value_range()
        # Rounding, and what a `Logit` maps beyond the ends.
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
            num_samples: how many.
            condition: one for all or one per sample.
            seed: integer or two integers; None draws anew at every call.
            temperature: factor of the standard deviation of the noise, for a standard normal base.
            batch_size: samples in one pass, which bounds the memory; None takes the model's own number.

        Raises:
            ValueError: for a temperature other than 1 with another base.
        """
        temperature = check_number("temperature", temperature, above=0.0)
        if temperature != 1.0 and not isinstance(self.base, StandardNormalPrior):
            raise ValueError(
                f"`temperature` needs a standard normal base; received {temperature} with a "
                f"{type(self.base).__name__}. Leave it at 1."
            )
        return self._sample(num_samples, condition, seed, batch_size, temperature=temperature)

    def _sample_rows(self, seeds: tf.Tensor, condition: Any = None, temperature: float = 1.0) -> tf.Tensor:
        z = sample_rows(self.base.distribution(None), 1, seeds)[:, 0]
        return self._decode(temperature * z, condition)

    # ---- data -----------------------------------------------------------------------------------

    def default_optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Adam with a clipped gradient, without which deep flows are thrown back by single batches.

        The settings are those of Neural Spline Flows, Durkan et al., 2019.
        """
        return {"optimizer": FusedAdam(5e-4, global_clipnorm=5.0)}

    def value_range(self) -> ValueRange:
        """The values that the first bijection takes."""
        return self.bijections[0].value_range() if self.bijections else ValueRange()

    def latent_space(self) -> Space:
        """The space of the noise `z` of one example."""
        return Space("z", (self.latent_dim,), self.real_dtype)

    def initialize(self, x: Any, condition: Any = None) -> None:
        """Sets the weights that start from data, such as those of `ActNorm`; `fit` does it with its first.

        Args:
            x: data `[B, *event_shape]`, some hundred examples or more.
            condition: one for all or one per row.
        """
        h = self._as_rows(x)
        condition = self._condition_spec.rows(condition, h.shape[0])
        if self._dequantization is not None:
            noise = self._dequantization.noise(self._fixed_seed(), h.shape[0])
            h += self._dequantization.transformed(h, noise)[0]
        with self.distribute_strategy.scope():
            for bijection in self.bijections:
                h = bijection.initialize(h, condition)

    def _start_from(self, first_rows: Callable[[int], Batch] | None) -> None:
        waits = any(bijection.needs_data() for bijection in self.bijections)
        # A dequantisation makes reals of whole numbers; a flow that was trained before has been warned.
        unseen = self._dequantization is None and not int(self.training_steps)
        if first_rows is not None and (waits or unseen):
            batch = first_rows(_START_ROWS)
            if unseen:
                warn_of_discrete_data(batch.x)
            if waits:
                self.initialize(batch.x, condition=batch.condition)
        elif waits:
            warn_user(
                "This flow has weights that start from data, and a generator cannot be looked at before "
                "training. Call `model.initialize(x)` with some examples first.",
            )

    # ---- endpoints and configuration ------------------------------------------------------------

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint.

        They are `log_prob`, `bits_per_dim`, `anomaly_score`, `encode`, `decode`, `sample`, `sample_rows`.
        Densities of whole numbers are of one draw of the dequantisation's noise, the same for all.

        Args:
            max_samples: the most that one request of `sample` may ask for.
            num_samples: not used.
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
        """The constructor arguments, the bijections included."""
        return {
            **super().get_config(),
            "bijections": [keras.saving.serialize_keras_object(bijection) for bijection in self.bijections],
            "base": keras.saving.serialize_keras_object(self.base),
        }
