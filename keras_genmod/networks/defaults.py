"""Which default network goes with which shape: dense for rank 1, convolutional for rank 3."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_genmod.core.checks import ValueRange, check_shape_tuple
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.networks.convolutional import conv_decoder, conv_encoder
from keras_genmod.networks.dense import dense_network

__all__ = ["check_network", "check_rank", "default_decoder", "default_encoder", "output_range"]


def default_encoder(event_shape: Sequence[int], output_shape: Sequence[int], **kwargs) -> keras.Model:
    """The default network from an event to raw outputs.

    Args:
        event_shape: shape of one event; rank 1 gives `dense_network`, rank 3 `conv_encoder`.
        output_shape: shape of one output.
        **kwargs: further arguments of the builder.

    Raises:
        ValueError: for another rank.
    """
    event_shape = check_rank(event_shape)
    builder = dense_network if len(event_shape) == 1 else conv_encoder
    return builder(event_shape, output_shape, **{"name": "encoder", **kwargs})


def default_decoder(input_shape: Sequence[int], event_shape: Sequence[int], **kwargs) -> keras.Model:
    """The default network from latent vectors to the raw parameters of events.

    Args:
        input_shape: shape of one latent vector.
        event_shape: shape of the raw parameters; rank 1 gives `dense_network` (with the widths of the
            default encoder in reverse), rank 3 `conv_decoder`.
        **kwargs: further arguments of the builder.

    Raises:
        ValueError: for another rank.
    """
    event_shape = check_rank(event_shape)
    kwargs = {"name": "decoder", **kwargs}
    if len(event_shape) == 1:
        return dense_network(input_shape, event_shape, **{"hidden_dims": (256, 512), **kwargs})
    return conv_decoder(input_shape, event_shape, **kwargs)


def check_rank(event_shape: Sequence[int]) -> tuple[int, ...]:
    """Refuses an event shape that has no default networks."""
    event_shape = check_shape_tuple("event_shape", event_shape)
    if len(event_shape) not in (1, 3):
        raise ValueError(
            "There are default networks for vectors, event_shape=(size,), and images, "
            f"event_shape=(height, width, channels); received {event_shape}. "
            "Pass networks of your own for other shapes."
        )
    return event_shape


def check_network(
    name: str,
    network: keras.Model,
    inputs: Sequence,
    output_shape: Sequence[int],
    why: str,
    *,
    raw: bool = True,
    dtype: tf.DType = tf.float32,
) -> None:
    """Refuses a network whose output does not fit its head, and says how many numbers the head needs.

    Args:
        name: the argument's name.
        network: the network.
        inputs: `keras.KerasTensor`s that it will be called on: `[x]` or `[x, condition]`.
        output_shape: shape of one output that is needed.
        why: what the numbers are for, such as "the means of 784 values".
        raw: whether they must be raw, the last layer linear.
        dtype: the real dtype of the model; warns of a network whose inputs would round it.
    """
    if not isinstance(network, keras.layers.Layer):
        raise TypeError(
            f"`{name}` must be a Keras model or layer; received {type(network).__name__}. "
            "A function can be wrapped: `keras.Model(inputs, function(inputs))`."
        )
    output_shape = tuple(output_shape)
    arguments = list(inputs) if len(inputs) > 1 else inputs[0]
    try:
        # A symbolic call also builds a network that was not called yet.
        received = tuple(network(arguments).shape)
    except Exception as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in inputs)
        raise ValueError(
            f"`{name}` could not be called on {'[x, condition]' if len(inputs) > 1 else 'x'} of shape "
            f"{shapes}: {error}"
        ) from error
    if received[1:] != output_shape:
        raise ValueError(
            f"`{name}` must end in {math.prod(output_shape)} {'raw ' if raw else ''}outputs of shape "
            f"{(None, *output_shape)}, {why}; received {received}. Change its last layer"
            f"{', and leave it linear' if raw else ''}."
        )
    dtypes = [tensor.dtype for tensor in getattr(network, "inputs", ())]
    narrow = [each for each in dtypes if "float" in each and each != "float64"]
    if dtype == tf.float64 and narrow:
        warn_user(
            f"`{name}` has an input of dtype {narrow[0]} in a model of float64: what reaches it is rounded. "
            "Build it with `keras.Input(shape, dtype='float64')`.",
        )


# Activation -> its bounds, and how bytes get there.
_BOUNDS = {
    "tanh": (-1.0, 1.0, "`x / 127.5 - 1`"),
    "sigmoid": (0.0, 1.0, "`x / 255`"),
    "hard_sigmoid": (0.0, 1.0, "`x / 255`"),
}
_MOVES_VALUES = (keras.layers.Reshape, keras.layers.Cropping2D, keras.layers.Flatten, keras.layers.Permute)


def output_range(network: keras.layers.Layer) -> ValueRange:
    """The values that a network can give, read off its last activation; any, if it says nothing."""
    layer = network
    while getattr(layer, "layers", None):
        # Layers that only move values about do not count.
        inner = (part for part in reversed(layer.layers) if not isinstance(part, _MOVES_VALUES))
        layer = next(inner, None)
    name = getattr(getattr(layer, "activation", None), "__name__", "")
    if name not in _BOUNDS:
        return ValueRange()
    low, high, bytes_to_range = _BOUNDS[name]
    advice = f"The network ends in {name}: scale the data to that range, bytes by {bytes_to_range}."
    return ValueRange(low, high, advice=advice)
