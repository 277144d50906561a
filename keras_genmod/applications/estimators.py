"""Models as scikit-learn estimators: in pipelines, cross-validation and searches over parameters.

scikit-learn copies an estimator by its constructor's arguments, trains each copy from the beginning, and
never lets `fit` change an argument. So an estimator here holds a recipe of a model, and `fit` makes a fresh
model of it, which it keeps as `model_`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_genmod.applications.latents import check_capability
from keras_genmod.core.checks import describe
from keras_genmod.core.optional import optional_module
from keras_genmod.training.arguments import explained

__all__ = ["Codes", "DensityEstimator"]


class _Estimator:
    """What the estimators share.

    It keeps scikit-learn's contract without its base classes, so that the package is imported where an
    estimator is used, and not with this library.
    """

    # The method that a model must have, and scikit-learn's name of what the estimator is.
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
        # As they are: scikit-learn's `clone` compares them with what it passed.
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_split = validation_split
        self.callbacks = callbacks
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> _Estimator:
        """Trains a fresh model.

        Args:
            X: data `[N, D]`; a model of an `event_shape` with D values gets it in that shape. Arrays of more
                axes are flattened.
            y: not used.

        Returns:
            The estimator itself; the trained model is its `model_`, what `fit` logged its `history_`.

        Raises:
            ValueError: for data that scikit-learn or the model refuses, or a conditional model.
            TypeError: for a model that cannot do what the estimator needs.
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
        """A compiled model that was not trained yet."""
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
                f"received {describe(self.model)}."
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
        """Rows `[N, D]` in the shape that the model takes; what does not fit is the model's to refuse."""
        shape = tuple(getattr(model, "event_shape", ()))
        return x.reshape(len(x), *shape) if np.prod(shape) == x.shape[1] else x

    def _validated(self, x: Any, **options: Any) -> np.ndarray:
        """Data as scikit-learn checks it, `[N, D]`; notes (`reset`) or compares the number of features."""
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
        """The constructor's arguments, as scikit-learn asks for them.

        Args:
            deep: not used: no argument is an estimator.
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> _Estimator:
        """Sets arguments of the constructor, for the next `fit`.

        Args:
            **params: by name.

        Raises:
            ValueError: for a name that is none of them.
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


class DensityEstimator(_Estimator):
    """A model with a density as a scikit-learn estimator: `score_samples`, `score`, `sample`.

    ```python
    density = DensityEstimator(functools.partial(kg.GaussianMixture, num_components=3), epochs=50)
    pipeline = sklearn.pipeline.make_pipeline(StandardScaler(), PCA(8), density).fit(x)
    scores = sklearn.model_selection.cross_val_score(pipeline, x)  # mean log-densities
    ```

    Args:
        model: recipe of the model: a function of the event shape, `(D,)` for data of D features, such as a
            class or a `functools.partial` of one; or a model, of which each `fit` makes a copy by its
            configuration and that of its `compile`, with fresh weights. The model itself is never trained.
            One that is not compiled is compiled with its default settings.
        epochs: passes over the data; of a mixture iterations of EM.
        batch_size: examples of a batch; None takes the model's default.
        validation_split: Fraction held out for validation, taken from the end of the data.
        callbacks: of `fit`, such as `EarlyStopping`.
        verbose: as in `fit`.

    Attributes:
        model_: the trained model; `history_` what its `fit` logged, `n_features_in_` D.

    Raises:
        ImportError: from its methods, without scikit-learn 1.6 or newer.

    Example:
        >>> import keras_genmod as kg
        >>> estimator = DensityEstimator(kg.KernelDensity, epochs=1)
        >>> estimator.fit(np.arange(10.0)[:, None]).score_samples([[4.5], [50.0]]).round(1)
        array([  -2.3, -234.2])
    """

    _needs = "log_prob"
    _type = "density_estimator"

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-densities of examples, float64 `[N]` nats; of some families bounds or estimates of them.

        Args:
            X: data `[N, D]`.
        """
        x = self._fitted_data(X)
        return np.asarray(self.model_.log_prob(x, **_fixed_seed(self.model_.log_prob)), np.float64)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log-density of examples, in nats.

        Args:
            X: data `[N, D]`.
            y: not used.
        """
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """New examples, `[n_samples, D]`.

        Args:
            n_samples: Number of samples to draw.
            random_state: an integer, which gives the same samples at every call, a generator of NumPy, or
                None.
        """
        self._sklearn("sklearn.utils.validation").check_is_fitted(self)
        if isinstance(random_state, (np.random.RandomState, np.random.Generator)):
            draw = getattr(random_state, "integers", None) or random_state.randint
            random_state = int(draw(2**31 - 1))
        x = np.asarray(self.model_.sample(n_samples, seed=random_state))
        return x.reshape(len(x), -1)


class Codes(_Estimator):
    """The encoder of a model as a scikit-learn transformer: features for what follows in a pipeline.

    ```python
    codes = Codes(functools.partial(kg.VAE, latent_dim=16, likelihood="gaussian"), epochs=30)
    classifier = sklearn.pipeline.make_pipeline(codes, LogisticRegression()).fit(x, labels)
    ```

    For the codes of a model that is trained already, pass its method to
    `sklearn.preprocessing.FunctionTransformer(model.encode)` instead.

    Args:
        model: recipe of a model with `encode`, as in `DensityEstimator`.
        epochs, batch_size, validation_split, callbacks, verbose: as in `DensityEstimator`.

    Attributes:
        model_: the trained model; `history_` what its `fit` logged, `n_features_in_` D.

    Raises:
        ImportError: from its methods, without scikit-learn 1.6 or newer.

    Example:
        >>> import keras_genmod as kg
        >>> codes = Codes(lambda shape: kg.Autoencoder(shape, latent_dim=2, likelihood="gaussian"))
        >>> codes.fit_transform(np.eye(4)).shape
        (4, 2)
    """

    _needs = "encode"

    def transform(self, X: Any) -> np.ndarray:
        """Codes of examples, `[N, L]`; codes of more axes are flattened.

        Args:
            X: data `[N, D]`.
        """
        # First: it refuses an estimator that has no model yet.
        x = self._fitted_data(X)
        z = np.asarray(self.model_.encode(x))
        return z.reshape(len(z), -1)

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """`fit`, and the codes of the same data.

        Args:
            X: data `[N, D]`.
            y: not used.
        """
        return self.fit(X, y).transform(X)


def _fixed_seed(function: Callable) -> dict[str, int]:
    """A seed, where a density is estimated by draws: scores of the same data must not differ."""
    return {"seed": 0} if "seed" in inspect.signature(function).parameters else {}
