"""`quantize` of a generative model: only what a file can bring back."""

from __future__ import annotations

import warnings
from typing import Any

import keras

from keras_genmod.core.checks import check_choice
from keras_genmod.core.rows import GraphCache

__all__ = ["Quantizable"]

_MODES = ("int8", "int4", "float8")


class Quantizable:
    """The part of `GenerativeModel` that has its networks' weights in fewer bits."""

    def quantize(
        self, mode: str | None = None, config: Any = None, filters: Any = None, **kwargs: Any
    ) -> None:
        """Quantises the weights of Keras' own layers (`Dense`, `EinsumDense`, `Embedding`), for inference.

        All other layers, among them convolutions, masked layers and heads, stay as they are. The
        configuration and files say what was quantised. The model is not compiled afterwards: the weights that
        its optimizers were built for are gone.

        Args:
            mode: "int8", "int4" or "float8".
            config: instead of `mode`, a `keras.quantizers.QuantizationConfig`.
            filters, **kwargs: as in `keras.Model.quantize`.

        Raises:
            ValueError: for another mode; and, before anything is changed, if nothing in the model can be
                quantised, or the model builds these layers itself, so that a file would not bring them back.

        Cost: a second model of the same size while it is tried out.
        """
        check_choice("mode", config.mode if mode is None and config is not None else mode, _MODES)
        trial = type(self).from_config(self.get_config())
        Quantizable._quantize(trial, mode, config, filters, **kwargs)
        if not quantized_layers(trial):
            raise ValueError(
                f"`quantize` found nothing to quantise in this {type(self).__name__}: Keras quantises Dense, "
                f"EinsumDense and Embedding; received the layers {_kinds(self)}. Use "
                "dtype='mixed_bfloat16', or a smaller network."
            )
        check_quantization(trial)
        self._quantize(mode, config, filters, **kwargs)
        # The graphs hold the weights that were.
        self._graphs = GraphCache()
        for attribute in getattr(self, "_optimizer_arguments", {}).values():
            setattr(self, attribute, None)
        self._optimizer_arguments = {}
        self.compiled = False

    def _quantize(self, mode: Any, config: Any, filters: Any, **kwargs: Any) -> None:
        if len(list(self._flatten_layers())) == 1:
            return  # Keras takes a model without layers for a layer, and asks it for ever.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a `quantize` method")
            super().quantize(mode, config=config, filters=filters, **kwargs)


def quantized_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers below a model whose weights are quantised."""
    return [layer for layer in model._flatten_layers() if getattr(layer, "quantization_mode", None)]


def check_quantization(model: keras.Model) -> None:
    """Refuses a model with quantised weights that its configuration does not bring back.

    Raises:
        ValueError: naming the layers.

    Cost: of a model with quantised layers, a second one of the same size.
    """
    layers = quantized_layers(model)
    if not layers:
        return
    rebuilt = type(model).from_config(model.get_config())
    shapes, expected = ([(*one.shape, one.dtype) for one in two.weights] for two in (rebuilt, model))
    if shapes != expected:
        names = ", ".join(repr(layer.path) for layer in layers[:3])
        raise ValueError(
            f"The configuration of this {type(model).__name__} would not bring back the quantised weights of "
            f"{len(layers)} layers ({names}{', ...' if len(layers) > 3 else ''}), so that its files could "
            "not be loaded. Quantise the whole model by its `quantize`, which says whether that can be done, "
            "and no part of it alone."
        )


def check_slots(model: keras.Model) -> None:
    """Refuses optimizers that were built for weights that quantisation has taken away since.

    Their slots would not fit the model of a file, and Keras would leave them out.

    Raises:
        ValueError: for such an optimizer.
    """
    if not model.compiled or not quantized_layers(model):
        return
    players = (player for players in model._players_by_stage() for player in players)
    present = {id(weight) for player in players for weight in player.weights}
    for name in model._optimizer_arguments.values():
        optimizer = getattr(model, name)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if any(id(weight) not in present for weight in optimizer._trainable_variables):
            raise ValueError(
                f"`{name}` was built for weights that are quantised now, so that its slots would not come "
                "back from a file. Call `compile` again first."
            )


def _kinds(model: keras.Model) -> list[str]:
    return sorted({type(layer).__name__ for layer in model._flatten_layers(include_self=False)})
