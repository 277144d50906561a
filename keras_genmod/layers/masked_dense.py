"""A dense layer with a mask that removes some of its connections."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.checks import check_integer, describe
from keras_genmod.core.registration import register

__all__ = ["MaskedDense"]


@register
class MaskedDense(keras.layers.Layer):
    r"""$y = f(x \, (W \odot M) + b)$ with a mask $M$ of zeros and ones.

    The kernel itself is not masked: entries where the mask is 0 have no effect and no gradient.

    Args:
        units: Number of outputs.
        kernel_mask: Array `[inputs, units]` of zeros and ones. None if each call passes its own mask, as for
            masks that change from step to step.
        activation: Activation of the outputs: a function, a name or None.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the kernel.

    Call arguments:
        inputs: `[B, inputs]`.
        kernel_mask: Bool `[inputs, units]`; replaces the layer's own mask.

    Returns:
        `[B, units]`.

    Cost: As for a dense layer, and one pass over the kernel to mask it.

    Reference: MADE: Masked Autoencoder for Distribution Estimation, Germain, Gregor, Murray and
    Larochelle, 2015.

    Example:
        >>> import numpy as np
        >>> layer = MaskedDense(2, kernel_mask=[[1, 0], [0, 1]], kernel_initializer="ones")
        >>> layer(np.array([[3.0, 5.0]], "float32")).numpy()
        array([[3., 5.]], dtype=float32)
    """

    def __init__(
        self,
        units: int,
        *,
        kernel_mask: Any = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_integer("units", units)
        self.activation = keras.activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self._mask = None if kernel_mask is None else self._checked(kernel_mask)

    def _checked(self, mask: Any) -> np.ndarray:
        mask = np.asarray(mask)
        if mask.ndim != 2 or mask.shape[1] != self.units or not np.isin(mask, (0, 1)).all():
            raise ValueError(
                f"`kernel_mask` must be zeros and ones of shape [inputs, {self.units}]; received "
                f"{describe(mask)}. Give one column for each unit."
            )
        return mask.astype(bool)

    def build(self, input_shape) -> None:
        """Creates kernel and bias."""
        inputs = input_shape[-1]
        if self._mask is not None and len(self._mask) != inputs:
            raise ValueError(
                f"`kernel_mask` must have one row for each of {inputs} inputs; received "
                f"{len(self._mask)} rows. Build the layer for inputs of that size."
            )
        self.kernel = self.add_weight(
            shape=(inputs, self.units), initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, inputs: tf.Tensor, kernel_mask: Any = None) -> tf.Tensor:
        """The masked product, the bias and the activation."""
        kernel_mask = self._mask if kernel_mask is None else kernel_mask
        if kernel_mask is None:
            raise ValueError(
                f"The layer {self.name} has no mask, and received none in this call. Pass `kernel_mask=` to "
                "its constructor or its call."
            )
        kernel = tf.convert_to_tensor(self.kernel)
        outputs = tf.matmul(inputs, tf.where(kernel_mask, kernel, tf.zeros_like(kernel)))
        if self.bias is not None:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        return self.activation(outputs)

    def compute_output_shape(self, input_shape):
        """`[B, units]`."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_mask": None if self._mask is None else self._mask.astype(int).tolist(),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
