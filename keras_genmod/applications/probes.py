"""How much a linear classifier can read from a model's features, with few labels and with many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_genmod.applications.feature_vectors import features
from keras_genmod.core.checks import ValueRange, check_choice, check_integer, check_rows, describe
from keras_genmod.core.noise import check_seed
from keras_genmod.core.optional import optional_module

__all__ = ["ProbeReport", "linear_probe"]

BASELINES = ("pixels", "pca", "random encoder", "shuffled labels")

# Inverse strengths of the penalty that are tried, for features of mean variance 1.
_STRENGTHS = (1e-2, 1e-1, 1.0)
# The strength where one example a class leaves none for a choice, and where there is nothing to find.
_DEFAULT_STRENGTH = 1e-1
_FOLDS = 3
# Examples with which the strength is chosen.
_MOST_FOR_CHOICE = 2000
_HELD_OUT = 0.2


@dataclass(frozen=True)
class ProbeReport:
    """Accuracies of classifiers on features, by the number of labels.

    Args:
        accuracy: Name of the features -> number of labels per class (None: all) -> accuracy on the test
            examples for each choice of labels, `[repeats]`.
        dims: Name of the features -> their number.
        chance: Accuracy of always naming the largest class of the test examples.
        num_test: Number of test examples.
    """

    accuracy: dict[str, dict[int | None, np.ndarray]]
    dims: dict[str, int] = field(default_factory=dict)
    chance: float = 0.0
    num_test: int = 0

    @property
    def label_counts(self) -> list[int | None]:
        """The numbers of labels per class."""
        return list(next(iter(self.accuracy.values())))

    def mean(self, name: str, count: int | None = None) -> float:
        """The mean accuracy over the choices of labels.

        Args:
            name: Name of the features.
            count: Number of labels per class; None is all.
        """
        return float(np.mean(self.accuracy[name][count]))

    def deviation(self, name: str, count: int | None = None) -> float:
        """The standard deviation over the choices of labels; 0 for a single one.

        Args:
            name, count: As in `mean`.
        """
        values = self.accuracy[name][count]
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def __str__(self) -> str:
        names = {name: f"{name} ({self.dims[name]})" if name in self.dims else name for name in self.accuracy}
        width = max(map(len, names.values()))
        counts = self.label_counts
        head = ["all" if count is None else str(count) for count in counts]
        lines = [f"{'labels per class':<{max(width, 16)}}" + "".join(f"{text:>14}" for text in head)]
        for name, shown in names.items():
            cells = [
                f"{100 * self.mean(name, count):.1f} ± {100 * self.deviation(name, count):.1f}"
                if len(self.accuracy[name][count]) > 1
                else f"{100 * self.mean(name, count):.1f}"
                for count in counts
            ]
            lines.append(f"{shown:<{max(width, 16)}}" + "".join(f"{cell:>14}" for cell in cells))
        return "\n".join(
            [*lines, f"accuracy in % of {self.num_test} test examples; chance {self.chance:.1%}"]
        )


def linear_probe(
    model: Any,
    x: Any,
    y: Any,
    *,
    test: tuple[Any, Any] | None = None,
    labels_per_class: Sequence[int | None] = (1, 10, 100, None),
    baselines: Sequence[str] = BASELINES,
    repeats: int = 3,
    classifier: Any = None,
    condition: Any = None,
    seed: int = 0,
    verbose: int = 0,
) -> ProbeReport:
    """Trains linear classifiers on a model's features, with several numbers of labels, beside baselines.

    The classifier is logistic regression (scikit-learn's). Features are centred and divided by one number, so
    that their mean variance is 1; the strength of the penalty is chosen by cross-validation within the
    labelled examples. All features see the same labelled examples.

    Args:
        model: A model with features (see `features`), or a dictionary, name -> model. In its place a
            dictionary may hold a function from data to features `[N, F]`.
        x: Data `[N, *event_shape]`. All of them may have served to train the model without labels.
        y: Classes, integers `[N]` from 0 on.
        test: Pair `(x, y)` to measure on; None holds out a random fifth of each class.
        labels_per_class: Numbers of labelled examples of each class; None takes all.
        baselines: Of "pixels" (the data themselves), "pca" (as many principal components as the first model
            has features), "random encoder" (the first model with initial weights), "shuffled labels" (the
            first model's features, each labelled example with another's label: chance, or something is
            wrong).
        repeats: Number of choices of the labelled examples; all labels are used once.
        classifier: A scikit-learn classifier to use in place of logistic regression, such as
            `MLPClassifier()`; each training uses a copy.
        condition: One condition for all examples, for conditional models.
        seed: Seeds the choice of examples.
        verbose: Whether to print each row when it is done.

    Returns:
        A `ProbeReport`; printed, it is a table.

    Raises:
        ImportError: If scikit-learn is missing.
        TypeError: If a model has no features.
        ValueError: If a class has too few examples, or test examples are of a class without examples.

    Cost: one pass of the data through each model; one logistic regression for each row, number of labels,
    and choice, and up to nine small ones for the strength.

    Reference: Understanding intermediate layers using linear classifier probes, Alain and Bengio, 2017.

    Example:
        >>> import keras_genmod as kg
        >>> digits = kg.data.load("digits")
        >>> x, y = digits["train"] / 16, digits["train_labels"]
        >>> report = linear_probe(
        ...     {"rows": lambda x: x.mean(axis=2)}, x, y, labels_per_class=(10,), baselines=("pixels",)
        ... )
        >>> report.mean("pixels", 10) > report.mean("rows", 10) > report.chance
        True
    """
    x, y = np.asarray(x), _classes("y", y, len(x))
    repeats, seed = check_integer("repeats", repeats), check_seed(seed) or 0
    baselines = [check_choice("baselines", name, BASELINES) for name in baselines]
    counts = [
        None if count is None else check_integer("labels_per_class", count) for count in labels_per_class
    ]
    if not counts:
        raise ValueError("`labels_per_class` must hold a number of labels at least; received none.")
    (x, y), (x_test, y_test) = _parts(x, y, test, seed)
    _check_counts(y, y_test, counts)
    fit = _fitting(classifier, seed)
    choices = {count: _choices(y, count, repeats, seed) for count in counts}
    tables, dims = {}, {}
    for name, function, shuffles in _rows(model, baselines, x, condition):
        train, other = _standardized(_vectors(function, x), _vectors(function, x_test))
        dims[name] = train.shape[1]
        tables[name] = {
            count: np.array(
                [np.mean(fit(train[rows], y[rows], shuffles)(other) == y_test) for rows in chosen]
            )
            for count, chosen in choices.items()
        }
        if verbose:
            cells = [f"{100 * np.mean(values):.1f}" for values in tables[name].values()]
            print(f"{name}: {', '.join(cells)}", flush=True)
    chance = float(np.bincount(y_test).max() / len(y_test))
    return ProbeReport(tables, dims, chance, len(y_test))


# ---- data -----------------------------------------------------------------------------------------


def _classes(name: str, y: Any, num_examples: int) -> np.ndarray:
    y = np.asarray(y)
    if y.shape != (num_examples,):
        raise ValueError(
            f"`{name}` must hold one class for each of the {num_examples} examples; received {describe(y)}. "
            "Turn one-hot rows into classes with `np.argmax(y, axis=-1)`."
        )
    ValueRange(0, np.inf, integer=True, advice="Number the classes from 0.").check(name, y)
    return y.astype(np.int64)


def _parts(x: np.ndarray, y: np.ndarray, test: Any, seed: int) -> tuple[tuple, tuple]:
    """Training and test examples."""
    if test is not None:
        if not isinstance(test, (tuple, list)) or len(test) != 2:
            raise ValueError(f"`test` must be a pair `(x, y)`; received {describe(test)}.")
        x_test = np.asarray(test[0])
        check_rows("test[0]", x_test, x.shape[1:])
        return (x, y), (x_test, _classes("test[1]", test[1], len(x_test)))
    generator = np.random.default_rng((seed, 0))
    held_out = np.zeros(len(y), bool)
    for label in np.unique(y):
        rows = generator.permutation(np.flatnonzero(y == label))
        held_out[rows[: round(_HELD_OUT * len(rows))]] = True
    if not held_out.any():
        raise ValueError(
            f"A fifth of each class is held out for the test; received {len(y)} examples, too few for that. "
            "Pass test examples, `test=(x, y)`."
        )
    return (x[~held_out], y[~held_out]), (x[held_out], y[held_out])


def _check_counts(y: np.ndarray, y_test: np.ndarray, counts: Sequence[int | None]) -> None:
    present = np.bincount(y, minlength=y_test.max() + 1)
    if len(np.unique(y)) < 2:
        raise ValueError(f"`y` must hold at least two classes; received class {y[0]} only.")
    unknown = np.setdiff1d(y_test, y)
    if unknown.size:
        raise ValueError(
            f"Each class of the test examples must have labelled examples; classes {unknown.tolist()} have "
            "none. Add some, or leave those classes out of the test."
        )
    most = max((count for count in counts if count is not None), default=1)
    scarce = [f"{present[label]} of class {label}" for label in np.unique(y) if present[label] < most]
    if scarce:
        raise ValueError(
            f"`labels_per_class` asks for {most} examples of each class; there are {', '.join(scarce)} in "
            "the training part. Ask for fewer."
        )


def _choices(y: np.ndarray, count: int | None, repeats: int, seed: int) -> list[np.ndarray]:
    """The row numbers of the labelled examples, once for each repeat; fewer labels are a part of more."""
    if count is None:
        return [np.arange(len(y))]
    choices = []
    for repeat in range(repeats):
        generator = np.random.default_rng((seed, 1, repeat))
        orders = [generator.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
        choices.append(np.concatenate([order[:count] for order in orders]))
    return choices


def _shuffled(y: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng((seed, 2)).permutation(y)


# ---- features -------------------------------------------------------------------------------------


def _rows(
    model: Any, baselines: Sequence[str], x: np.ndarray, condition: Any
) -> list[tuple[str, Callable, bool]]:
    """Name, function from data to features, and whether labels are shuffled, of each row."""
    models = dict(model) if isinstance(model, Mapping) else {_name_of(model): model}
    if not models:
        raise ValueError("`model` must be a model, or a dictionary of one at least; received an empty one.")

    def of(one: Any) -> Callable:
        is_function = callable(one) and not isinstance(one, keras.layers.Layer) and not hasattr(one, "model")
        return one if is_function else lambda rows: features(one, rows, condition)

    rows = [(name, of(one), False) for name, one in models.items()]
    first_name, first = next(iter(models.items()))
    first_features = rows[0][1]
    if "pixels" in baselines:
        rows.append(("pixels", lambda rows: rows, False))
    if "pca" in baselines:
        size = _vectors(first_features, x[:2]).shape[1]
        rows.append(("pca", _principal_components(_vectors(lambda rows: rows, x), size), False))
    if "random encoder" in baselines:
        fresh = _with_initial_weights(first)
        if fresh is not None:
            rows.append((f"{first_name}, random weights", of(fresh), False))
    if "shuffled labels" in baselines:
        rows.append((f"{first_name}, shuffled labels", first_features, True))
    return rows


def _name_of(model: Any) -> str:
    return type(model).__name__ if isinstance(model, keras.layers.Layer) else "features"


def _vectors(function: Callable, x: np.ndarray) -> np.ndarray:
    values = np.asarray(function(x), np.float32)
    if len(values) != len(x):
        raise ValueError(
            f"A function to features must give one row for each of the {len(x)} examples; received shape "
            f"{values.shape}."
        )
    return values.reshape(len(values), -1)


def _standardized(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centred features with a mean variance of 1.

    One scale for all: a scale for each would amplify the noise of features that are not used.
    """
    mean = train.mean(axis=0)
    scale = np.sqrt(np.mean(np.var(train, axis=0))) or 1.0
    return (train - mean) / scale, (test - mean) / scale


def _principal_components(x: np.ndarray, size: int) -> Callable:
    """The projection on the `size` directions of the largest variance."""
    mean = x.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(x - mean, rowvar=False, dtype=np.float64))
    largest = directions[:, ::-1][:, :size].astype(np.float32)
    return lambda rows: (rows.reshape(len(rows), -1) - mean) @ largest


