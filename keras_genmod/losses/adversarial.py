r"""Losses of a discriminator and a generator: pure functions of the discriminator's logits.

$r = D(x)$ is the discriminator's logit of a real example, $f = D(G(z))$ that of a generated one,
$\sigma$ the logistic function and $s(t) = \log(1 + e^t)$ the softplus, so that $-\log\sigma(t) = s(-t)$.

| name | discriminator | generator |
|---|---|---|
| minimax | $s(-r) + s(f)$ | $-s(f) = \log(1 - \sigma(f))$ |
| non_saturating | $s(-r) + s(f)$ | $s(-f)$ |
| least_squares | $(r - 1)^2 / 2 + f^2 / 2$ | $(f - 1)^2 / 2$ |
| hinge | $\max(0, 1 - r) + \max(0, 1 + f)$ | $-f$ |
| wasserstein | $-r + f$ | $-f$ |

References: Generative Adversarial Nets, Goodfellow et al., 2014 (minimax, non-saturating); Least Squares
Generative Adversarial Networks, Mao et al., 2017; Geometric GAN, Lim and Ye, 2017 (hinge); Wasserstein GAN,
Arjovsky, Chintala and Bottou, 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_genmod.core.checks import check_choice

__all__ = ["ADVERSARIAL_LOSSES", "AdversarialLoss", "get_adversarial_loss"]


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of both players.

    Args:
        name: The name by which it is chosen.
        real: Function `(real_logits, label_smoothing) -> [B]`, the discriminator's loss on real examples.
        fake: Function `fake_logits -> [B]`, the discriminator's loss on generated examples.
        generator: Function `fake_logits -> [B]`, the generator's loss.
        threshold: The logit above which the discriminator says "real"; None if it does not classify.
        has_labels: Whether real examples have a label, which can be smoothed.
        reach: The interval of logits that the discriminator must be able to give.
    """

    name: str
    real: Callable[[tf.Tensor, float], tf.Tensor]
    fake: Callable[[tf.Tensor], tf.Tensor]
    generator: Callable[[tf.Tensor], tf.Tensor]
    threshold: float | None = 0.0
    has_labels: bool = False
    reach: tuple[float, float] = (-math.inf, math.inf)

    def bounds_problem(self, low: float, high: float) -> str:
        """What is wrong with a discriminator whose logits lie in [`low`, `high`]; empty if nothing is."""
        if low <= self.reach[0] and high >= self.reach[1]:
            return ""
        free = math.isinf(self.reach[0])
        wanted = "any value" if free else f"values from {self.reach[0]:g} to {self.reach[1]:g}"
        return f"the loss {self.name!r} needs {wanted} of it"


def _cross_entropy_of_real(logits: tf.Tensor, label_smoothing: float) -> tf.Tensor:
    loss = tf.nn.softplus(-logits)
    # The target 1 - s: (1 - s) softplus(-r) + s softplus(r) = softplus(-r) + s r.
    return loss + label_smoothing * logits if label_smoothing else loss


def _half_square_to_one(logits: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    return 0.5 * tf.square(logits - (1.0 - label_smoothing))


ADVERSARIAL_LOSSES = {
    loss.name: loss
    for loss in (
        AdversarialLoss(
            "minimax",
            _cross_entropy_of_real,
            tf.nn.softplus,
            lambda logits: -tf.nn.softplus(logits),
            has_labels=True,
        ),
        AdversarialLoss(
            "non_saturating",
            _cross_entropy_of_real,
            tf.nn.softplus,
            lambda logits: tf.nn.softplus(-logits),
            has_labels=True,
        ),
        AdversarialLoss(
            "least_squares",
            _half_square_to_one,
            lambda logits: 0.5 * tf.square(logits),
            _half_square_to_one,
            threshold=0.5,
            has_labels=True,
            reach=(0.0, 1.0),
        ),
        AdversarialLoss(
            "hinge",
            lambda logits, _: tf.nn.relu(1.0 - logits),
            lambda logits: tf.nn.relu(1.0 + logits),
            tf.negative,
            reach=(-1.0, 1.0),
        ),
        AdversarialLoss("wasserstein", lambda logits, _: -logits, tf.identity, tf.negative, threshold=None),
    )
}


def get_adversarial_loss(name: str) -> AdversarialLoss:
    """The losses with a given name.

    Args:
        name: "minimax", "non_saturating", "least_squares", "hinge" or "wasserstein".

    Raises:
        ValueError: For an unknown name.
    """
    return ADVERSARIAL_LOSSES[check_choice("loss", name, ADVERSARIAL_LOSSES)]
