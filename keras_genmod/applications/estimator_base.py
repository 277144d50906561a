"""What the scikit-learn estimators share: training a new model from a recipe, and scikit-learn's contract."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_genmod.applications.latents import check_capability
from keras_genmod.core.checks import describe
from keras_genmod.core.optional import optional_module
from keras_genmod.training.arguments import explained

__all__ = ["Estimator"]


class Estimator:
    """What the estimators share.

    It follows scikit-learn's contract without its base classes, so that scikit-learn is imported only when an
    estimator is used.
    """

    # The method that a model must have, and scikit-learn's name of the kind of estimator.
    _needs = ""
    _type: str | None = None

    @explained
    def __init__(
        self,
        model: Any,
        *,
        epochs: int = 10,
        batch_size: int | None = None,
        validation_split: float = 0.0,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        verbose: Any = 0,
    ) -> None:
        # Stored unchanged, because scikit-learn's `clone` compares them with what it passed.
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_split = validation_split
        self.callbacks = callbacks
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Estimator:
        """Trains a new model.

        Args:
            X: Data `[N, D]`, reshaped to the model's `event_shape` if that has D values. Arrays with more
                axes are flattened first.
            y: Not used.

        Returns:
            The estimator itself. Its `model_` is the trained model, its `history_` the logs of `fit`.

        Raises:
            ValueError: If scikit-learn or the model refuses the data, or the model is conditional.
            TypeError: If the model lacks the method that the estimator needs.
        """
        x = self._validated(X, reset=True, ensure_min_samples=2)
        model = self._fresh_model((x.shape[1],))
        options = {"batch_size": self.batch_size, "validation_split": self.validation_split}
        history = model.fit(
            self._shaped(model, x),
            epochs=self.epochs,
            verbose=self.verbose,
            callbacks=None if self.callbacks is None else list(self.callbacks),
            **options,
        )
        self.model_, self.history_ = model, history.history
        return self

    def _fresh_model(self, event_shape: tuple[int, ...]) -> keras.Model:
        """A new compiled model, not trained yet."""
        if isinstance(self.model, keras.Model):
            model = type(self.model).from_config(self.model.get_config())
            if self.model.compiled:
                model.compile_from_config(self.model.get_compile_config())
        elif callable(self.model):
            model = self.model(event_shape)
        else:
            model = self.model
        if not isinstance(model, keras.Model):
            raise TypeError(
                "`model` must be a model of keras_genmod, or a function from an event shape `(D,)` to one; "
                f"received {describe(self.model)}. Pass a class such as `kg.GaussianMixture`."
            )
        what = f"`{type(self).__name__}`"
        check_capability(model, self._needs, what=what)
        if getattr(model, "num_classes", None) or getattr(model, "condition_shape", None):
            raise ValueError(
                f"{what} needs an unconditional model, since scikit-learn passes no conditions; received a "
                f"conditional {type(model).__name__}. Build it without `num_classes` and `condition_shape`."
            )
        if not model.compiled:
            model.compile()
        return model

    @staticmethod
    def _shaped(model: keras.Model, x: np.ndarray) -> np.ndarray:
        """Rows `[N, D]` in the model's event shape; if they do not fit, the model itself refuses them."""
        shape = tuple(getattr(model, "event_shape", ()))
        return x.reshape(len(x), *shape) if np.prod(shape) == x.shape[1] else x

    def _validated(self, x: Any, **options: Any) -> np.ndarray:
        """Data checked by scikit-learn, `[N, D]`; the number of features is stored (`reset`) or compared."""
        validation = self._sklearn("sklearn.utils.validation")
        if getattr(x, "ndim", 2) > 2:
            x = np.reshape(np.asarray(x), (len(x), -1))
        if not hasattr(validation, "validate_data"):
            raise ImportError(
                f"`{type(self).__name__}` needs scikit-learn 1.6 or newer; installed is "
                f"{self._sklearn('sklearn').__version__}. Run `pip install -U scikit-learn`."
            )
        return validation.validate_data(self, x, dtype=[np.float64, np.float32, np.uint8], **options)

    def _fitted_data(self, x: Any) -> np.ndarray:
        """Data for the trained model."""
        self._sklearn("sklearn.utils.validation").check_is_fitted(self)
        return self._shaped(self.model_, self._validated(x, reset=False))

    def _sklearn(self, name: str) -> ModuleType:
        return optional_module(name, what=f"`{type(self).__name__}`")

    # ---- scikit-learn's contract --------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor arguments by name, as scikit-learn requires.

        Args:
            deep: Not used, because no argument is an estimator.
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Estimator:
        """Sets constructor arguments for the next `fit`.

        Args:
            **params: Arguments by name.

        Raises:
            ValueError: If a name is not a constructor argument.
        """
        valid = self.get_params()
        for name, value in params.items():
            if name not in valid:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}. "
                    f"Valid parameters are: {sorted(valid)!r}."
                )
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        utils = self._sklearn("sklearn.utils")
        transforms = utils.TransformerTags(preserves_dtype=[]) if hasattr(self, "transform") else None
        return utils.Tags(
            estimator_type=self._type,
            target_tags=utils.TargetTags(required=False),
            transformer_tags=transforms,
            input_tags=utils.InputTags(),
        )

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = [
            f"{name}={describe(value)}"
            for name, value in self.get_params().items()
            if value is not defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"
