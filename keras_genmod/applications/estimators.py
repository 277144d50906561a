"""Models as scikit-learn estimators, for pipelines, cross-validation and parameter searches.

scikit-learn copies an estimator by its constructor arguments, trains each copy from scratch, and forbids
`fit` to change an argument. So these estimators hold a recipe of a model; `fit` builds a new model from it
and stores that as `model_`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_genmod.applications.estimator_base import Estimator

__all__ = ["Codes", "DensityEstimator"]


class DensityEstimator(Estimator):
    """A model with a density as a scikit-learn estimator: `score_samples`, `score`, `sample`.

    ```python
    density = DensityEstimator(functools.partial(kg.GaussianMixture, num_components=3), epochs=50)
    pipeline = sklearn.pipeline.make_pipeline(StandardScaler(), PCA(8), density).fit(x)
    scores = sklearn.model_selection.cross_val_score(pipeline, x)  # mean log-densities
    ```

    Args:
        model: Recipe of the model. Either a function of the event shape, which is `(D,)` for data with D
            features, such as a class or a `functools.partial` of one. Or a model, which is never trained
            itself: each `fit` builds a model with new weights from its configuration and its `compile`
            arguments. A model that is not compiled is compiled with its default settings.
        epochs: Number of passes over the data; for a mixture, of EM iterations.
        batch_size: Number of examples per batch; None uses the model's default.
        validation_split: Fraction held out for validation, taken from the end of the arrays.
        callbacks: Callbacks of `fit`, such as `EarlyStopping`.
        verbose: As in `fit`.

    Attributes:
        model_: The trained model.
        history_: The logs of its `fit`.
        n_features_in_: Number of features D.

    Raises:
        ImportError: From its methods, if scikit-learn 1.6 or newer is not installed.

    Example:
        >>> import keras_genmod as kg
        >>> estimator = DensityEstimator(kg.KernelDensity, epochs=1)
        >>> estimator.fit(np.arange(10.0)[:, None]).score_samples([[4.5], [50.0]]).round(1)
        array([  -2.3, -234.2])
    """

    _needs = "log_prob"
    _type = "density_estimator"

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-densities of examples, float64 `[N]` nats; some families return bounds or estimates of them.

        Args:
            X: Data `[N, D]`.
        """
        x = self._fitted_data(X)
        return np.asarray(self.model_.log_prob(x, **_fixed_seed(self.model_.log_prob)), np.float64)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log-density of examples, in nats.

        Args:
            X: Data `[N, D]`.
            y: Not used.
        """
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """New examples, `[n_samples, D]`.

        Args:
            n_samples: Number of samples to draw.
            random_state: An integer gives the same samples at every call; a NumPy generator or None draws
                anew.
        """
        self._sklearn("sklearn.utils.validation").check_is_fitted(self)
        if isinstance(random_state, np.random.Generator):
            random_state = int(random_state.integers(2**31 - 1))
        elif isinstance(random_state, np.random.RandomState):
            random_state = int(random_state.randint(2**31 - 1))
        x = np.asarray(self.model_.sample(n_samples, seed=random_state))
        return x.reshape(len(x), -1)


class Codes(Estimator):
    """A model's encoder as a scikit-learn transformer: features for the next step of a pipeline.

    ```python
    codes = Codes(functools.partial(kg.VAE, latent_dim=16, likelihood="gaussian"), epochs=30)
    classifier = sklearn.pipeline.make_pipeline(codes, LogisticRegression()).fit(x, labels)
    ```

    To use a model that is already trained, use `sklearn.preprocessing.FunctionTransformer(model.encode)`
    instead.

    Args:
        model: Recipe of a model with `encode`, as in `DensityEstimator`.
        epochs, batch_size, validation_split, callbacks, verbose: As in `DensityEstimator`.

    Attributes:
        model_, history_, n_features_in_: As in `DensityEstimator`.

    Raises:
        ImportError: From its methods, if scikit-learn 1.6 or newer is not installed.

    Example:
        >>> import keras_genmod as kg
        >>> codes = Codes(lambda shape: kg.Autoencoder(shape, latent_dim=2, likelihood="gaussian"))
        >>> codes.fit_transform(np.eye(4)).shape
        (4, 2)
    """

    _needs = "encode"

    def transform(self, X: Any) -> np.ndarray:
        """Codes of examples, `[N, L]`; codes with more axes are flattened.

        Args:
            X: Data `[N, D]`.
        """
        # First: it refuses an estimator that has no model yet.
        x = self._fitted_data(X)
        z = np.asarray(self.model_.encode(x))
        return z.reshape(len(z), -1)

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Calls `fit` and returns the codes of the same data.

        Args:
            X: Data `[N, D]`.
            y: Not used.
        """
        self.fit(X, y)
        return self.transform(X)


def _fixed_seed(function: Callable) -> dict[str, int]:
    """A fixed seed if the function takes one: scores of the same data must not differ between calls."""
    return {"seed": 0} if "seed" in inspect.signature(function).parameters else {}
