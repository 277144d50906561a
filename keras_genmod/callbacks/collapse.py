"""Detects collapse from one measurement to the next: samples too similar, or a discriminator too good."""

from __future__ import annotations

import numpy as np

__all__ = ["CollapseWatch"]

# Samples with less than this fraction of the real data's diversity count as collapsing.
_LEAST_DIVERSITY = 0.5
# At this accuracy the discriminator's gradient hardly informs the generator any more.
_SATURATED_ACCURACY = 0.99
_SATURATED_MEASUREMENTS = 2


class CollapseWatch:
    """Says what goes wrong; each problem is reported once until it is over.

    Args:
        adversarial: Whether the model has a discriminator, which decides the remedies to suggest.

    >>> watch = CollapseWatch(adversarial=True)
    >>> [len(watch.complaints(diversity)) for diversity in (0.9, 0.3, 0.2, 0.8, 0.3)]
    [0, 1, 0, 0, 1]
    """

    def __init__(self, adversarial: bool) -> None:
        self.adversarial = adversarial
        self._best_diversity = -np.inf
        self._num_saturated = 0
        self._reported: set[str] = set()

    def complaints(self, diversity: float, accuracy: float | None = None) -> list[str]:
        """The warnings that a measurement gives rise to.

        Args:
            diversity: Mean distance between samples divided by the mean distance between real examples; NaN
                if samples are not finite.
            accuracy: Fraction of examples that the discriminator classifies correctly; None if there is no
                discriminator.
        """
        is_low = diversity < _LEAST_DIVERSITY
        # At the beginning of training diversity is low but rising, which is no collapse.
        is_collapsing = is_low and diversity <= self._best_diversity
        self._best_diversity = np.fmax(self._best_diversity, diversity)
        is_saturated = accuracy is not None and float(accuracy) >= _SATURATED_ACCURACY
        self._num_saturated = self._num_saturated + 1 if is_saturated else 0
        found = {
            "not finite": (np.isnan(diversity), np.isnan(diversity)),
            "collapse": (is_collapsing, is_low),
            "saturation": (self._num_saturated >= _SATURATED_MEASUREMENTS, is_saturated),
        }
        begins = [name for name, (begins, _) in found.items() if begins and name not in self._reported]
        lasting = {name for name, (_, lasts) in found.items() if lasts}
        self._reported = (self._reported & lasting) | set(begins)
        return [self._message(name, diversity, accuracy) for name in begins]

    def _message(self, name: str, diversity: float, accuracy: float | None) -> str:
        if name == "not finite":
            return (
                "Samples or their features are NaN or infinite, so there are no figures. Lower the learning "
                "rate, or let `StopOnNonFinite` stop such runs."
            )
        if name == "collapse":
            return (
                f"Samples are collapsing: the mean distance between them is {diversity:.0%} of that between "
                f"real examples, less than {_LEAST_DIVERSITY:.0%}, and does not grow. {self._remedies()}"
            )
        return (
            f"The discriminator classifies nearly all examples correctly ({accuracy:.1%} at "
            f"{_SATURATED_MEASUREMENTS} measurements in a row), so the generator learns little from it. Try "
            "noise on its inputs (`instance_noise=`), a penalty on its gradient (`r1=`), `label_smoothing=`, "
            "or a lower learning rate of the discriminator."
        )

    def _remedies(self) -> str:
        if not self.adversarial:
            return "Lower the learning rate, and look at the samples with `ImageGrid`."
        return (
            "Try a larger penalty on the discriminator's gradient (`r1=`), `minibatch_stddev=True`, lower "
            "learning rates, or the averaged generator (`ema_decay=`)."
        )
