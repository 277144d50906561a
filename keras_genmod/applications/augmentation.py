"""Generated examples as additional training data for a classifier."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import tensorflow as tf

from keras_genmod.applications.latents import check_capability
from keras_genmod.applications.passes import pass_dataset
from keras_genmod.core.checks import check_choice, check_integer, check_number, check_rows, describe
from keras_genmod.core.noise import check_seed

__all__ = ["augment"]

# Samples that are drawn together.
_DRAWN_TOGETHER = 1024


def augment(
    model: Any,
    x: Any,
    y: Any,
    *,
    share: float = 0.5,
    batch_size: int = 32,
    classes: str = "as_given",
    pool_size: int | None = None,
    first_pass: int = 0,
    seed: int = 0,
) -> tf.data.Dataset:
    """Batches of real examples and of samples of a conditional model.

    A pass holds each real example once, in an order of its own, and so many samples that they are `share` of
    the pass; they are spread evenly over the batches. A sample has the label that the model was asked for.

    ```python
    classifier.fit(augment(gan, x, y, share=0.5), epochs=10)
    ```

    Whether this helps is a matter of measurement. A model trained on the same few examples knows nothing that
    they do not show, and its errors become the classifier's; one trained on more data, with labels for all of
    them, may help.

    Args:
        model: A conditional model with `sample`, trained on labels `y` as its conditions.
        x: Data `[N, *event_shape]`, in the model's range.
        y: Classes, integers `[N]`, or conditions `[N, *condition_shape]`.
        share: Fraction of generated examples in a pass, from 0 to 1. With 1 there are only samples, N of
            them.
        batch_size: Number of examples in a batch, summed over all replicas.
        classes: "as_given": the conditions of samples are those of real examples, in random order. "equal":
            all classes that occur in `y` alike often, for data with a rare class.
        pool_size: Number of samples that are drawn once and serve in all passes, in new orders; for models
            that are slow to sample. None draws new ones in each pass.
        first_pass: Number of the first pass over the data set, for a run that is resumed: the number of
            epochs done.
        seed: Seeds orders, conditions and samples. Data sets of equal arguments give equal streams.

    Returns:
        A finite `tf.data.Dataset` of `(x, y)`. Each iteration is the next pass.

    Raises:
        TypeError: If the model cannot draw samples.
        ValueError: If the model takes no condition, the share lies outside [0, 1], or the data do not fit the
            model.

    Cost: the samples. Memory for about a thousand of them, or for the pool.

    Example:
        >>> import keras_genmod as kg
        >>> model = kg.VAE((2,), num_classes=3, latent_dim=1, seed=0)
        >>> data = augment(model, np.eye(2), np.array([0, 2]), share=0.75, batch_size=4)
        >>> [x.shape[0] for x, y in data], sorted(int(label) for _, y in data for label in y)
        ([4, 4], [0, 0, 0, 0, 2, 2, 2, 2])
    """
    share = check_number("share", share, minimum=0.0, maximum=1.0)
    batch_size = check_integer("batch_size", batch_size)
    first_pass = check_integer("first_pass", first_pass, minimum=0)
    check_choice("classes", classes, ("as_given", "equal"))
    if pool_size is not None:
        check_integer("pool_size", pool_size)
    x, y = _checked(model, x, y)
    mixture = _Mixture(model, x, y, share, classes, pool_size, check_seed(seed) or 0)
    mixture.next_pass = first_pass
    spec = [
        tf.TensorSpec([None, *x.shape[1:]], tf.as_dtype(x.dtype)),
        tf.TensorSpec([None, *y.shape[1:]], tf.as_dtype(y.dtype)),
    ]

    def batch_of(number: int) -> list[np.ndarray]:
        return mixture.batch(number * batch_size, batch_size, begins=number == 0)

    return pass_dataset(batch_of, spec, -(-mixture.size // batch_size))


class _Mixture:
    """The numbered passes over real and generated examples."""

    def __init__(
        self,
        model: Any,
        x: np.ndarray,
        y: np.ndarray,
        share: float,
        classes: str,
        pool_size: int | None,
        seed: int,
    ) -> None:
        self._model, self._x, self._y, self._seed = model, x, y, seed
        self._num_real = len(x) if share < 1 else 0
        self._num_generated = round(len(x) * share / (1 - share)) if share < 1 else len(x)
        self._labels = np.unique(y) if classes == "equal" else None
        self._pool: tuple[np.ndarray, np.ndarray] | None = None
        self.next_pass = 0
        self._current: tuple[int, np.ndarray, np.ndarray] | None = None
        self._chunk: tuple[tuple[int, int], np.ndarray] | None = None
        self._lock = threading.Lock()
        if pool_size is not None and self._num_generated:
            conditions = self._conditions(np.random.default_rng((seed, 0)), pool_size)
            parts = [
                self._draw(conditions[start : start + _DRAWN_TOGETHER], (0, start))
                for start in range(0, pool_size, _DRAWN_TOGETHER)
            ]
            self._pool = np.concatenate(parts), conditions

    @property
    def size(self) -> int:
        """Number of examples in a pass."""
        return self._num_real + self._num_generated

    def batch(self, start: int, count: int, *, begins: bool) -> list[np.ndarray]:
        """Examples and labels at `count` places of the pass; `begins` starts the next pass."""
        with self._lock:
            if begins or self._current is None:
                generator = np.random.default_rng((self._seed, 1, self.next_pass))
                order = generator.permutation(self._num_real)
                self._current = self.next_pass, order, self._generated_rows(generator)
                self.next_pass += 1
            number, order, generated = self._current
            places = np.arange(start, min(start + count, self.size))
            # The number of generated examples before each place grows evenly.
            before = places * self._num_generated // self.size
            is_generated = (places + 1) * self._num_generated // self.size > before
            real = order[(places - before)[~is_generated]]
            x = np.empty((len(places), *self._x.shape[1:]), self._x.dtype)
            y = np.empty((len(places), *self._y.shape[1:]), self._y.dtype)
            x[~is_generated], y[~is_generated] = self._x[real], self._y[real]
            if is_generated.any():
                x[is_generated], y[is_generated] = self._generated(number, generated, before[is_generated])
            return [x, y]

    def _conditions(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Conditions of `count` samples: as evenly as can be over the real ones, or over the classes."""
        source = self._y if self._labels is None else self._labels
        whole, rest = divmod(count, len(source))
        rows = [np.tile(np.arange(len(source)), whole), generator.choice(len(source), rest, replace=False)]
        return source[generator.permutation(np.concatenate(rows).astype(np.int64))].astype(self._y.dtype)

    def _generated_rows(self, generator: np.random.Generator) -> np.ndarray:
        """The conditions of a pass's samples, or their row numbers in the pool."""
        if self._pool is None:
            return self._conditions(generator, self._num_generated)
        size = len(self._pool[0])
        passes = -(-self._num_generated // size)
        return np.concatenate([generator.permutation(size) for _ in range(passes)])[: self._num_generated]

    def _generated(
        self, number: int, generated: np.ndarray, places: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Samples and their conditions at consecutive places among the samples of pass `number`."""
        if self._pool is not None:
            samples, conditions = self._pool
            return samples[generated[places]], conditions[generated[places]]
        parts = []
        for chunk in range(places[0] // _DRAWN_TOGETHER, places[-1] // _DRAWN_TOGETHER + 1):
            start = chunk * _DRAWN_TOGETHER
            if self._chunk is None or self._chunk[0] != (number, chunk):
                conditions = generated[start : start + _DRAWN_TOGETHER]
                self._chunk = (number, chunk), self._draw(conditions, (1 + number, chunk))
            inside = places[(places >= start) & (places < start + _DRAWN_TOGETHER)] - start
            parts.append(self._chunk[1][inside])
        return np.concatenate(parts), generated[places]

    def _draw(self, conditions: np.ndarray, purpose: tuple[int, int]) -> np.ndarray:
        seed = np.random.SeedSequence((self._seed, 2, *purpose)).generate_state(2) >> 1
        samples = self._model.sample(
            len(conditions), condition=conditions, seed=tf.constant(seed.astype(np.int32))
        )
        return np.asarray(samples).astype(self._x.dtype)


def _checked(model: Any, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Data that fit the model."""
    check_capability(model, "sample", what="`augment`")
    if getattr(model, "num_classes", None) is None and getattr(model, "condition_shape", None) is None:
        raise ValueError(
            "`augment` needs a conditional model, since each sample must have a label; received an "
            f"unconditional {type(model).__name__}. Build it with `num_classes=` (or `condition_shape=`), "
            "which every family but mixtures and translators takes, and train it with `fit(x, y)`."
        )
    x, y = np.asarray(x), np.asarray(y)
    check_rows("x", x, model.event_shape)
    model.value_range().check("x", x)
    if len(y) != len(x):
        raise ValueError(
            f"`y` must hold one label for each of the {len(x)} examples; received {describe(y)}."
        )
    # The model knows which conditions it takes.
    model.check_data(x, y)
    if y.ndim == 2 and model.num_classes is not None:
        y = np.argmax(y, axis=1) if y.shape[1] > 1 else y[:, 0]
    if np.issubdtype(x.dtype, np.integer) and not model.value_range().integer:
        x = x.astype(np.float32)
    return x, y
