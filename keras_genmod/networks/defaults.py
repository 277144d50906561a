"""Chooses the default network by the event's rank: dense for rank 1, convolutional for rank 3."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_genmod.core.checks import check_shape_tuple
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.networks.convolutional import conv_decoder, conv_encoder
from keras_genmod.networks.dense import dense_network
from keras_genmod.networks.tracing import unused_inputs

__all__ = ["check_network", "check_rank", "default_decoder", "default_encoder"]


def default_encoder(event_shape: Sequence[int], output_shape: Sequence[int], **kwargs) -> keras.Model:
    """Builds the default network from events to raw outputs.

    Args:
        event_shape: Shape of one event; rank 1 gives a `dense_network`, rank 3 a `conv_encoder`.
        output_shape: Shape of one output.
        **kwargs: Further arguments of the builder.

    Raises:
        ValueError: If the event has another rank.
    """
    event_shape = check_rank(event_shape)
    builder = dense_network if len(event_shape) == 1 else conv_encoder
    return builder(event_shape, output_shape, **{"name": "encoder", **kwargs})


def default_decoder(input_shape: Sequence[int], event_shape: Sequence[int], **kwargs) -> keras.Model:
    """Builds the default network from latent vectors to the raw parameters of events.

    Args:
        input_shape: Shape of one latent vector.
        event_shape: Shape of the raw parameters; rank 1 gives a `dense_network` (with the widths of the
            default encoder in reverse), rank 3 a `conv_decoder`.
        **kwargs: Further arguments of the builder.

    Raises:
        ValueError: If the event has another rank.
    """
    event_shape = check_rank(event_shape)
    kwargs = {"name": "decoder", **kwargs}
    if len(event_shape) == 1:
        return dense_network(input_shape, event_shape, **{"hidden_dims": (256, 512), **kwargs})
    return conv_decoder(input_shape, event_shape, **kwargs)


def check_rank(event_shape: Sequence[int]) -> tuple[int, ...]:
    """Returns an event shape that has default networks; refuses any other."""
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
    inputs: Sequence[keras.KerasTensor],
    output_shape: Sequence[int],
    why: str,
    *,
    raw: bool = True,
    dtype: tf.DType = tf.float32,
) -> None:
    """Refuses a network that does not take its inputs by name, or whose outputs do not fit its head.

    A network takes its inputs in this order: `x` or `z`, what else its family gives it, such as the time `t`,
    and the condition. It warns of an input that the output does not depend on.

    Args:
        name: The argument's name.
        network: The network.
        inputs: What it will be called on, by their names: `x`, `[x, condition]`, `[x, t, condition]`.
        output_shape: Shape of one output that is needed.
        why: What the numbers are for, such as "the means of 784 values".
        raw: Whether they must be raw, the last layer linear.
        dtype: The real dtype of the model; warns of a network whose inputs would round it.

    Raises:
        TypeError: For what is no Keras layer.
        ValueError: For a network that takes other inputs or gives outputs of another shape.
    """
    if not isinstance(network, keras.layers.Layer):
        raise TypeError(
            f"`{name}` must be a Keras model or layer; received {type(network).__name__}. "
            "A function can be wrapped: `keras.Model(inputs, function(inputs))`."
        )
    output_shape = tuple(output_shape)
    _check_declared_inputs(name, network, inputs)
    arguments = list(inputs) if len(inputs) > 1 else inputs[0]
    try:
        # A symbolic call also builds a network that was not called yet.
        outputs = network(arguments)
    except Exception as error:
        hint = ""
        of_classes = inputs[-1].name == "condition" and "int" in inputs[-1].dtype
        if of_classes and not hasattr(network, "inputs"):
            hint = (
                "\nA network that declares no inputs gets the numbers of classes; for one-hot vectors make "
                f"it functional, `keras.Model({_names(inputs)}, output)`."
            )
        raise ValueError(f"{_not_callable(name, inputs)}: {error}{hint}") from error
    if not hasattr(outputs, "shape"):
        shapes = ", ".join(str(tuple(output.shape)) for output in keras.tree.flatten(outputs))
        raise ValueError(
            f"`{name}` must end in one output of shape {(None, *output_shape)}, {why}; received several, of "
            f"shapes {shapes}. Join those that are meant, `keras.layers.Concatenate()([mean, scale])`, and "
            "leave out the others, such as draws, which the model makes itself."
        )
    received = tuple(outputs.shape)
    if received[1:] != output_shape:
        raise ValueError(
            f"`{name}` must end in {math.prod(output_shape)} {'raw ' if raw else ''}outputs of shape "
            f"{(None, *output_shape)}, {why}; received {received}. Change its last layer"
            f"{', and leave it linear' if raw else ''}."
        )
    for position in unused_inputs(network, inputs):
        warn_user(
            f"`{name}` ignores its input `{inputs[position].name}`: its output is the same whatever that is. "
            "Connect the input to the output. If the network is meant to do without it, nothing is wrong."
        )
    dtypes = [tensor.dtype for tensor in getattr(network, "inputs", ())]
    narrow = [each for each in dtypes if "float" in each and each != "float64"]
    if dtype == tf.float64 and narrow:
        warn_user(
            f"`{name}` has an input of dtype {narrow[0]} in a model of float64: what reaches it is rounded. "
            "Build it with `keras.Input(shape, dtype='float64')`.",
        )


def _names(inputs: Sequence[keras.KerasTensor]) -> str:
    """The inputs as they stand in a call: `x`, or `[x, condition]`."""
    names = ", ".join(tensor.name for tensor in inputs)
    return f"[{names}]" if len(inputs) > 1 else names


def _not_callable(name: str, inputs: Sequence[keras.KerasTensor]) -> str:
    """That a network could not be called, and on what."""
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in inputs)
    return f"`{name}` could not be called on {_names(inputs)} of shape {shapes}"


def _check_declared_inputs(
    name: str, network: keras.layers.Layer, inputs: Sequence[keras.KerasTensor]
) -> None:
    """Refuses a network that declares other inputs, which a symbolic call would not notice."""
    declared = getattr(network, "inputs", None)
    if not isinstance(declared, (list, tuple)):
        return
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in declared)
    if len(declared) != len(inputs):
        advice = (
            "Build the model with `num_classes=` or `condition_shape=` for a network of "
            f"`[{inputs[0].name}, condition]`."
        )
        if len(inputs) > 1:
            advice = (
                f"It must take all of {_names(inputs)}; one that does without some of them can be wrapped: "
                f"`keras.Model({_names(inputs)}, network({inputs[0].name}))`."
            )
        raise ValueError(
            f"{_not_callable(name, inputs)}: it takes {len(declared)}, of shape {shapes}. {advice}"
        )
    names, wanted_names = [tensor.name for tensor in declared], [tensor.name for tensor in inputs]
    if names != wanted_names and sorted(names) == sorted(wanted_names):
        raise ValueError(
            f"`{name}` is called on {_names(inputs)}; it takes {_names(declared)}. Declare its inputs in the "
            f"order of the call, `keras.Model({_names(inputs)}, output)`."
        )
    for tensor, wanted in zip(inputs, declared, strict=True):
        if not _takes(tuple(wanted.shape[1:]), tuple(tensor.shape[1:])):
            raise ValueError(
                f"{_not_callable(name, inputs)}: it takes {shapes}. Declare its inputs in these shapes, "
                "the condition last."
            )


def _takes(wanted: tuple, given: tuple) -> bool:
    """Whether an input takes rows of a shape: Keras adds or removes a last axis of 1 by itself."""
    if len(wanted) != len(given):
        longer, shorter = (wanted, given) if len(wanted) > len(given) else (given, wanted)
        if len(longer) != len(shorter) + 1 or longer[-1] != 1:
            return False
    return all(have in (None, want) for have, want in zip(wanted, given, strict=False))
