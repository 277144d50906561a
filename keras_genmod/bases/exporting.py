"""Export of a generative model as a SavedModel with one signature for each question that it answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_genmod.bases.onnx import export_onnx
from keras_genmod.bases.quantizing import check_quantization
from keras_genmod.core.checks import check_integer
from keras_genmod.core.files import check_path, is_remote
from keras_genmod.core.replicas import is_chief
from keras_genmod.core.spaces import Space
from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.serving.export import export_saved_model
from keras_genmod.training.arguments import unexpected_argument

__all__ = ["Exportable"]


if TYPE_CHECKING:

    class _KerasExport:
        """What `Exportable` extends of `keras.Model`."""

        def export(self, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None: ...

else:
    _KerasExport = object


class Exportable(_KerasExport):
    """The part of `GenerativeModel` that is served: its endpoints, and their export."""

    distribute_strategy: tf.distribute.Strategy
    _distribute_strategy: tf.distribute.Strategy | None

    # The endpoint that is also `serving_default`: what `call` computes.
    _default_endpoint = "call"

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
        def _inputs(self, *spaces: Space) -> tuple[Space, ...]: ...
        def _require_call(self) -> None: ...
        @classmethod
        def from_config(cls, config: Mapping[str, Any]) -> Any: ...
        def get_config(self) -> dict: ...
        def get_weights(self) -> list: ...
        def input_space(self) -> Space: ...

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """The questions that a server can ask this model: name -> endpoint.

        Args:
            max_samples: Largest number of samples that one request of `sample` may ask for.
            num_samples: Number of importance samples of `log_prob`, where the density is a bound or an
                estimate.

        Returns:
            What `call` computes, under the name `call`; families add to it.
        """
        return {"call": Endpoint(self._call_endpoint, self._inputs(self.input_space()))}

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        *,
        overwrite: bool = False,
        max_samples: int = 1024,
        num_samples: int = 16,
        warmup: bool = False,
        **kwargs: Any,
    ) -> None:
        """Writes a SavedModel that TensorFlow Serving loads, one signature per endpoint.

        `serving_default` is what `call` computes. Every signature but `sample` is row-wise, so that a
        server may join requests into batches. Example requests and the answers of the model in memory are
        written too; `keras_genmod.serving.verify` compares them with the export's answers. The folder
        appears whole or not at all. In a multi-worker run only the chief writes.

        Args:
            filepath: The version folder, such as `"serving/vae/1"`: TensorFlow Serving looks for
                integer names. With a scheme that TensorFlow knows, as in `"gs://bucket/vae/1"`, it must not
                exist yet.
            format: "tf_saved_model". Other formats are written by `keras.Model.export` with `**kwargs`, and
                hold what `call` computes. "onnx" needs tf2onnx; a model with operations that ONNX lacks is
                refused.
            verbose: Whether to list the signatures.
            overwrite: Whether to replace an existing folder or file.
            max_samples, num_samples: As in `endpoints`.
            warmup: Whether to write warm-up records for TensorFlow Serving too; needs
                `keras_genmod[serving]`.
            **kwargs: Arguments of `keras.Model.export` for other formats.

        Raises:
            ValueError: For an existing folder without `overwrite`, a path that cannot be written, a `call`
                that the format cannot hold, or parts that were quantised without the model.
            ImportError: Without the package that a format needs.
        """
        if format != "tf_saved_model" and is_remote(check_path(filepath)):
            raise ValueError(
                f"Only the format 'tf_saved_model' is written to remote paths; received {format!r} and "
                f"{os.fspath(filepath)!r}. Export to a local path and copy it there."
            )
        if not is_chief(self.distribute_strategy):
            return
        if format != "tf_saved_model":
            self._on_one_device()._export_call(filepath, format, overwrite, {"verbose": verbose, **kwargs})
            return
        if kwargs:
            raise TypeError(unexpected_argument(self.export, next(iter(kwargs))))
        check_integer("max_samples", max_samples)
        check_integer("num_samples", num_samples)
        check_quantization(self)
        model = self._on_one_device()
        endpoints = model.endpoints(max_samples=max_samples, num_samples=num_samples)
        export_saved_model(
            filepath,
            endpoints,
            default=self._default_endpoint,
            overwrite=overwrite,
            examples={name: endpoint.request() for name, endpoint in endpoints.items()},
            verbose=bool(verbose),
            warmup=warmup,
        )

    def _export_call(
        self, filepath: str | os.PathLike, format: str, overwrite: bool, options: dict[str, Any]
    ) -> None:
        """Writes what `call` computes, in a format of Keras'."""
        self._require_call()
        if os.path.exists(filepath) and not overwrite:
            raise ValueError(
                f"`filepath` must not exist; received the existing {os.fspath(filepath)!r}. Choose another "
                "name, or pass `overwrite=True`."
            )
        # Keras takes the signature from the model's first call, and these models may not have been called.
        options = {"input_signature": self._export_signature(), **options}

        def write(path: str | os.PathLike) -> None:
            super(Exportable, self).export(path, format=format, **options)

        if format != "onnx":
            write(filepath)
            return
        networks = [name for name, value in vars(self).items() if isinstance(value, keras.Model)]
        parts = " or ".join(f"`model.{name}.export(filepath, format='onnx')`" for name in networks)
        advice = "A SavedModel, `format='tf_saved_model'`, holds it."
        if parts:
            advice = f"Export a network of it, {parts}, or a SavedModel, `format='tf_saved_model'`."
        export_onnx(filepath, write, name=f"`call` of this {type(self).__name__}", advice=advice)

    def _export_signature(self) -> list:
        """The one argument of a call, `x` or `[x, condition]`, as Keras' exporters take it."""
        specs = list(self.endpoints()[self._default_endpoint].specs)
        return specs if len(specs) == 1 else [specs]

    def _on_one_device(self) -> Any:
        """This model, or its copy outside the strategy: a server knows no replicas."""
        if self._distribute_strategy is None:
            return self
        if tf.distribute.has_strategy():
            raise ValueError(
                "`export` makes a copy of the model on one device; it was called inside "
                "`with strategy.scope():`. Call it outside."
            )
        copy = type(self).from_config(self.get_config())
        copy.set_weights(self.get_weights())
        return copy

    def _call_endpoint(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        self._require_call()
        arguments = {} if condition is None else {"condition": condition}
        return {"output": self(x, training=False, **arguments)}
