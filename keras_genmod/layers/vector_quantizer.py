r"""Replaces vectors by the nearest codes of a codebook, which follows the vectors by moving averages.

$$ k(z) = \arg\min_k \lVert z - e_k \rVert^2, \quad
   n_k \leftarrow \gamma n_k + (1 - \gamma) \sum_i [k(z_i) = k], \quad
   m_k \leftarrow \gamma m_k + (1 - \gamma) \sum_i [k(z_i) = k] \, z_i, \quad e_k = m_k / n_k $$

References: Neural Discrete Representation Learning, van den Oord, Vinyals and Kavukcuoglu, 2017 (appendix
A.1); Jukebox: A Generative Model for Music, Dhariwal et al., 2020 (revival of unused codes).
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_integer, check_number
from keras_genmod.core.distances import nearest_rows
from keras_genmod.core.noise import check_seed
from keras_genmod.core.precision import real_dtype
from keras_genmod.core.registration import register
from keras_genmod.core.replicas import assign_equally

__all__ = ["VectorQuantizer"]

# A count that decays towards 0 stops here, so that its code stays where it is.
_LEAST_COUNT = 1e-5


@register
class VectorQuantizer(keras.layers.Layer):
    r"""Replaces vectors by the nearest of `num_codes` learned ones.

    The codebook is state that no gradient trains: `update` moves it, once a training step. On several
    replicas each sees the vectors of all, so that all hold the same codebook.

    Args:
        num_codes: Number of codes K.
        ema_decay: Decay $\gamma$ of the moving averages, in [0, 1].
        revival_threshold: A code whose count $n_k$ falls below this fraction of the mean count moves to a
            random vector of the batch and gets the mean count; 0 leaves it where it is.
        seed: Seeds the initial codes, which are drawn from a normal distribution of variance 1 / D.

    Call arguments:
        inputs: `[..., D]`.

    Returns:
        The numbers of the nearest codes, int32 `[...]`. Two codes count as equally near if their squared
        distances differ by less than 2^-11 of the smaller one.

    Cost: K D for each vector, in float32; again in float64 for vectors so close to a code that float32
    cannot tell which code is nearest.

    Example:
        >>> quantizer = VectorQuantizer(2)
        >>> quantizer.build((None, 1))
        >>> quantizer.set_codebook([[0.0], [1.0]])
        >>> quantizer(tf.constant([[0.4], [0.7]])).numpy()
        array([0, 1], dtype=int32)
    """

    def __init__(
        self,
        num_codes: int,
        *,
        ema_decay: float = 0.99,
        revival_threshold: float = 0.1,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.num_codes = check_integer("num_codes", num_codes, minimum=2)
        self.seed = check_seed(seed)
        self.ema_decay = check_number("ema_decay", ema_decay, minimum=0.0, maximum=1.0)
        self.revival_threshold = check_number(
            "revival_threshold", revival_threshold, minimum=0.0, maximum=1.0
        )

    def build(self, input_shape: tuple) -> None:
        """Creates the weight `clusters`: counts $n_k$ in the first column, sums $m_k$ in the others."""
        self.clusters = self.add_weight(
            shape=(self.num_codes, 1 + input_shape[-1]),
            initializer=self._first_clusters,
            dtype=real_dtype(self.dtype_policy).name,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="clusters",
        )
        self.built = True

    def _first_clusters(self, shape: tuple[int, int], dtype: Any = None) -> tf.Tensor:
        """Counts of 1 and random codes."""
        count, width = shape
        normal = keras.initializers.RandomNormal(stddev=(width - 1) ** -0.5, seed=self.seed)
        return tf.concat([tf.ones([count, 1], dtype), normal((count, width - 1), dtype)], axis=1)

    def codebook(self) -> tf.Tensor:
        """The codes $e_k$, `[K, D]`."""
        return _codes(tf.convert_to_tensor(self.clusters))

    def set_codebook(self, codes: Any) -> None:
        """Sets the codes, `[K, D]`, each with a count of 1."""
        codes = tf.cast(codes, self.clusters.dtype)
        self.clusters.assign(tf.concat([tf.ones_like(codes[:, :1]), codes], axis=1))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The numbers of the nearest codes."""
        codes = self.codebook()
        flat = tf.reshape(tf.cast(inputs, codes.dtype), [-1, codes.shape[-1]])
        nearest = nearest_rows(flat, codes)
        return tf.reshape(nearest, tf.shape(inputs)[:-1])

    def lookup(self, numbers: tf.Tensor) -> tf.Tensor:
        """The codes `[..., D]` with the given numbers `[...]`."""
        return tf.gather(self.codebook(), numbers)

    def update(self, inputs: tf.Tensor, numbers: tf.Tensor, seed: tf.Tensor) -> None:
        """Moves the codebook towards the vectors of a batch, and revives codes that are little used.

        Args:
            inputs: Vectors `[..., D]`.
            numbers: Numbers of their nearest codes `[...]`, as `call` gave them.
            seed: int32 `[2]`, seeds the choice of vectors for revived codes.
        """
        flat = tf.stop_gradient(tf.reshape(tf.cast(inputs, self.clusters.dtype), [-1, inputs.shape[-1]]))
        ones = tf.ones_like(flat[:, :1])
        sums = tf.math.unsorted_segment_sum(
            tf.concat([ones, flat], axis=1), tf.reshape(numbers, [-1]), self.num_codes
        )
        # At the end of an epoch a replica may have no rows. The first one always has some, and `_moved` takes
        # the candidates of the first.
        count = tf.maximum(tf.shape(flat)[0], 1)
        drawn = tf.random.stateless_uniform([self.num_codes], seed, maxval=count, dtype=tf.int32)
        candidates = tf.gather(tf.pad(flat, [[0, 1], [0, 0]]), drawn)
        assign_equally(self.clusters, self._moved, rows=tf.concat([sums, candidates], axis=1)[None])

    def _moved(self, clusters: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """The clusters after one step, from each replica's sums and candidates `[R, K, 1 + 2 D]`."""
        width = clusters.shape[-1]
        sums, candidates = rows[:, :, :width], rows[0, :, width:]
        moved = self.ema_decay * clusters + (1.0 - self.ema_decay) * tf.reduce_sum(sums, axis=0)
        counts = moved[:, :1]
        mean_count = tf.reduce_mean(counts)
        revived = tf.concat([tf.fill(tf.shape(counts), mean_count), mean_count * candidates], axis=1)
        moved = tf.where(counts < self.revival_threshold * mean_count, revived, moved)
        kept = tf.concat([tf.ones_like(counts), _codes(clusters)], axis=1) * _LEAST_COUNT
        return tf.where(moved[:, :1] < _LEAST_COUNT, kept, moved)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[...]` of `[..., D]`."""
        return tuple(input_shape[:-1])

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "ema_decay": self.ema_decay,
            "revival_threshold": self.revival_threshold,
            "seed": self.seed,
        }


def _codes(clusters: tf.Tensor) -> tf.Tensor:
    return clusters[:, 1:] / clusters[:, :1]
