"""Batch normalisation over the global batch of all replicas, plain and conditional."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_genmod.core.checks import check_integer
from keras_genmod.core.precision import as_real
from keras_genmod.core.registration import register
from keras_genmod.core.replicas import num_replicas, sum_over_replicas

__all__ = ["BatchNormalization", "ConditionalBatchNormalization"]


@register
class BatchNormalization(keras.layers.BatchNormalization):
    r"""Normalises each channel over the batch of all replicas.

    $$ y = \gamma (x - \mu) / \sqrt{v + \epsilon} + \beta $$

    It differs from Keras' layer in three ways. In training the statistics $\mu$ and $v$ are those of the
    global batch, even if a replica has few or no examples; this takes one exchange between replicas. On one
    device it uses TensorFlow's fused kernel, which takes about half the time. The defaults are DCGAN's.

    Args:
        momentum: Momentum of the moving statistics, which are used outside training.
        epsilon: Added to the variance.
        **kwargs: As in `keras.layers.BatchNormalization`, except `axis`, which is always the last.

    Reference: Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift,
    Ioffe and Szegedy, 2015.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any) -> None:
        # The exchange between replicas is implemented here, so only these values of Keras' options apply.
        for name, only in (("axis", -1), ("synchronized", False), ("renorm", False)):
            value = kwargs.pop(name, only)
            if value != only and not (name == "synchronized" and value):
                raise ValueError(
                    f"`{name}` must be {only}; received {value!r}. Use `keras.layers.BatchNormalization`."
                )
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def call(self, inputs: tf.Tensor, training: bool = False, mask: Any = None) -> tf.Tensor:
        """`inputs` `[B, ..., C]`, normalised by the batch in training, otherwise by the moving statistics."""
        if not training or not self.trainable or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        x = as_real(inputs)
        channels = inputs.shape[-1]
        gamma = tf.ones([channels], x.dtype) if self.gamma is None else tf.convert_to_tensor(self.gamma)
        beta = tf.zeros([channels], x.dtype) if self.beta is None else tf.convert_to_tensor(self.beta)
        if num_replicas() == 1 and x.dtype == tf.float32:
            y, mean, variance = self._fused(x, gamma, beta)
        else:
            around, offset, mean, variance = self._global_moments(x)
            y = tf.nn.batch_normalization(around, offset, variance, beta, gamma, self.epsilon)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = tf.convert_to_tensor(moving)
            moving.assign(old * self.momentum + tf.stop_gradient(value) * (1.0 - self.momentum))
        return tf.cast(y, inputs.dtype)

    def _fused(self, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tuple:
        flat = x if len(x.shape) == 4 else tf.reshape(x, [-1, 1, 1, x.shape[-1]])
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            flat, gamma, beta, epsilon=self.epsilon, is_training=True
        )
        # The kernel normalises by the biased variance, but returns n / (n - 1) times that.
        count = tf.cast(tf.size(x), x.dtype) / x.shape[-1]
        return tf.reshape(y, tf.shape(x)), mean, variance * tf.maximum(count - 1.0, 1.0) / count

    def _global_moments(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """The global mean and variance, computed without loss of precision.

        Returns:
            The examples minus this replica's mean, the global mean minus this replica's mean, the global mean
            and the global variance.
        """
        axes = list(range(len(x.shape) - 1))
        count = tf.cast(tf.size(x), tf.float64) / x.shape[-1]
        # A replica without examples uses 0 as its mean.
        near = tf.math.divide_no_nan(tf.reduce_sum(x, axes), tf.cast(count, x.dtype))
        near = tf.stop_gradient(near)
        around = x - near
        sums, squares = (
            tf.cast(tf.reduce_sum(part, axes), tf.float64) for part in (around, tf.square(around))
        )
        # Uncentred sums, which can be added over replicas; float64 keeps the precision of float32 examples.
        near = tf.cast(near, tf.float64)
        squares += near * (2.0 * sums + count * near)
        sums += count * near
        total = sum_over_replicas(tf.stack([sums, squares, tf.fill(tf.shape(sums), count)]))
        mean = total[0] / total[2]
        variance = tf.maximum(total[1] / total[2] - tf.square(mean), 0.0)
        return around, *(tf.cast(value, x.dtype) for value in (mean - near, mean, variance))


@register
class ConditionalBatchNormalization(keras.layers.Layer):
    r"""Batch normalisation with scale and offset from the condition: $y = \gamma_c \hat x + \beta_c$.

    For classes, $\gamma_c$ and $\beta_c$ are a row of a table. For vectors,
    $\gamma_c = 1 + W_\gamma c + b_\gamma$ and $\beta_c = W_\beta c + b_\beta$. Initially $\gamma_c = 1$ and
    $\beta_c = 0$ for all conditions.

    Args:
        num_classes: Number of classes (at least 2) if the condition is a class, else None.
        momentum, epsilon: As in `BatchNormalization`.

    Call arguments:
        inputs: List of `x` `[B, ..., C]` and the condition, int `[B]` or float `[B, *shape]`.

    Reference: Modulating Early Visual Processing by Language, de Vries et al., 2017; cGANs with Projection
    Discriminator, Miyato and Koyama, 2018.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = (
            None if num_classes is None else check_integer("num_classes", num_classes, minimum=2)
        )
        self.normalization = BatchNormalization(
            momentum, epsilon, center=False, scale=False, dtype=self.dtype_policy, name="normalization"
        )

    def build(self, input_shape) -> None:
        x_shape, condition_shape = input_shape
        channels = x_shape[-1]
        self.normalization.build(x_shape)
        rows = self.num_classes
        if rows is None:
            rows = 1
            for side in condition_shape[1:]:
                rows *= side
            self.offset = self.add_weight((2 * channels,), initializer="zeros", name="offset")
        # Scales minus 1 and offsets in one table, so that one lookup gives both.
        self.table = self.add_weight((rows, 2 * channels), initializer="zeros", name="table")

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """`x` normalised, then scaled and shifted depending on the condition."""
        x, condition = inputs
        if self.num_classes is not None:
            scale_offset = ops.take(self.table, condition, axis=0)
        else:
            flat = ops.reshape(ops.cast(condition, self.compute_dtype), (-1, self.table.shape[0]))
            scale_offset = ops.matmul(flat, self.table) + self.offset
        scale_offset = ops.reshape(scale_offset, (-1, *[1] * (len(x.shape) - 2), 2 * x.shape[-1]))
        scale, offset = ops.split(scale_offset, 2, axis=-1)
        return self.normalization(x, training=training) * (1.0 + scale) + offset

    def compute_output_shape(self, input_shape) -> tuple:
        return tuple(input_shape[0])

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "momentum": self.normalization.momentum,
            "epsilon": self.normalization.epsilon,
        }
