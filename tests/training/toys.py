"""A three-network, two-player toy that exercises every part of the adversarial base."""

import keras
import tensorflow as tf

from keras_genmod.bases import AdversarialModel
from keras_genmod.core.registration import register
from keras_genmod.networks import dense_network
from keras_genmod.training import Player


@register
class ToyTranslator(AdversarialModel):
    """Translates a to b and back with two generator networks, against one discriminator on b.

    Unpaired data is `{"a": ..., "b": ...}`; paired data is `(a, b)`.
    """

    def __init__(self, event_shape=(3,), *, paired=False, noise=0.1, shares=True, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.paired, self.noise, self.shares = paired, noise, shares
        seed = self.seed
        self.forward_network = dense_network(event_shape, event_shape, hidden_dims=(5,), seed=seed)
        self.backward_network = dense_network(event_shape, event_shape, hidden_dims=(5,), seed=seed)
        self.discriminator = dense_network(event_shape, (1,), hidden_dims=(5,), seed=seed)
        if not shares:
            self.shared_forward = None
        self.built = True

    def check_data(self, x, condition=None):
        """Checks both sides."""
        a, b = (x, condition) if self.paired else (x["a"], x["b"])
        for side in (a, b):
            super().check_data(side)

    def _fake(self, x, training, seed):
        a = x if self.paired else x["a"]
        noisy = a + self.noise * tf.random.stateless_normal(tf.shape(a), seed, dtype=a.dtype)
        return self.forward_network(noisy, training=training)

    def shared_forward(self, x, *, condition, training, seed):
        """The translation of a."""
        return self._fake(x, training, seed)

    def players(self):
        """The discriminator, then the two generator networks."""
        return (
            Player(
                "discriminator",
                (self.discriminator,),
                self._discriminator_terms,
                updates_per_step=self.discriminator_steps,
            ),
            Player(
                "generator",
                (self.forward_network, self.backward_network),
                self._generator_terms,
                lambda: {"cycle": 2.0},
            ),
        )

    def _discriminator_terms(self, x, *, condition, training, seed, shared=None):
        fake = self._fake(x, training, seed) if shared is None else shared
        real = condition if self.paired else x["b"]
        real_loss = tf.nn.softplus(-self.discriminator(real, training=training)[:, 0])
        fake_loss = tf.nn.softplus(self.discriminator(fake, training=training)[:, 0])
        return {"real": real_loss, "fake": fake_loss}

    def _generator_terms(self, x, *, condition, training, seed, shared=None):
        fake = self._fake(x, training, seed) if shared is None else shared
        a = x if self.paired else x["a"]
        back = self.backward_network(fake, training=training)
        return {
            "adversarial": tf.nn.softplus(-self.discriminator(fake, training=training)[:, 0]),
            "cycle": tf.reduce_sum(tf.square(tf.cast(back, a.dtype) - a), axis=-1),
        }

    def call(self, x, condition=None, training=False):
        """The translation of a."""
        return self.forward_network(x, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "paired": self.paired,
            "noise": self.noise,
            "shares": self.shares,
        }


def weights_of(model: keras.Model):
    """All weights as arrays."""
    return [weight.numpy() for weight in model.weights]
