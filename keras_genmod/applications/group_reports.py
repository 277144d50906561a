"""Accuracy of a classifier in each group of examples, and in the worst one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_genmod.applications.classifiers import predict_classes
from keras_genmod.core.checks import describe

__all__ = ["GroupReport", "check_groups", "group_report"]


@dataclass(frozen=True)
class GroupReport:
    r"""Accuracies by group.

    Args:
        accuracy: Name of a group -> fraction of its examples that are classified correctly.
        counts: Name of a group -> number of its examples.

    Attributes:
        average: Fraction of all examples that are classified correctly.
        worst: Name of the group with the lowest accuracy.
        worst_accuracy: Its accuracy.
        spread: The highest accuracy minus the lowest.
        variance: The variance of the accuracies over groups, as Amini et al. report it.
        standard_errors: Name of a group -> the standard error of its accuracy, $\sqrt{p(1-p)/n}$.
    """

    accuracy: dict[Any, float]
    counts: dict[Any, int]

    @property
    def average(self) -> float:
        total = sum(self.accuracy[name] * count for name, count in self.counts.items())
        return total / sum(self.counts.values())

    @property
    def worst(self) -> Any:
        return min(self.accuracy, key=lambda name: self.accuracy[name])

    @property
    def worst_accuracy(self) -> float:
        return self.accuracy[self.worst]

    @property
    def spread(self) -> float:
        return max(self.accuracy.values()) - self.worst_accuracy

    @property
    def variance(self) -> float:
        return float(np.var(list(self.accuracy.values())))

    @property
    def standard_errors(self) -> dict[Any, float]:
        return {
            name: float(np.sqrt(share * (1.0 - share) / self.counts[name]))
            for name, share in self.accuracy.items()
        }

    def __str__(self) -> str:
        width = max(len("average"), *(len(str(name)) for name in self.accuracy))
        errors = self.standard_errors
        lines = [
            f"{name!s:<{width}}  {self.accuracy[name]:6.1%} ± {errors[name]:.1%}  of {self.counts[name]}"
            for name in self.accuracy
        ]
        lines += [
            f"{'average':<{width}}  {self.average:6.1%}",
            f"{'worst':<{width}}  {self.worst_accuracy:6.1%}  {self.worst}",
            f"{'spread':<{width}}  {self.spread:6.1%}",
        ]
        return "\n".join(lines)


def group_report(classifier: Any, x: Any, y: Any, groups: Any) -> GroupReport:
    """Measures the accuracy of a classifier in each group of examples.

    Args:
        classifier: Model from data to class probabilities or logits, a `ClassifierExtractor`, or the
            predicted classes themselves, integers `[N]`.
        x: Data `[N, ...]`; not used if predictions are given.
        y: Classes, integers `[N]`.
        groups: The group of each example, `[N]`: integers or names.

    Returns:
        A `GroupReport`; printed, it is a table.

    Raises:
        ValueError: If lengths differ, or a group has one member only, whose accuracy would be 0 or 1.

    Cost: one pass through the classifier.

    Example:
        >>> report = group_report(np.array([0, 1, 1, 0]), None, [0, 1, 0, 0], ["a", "a", "b", "b"])
        >>> report.accuracy, report.worst, report.spread
        ({'a': 1.0, 'b': 0.5}, 'b', 0.5)
    """
    y = np.asarray(y)
    names, members = check_groups(groups, len(y))
    if hasattr(classifier, "shape") or isinstance(classifier, (list, tuple)):
        predicted = np.asarray(classifier)
    else:
        predicted = predict_classes(classifier, x)
    if predicted.shape != y.shape:
        raise ValueError(
            f"There must be one prediction for each of the {len(y)} classes in `y`, shape {y.shape}; "
            f"received shape {predicted.shape}. Pass classes, such as `np.argmax(probs, axis=-1)`, and as "
            "many examples as classes."
        )
    right = predicted == y
    counts = np.bincount(members)
    return GroupReport(
        {name: float(np.mean(right[members == number])) for number, name in enumerate(names)},
        {name: int(counts[number]) for number, name in enumerate(names)},
    )


def check_groups(groups: Any, num_examples: int) -> tuple[list, np.ndarray]:
    """The names of groups, sorted, and the number of each example's group, `[N]`.

    Raises:
        ValueError: If there is not one group for each example, or a group has a single member.
    """
    groups = np.asarray(groups)
    if groups.shape != (num_examples,):
        raise ValueError(
            f"`groups` must hold one group for each of the {num_examples} examples; received "
            f"{describe(groups)}. Pass an integer or a name for each."
        )
    names, members, counts = np.unique(groups, return_inverse=True, return_counts=True)
    single = [str(name) for name, count in zip(names, counts, strict=True) if count == 1]
    if single:
        raise ValueError(
            "Each group must have at least 2 examples, since the accuracy of one says nothing; received one "
            f"example in {', '.join(single)}. Join such groups, or leave them out."
        )
    return names.tolist(), members.reshape(-1)
