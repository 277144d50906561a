r"""Training by expectation maximisation through `fit`: whole epochs, or a decayed average of steps.

The E-step of a batch gives responsibilities $r_{ik} = p(k \mid x_i)$, the sufficient statistics are sums of
functions of $x_i$ weighted by them, and the M-step computes the parameters of largest likelihood from the
sums. Sums are of batches: taken over a whole epoch they give the exact algorithm, whatever the batch size.

References: Maximum Likelihood from Incomplete Data via the EM Algorithm, Dempster, Laird and Rubin, 1977;
On-line Expectation-Maximization Algorithm for Latent Data Models, Cappé and Moulines, 2009.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.batches import Batch, batch_size
from keras_genmod.core.checks import check_choice, check_number
from keras_genmod.core.replicas import sum_over_replicas
from keras_genmod.models.mixtures.epochs import EpochCallback, EpochSums
from keras_genmod.training.callback_order import with_callback

__all__ = ["TRAININGS", "ExpectationMaximization"]

TRAININGS = ("em", "online_em", "gradient")

# Rows of a batch of arrays, in exact training; only speed depends on it.
_BATCH_SIZE = 16_384
# Numbers in the largest temporary array of an E-step.
_TEMPORARY = 2**21
# Rows that a start looks at.
_INITIAL_ROWS = 10_000

Statistics = Sequence[tf.Tensor]


class ExpectationMaximization:
    """The part of a mixture that trains it. A family writes the methods of the first section.

    Args:
        training: "em", "online_em" or "gradient".
        step_exponent: of the step sizes of "online_em".
        **kwargs: of the model.
    """

    def __init__(self, *args: Any, training: str = "em", step_exponent: float = 0.6, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.training = check_choice("training", training, TRAININGS)
        self.step_exponent = check_number("step_exponent", step_exponent, above=0.5, maximum=1.0)
        self._sums: EpochSums | None = None
        self._in_batches = False
        self._started = self._add_state("started", (), "int32")

    # ---- what a family writes ---------------------------------------------------------------------

    def _statistics_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the sufficient statistics; the first are the components' counts, `[K]`."""
        raise TypeError(f"{type(self).__name__} must define `_statistics_shapes`.")

    def _statistics(self) -> Callable[[tf.Tensor, tf.Tensor], Statistics]:
        """The function from rows `[B, D]` and their responsibilities `[B, K]` to sufficient statistics.

        These may be taken about the present parameters, which stay until the M-step.
        """
        raise TypeError(f"{type(self).__name__} must define `_statistics`.")

    def _expected_statistics(self) -> Statistics:
        """The statistics that the present parameters expect of one example."""
        raise TypeError(f"{type(self).__name__} must define `_expected_statistics`.")

    def _maximize(self, statistics: Statistics) -> Statistics:
        """The M-step: parameters from statistics; returns the same statistics about the new parameters."""
        raise TypeError(f"{type(self).__name__} must define `_maximize`.")

    def _start_at(self, x: np.ndarray, weight: np.ndarray, generator: np.random.Generator) -> None:
        """First parameters from rows `[N, D]` and their weights `[N]`."""
        raise TypeError(f"{type(self).__name__} must define `_start_at`.")

    def _temporary_per_row(self) -> int:
        """Numbers in the largest temporary array of a row's E-step."""
        return max(self.num_components, self._size)

    def _look_at_parameters(self) -> None:
        """Warns of parameters that should be known of, after an M-step."""

    # ---- state ------------------------------------------------------------------------------------

    def _add_state(self, name: str, shape: Sequence[int], dtype: str) -> keras.Variable:
        return self.add_weight(
            shape=shape,
            initializer="zeros",
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name=name,
        )

    def _add_averages(self) -> None:
        """The decayed averages of the statistics: the last thing that a constructor adds."""
        self._averages = []
        if self.training == "online_em":
            self._averages = [
                self._add_state(f"average_{number}", shape, "float64")
                for number, shape in enumerate(self._statistics_shapes())
            ]
            # Sums of weights: of this epoch so far, and of the longest epoch: what the averages stand for.
            self._epoch_weight = self._add_state("epoch_weight", (), "float64")
            self._data_weight = self._add_state("data_weight", (), "float64")
            self._forget_averages()

    def _forget_averages(self) -> None:
        """The averages are those of the present parameters, and data are to come."""
        if self.training == "online_em":
            self._epoch_weight.assign(0.0)
            self._data_weight.assign(0.0)
        for average, value in zip(self._averages, self._expected_statistics(), strict=False):
            average.assign(value)

    def _compile(self, *args: Any, **kwargs: Any) -> None:
        super()._compile(*args, **kwargs)
        self._sums = None
        if self.training == "em":
            # Under the strategy's scope, as optimizers.
            with self.distribute_strategy.scope():
                self._sums = EpochSums(self._statistics_shapes())

    # ---- starts -----------------------------------------------------------------------------------

    def initialize(self, x: Any, sample_weight: Any = None) -> None:
        """Sets the parameters to those of a start by k-means++, which depends on the model's seed.

        `fit` does this by itself at its first call, with the training data: of arrays with all of them, of
        a data set with its first batches.

        Args:
            x: data `[N, *event_shape]`; of more than 10,000 examples (20 a component, if that is more) as
                many are drawn at random.
            sample_weight: weights `[N]`; a common factor of all changes nothing.

        Raises:
            ValueError: for fewer examples than components, or data that the model cannot take.

        Cost: at most 10,000 D K (2 + log K).

        Reference: k-means++: The Advantages of Careful Seeding, Arthur and Vassilvitskii, 2007.
        """
        x = x if tf.is_tensor(x) else np.asarray(x)
        self._check_arrays(Batch(x, None, sample_weight))
        self._initialize(np.asarray(x), sample_weight)

    def _initialize(self, x: np.ndarray, weight: Any) -> None:
        weight = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
        rows = np.flatnonzero(weight > 0)
        if len(rows) < self.num_components:
            of_weight = "" if len(rows) == len(x) else " of a weight above 0"
            raise ValueError(
                f"A mixture of {self.num_components} components needs at least as many examples"
                f"{of_weight} to start from; received {len(rows)}. Pass more, or build the model with a "
                "smaller `num_components`."
            )
        generator = np.random.default_rng(self._data_seed())
        most = self._num_initial_rows()
        if len(rows) > most:
            rows = np.sort(generator.choice(rows, most, replace=False))
        # Relative to the mean weight: a common factor of all weights changes nothing.
        weight = weight[rows] / weight[rows].max()
        self._start_at(x[rows].reshape(len(rows), -1), weight / weight.mean(), generator)
        self._has_parameters()

    def _num_initial_rows(self) -> int:
        return max(_INITIAL_ROWS, 20 * self.num_components)

    def _has_parameters(self) -> None:
        """Notes that the parameters were set: `fit` goes on from them."""
        self._forget_averages()
        self._started.assign(1)

    # ---- fit --------------------------------------------------------------------------------------

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains the model, as `keras.Model.fit` does; see `GenerativeModel.fit` for the arguments.

        The first call starts by k-means++ (`initialize`), unless parameters were set before; later calls
        go on. With `training="em"` an epoch is one iteration of exact EM over all of its batches, with the
        M-step at its end and before validation, so that neither `batch_size` (16,384 for arrays, unless
        it is given) nor the order of the data matters, and the logged figures of an epoch are those of
        the parameters before its M-step.

        Args:
            x: array `[N, *event_shape]`, or batches.
            *args, **kwargs: of `GenerativeModel.fit`.

        Raises:
            ValueError: for fewer examples than components, or data that the model cannot take.
        """
        given = inspect.signature(super().fit).bind(x, *args, **kwargs).arguments
        if self.training == "em":
            given.setdefault("shuffle", False)
        # Of arrays, which may be sorted, a start sees all.
        self._in_batches = isinstance(x, (tf.data.Dataset, keras.utils.PyDataset))
        given["callbacks"] = with_callback(given.get("callbacks"), EpochCallback(), self, first=True)
        return super().fit(**given)

    @property
    def _training_batch_size(self) -> int:
        return _BATCH_SIZE if self.training == "em" else super()._training_batch_size

    def _is_fitted(self) -> bool:
        return not tf.executing_eagerly() or bool(self._started.numpy())

    def _initialize_from_data(self, initial_rows: Callable[[int], Batch] | None) -> None:
        """The start from the training data, where there was none before."""
        if self._is_fitted():
            return
        if initial_rows is None:
            raise ValueError(
                "The start by k-means++ must look at data before training, and these batches can be "
                "iterated only once. Call `initialize(x)` with some examples first, or `set_parameters`."
            )
        batch = initial_rows(self._num_initial_rows() if self._in_batches else sys.maxsize)
        self._initialize(np.asarray(batch.x), batch.weight)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """The means of the objective over data, as `GenerativeModel.evaluate`.

        Args:
            *args, **kwargs: of `GenerativeModel.evaluate`.
        """
        # Validation inside `fit` comes before the callbacks at an epoch's end.
        if kwargs.get("_use_cached_eval_dataset"):
            self._end_epoch()
        return super().evaluate(*args, **kwargs)

    def _begin_epoch(self) -> None:
        if self._sums is not None:
            self._sums.reset()
        if self.training == "online_em":
            self._epoch_weight.assign(0.0)

    def _end_epoch(self) -> None:
        """The M-step of an epoch, once."""
        if self._sums is None:
            return
        # Stopped in the middle: a part of the data may make the parameters worse.
        if not self.stop_training:
            statistics = self._sums.read()
            if float(tf.reduce_sum(statistics[0])) > 0.0:
                self._graphs.get("maximize", lambda rows: self._maximize(rows))(statistics)
        self._sums.reset()

    # ---- one step ---------------------------------------------------------------------------------

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The E-step of a batch; with "online_em" the M-step too; with "gradient" the shared step.

        Args:
            data: a batch, see `keras_genmod.core.batches`.
        """
        if self.training == "gradient":
            return super().train_step(data)
        batch = self._unpack(data)
        nll, statistics = self._expectation(batch)
        if self._sums is not None:
            self._sums.add(statistics)
        else:
            self._move(sum_over_replicas(statistics))
        sums = {"loss": nll, "nll": nll}
        if self._watch_terms:
            self._term_means.watch(sums, self.training_steps)
        self._term_means.update_state(sums, batch_size(batch))
        self._noise_state.assign_add([0, 1])
        self.optimizer.iterations.assign_add(1)
        return self.get_metrics_result()

    def _expectation(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The negative log-likelihood and the statistics, summed over a batch in chunks of rows."""
        x = self._flat(batch.x)
        num_rows = tf.shape(x)[0]
        weight = tf.ones([num_rows]) if batch.weight is None else batch.weight
        weight = tf.cast(weight, x.dtype)
        most = max(1, _TEMPORARY // self._temporary_per_row())
        num_chunks = tf.maximum(1, -(-num_rows // most))
        rows_per_chunk = -(-num_rows // num_chunks)
        # Chunks of one size: rows of weight 0 fill the last.
        missing = num_chunks * rows_per_chunk - num_rows
        x = tf.reshape(tf.pad(x, [[0, missing], [0, 0]]), [num_chunks, rows_per_chunk, self._size])
        weight = tf.reshape(tf.pad(weight, [[0, missing]]), [num_chunks, rows_per_chunk])
        log_joint, statistics_of = self._log_joint(), self._statistics()

        def body(chunk: tf.Tensor, nll: tf.Tensor, *sums: tf.Tensor) -> tuple:
            rows = tf.cast(x[chunk], self._real)
            own = tf.cast(weight[chunk], self._real)
            joint = log_joint(rows)
            log_prob = tf.reduce_logsumexp(joint, axis=1)
            responsibilities = own[:, None] * tf.exp(joint - log_prob[:, None])
            new = statistics_of(rows, responsibilities)
            nll -= tf.cast(tf.reduce_sum(tf.math.multiply_no_nan(log_prob, own)), tf.float64)
            added = [old + tf.cast(more, tf.float64) for old, more in zip(sums, new, strict=True)]
            return chunk + 1, nll, *added

        zeros = [tf.zeros(shape, tf.float64) for shape in self._statistics_shapes()]
        _, nll, *statistics = tf.while_loop(
            lambda chunk, *_: chunk < num_chunks,
            body,
            (tf.constant(0), tf.zeros([], tf.float64), *zeros),
            parallel_iterations=1,
        )
        return nll, statistics

    def _move(self, statistics: Statistics) -> None:
        """A step of online EM: averages towards the statistics of the batch, parameters from averages."""
        total = tf.reduce_sum(statistics[0])
        step = tf.cast(self.training_steps, tf.float64)
        # A batch without weight moves nothing.
        rate = tf.where(total > 0.0, tf.pow(step + 2.0, -self.step_exponent), 0.0)
        self._epoch_weight.assign_add(total)
        self._data_weight.assign(tf.maximum(self._data_weight, self._epoch_weight))
        # Sums over the data, as in exact EM, so that a prior counts as much as there.
        scale = tf.convert_to_tensor(self._data_weight)
        scale = tf.where(scale > 0.0, scale, 1.0)
        sums = []
        for average, value in zip(self._averages, statistics, strict=True):
            old = tf.convert_to_tensor(average)
            sums.append(scale * (old + rate * (tf.math.divide_no_nan(value, total) - old)))
        for average, value in zip(self._averages, self._maximize(sums), strict=True):
            average.assign(value / scale)

    def get_config(self) -> dict:
        """The constructor arguments of training."""
        return {**super().get_config(), "training": self.training, "step_exponent": self.step_exponent}
