r"""Kernel density estimation: the training examples themselves, each a normal distribution.

$$ p(x) = \sum_i w_i \prod_d N(x_d; x_{id}, h_d^2) $$

References: Remarks on Some Nonparametric Estimates of a Density Function, Rosenblatt, 1956; On Estimation of
a Probability Density Function and Mode, Parzen, 1962.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.bases.exact_density import ExactDensity
from keras_genmod.bases.generative_model import GenerativeModel
from keras_genmod.bases.row_wise import ROWS_PER_PASS, SamplesByRow
from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import check_integer, check_number, describe
from keras_genmod.core.distances import squared_distances
from keras_genmod.core.registration import register
from keras_genmod.core.rows import GraphCache, map_rows
from keras_genmod.distributions.gaussian_mixture import DiagonalGaussianMixture
from keras_genmod.models.mixtures.bandwidths import choose_bandwidths
from keras_genmod.models.mixtures.fitted import AnswersAfterFit
from keras_genmod.models.mixtures.mixture_model import refuse_conditions, uniform_and_noise
from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.training.callback_order import with_callback

__all__ = ["KernelDensity"]

tfd = tfp.distributions
tfb = tfp.bijectors

# Points whose distances from the rows of a pass are in memory at a time.
_POINTS_PER_PASS = 2048
# Error of a squared distance in bandwidths that does not matter, twice that of a log-density in nats.
_TOLERANCE = 2.0**-12
# Training examples whose leave-one-out density is logged.
_MOST_LEFT_OUT = 1000

_ADVICE = (
    "`KernelDensity` stores all examples before the first step, so `x` must be an array, or batches that end "
    "and can be iterated again; received a generator or endless batches. Pass an array."
)


class _LeaveOneOut(keras.callbacks.Callback):
    """Puts the training figures into the logs of every epoch, before other callbacks read them."""

    def on_train_begin(self, logs: Any = None) -> None:
        self._figures = self.model._leave_one_out()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs.update(self._figures)


@register
class KernelDensity(AnswersAfterFit, SamplesByRow, ExactDensity, GenerativeModel):
    r"""A normal kernel on every training example; `fit` stores them.

    There is nothing to optimise: `fit` takes one look at all the data, sets the bandwidths, and replaces what
    an earlier call stored. The points are weights: files and exports hold them.

    Args:
        event_shape: shape of one example, of any rank; D is its number of values.
        bandwidth: standard deviation $h$ of the kernels, in units of the data; or a rule that gives each
            dimension its own from its standard deviation $\sigma_d$ and the number n of points: "scott",
            $h_d = \sigma_d \, n^{-1/(D+4)}$, or "silverman", $h_d = \sigma_d \, (n (D+2) / 4)^{-1/(D+4)}$.
            With weights, $n = (\sum w)^2 / \sum w^2$.
        num_points: number of points that a file holds; `fit` sets it.
        **kwargs: `seed`, `name`, `dtype`, as in `GenerativeModel`.

    Raises:
        ValueError: for other arguments, or conditions.
        RuntimeError: from questions before `fit`.

    Logs: `loss`, the leave-one-out negative log-likelihood in nats per training example (under the name
    `nll` too): that of an example under the kernels of all others, since it lies on a kernel of its own. Of
    more than 1,000 examples it is the mean over 1,000, drawn by the seed; of a single one there is none.
    `val_loss` and `val_nll` are those of validation examples.

    Cost: n D for a density, in float64 and blocks of 2048 points, and 1,000 n D for `fit`; D for a sample.
    Densities are right to
    2e-4 nats or to the rounding of float32, wherever the points lie and however far one is from the others.

    Reference: On Estimation of a Probability Density Function and Mode, Parzen, 1962; Multivariate Density
    Estimation, Scott, 1992 (the rules).

    Example:
        >>> import numpy as np
        >>> model = KernelDensity((1,), bandwidth=1.0)
        >>> model.compile()
        >>> _ = model.fit(np.zeros((5, 1), "float32"), verbose=0)
        >>> model.log_prob(np.zeros((1, 1))).numpy().round(3)  # -log(2 pi) / 2
        array([-0.919], dtype=float32)
    """

    # A step of `fit` has nothing to compute.
    _training_batch_size = 4096

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        bandwidth: float | str = "scott",
        num_points: int | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_conditions(type(self).__name__, kwargs)
        super().__init__(event_shape, **kwargs)
        if isinstance(bandwidth, str):
            if bandwidth not in ("scott", "silverman"):
                raise ValueError(
                    "`bandwidth` must be a positive number, 'scott' or 'silverman'; received "
                    f"{describe(bandwidth)}."
                )
            self.bandwidth = bandwidth
        else:
            self.bandwidth = check_number("bandwidth", bandwidth, above=0.0)
        self._size = math.prod(self.event_shape)
        # 0 until `fit`: room for points, as a configuration makes it, is not yet points.
        self._bandwidths = self._add_state("bandwidths", (self._size,), "zeros")
        self.num_points, self._points, self._log_weights = None, None, None
        if num_points is not None:
            self._make_room(check_integer("num_points", num_points))
        self.built = True

    def _add_state(self, name: str, shape: Sequence[int], initializer: str) -> keras.Variable:
        return self.add_weight(
            shape=shape,
            initializer=initializer,
            dtype=self.real_dtype.name,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name=name,
        )

    def _make_room(self, num_points: int) -> None:
        """Weights for so many points, in place of others."""
        if num_points == self.num_points:
            return
        for weight in (self._points, self._log_weights):
            if weight is not None:
                self._untrack_variable(weight)
        # Keras lets no weight join a model that is built.
        self._tracker.unlock()
        with self.distribute_strategy.scope():
            self._points = self._add_state("points", (num_points, self._size), "zeros")
            self._log_weights = self._add_state("log_weights", (num_points,), "zeros")
        self._tracker.lock()
        self.num_points = num_points
        # Functions that were traced before hold the old ones.
        self._graphs = GraphCache()
        self.train_function = self.test_function = self.predict_function = None

    # ---- fit --------------------------------------------------------------------------------------

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Stores the examples; see `GenerativeModel.fit` for the arguments.

        Args:
            x: array `[N, *event_shape]`, or batches that can be iterated again and end.
            *args, **kwargs: of `GenerativeModel.fit`; `sample_weight` is the points' weight, callbacks and
                validation work as ever, and more than one epoch changes nothing.

        Raises:
            ValueError: for data that the model cannot take, a generator, or batches without end.
        """
        if isinstance(x, tf.data.Dataset) and x.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(_ADVICE)
        given = inspect.signature(super().fit).bind(x, *args, **kwargs).arguments
        given["callbacks"] = with_callback(given.get("callbacks"), _LeaveOneOut(), self, first=True)
        return super().fit(**given)

    def _initialize_from_data(self, initial_rows: Callable[[int], Batch] | None) -> None:
        if initial_rows is None:
            raise ValueError(_ADVICE)
        batch = initial_rows(sys.maxsize)
        x = np.asarray(batch.x, self.real_dtype.as_numpy_dtype).reshape(-1, self._size)
        weight = np.ones(len(x)) if batch.weight is None else np.asarray(batch.weight, np.float64)
        x, weight = x[weight > 0], weight[weight > 0]
        if not len(x):
            raise ValueError(
                "`sample_weight` must be above 0 for at least one example; received zeros alone."
            )
        bandwidths = choose_bandwidths(self.bandwidth, x.astype(np.float64), weight)
        self._make_room(len(x))
        self._points.assign(x)
        self._log_weights.assign(np.log(weight / weight.sum()))
        self._bandwidths.assign(bandwidths)

    def _leave_one_out(self) -> dict[str, float]:
        """The logs of an epoch: the mean leave-one-out negative log-likelihood."""
        if self.num_points == 1:
            return {}
        number = min(self.num_points, _MOST_LEFT_OUT)
        generator = np.random.default_rng(self._data_seed())
        left_out = np.sort(generator.choice(self.num_points, number, replace=False)).astype(np.int32)
        weight = np.exp(self._log_weights.numpy()[left_out].astype(np.float64))
        graph = self._graphs.get(
            "leave_one_out",
            lambda rows: self._log_density(tf.gather(tf.convert_to_tensor(self._points), rows), rows),
        )
        nll = float(np.average(-map_rows(graph, left_out, batch_size=ROWS_PER_PASS).numpy(), weights=weight))
        return {"loss": nll, "nll": nll}

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Nothing to compute.

        Args:
            data: a batch.
        """
        self._noise_state.assign_add([0, 1])
        return {}

    # ---- densities and samples --------------------------------------------------------------------

    def _is_fitted(self) -> bool:
        if self._points is None or not tf.executing_eagerly():
            return self._points is not None
        return bool(np.all(self._bandwidths.numpy() > 0.0))

    def bandwidths(self) -> tf.Tensor:
        """The standard deviations $h_d$ of the kernels, `event_shape`."""
        self._check_fitted()
        return tf.reshape(tf.convert_to_tensor(self._bandwidths), self.event_shape)

    def points(self) -> tf.Tensor:
        """The training examples, `[n, *event_shape]`."""
        self._check_fitted()
        return tf.reshape(tf.convert_to_tensor(self._points), [-1, *self.event_shape])

    def _log_prob(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        self._check_fitted()
        return self._log_density(x, None)

    def _log_density(self, x: tf.Tensor, left_out: tf.Tensor | None) -> tf.Tensor:
        """Log-densities `[B]` of rows; those of `left_out` without the kernel on the point of that number."""
        points, log_weights = (tf.convert_to_tensor(w) for w in (self._points, self._log_weights))
        bandwidths = tf.cast(tf.convert_to_tensor(self._bandwidths), tf.float64)
        rows = tf.cast(tf.reshape(x, [-1, self._size]), tf.float64) / bandwidths
        no_density = tf.constant(-math.inf, tf.float64)

        def body(start: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            part = slice(start, start + _POINTS_PER_PASS)
            block = tf.cast(points[part], tf.float64) / bandwidths
            squares = squared_distances(rows, block, tolerance=_TOLERANCE)
            log_kernels = tf.cast(log_weights[part], tf.float64) - 0.5 * squares
            if left_out is not None:
                numbers = start + tf.range(tf.shape(block)[0])
                log_kernels = tf.where(numbers == left_out[:, None], no_density, log_kernels)
            log_sum = tf.reduce_logsumexp(log_kernels, axis=1)
            return start + _POINTS_PER_PASS, tf.reduce_logsumexp(tf.stack([total, log_sum]), axis=0)

        nothing = tf.fill([tf.shape(rows)[0]], no_density)
        _, total = tf.while_loop(
            lambda start, _: start < self.num_points, body, (tf.constant(0), nothing), parallel_iterations=1
        )
        normalizer = tf.reduce_sum(tf.math.log(bandwidths)) + 0.5 * self._size * math.log(2.0 * math.pi)
        if left_out is not None:
            # The weights of the other points sum to 1.
            normalizer += tf.math.log1p(-tf.exp(tf.cast(tf.gather(log_weights, left_out), tf.float64)))
        return tf.cast(total - normalizer, self.real_dtype)

    def sample(
        self,
        num_samples: int,
        *,
        condition: Any = None,
        seed: Any = None,
        batch_size: int | None = None,
    ) -> tf.Tensor:
        """New examples, `[num_samples, *event_shape]`: training examples with noise.

        Args:
            num_samples: how many.
            condition: None; the model takes none.
            seed: integer or two integers; None draws anew at every call.
            batch_size: samples in one pass, which bounds the memory; None takes the model's own number.
        """
        return self._sample(num_samples, condition, seed, batch_size)

    def _sample_rows(self, seeds: tf.Tensor, condition: Any = None) -> tf.Tensor:
        choice, _, noise = uniform_and_noise(seeds, self._size, self.real_dtype)
        bounds = tf.cumsum(tf.exp(tf.cast(tf.convert_to_tensor(self._log_weights), tf.float64)))
        choice = tf.cast(choice, tf.float64) * bounds[-1]
        which = tf.searchsorted(bounds[:-1], choice, side="right")
        drawn = tf.gather(tf.convert_to_tensor(self._points), which)
        drawn += noise * tf.convert_to_tensor(self._bandwidths)
        return tf.reshape(drawn, [-1, *self.event_shape])

    def distribution(self) -> tfd.Distribution:
        """The density as a distribution over `[*event_shape]`.

        Its `log_prob` holds the distances of all points at a time, and the model's own those of a block.
        """
        self._check_fitted()
        points, bandwidths = (tf.convert_to_tensor(w) for w in (self._points, self._bandwidths))
        mixture = DiagonalGaussianMixture(
            tf.convert_to_tensor(self._log_weights), points, tf.broadcast_to(bandwidths, points.shape)
        )
        if len(self.event_shape) == 1:
            return mixture
        return tfd.TransformedDistribution(mixture, tfb.Reshape(self.event_shape, (self._size,)))

    # ---- endpoints and configuration ----------------------------------------------------------------

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint: `log_prob`, `bits_per_dim`, `anomaly_score`, `sample`, `sample_rows`.

        Args:
            max_samples: the most that one request of `sample` may ask for.
            num_samples: not used: densities are exact.

        Raises:
            RuntimeError: before `fit`.
        """
        self._check_fitted()
        return {**self._density_endpoints(), **self._sample_endpoints(max_samples)}

    def get_config(self) -> dict:
        """The constructor arguments, and the number of points."""
        return {**super().get_config(), "bandwidth": self.bandwidth, "num_points": self.num_points}
