"""Resampling a training set by what is rare in it, as an encoder sees it.

A classifier serves a small group of examples badly, because it hardly sees them. If an encoder places the
group where few others are, their latents have a low density, and drawing examples by the inverse of the
density gives the group more weight, without anybody having labelled it.

Reference: Uncovering and Mitigating Algorithmic Bias through Learned Latent Structure, Amini, Soleimany,
Schwarting, Bhatia and Rus, 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_genmod.applications.feature_vectors import features
from keras_genmod.applications.group_reports import check_groups
from keras_genmod.applications.latent_rarity import Rarity, check_alpha, effective_sample_size, rarity
from keras_genmod.applications.latents import check_capability
from keras_genmod.applications.passes import EpochCallback, pass_dataset
from keras_genmod.core.checks import ValueRange, check_choice, check_integer, check_number, describe
from keras_genmod.core.noise import check_seed
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.distributions.kl import kl_per_dimension

__all__ = ["DebiasingSampler", "GroupShare"]

# Latents whose posterior differs from the prior by less, in nats, hold noise: every example is rare in some.
_LEAST_DIVERGENCE = 0.01
# Examples over which that divergence is measured.
_DIVERGENCE_ROWS = 1024


class GroupShare(NamedTuple):
    """The share of a group in the data and in what a sampler draws from them.

    Args:
        before: Fraction of the data.
        after: Probability that a draw is of the group.
    """

    before: float
    after: float


class DebiasingSampler(EpochCallback):
    r"""Batches in which rare examples come more often.

    An example is drawn with the probability

    $$ p(x) \propto \prod_j \frac{1}{\hat Q_j(z_j(x)) + \alpha} $$

    where $\hat Q_j(z)$ is the fraction of the data whose latent $j$ lies in the same bin as $z$. With labels,
    fractions are taken within each class and each class keeps its share, so that what is drawn more often is
    what is rare in its class.

    The sampler is a callback too. At the beginning of each epoch it draws as many examples as there are,
    $N p(x)$ copies of each in expectation (and as the nearest integers below or above), in an order that
    depends only on the seed and the number of the epoch. If the model that is trained is the encoder itself,
    such as a `DebiasingVAE`, the densities are measured anew at the beginning of each epoch.

    ```python
    sampler = DebiasingSampler(vae, alpha=0.01)
    classifier.fit(sampler.batches(x, y), epochs=10, callbacks=[sampler])
    print(sampler.group_shares(groups), group_report(classifier, x_test, y_test, groups_test))
    ```

    A sampler balances what the latents show, not what the law means by a group: a group that the encoder does
    not separate stays rare, and noise, mistakes and outliers are drawn more often too.

    Args:
        model: The encoder: any model with codes, or a Keras model from `x` to vectors.
        alpha: The strength: 0.1 is weak, 0.001 strong, `math.inf` draws all examples alike. It is compared
            with fractions of the data, so its effect depends on `num_bins` but not on the latents' scale.
        num_bins: Number of bins of each latent, equal parts of the range from its 0.1% to its 99.9% quantile.
        min_effective_share: Bound on the effective sample size $1 / \sum p^2$, as a share of the examples.
            If it would be smaller, the probabilities are raised to a power below 1 that makes it so.
        class_balance: "as_given" keeps the classes' shares of the data; "equal" draws all classes alike
            often.
        dims: Latent dimensions to use; None takes those that the posterior uses (mean divergence from the
            prior above 0.01 nats), or all of a model without posterior.
        warmup_epochs: Number of first epochs in which all examples are drawn alike, for an encoder that
            is trained at the same time.
        seed: Seeds the draws.

    Attributes:
        probs: Probability of each example, float64 `[N]`; None before the first batches or `measure`.
        exponent: The power of the bound above; 1 where the bound is not reached.
        latents: The latents that were used, `[N, L]`.
        used_dims: Their numbers.
        history: The effective sample size of each epoch.

    Raises:
        ValueError: If an argument is wrong, a class has one example only, or all latents are constant. Single
            constant latents are left out with a warning that names them.
        TypeError: If the model has no codes.

    Cost: one pass of the encoder over the data (one in each epoch if the encoder is trained), and `N * L`
    operations for the densities.

    Example:
        >>> import keras
        >>> encoder = keras.layers.Identity()
        >>> sampler = DebiasingSampler(encoder, alpha=0.1, num_bins=2, min_effective_share=0.0)
        >>> _ = sampler.measure(np.array([[0.0]] * 9 + [[1.0]]))
        >>> bool(np.isclose(sampler.probs[9] / sampler.probs[0], (0.9 + 0.1) / (0.1 + 0.1)))
        True
    """

    def __init__(
        self,
        model: Any,
        *,
        alpha: float = 0.01,
        num_bins: int = 10,
        min_effective_share: float = 0.1,
        class_balance: str = "as_given",
        dims: Sequence[int] | None = None,
        warmup_epochs: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if hasattr(model, "event_shape"):
            check_capability(model, "encode", what="`DebiasingSampler`")
        self.encoder = model
        self.alpha = check_alpha(alpha)
        self.num_bins = check_integer("num_bins", num_bins, minimum=2)
        self.min_effective_share = check_number(
            "min_effective_share", min_effective_share, minimum=0.0, maximum=1.0
        )
        self.class_balance = check_choice("class_balance", class_balance, ("as_given", "equal"))
        self.dims = None if dims is None else np.array([check_integer("dims", d, minimum=0) for d in dims])
        self.warmup_epochs = check_integer("warmup_epochs", warmup_epochs, minimum=0)
        self.seed = check_seed(seed) or 0
        self.probs: np.ndarray | None = None
        self.exponent = 1.0
        self.latents: np.ndarray | None = None
        self.used_dims: np.ndarray | None = None
        self.history: list[float] = []
        self._data: tuple[np.ndarray, np.ndarray | None, Any] | None = None
        self._rows: tuple[Any, np.ndarray] | None = None
        self._version = 0
        self._warned_of: set[int] = set()

    # ---- probabilities --------------------------------------------------------------------------

    def measure(self, x: Any, y: Any = None, *, condition: Any = None) -> DebiasingSampler:
        """Encodes examples and computes their probabilities.

        Args:
            x: Data `[N, *event_shape]`.
            y: Classes, integers `[N]` from 0 on; None takes the density over all data. -1 marks examples
                without a class, which are treated as a class of their own.
            condition: One condition for all rows, or one per row; for a conditional encoder.

        Returns:
            This sampler.
        """
        self._data = (np.asarray(x), _checked_classes(y, len(x)), condition)
        self._measure()
        return self

    def _measure(self) -> None:
        x, y, condition = self._measured_data()
        if self.alpha == np.inf and self.class_balance == "as_given":
            self.latents = self.used_dims = None
            self._take(Rarity(np.full(len(x), 1.0 / len(x)), 1.0))
            return
        z = features(self.encoder, x, condition).astype(np.float64)
        self.used_dims = self._useful_dims(z, x, condition)
        self.latents = z[:, self.used_dims]
        labels = None if y is None else y - y.min()
        counts = np.ones(1) if labels is None else np.bincount(labels)
        equal = (counts > 0) / np.count_nonzero(counts)
        found = rarity(
            self.latents,
            alpha=self.alpha,
            num_bins=self.num_bins,
            labels=labels,
            class_probs=equal if self.class_balance == "equal" else None,
            min_effective_share=self.min_effective_share,
        )
        self._take(found)

    def _take(self, found: Rarity) -> None:
        self.probs, self.exponent = found
        self._version += 1

    def _useful_dims(self, z: np.ndarray, x: np.ndarray, condition: Any) -> np.ndarray:
        """The latent dimensions that tell examples apart."""
        if self.dims is not None and (not self.dims.size or self.dims.max() >= z.shape[1]):
            raise ValueError(
                f"`dims` must be latent dimensions from 0 to {z.shape[1] - 1}; received "
                f"{self.dims.tolist()}. The encoder gives {z.shape[1]} of them."
            )
        dims = self._informative_dims(z, x, condition) if self.dims is None else self.dims
        constant = z[:, dims].min(axis=0) == z[:, dims].max(axis=0)
        if constant.all():
            raise ValueError(
                f"The latents must differ between examples; those of the {type(self.encoder).__name__} are "
                f"constant (dimensions {', '.join(map(str, dims))}). Train the encoder first, or choose "
                "other `dims`."
            )
        new = set(dims[constant].tolist()) - self._warned_of
        if new:
            self._warned_of |= new
            warn_user(
                f"Latent dimensions {', '.join(map(str, sorted(new)))} are constant over the data, so they "
                "say nothing about what is rare and are left out."
            )
        return dims[~constant]

    def _informative_dims(self, z: np.ndarray, x: np.ndarray, condition: Any) -> np.ndarray:
        every = np.arange(z.shape[1])
        if not (hasattr(self.encoder, "posterior") and hasattr(self.encoder, "prior")):
            return every
        rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), _DIVERGENCE_ROWS)).astype(np.int64))
        given = condition
        if condition is not None and np.ndim(condition) > len(self.encoder.condition_shape or ()):
            given = np.asarray(condition)[rows]
        divergence = kl_per_dimension(self.encoder.posterior(x[rows], condition=given), self.encoder.prior())
        if divergence is None:
            return every
        used = np.mean(divergence, axis=0) > _LEAST_DIVERGENCE
        # An untrained encoder may use none.
        return every[used] if used.any() else every

    @property
    def effective_sample_size(self) -> float:
        r"""The number of equally weighted examples that carry as much information, $1 / \sum p^2$."""
        return effective_sample_size(self._measured())

    def rarest(self, count: int, *, label: int | None = None) -> np.ndarray:
        """The row numbers of the examples that are drawn most often, most often first.

        Args:
            count: Number of examples.
            label: Class to choose from; None takes all.
        """
        return self._ordered(-self._measured(), count, label)

    def commonest(self, count: int, *, label: int | None = None) -> np.ndarray:
        """The row numbers of the examples that are drawn least often, least often first.

        Args:
            count, label: As in `rarest`.
        """
        return self._ordered(self._measured(), count, label)

    def _ordered(self, keys: np.ndarray, count: int, label: int | None) -> np.ndarray:
        rows, (_, y, _) = np.arange(len(keys)), self._measured_data()
        if label is not None:
            rows = rows if y is None else rows[y == label]
            if y is None or not rows.size:
                known = "none, because no classes were given" if y is None else np.unique(y).tolist()
                raise ValueError(
                    f"`label` must be a class of the data ({known}); received {describe(label)}."
                )
        return rows[np.argsort(keys[rows], kind="stable")][: check_integer("count", count)]

    def group_shares(self, groups: Any) -> Mapping[Any, GroupShare]:
        """The share of each group in the data and in the draws.

        Args:
            groups: The group of each example, `[N]`: integers or names.

        Returns:
            Name of a group -> `GroupShare(before, after)`.
        """
        probs = self._measured()
        names, members = check_groups(groups, len(probs))
        before = np.bincount(members) / len(members)
        after = np.bincount(members, probs)
        return {name: GroupShare(float(before[n]), float(after[n])) for n, name in enumerate(names)}

    def _measured(self) -> np.ndarray:
        if self.probs is None:
            raise RuntimeError("There are no probabilities yet: call `measure` or `batches` with data first.")
        return self.probs

    def _measured_data(self) -> tuple[np.ndarray, np.ndarray | None, Any]:
        if self._data is None:
            raise RuntimeError("There are no data yet: call `measure` or `batches` first.")
        return self._data

    # ---- batches --------------------------------------------------------------------------------

    def batches(
        self, x: Any, y: Any = None, *, batch_size: int = 32, condition: Any = None, by_class: bool = True
    ) -> tf.data.Dataset:
        """Batches for `fit`, drawn anew in each epoch. Pass the sampler itself in `callbacks`.

        Args:
            x: Data `[N, *event_shape]`.
            y: Classes, integers `[N]`. Batches are then `(x, y)`, else `(x,)`.
            batch_size: Number of examples in a batch, summed over all replicas.
            condition: As in `measure`.
            by_class: Whether densities are taken within each class.

        Returns:
            A finite `tf.data.Dataset` of N examples.
        """
        x = np.asarray(x)
        y = None if y is None else np.asarray(y)
        batch_size = check_integer("batch_size", batch_size)
        self.measure(x, y if by_class else None, condition=condition)
        parts = [x] if y is None else [x, y]
        spec = [tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in parts]
        self._num_batches = -(-len(x) // batch_size)

        def batch_of(number: int) -> list[np.ndarray]:
            if number == 0:
                self._note_pass()
            rows = self._rows_of_epoch()[number * batch_size : (number + 1) * batch_size]
            return [part[rows] for part in parts]

        return pass_dataset(batch_of, spec, self._num_batches)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Measures the densities anew if the encoder is being trained."""
        super().on_epoch_begin(epoch, logs)
        # The first epoch of a resumed run has weights of which nothing was measured yet.
        if self.model is self.encoder and epoch >= self.warmup_epochs:
            self._measure()
        size = effective_sample_size(self._epoch_probs())
        self.history.append(size)

    def _epoch_probs(self) -> np.ndarray:
        probs = self._measured()
        return np.full(len(probs), 1.0 / len(probs)) if self._epoch < self.warmup_epochs else probs

    def _rows_of_epoch(self) -> np.ndarray:
        """The row numbers of this epoch, `[N]`, in their order."""
        key = (self._epoch, self._version)
        kept = self._rows
        if kept is None or kept[0] != key:
            kept = self._rows = key, draw_rows(self._epoch_probs(), seed=self.seed, epoch=self._epoch)
        return kept[1]


