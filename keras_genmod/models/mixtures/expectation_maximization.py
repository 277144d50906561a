r"""Training by expectation maximisation through `fit`, with an M-step after each epoch or each batch.

The E-step of a batch computes responsibilities $r_{ik} = p(k \mid x_i)$ and sufficient statistics, which are
sums of functions of $x_i$ weighted by the responsibilities. The M-step computes the parameters of largest
likelihood from the statistics. Summed over a whole epoch, the statistics give the exact algorithm, whatever
the batch size; averaged over batches with decaying weights, they give online EM.

References: Maximum Likelihood from Incomplete Data via the EM Algorithm, Dempster, Laird and Rubin, 1977;
On-line Expectation-Maximization Algorithm for Latent Data Models, Cappé and Moulines, 2009.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.batches import Batch, batch_size
from keras_genmod.core.checks import check_choice, check_number
from keras_genmod.core.replicas import sum_over_replicas
from keras_genmod.models.mixtures.e_step import e_step
from keras_genmod.models.mixtures.epochs import EpochCallback, EpochSums
from keras_genmod.models.mixtures.fitted import FittedDensity
from keras_genmod.models.mixtures.starts import choose_rows
from keras_genmod.training.callback_order import with_callback

__all__ = ["METHODS", "ExpectationMaximization"]

METHODS = ("em", "online_em", "gradient")

# Rows per batch of arrays with exact EM, where only speed depends on it.
_BATCH_SIZE = 16_384
# Largest number of rows that the initialisation uses.
_INITIAL_ROWS = 10_000

Statistics = Sequence[tf.Tensor]


class ExpectationMaximization(FittedDensity):
    """The base of mixtures that trains them. A family writes the methods of the first section.

    Args:
        method: "em", "online_em" or "gradient".
        step_exponent: Exponent of the step sizes of "online_em".
        **kwargs: Further arguments of the model.
    """

    num_components: int
    _size: int

    if TYPE_CHECKING:

        @property
        def _real(self) -> tf.DType: ...
        def _flat(self, x: tf.Tensor) -> tf.Tensor: ...
        def _log_joint(self) -> Callable[[tf.Tensor], tf.Tensor]: ...

    def __init__(self, *args: Any, method: str = "em", step_exponent: float = 0.6, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.method = check_choice("method", method, METHODS)
        if self.method == "em":
            self._training_batch_size = _BATCH_SIZE
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

        Statistics may be relative to the current parameters, which do not change before the M-step.
        """
        raise TypeError(f"{type(self).__name__} must define `_statistics`.")

    def _expected_statistics(self) -> Statistics:
        """The expected statistics of one example under the current parameters."""
        raise TypeError(f"{type(self).__name__} must define `_expected_statistics`.")

    def _maximize(self, statistics: Statistics) -> Statistics:
        """The M-step: sets the parameters, and returns the statistics relative to the new parameters."""
        raise TypeError(f"{type(self).__name__} must define `_maximize`.")

    def _start_at(self, x: np.ndarray, weight: np.ndarray, generator: np.random.Generator) -> None:
        """Sets initial parameters from rows `[N, D]` and their weights `[N]`."""
        raise TypeError(f"{type(self).__name__} must define `_start_at`.")

    def _temporary_per_row(self) -> int:
        """Number of values in the largest temporary array of a row's E-step."""
        return max(self.num_components, self._size)

    def _look_at_parameters(self) -> None:
        """Warns of problematic parameters after training."""

    # ---- state ------------------------------------------------------------------------------------

    def _add_averages(self) -> None:
        """Adds the decayed averages of the statistics; a constructor calls this last."""
        self._averages: list[keras.Variable] = []
        if self.method == "online_em":
            self._averages = [
                self._add_state(f"average_{number}", shape, "float64")
                for number, shape in enumerate(self._statistics_shapes())
            ]
            # Sums of weights of this epoch so far, and of the longest epoch, which the averages represent.
            self._epoch_weight = self._add_state("epoch_weight", (), "float64")
            self._data_weight = self._add_state("data_weight", (), "float64")
            self._forget_averages()

    def _forget_averages(self) -> None:
        """Resets the averages to the expected statistics under the current parameters."""
        if self.method == "online_em":
            self._epoch_weight.assign(0.0)
            self._data_weight.assign(0.0)
        for average, value in zip(self._averages, self._expected_statistics(), strict=False):
            average.assign(value)

    def _compile(self, *args: Any, **kwargs: Any) -> None:
        super()._compile(*args, **kwargs)
        self._sums = None
        if self.method == "em":
            # Created under the strategy's scope, like optimizers.
            with self.distribute_strategy.scope():
                self._sums = EpochSums(self._statistics_shapes())

    # ---- starts -----------------------------------------------------------------------------------

    def initialize(self, x: Any, sample_weight: Any = None) -> None:
        """Initialises the parameters by k-means++, which depends on the model's seed.

        The first call of `fit` does this with the training data: with all of them for arrays, with the first
        batches for a data set.

        Args:
            x: Data `[N, *event_shape]`. If there are more than 10,000 examples (or 20 per component, if that
                is more), this many are drawn at random.
            sample_weight: Weights `[N]`; multiplying all of them by a factor changes nothing.

        Raises:
            ValueError: If there are fewer examples than components, or the data are invalid.

        Cost: at most 10,000 D K (2 + log K).

        Reference: k-means++: The Advantages of Careful Seeding, Arthur and Vassilvitskii, 2007.
        """
        x = x if tf.is_tensor(x) else np.asarray(x)
        self._check_arrays(Batch(x, None, sample_weight))
        self._initialize(np.asarray(x), sample_weight)

    def _initialize(self, x: np.ndarray, weight: Any) -> None:
        weight = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
        generator = np.random.default_rng(self._data_seed())
        rows = choose_rows(weight, self.num_components, self._num_initial_rows(), generator)
        # Weights are relative to their mean, so that a common factor changes nothing.
        weight = weight[rows] / weight[rows].max()
        self._start_at(x[rows].reshape(len(rows), -1), weight / weight.mean(), generator)
        self._has_parameters()

    def _num_initial_rows(self) -> int:
        return max(_INITIAL_ROWS, 20 * self.num_components)

    def _has_parameters(self) -> None:
        """Records that the parameters were set, so that `fit` continues from them."""
        self._forget_averages()
        self._started.assign(1)

    # ---- fit --------------------------------------------------------------------------------------

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains the model, as `keras.Model.fit` does; see `GenerativeModel.fit` for the arguments.

        The first call initialises the parameters by k-means++ (`initialize`) unless they were set before;
        later calls continue. With `method="em"` an epoch is one iteration of exact EM over all batches. The
        M-step comes at the end of the epoch, before validation, so neither the order of the data nor
        `batch_size` (by default 16,384 for arrays) matters. The logged figures of an epoch are those of the
        parameters before its M-step.

        Args:
            x: Array `[N, *event_shape]`, or batches.
            *args, **kwargs: As in `GenerativeModel.fit`.

        Raises:
            ValueError: If there are fewer examples than components, or the data are invalid.
        """
        given = inspect.signature(super().fit).bind(x, *args, **kwargs).arguments
        if self.method == "em":
            given.setdefault("shuffle", False)
        # The initialisation uses all rows of arrays, because arrays may be sorted.
        self._in_batches = isinstance(x, (tf.data.Dataset, keras.utils.PyDataset))
        given["callbacks"] = with_callback(given.get("callbacks"), EpochCallback(), self, first=True)
        return super().fit(**given)

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
        """The means of the objective over data; see `GenerativeModel.evaluate`.

        Args:
            *args, **kwargs: As in `GenerativeModel.evaluate`.
        """
        # In `fit`, validation comes before the callbacks at an epoch's end.
        if kwargs.get("_use_cached_eval_dataset"):
            self._end_epoch()
        return super().evaluate(*args, **kwargs)

    def _begin_epoch(self) -> None:
        if self._sums is not None:
            self._sums.reset()
        if self.method == "online_em":
            self._epoch_weight.assign(0.0)

    def _end_epoch(self) -> None:
        """Runs the M-step of an epoch, once."""
        if self._sums is None:
            return
        # No M-step after a stop within an epoch: a part of the data may make the parameters worse.
        if not self.stop_training:
            statistics = self._sums.read()
            if float(tf.reduce_sum(statistics[0])) > 0.0:
                self._graphs.get("maximize", lambda rows: self._maximize(rows))(statistics)
        self._sums.reset()

    # ---- one step ---------------------------------------------------------------------------------

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Runs the E-step of a batch, with "online_em" the M-step too; "gradient" uses the shared step.

        Args:
            data: A batch, see `keras_genmod.core.batches`.
        """
        if self.method == "gradient":
            return super().train_step(data)
        batch = self._unpack(data)
        nll, statistics = e_step(
            self._flat(batch.x),
            batch.weight,
            self._log_joint(),
            self._statistics(),
            self._statistics_shapes(),
            dtype=self._real,
            temporary_per_row=self._temporary_per_row(),
        )
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

    def _move(self, statistics: Statistics) -> None:
        """A step of online EM: moves the averages towards the batch's statistics, and sets the parameters."""
        total = tf.reduce_sum(statistics[0])
        step = tf.cast(self.training_steps, tf.float64)
        # A batch of total weight 0 changes nothing.
        rate = tf.where(total > 0.0, tf.pow(step + 2.0, -self.step_exponent), 0.0)
        self._epoch_weight.assign_add(total)
        self._data_weight.assign(tf.maximum(self._data_weight, self._epoch_weight))
        # Scaled to sums over all data, so that a prior has the same strength as in exact EM.
        scale = tf.convert_to_tensor(self._data_weight)
        scale = tf.where(scale > 0.0, scale, 1.0)
        sums = []
        for average, value in zip(self._averages, statistics, strict=True):
            old = tf.convert_to_tensor(average)
            sums.append(scale * (old + rate * (tf.math.divide_no_nan(value, total) - old)))
        for average, value in zip(self._averages, self._maximize(sums), strict=True):
            average.assign(value / scale)

    def get_config(self) -> dict:
        """The constructor arguments that concern training."""
        return {**super().get_config(), "method": self.method, "step_exponent": self.step_exponent}