def _with_initial_weights(model: Any) -> Any:
    """The same model before training; None of what cannot be built anew."""
    if not isinstance(model, keras.Model):
        return None
    fresh = type(model).from_config(model.get_config())
    # A mixture without a start refuses to answer.
    return None if hasattr(model, "responsibilities") else fresh


# ---- the classifier -------------------------------------------------------------------------------


def _fitting(classifier: Any, seed: int) -> Callable[[np.ndarray, np.ndarray, bool], Callable]:
    """A function that trains a classifier, and returns the function from features to classes.

    It takes features, classes, and whether to shuffle these.
    """
    base = optional_module("sklearn.base", what="`linear_probe`")
    if classifier is not None:
        return lambda x, y, shuffles: (
            base.clone(classifier).fit(x, _shuffled(y, seed) if shuffles else y).predict
        )
    linear = optional_module("sklearn.linear_model", what="`linear_probe`")
    selection = optional_module("sklearn.model_selection", what="`linear_probe`")

    def regression(strength: float) -> Any:
        return linear.LogisticRegression(C=strength, max_iter=300, tol=1e-3)

    def fit(x: np.ndarray, y: np.ndarray, shuffles: bool) -> Callable:
        folds = min(_FOLDS, int(np.unique(y, return_counts=True)[1].min()))
        if folds < 2 or shuffles:
            y = _shuffled(y, seed) if shuffles else y
            return regression(_DEFAULT_STRENGTH).fit(x, y).predict
        part = np.random.default_rng((seed, 3)).permutation(len(y))[:_MOST_FOR_CHOICE]
        folds = min(folds, int(np.unique(y[part], return_counts=True)[1].min()))
        splits = selection.StratifiedKFold(max(2, folds), shuffle=True, random_state=seed)
        scores = [
            selection.cross_val_score(regression(strength), x[part], y[part], cv=splits).mean()
            for strength in _STRENGTHS
        ]
        best = _STRENGTHS[int(np.argmax(scores))]
        return regression(best).fit(x, y).predict

    return fit