def draw_rows(probs: np.ndarray, *, seed: int, epoch: int) -> np.ndarray:
    """N row numbers by systematic resampling, in random order.

    Example i comes floor(N p_i) or ceil(N p_i) times, and N p_i times in expectation: the least noise that
    integers allow. With equal probabilities each comes once.
    """
    generator = np.random.default_rng((seed, epoch))
    size = len(probs)
    order = generator.permutation(size)
    if probs.min() == probs.max():
        return order
    # The examples divide the range from 0 to N; one is drawn wherever it meets a point of a grid of step 1.
    # Examples lie there in random order, so that neighbours in the data are not drawn together.
    ends = np.cumsum(probs[order])
    met = np.ceil(ends * (size / ends[-1]) - generator.uniform())
    rows = np.repeat(order, np.diff(met, prepend=0.0).astype(np.int64))
    return generator.permutation(rows)


def _checked_classes(y: Any, num_examples: int) -> np.ndarray | None:
    """Classes as integers `[N]`, -1 for those without.

    Raises:
        ValueError: If they are no such thing, or a class has a single example.
    """
    if y is None:
        return None
    y = np.asarray(y)
    if y.shape != (num_examples,):
        raise ValueError(
            f"`y` must hold one class for each of the {num_examples} examples; received {describe(y)}. Turn "
            "one-hot rows into classes with `np.argmax(y, axis=-1)`."
        )
    ValueRange(-1, np.inf, integer=True, advice="Number the classes from 0.").check("y", y)
    y = y.astype(np.int64)
    classes, counts = np.unique(y, return_counts=True)
    single = classes[counts == 1]
    if single.size:
        raise ValueError(
            "Each class must have at least 2 examples, since one has no density; received one example of "
            f"class {', '.join(map(str, single))}. Join such classes, add examples, or pass "
            "`by_class=False`."
        )
    return y
