r"""The debiasing variational autoencoder: a classifier and a VAE that share their encoder.

$$ L = w \, \text{CE}(y, \hat y(x)) + E_{q(z|x)}[-\log p(x \mid z)] + \beta \, KL(q(z \mid x) \,\|\, p(z)) $$

The encoder gives the posterior of the latents and the logits of the classes $\hat y$. So the latents
describe what the classifier sees, and `applications.DebiasingSampler` draws what is rare among them more
often while the model trains. Examples without a class count in the bound only, which makes the model
semi-supervised.

Reference: Uncovering and Mitigating Algorithmic Bias through Learned Latent Structure, Amini, Soleimany,
Schwarting, Bhatia and Rus, 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_genmod.core.checks import ValueRange, check_integer, check_number, describe
from keras_genmod.core.registration import register
from keras_genmod.core.spaces import Space
from keras_genmod.core.targets import TargetSpec
from keras_genmod.models.variational.vae import VAE
from keras_genmod.serving.endpoints import Endpoint
from keras_genmod.training.objective import MEASURE

__all__ = ["DebiasingVAE"]


@register
class DebiasingVAE(VAE):
    r"""A VAE whose encoder also classifies.

    Train it on pairs, `fit(x, labels)`; the label -1 marks an example without a class. The model is not
    conditional: samples, codes and densities take no label.

    Args:
        event_shape: Shape of one example.
        num_labels: Number of classes.
        label_weight: Weight $w$ of the cross-entropy. The bound of an image is hundreds of nats and a
            cross-entropy is a few, so the default is large.
        bound_labels: Classes whose examples the bound counts, beside those without a class; None takes all.
            In the paper only faces are encoded, and other pictures are only classified.
        encoder: Network from `x` to the raw parameters of the posterior, followed by `num_labels` logits: for
            a diagonal posterior `2 * latent_dim + num_labels` numbers.
        latent_dim, decoder, likelihood, posterior, prior, beta, capacity, free_bits: As in `VAE`.
        seed, name, dtype: As in `GenerativeModel`.

    Logs: those of a `VAE`, whose means run over all examples (0 where the bound does not count), and
    `cross_entropy` (nats per example, 0 where there is no class). `accuracy` is the fraction of the examples
    that have a class and are classified correctly.

    Raises:
        ValueError: If labels are out of range, or the model is to be conditional.

    Cost: that of a VAE.

    Example:
        >>> import numpy as np
        >>> model = DebiasingVAE((4,), num_labels=2, latent_dim=2, seed=0)
        >>> model.compile()
        >>> x = np.eye(4, dtype="float32")
        >>> _ = model.fit(x, np.array([0, 1, 1, -1]), epochs=1, verbose=0)
        >>> model.classify(x).shape
        TensorShape([4, 2])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_labels: int,
        label_weight: float = 100.0,
        bound_labels: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        self.num_labels = check_integer("num_labels", num_labels, minimum=2)
        self.label_weight = check_number("label_weight", label_weight, minimum=0.0)
        self.bound_labels = None
        if bound_labels is not None:
            self.bound_labels = tuple(check_integer("bound_labels", n, minimum=0) for n in bound_labels)
            if not self.bound_labels or max(self.bound_labels) >= self.num_labels:
                raise ValueError(
                    f"`bound_labels` must be classes from 0 to {self.num_labels - 1}, one at least; received "
                    f"{describe(bound_labels)}. For all classes leave it out."
                )
        for name in ("num_classes", "condition_shape"):
            if kwargs.get(name) is not None:
                raise ValueError(
                    f"`DebiasingVAE` takes no condition; received {name}={kwargs[name]!r}. The number of "
                    "classes that it learns to tell is `num_labels`."
                )
        super().__init__(event_shape, **kwargs)

    @property
    def _second_entry(self) -> TargetSpec:
        advice = "Labels are numbers of classes, -1 where there is none. Raise `num_labels`, or relabel."
        return TargetSpec(
            Space("label", (), tf.int32, ValueRange(-1, self.num_labels - 1, integer=True, advice=advice))
        )

    # ---- the encoder ----------------------------------------------------------------------------

    def _expected_code(self, encoder: keras.layers.Layer) -> tuple[tuple[int, ...], str]:
        (size,), meaning = super()._expected_code(encoder)
        return (size + self.num_labels,), f"{meaning}, and the logits of {self.num_labels} classes"

    def _encoded(self, x: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """The raw parameters of the posterior and the logits of the classes."""
        encoded = tf.cast(self.encoder(self._encoder_inputs(x, None), training=training), self.real_dtype)
        return encoded[:, : -self.num_labels], encoded[:, -self.num_labels :]

    def _posterior_params(self, x: Any, condition: Any, training: bool) -> tf.Tensor:
        return self._encoded(x, training)[0]

    def _label_probs(self, x: tf.Tensor, condition: Any = None) -> tf.Tensor:
        return tf.nn.softmax(self._encoded(x, False)[1])

    def classify(self, x: Any, *, batch_size: int | None = None) -> tf.Tensor:
        """The probabilities of the classes, `[B, num_labels]`.

        Args:
            x: Data `[B, *event_shape]`.
            batch_size: Rows processed in one pass, which bounds memory; None uses the model's default.
        """
        return self._map_rows("classify", self._label_probs, x, None, batch_size=batch_size)

    # ---- objective ------------------------------------------------------------------------------

    def loss_terms(
        self, x: Any, *, condition: Any = None, training: bool = False, seed: Any = None
    ) -> dict[str, tf.Tensor]:
        """The terms of the bound and `cross_entropy`, `[B]` each, and the measure `accuracy`.

        Args:
            x, training, seed: As in `GenerativeModel`.
            condition: Labels `[B]`.
        """
        params, logits = self._encoded(x, training)
        posterior = self._posterior_head.distribution(params)
        terms = self._penalized(self._one_draw(x, None, training, seed, posterior))
        if self.bound_labels is not None:
            is_counted = tf.reduce_any(condition[:, None] == tf.constant([-1, *self.bound_labels]), axis=1)
            terms = {name: tf.where(is_counted, term, 0.0) for name, term in terms.items()}
        is_labelled = condition >= 0
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(condition, 0), logits)
        right = tf.argmax(logits, axis=-1, output_type=tf.int32) == condition
        return {
            **terms,
            "cross_entropy": tf.where(is_labelled, entropy, tf.zeros_like(entropy)),
            "accuracy": tf.cast(right, self.real_dtype),
        }

    def term_weights(self) -> dict[str, Any]:
        """The weights of the divergence and of the cross-entropy."""
        return {**super().term_weights(), "cross_entropy": self.label_weight, "accuracy": MEASURE}

    # ---- endpoints and configuration ------------------------------------------------------------

    def endpoints(self, *, max_samples: int = 1024, num_samples: int = 16) -> dict[str, Endpoint]:
        """Name -> endpoint: those of a `VAE`, and `classify`.

        Args:
            max_samples, num_samples: As in `VAE`.
        """
        probs = Endpoint(lambda x: {"probs": self._label_probs(x)}, self._inputs(self.event_space()))
        return {**super().endpoints(max_samples=max_samples, num_samples=num_samples), "classify": probs}

    def get_config(self) -> dict:
        """The constructor arguments, the networks included."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "label_weight": self.label_weight,
            "bound_labels": self.bound_labels,
        }
