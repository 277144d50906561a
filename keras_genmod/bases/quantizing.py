"""`quantize` of a generative model: only what a file can bring back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras

from keras_genmod.core.checks import check_choice
from keras_genmod.core.rows import GraphCache

__all__ = ["Quantizable"]

_MODES = ("int8", "int4", "float8")


if TYPE_CHECKING:

    class _KerasQuantizing:
        """What `Quantizable` extends of `keras.Model`."""

        def quantize(self, mode: Any, **kwargs: Any) -> None: ...

else:
    _KerasQuantizing = object


class Quantizable(_KerasQuantizing):
    """The part of `GenerativeModel` that stores its networks' weights in fewer bits."""

    compiled: bool
    _graphs: GraphCache
    _optimizer_arguments: dict[str, str]

    if TYPE_CHECKING:

        @classmethod
        def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Any: ...
        def get_config(self) -> dict: ...
        def _flatten_layers(
            self, recursive: bool = True, include_self: bool = True
        ) -> Iterator[keras.layers.Layer]: ...

    def quantize(
        self, mode: str | None = None, config: Any = None, filters: Any = None, **kwargs: Any
    ) -> None:
        """Quantises the weights of Keras' own layers (`Dense`, `EinsumDense`, `Embedding`), for inference.

        All other layers, such as convolutions, masked layers and heads, stay as they are. The configuration
        and files say what was quantised. The model must be compiled anew: its optimizers were built for
        weights that are gone.

        Args:
            mode: "int8", "int4" or "float8".
            config: Instead of `mode`, a `keras.quantizers.QuantizationConfig`.
            filters, **kwargs: As in `keras.Model.quantize`.

        Raises:
            ValueError: For another mode, for a model in which nothing can be quantised, and for one that
                builds these layers itself, so that files of it could not be loaded. Nothing is changed.

        Cost: the memory of a second model, which is quantised first as a trial.
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
        # The old graphs hold the old weights.
        self._graphs = GraphCache()
        for attribute in getattr(self, "_optimizer_arguments", {}).values():
            setattr(self, attribute, None)
        self._optimizer_arguments = {}
        self.compiled = False

    def _quantize(self, mode: Any, config: Any, filters: Any, **kwargs: Any) -> None:
        if len(list(self._flatten_layers())) == 1:
            return  # Keras would take a model without layers for a layer, and call itself without end.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a `quantize` method")
            # Older versions of Keras, such as 3.10, do not know these two arguments.
            given = {"config": config, "filters": filters}
            kwargs.update((name, value) for name, value in given.items() if value is not None)
            super().quantize(mode, **kwargs)


def quantized_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model whose weights are quantised."""
    return [layer for layer in model._flatten_layers() if getattr(layer, "quantization_mode", None)]


def check_quantization(model: keras.Model) -> None:
    """Refuses a model whose quantised weights could not be loaded, since its configuration lacks them.

    Raises:
        ValueError: Naming the layers.

    Cost: if the model has quantised layers, the memory of a second one.
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
            "not be loaded. Quantise the whole model by its own `quantize`, and no part of it alone."
        )


def check_slots(model: keras.Model) -> None:
    """Refuses optimizers that were built before the model was quantised.

    Their slots belong to weights that are gone. Keras would leave them out of a file without a word.

    Raises:
        ValueError: For such an optimizer.
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
