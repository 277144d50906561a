"""Ancestral sampling and inpainting: variables are drawn one after the other, each given those before it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_genmod.bases.row_wise import SamplesByRow
from keras_genmod.core.checks import check_integer, check_number, check_rows, describe
from keras_genmod.core.noise import row_seeds
from keras_genmod.core.row_noise import fold_in_rows, uniform_rows
from keras_genmod.core.rows import log_mean_exp, map_rows
from keras_genmod.core.spaces import Space
from keras_genmod.distributions.head import Head
from keras_genmod.networks.autoregressive import AutoregressiveNetwork, generate_naively

__all__ = ["AncestralSampling"]


class AncestralSampling(SamplesByRow):
    """The sampling of `AutoregressiveModel`, from uniform numbers, so that each way gives the same values."""

    event_shape: tuple[int, ...]
    network: AutoregressiveNetwork
    real_dtype: tf.DType
    _likelihood_head: Head

    if TYPE_CHECKING:

        def _as_rows(self, x: Any, space: Space | None = None) -> tf.Tensor: ...
        def _refuse_symbolic(self, name: str, value: Any) -> None: ...

    def sample(
        self,
        num_samples: int,
        *,
        condition: Any = None,
        seed: Any = None,
        temperature: float = 1.0,
        jit_compile: bool = False,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """New examples, `[num_samples, *event_shape]`, drawn exactly from the model.

        Args:
            num_samples: Number of samples to draw.
            condition: One for all or one per sample.
            seed: Integer or two integers; None gives new samples at every call.
            temperature: T above 0. Each factor is drawn from p^(1/T), which is closer to its mode for T below
                1. The head says what that means for mixtures.
            jit_compile: Whether XLA compiles the loop. That takes some seconds for each new number of
                samples, after which sampling is several times faster.
            batch_size: Samples drawn in one pass, which bounds memory; None uses the model's default.

        Cost: about one pass through the network, cut into as many steps as there are variables (`H * W` for
        images), for each of the network's orders.
        """
        check_integer("num_samples", num_samples)
        temperature = check_number("temperature", temperature, above=0.0)
        seeds = row_seeds(self._sampling_seed(seed), 0, num_samples)
        condition = self._condition_spec.rows(condition, num_samples)
        rows = (seeds, condition, None, None)
        return self._generated(rows, temperature, jit_compile, self._batch_size(batch_size))

    def inpaint(
        self,
        x: Any,
        mask: Any,
        condition: Any = None,
        *,
        seed: Any = None,
        temperature: float = 1.0,
        num_particles: int = 1,
        jit_compile: bool = False,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        r"""Draws the values that are not given, and keeps the others: `[B, *event_shape]`.

        Variables are drawn in the model's order, each given those before it. Where the given values come
        first in that order (the upper half of an image), that is an exact draw from the model's own
        p(rest | given). With any other mask a drawn value ignores the given values that come later in the
        order. `num_particles` mends that: it is the number of candidates drawn for each row, of which one is
        chosen by the importance weights

        $$ w = \frac{p(x)}{q(x)}, \qquad q(x) = \prod_{d\ \text{drawn}} p(x_d \mid x_{<d}) $$

        (one resampling at the end). As their number grows, the result becomes a draw from p(rest | given). A
        temperature other than 1 does not enter the weights.

        If the network holds several orders, each candidate takes one at random, and p and q are means over
        all orders. A single candidate does not weigh the orders by how likely they make the given values;
        many candidates do. If all rows have the same mask, a `NADE` over random orders draws in an order that
        begins with the given values. One candidate is then an exact draw from the conditional of that order,
        which training has seen like any other. Many become a draw from the mean over `num_orderings` orders.

        Args:
            x: Data `[B, *event_shape]`. Values at places that are not given do not matter.
            mask: 1 where a value is given, 0 where it is to be drawn: `event_shape` for all rows or
                `[B, *event_shape]`.
            condition: One condition for all rows, or one per row.
            seed: Integer or two integers; None gives new samples at every call.
            temperature: As in `sample`.
            num_particles: Number of candidates for each row.
            jit_compile: As in `sample`.
            batch_size: Candidates drawn in one pass, which bounds memory; None uses the model's default.

        Raises:
            ValueError: For a mask of another shape, or with values other than 0 and 1.

        Cost: that of sampling `num_particles` examples a row and of one pass for their weights, for each of
        the network's orders.
        """
        temperature = check_number("temperature", temperature, above=0.0)
        num_particles = check_integer("num_particles", num_particles)
        rows_per_pass = self._batch_size(batch_size)
        self._refuse_symbolic("x", x)
        x = x if tf.is_tensor(x) else np.asarray(x)
        check_rows("x", x, self.event_shape)
        num_rows = x.shape[0]
        mask = self._check_mask(mask, num_rows)
        # Values that are not given may be anything, even NaN.
        x = self._as_rows(np.where(mask, np.asarray(x), 0))
        condition = self._condition_spec.rows(condition, num_rows)
        order = self._order_from(mask)
        seeds = row_seeds(self._sampling_seed(seed), 0, num_rows * num_particles)
        many = [
            None if rows is None else tf.repeat(rows, num_particles, axis=0) for rows in (condition, x, mask)
        ]
        drawn = self._generated((seeds, *many), temperature, jit_compile, rows_per_pass, order)
        if num_particles == 1:
            return drawn
        graph = self._graphs.get("log_weights", self._log_weights)
        weights = map_rows(
            lambda rows: graph(*rows, order),
            (drawn, many[2], many[0]),
            batch_size=self._batch_size(batch_size),
        )
        choices = self._graphs.get("choices", _choices)(
            tf.reshape(weights, [num_rows, num_particles]), seeds[::num_particles]
        )
        drawn = tf.reshape(drawn, [num_rows, num_particles, *self.event_shape])
        return tf.gather(drawn, choices, batch_dims=1)

    def _check_mask(self, mask: Any, num_rows: int) -> np.ndarray:
        mask = np.asarray(mask)
        if mask.shape == self.event_shape:
            mask = np.broadcast_to(mask, (num_rows, *self.event_shape))
        if mask.shape != (num_rows, *self.event_shape):
            raise ValueError(
                f"`mask` must have shape {self.event_shape}, or {(num_rows, *self.event_shape)} with one for "
                f"each row; received {describe(mask)}. Reshape it, or broadcast it over the channels."
            )
        if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
            raise ValueError(
                "`mask` must hold 1 where a value is given and 0 where it is to be drawn; received other "
                f"values in {describe(mask)}. Compare first, for example `mask > 0.5`."
            )
        return mask.astype(bool)

    def _log_weights(
        self, x: tf.Tensor, mask: tf.Tensor, condition: Any, order: tf.Tensor | None
    ) -> tf.Tensor:
        """The log weights log p(x) - log q(x), `[B]`, of drawn examples.

        Args:
            x: Examples, `[B, *event_shape]`.
            mask: 1 where a value was given.
            condition: One per row.
            order: The order in which they were drawn; None for any order of the network.
        """
        num_rows, num_orders = tf.shape(x)[0], self.network.num_orders

        def log_densities(order: Any) -> tf.Tensor:
            """Both log p and log q of one order, `[2 * B]`."""
            log_probs = self._factor_log_probs(x, condition, order)
            axes = list(range(1, x.shape.rank))
            drawn = tf.where(mask, tf.zeros_like(log_probs), log_probs)
            return tf.concat([tf.reduce_sum(log_probs, axes), tf.reduce_sum(drawn, axes)], axis=0)

        log_p, log_q = tf.split(
            log_mean_exp(
                lambda n: log_densities(n if num_orders > 1 else None), num_orders, 2 * num_rows, x.dtype
            ),
            2,
        )
        if order is not None:
            log_q = log_densities(order)[num_rows:]
        return log_p - log_q

    def _factor_log_probs(self, x: tf.Tensor, condition: Any, order: Any) -> tf.Tensor:
        """The factors log p(x_d | x_<d) of all variables, `[B, *event_shape]`."""
        head = self._likelihood_head
        params = self.network(head.standardize(x), condition, order=order)
        return head.distribution(params).distribution.log_prob(x)

    def _generated(
        self,
        rows: tuple,
        temperature: float,
        jit_compile: bool,
        rows_per_pass: int,
        order: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Examples from `(seeds, condition, given x, mask)`, in bounded memory."""
        loop = self._graphs.get(
            ("sample", temperature, jit_compile),
            lambda seeds, condition, given, mask, order: self._generate(
                self._uniforms(seeds), condition, given, mask, order, temperature=temperature
            ),
            jit_compile=jit_compile,
        )
        return map_rows(lambda rows: loop(*rows, order), rows, batch_size=rows_per_pass)

    def _uniforms(self, seeds: tf.Tensor) -> tf.Tensor:
        """Numbers in [0, 1) for each row from its own seed, `[D, B, U]`; the last chooses the order."""
        size = math.prod(self.event_shape) + 1
        shape = [size, self._likelihood_head.uniforms_per_dim]
        return tf.transpose(uniform_rows(seeds, shape, self.real_dtype), [1, 0, 2])

    def _generate(
        self,
        uniforms: tf.Tensor,
        condition: Any = None,
        given: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        order: Any = None,
        *,
        temperature: float = 1.0,
        naive: bool = False,
    ) -> tf.Tensor:
        """Examples from uniform numbers; every way of computing them gives the same."""
        head, network = self._likelihood_head, self.network
        num_rows = uniforms.shape[1] or tf.shape(uniforms)[1]
        if given is not None and mask is not None:
            given, mask = (tf.transpose(tf.reshape(t, [num_rows, -1])) for t in (given, mask))

        def emit(variable: tf.Tensor, params: tf.Tensor) -> tf.Tensor:
            value = head.draw(params, uniforms[variable], temperature)
            if given is None or mask is None:
                return value
            return tf.where(mask[variable], given[variable], value)

        generate = (lambda *a, **k: generate_naively(network, *a, **k)) if naive else network.generate
        options = {"standardize": head.standardize, "condition": condition}
        if network.num_orders == 1 or order is not None:
            return generate(emit, num_rows, order=order, **options)
        # The model is a mixture over orders: each row draws its own.
        chosen = tf.cast(uniforms[-1, :, 0] * network.num_orders, tf.int32)
        chosen = tf.reshape(chosen, [-1, *[1] * len(self.event_shape)])

        def body(order: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            drawn = generate(emit, num_rows, order=order, **options)
            return order + 1, tf.where(chosen == order, drawn, x)

        start = tf.zeros([num_rows, *self.event_shape], self.real_dtype)
        _, x = tf.while_loop(
            lambda order, _: order < network.num_orders,
            body,
            (0, start),
            maximum_iterations=network.num_orders,
        )
        return x

    def _sample_rows(self, seeds: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return self._generate(self._uniforms(seeds), condition)

    def _order_from(self, mask: np.ndarray) -> tf.Tensor | None:
        """An order in which the given values `[B, *event_shape]` come first, if the model knows one."""
        return None


def _choices(log_weights: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
    """The number of one candidate for each row, `[B]`, drawn by the weights `[B, K]` with the row's seed."""
    uniforms = uniform_rows(fold_in_rows(seeds, 1), [], log_weights.dtype)
    shares = tf.cumsum(tf.nn.softmax(log_weights), axis=1)
    # Traced for any number of candidates.
    last = tf.shape(log_weights)[1] - 1
    return tf.minimum(tf.reduce_sum(tf.cast(shares <= uniforms[:, None], tf.int32), axis=1), last)
