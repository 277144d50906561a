"""`summary` of a generative model: a row for everything that has weights, with a shape where there is one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras

from keras_genmod.distributions.head import Head
from keras_genmod.distributions.priors import Prior
from keras_genmod.networks.autoregressive import AutoregressiveNetwork

__all__ = ["Summarizable"]


class Summarizable:
    """The part of `GenerativeModel` that prints what it consists of."""

    name: str
    layers: list[keras.layers.Layer]
    compiled: bool
    trainable_weights: list[keras.Variable]
    non_trainable_weights: list[keras.Variable]
    _trainable_variables: list[keras.Variable]
    _non_trainable_variables: list[keras.Variable]

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """Prints a table of networks, heads, bijections and weights, whose parameters add up to the total.

        The table gives the shape of an event for a head, that of a latent vector for a prior, and that of the
        noise for a bijection. Weights that belong to no layer have a row each: the parameters of a mixture,
        and in every model the counts of its steps and of its position in the data.

        Args:
            *args, **kwargs: As in `keras.Model.summary`.
        """
        rows = [_row(layer) for layer in self.layers]
        rows += [_weight_row(one) for one in (*self._trainable_variables, *self._non_trainable_variables)]
        slots = [getattr(self, name) for name in getattr(self, "_optimizer_arguments", {}).values()]
        view = SimpleNamespace(
            name=self.name,
            layers=rows,
            trainable_weights=self.trainable_weights,
            non_trainable_weights=self.non_trainable_weights,
            compiled=self.compiled,
            # Keras counts the variables of one optimizer: here it gets those of all.
            optimizer=SimpleNamespace(
                built=bool(slots), variables=[one for optimizer in slots for one in optimizer.variables]
            ),
        )
        # Keras reads nothing but these attributes.
        keras.Model.summary(view, *args, **kwargs)


class _Row:
    """What Keras reads of a layer to print its row, with a shape that Keras would not find."""

    _inbound_nodes = ()
    built = True

    def __init__(self, name: str, shape: tuple, weights: list[keras.Variable], trainable: bool) -> None:
        self.name = name
        self.weights = weights
        self.trainable = trainable
        self.output_shape = shape
        self._build_shapes_dict = {"output_shape": shape}

    def count_params(self) -> int:
        """The parameters of the row."""
        return sum(weight.value.shape.num_elements() for weight in self.weights)


def _row(layer: keras.layers.Layer) -> Any:
    shape = _shape(layer)
    if shape is None or layer._inbound_nodes:
        return layer
    return _named(type(layer).__name__)(layer.name, shape, layer.weights, layer.trainable)


def _weight_row(weight: keras.Variable) -> _Row:
    return _named("Weight")(weight.name, tuple(weight.shape), [weight], weight.trainable)


def _named(name: str) -> type[_Row]:
    """The class of a row, with the name that Keras prints."""
    return type(name, (_Row,), {})


def _shape(layer: keras.layers.Layer) -> tuple | None:
    """The shape of a layer's output, with the batch in front; None where Keras finds it itself."""
    if isinstance(layer, Head) and layer.event_shape is not None:
        return (None, *layer.event_shape)
    if isinstance(layer, Prior):
        return (None, layer.latent_dim)
    if isinstance(layer, AutoregressiveNetwork):
        return (None, *layer.event_shape[:-1], layer.params_per_dim * layer.event_shape[-1])
    # A bijection states its shape without a batch.
    shape: Any = getattr(layer, "output_shape", None)
    return (None, *shape) if isinstance(shape, tuple) and None not in shape[:1] else None
