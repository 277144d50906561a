"""Toys that exercise what no model of the package does: two domains, and a persistent chain."""

import keras
import tensorflow as tf

from keras_genmod.bases import AdversarialModel, GenerativeModel
from keras_genmod.core.registration import register
from keras_genmod.core.replicas import assign_equally
from keras_genmod.networks import dense_network
from keras_genmod.training import Player


@register
class ToyCycleGAN(AdversarialModel):
    """Translates between two domains of different shapes, against one critic for each.

    Unpaired data is `{"a": ..., "b": ...}`; paired data is `(a, b)`. The critics are two players of one
    optimizer, or with `critics="one player"` one player with both networks, which is the same objective.
    """

    def __init__(
        self,
        event_shape=(3,),
        *,
        other_shape=(2,),
        paired=False,
        noise=0.1,
        shares=True,
        critics="two players",
        **kwargs,
    ):
        super().__init__(event_shape, **kwargs)
        self.other_shape = tuple(other_shape)
        self.paired, self.noise, self.shares, self.critics = paired, noise, shares, critics

        def network(inputs, outputs, seed):
            return dense_network(inputs, outputs, hidden_dims=(5,), activation="tanh", seed=seed)

        self.to_b = network(self.event_shape, self.other_shape, self.seed)
        self.to_a = network(self.other_shape, self.event_shape, self.seed)
        self.critic_a = network(self.event_shape, (1,), self.seed)
        self.critic_b = network(self.other_shape, (1,), self.seed)
        if not shares:
            self.shared_forward = None

    def check_data(self, x, condition=None):
        """Checks the first domain; the second has another shape."""
        super().check_data(self._sides(x, condition)["a"], None if self.paired else condition)

    def _sides(self, x, condition):
        return {"a": x, "b": condition} if self.paired else x

    def _translated(self, x, condition, training, seed):
        def noisy(side, number):
            noise = tf.random.stateless_normal(tf.shape(side), seed + number, dtype=side.dtype)
            return side + self.noise * noise

        sides = self._sides(x, condition)
        sides = {name: tf.cast(side, self.real_dtype) for name, side in sides.items()}
        return {
            "a": self.to_a(noisy(sides["b"], 1), training=training),
            "b": self.to_b(noisy(sides["a"], 2), training=training),
        }

    def shared_forward(self, x, *, condition, training, seed):
        """The translations of both sides."""
        return self._translated(x, condition, training, seed)

    def players(self):
        """The critics, then both generators as one player."""
        critics = {"a": (self.critic_a,), "b": (self.critic_b,)}
        if self.critics == "one player":
            critics = {"ab": (self.critic_a, self.critic_b)}
        options = {"updates_per_step": self.discriminator_steps, "optimizer": "discriminator_optimizer"}
        return (
            *(
                Player(f"critic_{sides}", networks, self._critic_terms(sides), **options)
                for sides, networks in critics.items()
            ),
            Player(
                "generator",
                (self.to_a, self.to_b),
                self._generator_terms,
                lambda: {"cycle_a": 2.0, "cycle_b": 2.0},
                optimizer="generator_optimizer",
            ),
        )

    def _critic_terms(self, sides):
        def terms(x, *, condition, training, seed, shared=None):
            fake = self._translated(x, condition, training, seed) if shared is None else shared
            real, result = self._sides(x, condition), {}
            for side in sides:
                critic = getattr(self, f"critic_{side}")
                result[f"real_{side}"] = tf.nn.softplus(-critic(real[side], training=training)[:, 0])
                result[f"fake_{side}"] = tf.nn.softplus(critic(fake[side], training=training)[:, 0])
            return result

        return terms

    def _generator_terms(self, x, *, condition, training, seed, shared=None):
        fake = self._translated(x, condition, training, seed) if shared is None else shared
        back = {"a": self.to_a(fake["b"], training=training), "b": self.to_b(fake["a"], training=training)}
        real, terms = self._sides(x, condition), {}
        for side in "ab":
            critic = getattr(self, f"critic_{side}")
            terms[f"adversarial_{side}"] = tf.nn.softplus(-critic(fake[side], training=training)[:, 0])
            error = tf.cast(back[side], self.real_dtype) - tf.cast(real[side], self.real_dtype)
            terms[f"cycle_{side}"] = tf.reduce_sum(tf.square(error), axis=-1)
        return terms

    def call(self, x, condition=None, training=False):
        """The translation of a."""
        return self.to_b(x, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "other_shape": self.other_shape,
            "paired": self.paired,
            "noise": self.noise,
            "shares": self.shares,
            "critics": self.critics,
        }


START = 3.0
STEP = 0.2
NUM_CHAINS = 4


@register
class ToyChain(GenerativeModel):
    """A normal density of unknown mean m, trained against persistent chains that sample from it.

    The gradient of -log p(x) is that of E(x) - E(chains), E(x) = |x - m|^2 / 2. Once a step every chain takes
    a Langevin step; the first chain starts anew at the first row of the batch.
    """

    def __init__(self, event_shape=(3,), *, noise=1.0, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.noise = noise
        options = {
            "initializer": keras.initializers.Constant(START),
            "dtype": self.real_dtype.name,
            "autocast": False,
        }
        state = {"trainable": False, "aggregation": "only_first_replica"}
        self.mean = self.add_weight(shape=self.event_shape, name="mean", **options)
        self.chains = self.add_weight(
            shape=(NUM_CHAINS, *self.event_shape), name="chains", **options, **state
        )

    def call(self, x, condition=None, training=False):
        """The energy of each row."""
        difference = tf.cast(x, self.compute_dtype) - tf.cast(self.mean, self.compute_dtype)
        return tf.cast(0.5 * tf.reduce_sum(tf.square(difference), axis=-1), self.real_dtype)

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        energy = self.call(x)
        of_chains = tf.reduce_mean(self.call(tf.convert_to_tensor(self.chains)))
        return {"energy": energy, "chains": -of_chains * tf.ones_like(energy)}

    def advance_state(self, batch, *, seed, shared):
        mean = tf.convert_to_tensor(self.mean)

        def moved(chains, rows):
            noise = tf.random.stateless_normal(tf.shape(chains), seed, dtype=chains.dtype)
            chains = tf.concat([tf.cast(rows[:1], chains.dtype), chains[1:]], axis=0)
            return chains - STEP * (chains - mean) + self.noise * (2 * STEP) ** 0.5 * noise

        assign_equally(self.chains, moved, rows=batch.x)

    def get_config(self):
        return {**super().get_config(), "noise": self.noise}
