r"""Kernel density estimation: a normal distribution about each training example.

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

from keras_genmod.bases.row_wise import ROWS_PER_PASS
from keras_genmod.core.batches import Batch
from keras_genmod.core.checks import check_integer, check_number, describe
from keras_genmod.core.registration import register
from keras_genmod.core.rows import GraphCache, map_rows
from keras_genmod.distributions.gaussian_mixture import DiagonalGaussianMixture
from keras_genmod.models.mixtures.bandwidths import choose_bandwidths
from keras_genmod.models.mixtures.fitted import FittedDensity
from keras_genmod.models.mixtures.kernels import kernel_log_density
from keras_genmod.models.mixtures.mixture_model import refuse_conditions, uniform_and_noise
from keras_genmod.training.callback_order import with_callback

__all__ = ["KernelDensity"]

tfd = tfp.distributions
tfb = tfp.bijectors

# Largest number of training examples whose leave-one-out density is computed for the logs.
_MOST_LEFT_OUT = 1000

_ADVICE = (
    "`KernelDensity` stores all examples before the first step, so `x` must be an array, or finite batches "
    "that can be iterated again; received a generator or endless batches. Pass an array."
)


class _LeaveOneOut(keras.callbacks.Callback):
    """Adds the training figures to the logs of every epoch, before other callbacks read them."""

    def on_train_begin(self, logs: Any = None) -> None:
        self._figures = self.model._leave_one_out()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs.update(self._figures)


@register
class KernelDensity(FittedDensity):
    r"""A normal kernel on every training example; `fit` stores the examples.

    There is nothing to optimise: `fit` reads all the data once, sets the bandwidths, and replaces what an
    earlier call stored. The points are weights, so files and exports contain them.

    Args:
        event_shape: Shape of one example, of any rank; D is its number of values.
        bandwidth: Standard deviation $h$ of the kernels, in units of the data; or a rule that computes it for
            each dimension from the standard deviation $\sigma_d$ and the number n of points: "scott",
            $h_d = \sigma_d \, n^{-1/(D+4)}$, or "silverman", $h_d = \sigma_d \, (n (D+2) / 4)^{-1/(D+4)}$.
            With weights, $n = (\sum w)^2 / \sum w^2$.
        num_points: Number of points in a file, set by `fit`.
        **kwargs: `seed`, `name`, `dtype`, as in `GenerativeModel`.

    Raises:
        ValueError: If an argument is invalid, or a condition is given.
        RuntimeError: From methods that need data, if `fit` has not been called.

    Logs: `loss`, the leave-one-out negative log-likelihood in nats per training example, also named `nll`.
    Each example is evaluated under the kernels of all others, because it is the centre of a kernel itself.
    With more than 1,000 examples it is the mean over 1,000 of them, drawn by the seed; with a single example
    it is not logged. `val_loss` and `val_nll` are the negative log-likelihood of validation examples.

    Cost: n D for a density, in float64 and in blocks of 2048 points; 1,000 n D for `fit`; D for a sample.
    Densities are exact to 2e-4 nats or to float32 rounding, wherever the points are and however far apart.

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

    # A training step computes nothing.
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
                    f"{describe(bandwidth)}. Choose one of them."
                )
        else:
            bandwidth = check_number("bandwidth", bandwidth, above=0.0)
        self.bandwidth: float | str = bandwidth
        self._size = math.prod(self.event_shape)
        # The bandwidths are 0 until `fit`: a configuration creates the weights for points, but no points.
        self._bandwidths = self._add_state("bandwidths", (self._size,), self.real_dtype.name)
        self.num_points: int | None = None
        self._points: keras.Variable | None = None
        self._log_weights: keras.Variable | None = None
        if num_points is not None:
            self._make_room(check_integer("num_points", num_points))

    def _make_room(self, num_points: int) -> None:
        """Creates weights for a number of points in place of the old ones."""
        if num_points == self.num_points:
            return
        for weight in (self._points, self._log_weights):
            if weight is not None:
                self._untrack_variable(weight)
        # Keras allows no new weights in a built model.
        self._tracker.unlock()
        dtype = self.real_dtype.name
        with self.distribute_strategy.scope():
            self._points = self._add_state("points", (num_points, self._size), dtype)
            self._log_weights = self._add_state("log_weights", (num_points,), dtype)
        self._tracker.lock()
        self.num_points = num_points
        # Functions that were traced before use the old weights.
        self._graphs = GraphCache()
        self.train_function = self.test_function = self.predict_function = None

    # ---- fit --------------------------------------------------------------------------------------

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Stores the examples; see `GenerativeModel.fit` for the arguments.

        Args:
            x: Array `[N, *event_shape]`, or finite batches that can be iterated again.
            *args, **kwargs: As in `GenerativeModel.fit`. `sample_weight` becomes the points' weights,
                callbacks and validation work as usual, and further epochs change nothing.

        Raises:
            ValueError: If the data are invalid, a generator, or endless batches.
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
                "`sample_weight` must be above 0 for at least one example; received zeros only. Pass "
                "positive weights, or none."
            )
        bandwidths = choose_bandwidths(self.bandwidth, x.astype(np.float64), weight)
        self._make_room(len(x))
        points, log_weights = self._stored()
        points.assign(x)
        log_weights.assign(np.log(weight / weight.sum()))
        self._bandwidths.assign(bandwidths)

    def _stored(self) -> tuple[keras.Variable, keras.Variable]:
        """The points and the logarithms of their weights."""
        if self._points is None or self._log_weights is None:
            raise RuntimeError("There are no points yet. Call `fit` first.")
        return self._points, self._log_weights

    def _leave_one_out(self) -> dict[str, float]:
        """The logs of an epoch: the mean leave-one-out negative log-likelihood."""
        points, log_weights = self._stored()
        num_points = int(points.shape[0])
        if num_points == 1:
            return {}
        number = min(num_points, _MOST_LEFT_OUT)
        generator = np.random.default_rng(self._data_seed())
        left_out = np.sort(generator.choice(num_points, number, replace=False)).astype(np.int32)
        weight = np.exp(log_weights.numpy()[left_out].astype(np.float64))
        graph = self._graphs.get(
            "leave_one_out",
            lambda rows: self._log_density(tf.gather(tf.convert_to_tensor(points), rows), rows),
        )
        nll = float(np.average(-map_rows(graph, left_out, batch_size=ROWS_PER_PASS).numpy(), weights=weight))
        return {"loss": nll, "nll": nll}

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Computes nothing, since `fit` has stored all data before the first step.

        Args:
            data: A batch.
        """
        self._noise_state.assign_add([0, 1])
        return {}

    # ---- densities and samples --------------------------------------------------------------------

    def _is_fitted(self) -> bool:
        if self._points is None or not tf.executing_eagerly():
            return self._points is not None
        return bool(np.all(self._bandwidths.numpy() > 0.0))

    def bandwidths(self) -> tf.Tensor:
        """The standard deviations $h_d$ of the kernels, `[*event_shape]`."""
        self._check_fitted()
        return tf.reshape(tf.convert_to_tensor(self._bandwidths), self.event_shape)

    def points(self) -> tf.Tensor:
        """The training examples, `[n, *event_shape]`."""
        self._check_fitted()
        return tf.reshape(tf.convert_to_tensor(self._stored()[0]), [-1, *self.event_shape])

    def _log_prob(self, x: tf.Tensor, condition: Any = None, training: bool = False) -> tf.Tensor:
        self._check_fitted()
        return self._log_density(x, None)

    def _log_density(self, x: tf.Tensor, left_out: tf.Tensor | None) -> tf.Tensor:
        """Log-densities `[B]` of rows; with `left_out`, each without the kernel of one point."""
        points, log_weights = (tf.convert_to_tensor(w) for w in self._stored())
        bandwidths = tf.convert_to_tensor(self._bandwidths)
        rows = tf.reshape(x, [-1, self._size])
        return tf.cast(kernel_log_density(rows, points, log_weights, bandwidths, left_out), self.real_dtype)

    def _sample_rows(self, seeds: tf.Tensor, condition: Any = None) -> tf.Tensor:
        choice, _, noise = uniform_and_noise(seeds, self._size, self.real_dtype)
        bounds = tf.cumsum(tf.exp(tf.cast(tf.convert_to_tensor(self._log_weights), tf.float64)))
        choice = tf.cast(choice, tf.float64) * bounds[-1]
        which = tf.searchsorted(bounds[:-1], choice, side="right")
        drawn = tf.gather(tf.convert_to_tensor(self._points), which)
        drawn += noise * tf.convert_to_tensor(self._bandwidths)
        return tf.reshape(drawn, [-1, *self.event_shape])

    def distribution(self) -> tfp.distributions.Distribution:
        """The density as a distribution over `[*event_shape]`.

        Its `log_prob` keeps the distances from all points in memory, the model's own those from one block.
        """
        self._check_fitted()
        points, log_weights = (tf.convert_to_tensor(w) for w in self._stored())
        deviations = tf.broadcast_to(tf.convert_to_tensor(self._bandwidths), points.shape)
        mixture = DiagonalGaussianMixture(log_weights, points, deviations)
        if len(self.event_shape) == 1:
            return mixture
        return tfd.TransformedDistribution(mixture, tfb.Reshape(self.event_shape, (self._size,)))

    def get_config(self) -> dict:
        """The constructor arguments, including the number of points."""
        return {**super().get_config(), "bandwidth": self.bandwidth, "num_points": self.num_points}
