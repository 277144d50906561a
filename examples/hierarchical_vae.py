"""A family of one's own, a VAE of two levels, trained on digits: `python examples/hierarchical_vae.py`.

The page "Write a family" of the documentation explains the class. `hierarchical_vae_output/` gets the model,
its export, and a picture: test digits above their reconstructions, then four rows of samples, of which each
column shares the upper latent vector. `--gallery` also updates `examples/gallery/`.
"""

import quiet_start  # isort: skip

import math
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import keras_genmod as kg

tfd = tfp.distributions

OUTPUT = Path("hierarchical_vae_output")
GALLERY = Path(__file__).parent / "gallery"


# [family]
@keras.saving.register_keras_serializable(package="hierarchical_vae")
class HierarchicalVAE(kg.bases.SamplesByRow, kg.GenerativeModel):
    """A ladder VAE of two levels: p(z2) p(z1|z2) p(x|z1), with q(z2|x) q(z1|x,z2).

    Args:
        event_shape: Shape of one example, binary or in [0, 1].
        latent_dims: Number of dimensions of z1 and of z2.
        hidden_dims: Widths of the hidden layers of the default networks.
        beta: Weight of both divergences, a number or a schedule.
        encoder: Network from `x` to means and raw scales of both levels, `2 * sum(latent_dims)` numbers.
        prior_network: Network from `z2` to means and raw scales of z1.
        decoder: Network from `z1` to the logits of `x`.
        num_classes, condition_shape, seed, name, dtype: As in `GenerativeModel`.
    """

    density = "lower_bound"  # what `log_prob` gives
    _default_endpoint = "reconstruct"  # the endpoint that answers what `call` computes

    def __init__(
        self,
        event_shape,
        *,
        latent_dims=(16, 4),
        hidden_dims=(256,),
        beta=1.0,
        encoder=None,
        prior_network=None,
        decoder=None,
        **kwargs,
    ):
        super().__init__(event_shape, **kwargs)
        self.latent_dims, self.hidden_dims = tuple(latent_dims), tuple(hidden_dims)
        self.beta = beta
        size1, size2 = self.latent_dims

        def default(number, inputs, outputs):
            options = {
                "hidden_dims": self.hidden_dims,
                "activation": "swish",
                **self._network_options(number),
            }
            return kg.networks.dense_network(inputs, outputs, **options)

        self.encoder = encoder or default(0, self.event_shape, (2 * size1 + 2 * size2,))
        self.prior_network = prior_network or default(1, (size2,), (2 * size1,))
        self.decoder = decoder or default(2, (size1,), self.event_shape)

    # ---- the objective --------------------------------------------------------------------------

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        """The terms of the negative bound: `reconstruction`, `kl_1` and `kl_2`."""
        seeds = iter((seed, kg.bases.fold_in(seed, 1)))
        q1, p1, q2, p2, z1, _ = self._levels(x, condition, lambda q: self._draw(q, next(seeds)), training)
        return {
            "reconstruction": -self.likelihood(z1, condition, training=training).log_prob(x),
            "kl_1": q1.kl_divergence(p1),
            "kl_2": q2.kl_divergence(p2),
        }

    def term_weights(self):
        """The weight of the divergences at this training step."""
        beta = self.beta(self.training_steps) if callable(self.beta) else self.beta
        return {"kl_1": beta, "kl_2": beta}

    def value_range(self):
        """The values that the likelihood covers."""
        return kg.ValueRange(0.0, 1.0)

    # ---- distributions --------------------------------------------------------------------------

    def likelihood(self, z, condition=None, *, training=False):
        """p(x|z1), over `event_shape`."""
        logits = self._output(self.decoder, z, condition, training)
        return tfd.Independent(tfd.Bernoulli(logits=logits), len(self.event_shape))

    def prior(self):
        """p(z2), over the upper level."""
        zeros = tf.zeros(self.latent_dims[1], self.real_dtype)
        return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), 1)

    def lower_prior(self, z, condition=None, *, training=False):
        """p(z1|z2)."""
        return _normal(*_parameters(self._output(self.prior_network, z, condition, training)))

    def _levels(self, x, condition, draw, training=False):
        """q(z1|x,z2), p(z1|z2), q(z2|x), p(z2), z1 and z2; `draw` takes z2, then z1 from its distribution."""
        raw = self._output(self.encoder, x, condition, training)
        raw1, raw2 = tf.split(raw, [2 * size for size in self.latent_dims], axis=-1)
        q2 = _normal(*_parameters(raw2))
        z2 = draw(q2)
        p1 = self.lower_prior(z2, condition, training=training)
        # What the data and the level above say of z1, each weighted by its precision.
        (loc, scale), prior = _parameters(raw1), p1.distribution
        precision = scale**-2 + prior.scale**-2
        q1 = _normal((loc * scale**-2 + prior.loc * prior.scale**-2) / precision, precision**-0.5)
        return q1, p1, q2, self.prior(), draw(q1), z2

    def _output(self, network, x, condition, training):
        """The output of a network on `x`, or on `[x, condition]`, in the dtype of densities."""
        x = tf.cast(x, self.real_dtype)
        return tf.cast(
            network(self._with_condition(network, x, condition), training=training), self.real_dtype
        )

    def _draw(self, distribution, seed):
        return distribution.sample(seed=seed)

    # ---- questions ------------------------------------------------------------------------------

    def call(self, x, condition=None, training=False):
        """The reconstruction of `x`, `[B, *event_shape]`."""
        return self._mean(self._code(x, condition, training), condition)

    def _code(self, x, condition=None, training=False):
        return self._levels(x, condition, lambda q: q.mean(), training)[4]

    def _mean(self, z, condition=None):
        return self.likelihood(z, condition).mean()

    def encode(self, x, condition=None, *, batch_size=None):
        """The means of z1, `[B, latent_dims[0]]`."""
        return self._map_rows("encode", self._code, x, condition, batch_size=batch_size)

    def reconstruct(self, x, condition=None, *, batch_size=None):
        """The mean of p(x|z1) at the code of `x`."""
        return self._map_rows("reconstruct", self.call, x, condition, batch_size=batch_size)

    def decode(self, z, condition=None, *, batch_size=None):
        """The mean of p(x|z1)."""
        space = self.latent_space()
        return self._map_rows("decode", self._mean, z, condition, space=space, batch_size=batch_size)

    def latent_space(self):
        """The space of z1."""
        return kg.Space("z", self.latent_dims[:1], self.real_dtype)

    def sample(self, num_samples, *, condition=None, seed=None, batch_size=None):
        """Means of p(x|z1) for draws of z2 and z1, `[num_samples, *event_shape]`."""
        return self._sample(num_samples, condition, seed, batch_size)

    def _sample_rows(self, seeds, condition=None):
        z2 = kg.bases.sample_rows(self.prior(), 1, seeds)[:, 0]
        lower = self.lower_prior(z2, condition)
        z1 = kg.bases.sample_rows(lower, 1, kg.bases.fold_in_rows(seeds, 1))[:, 0]
        return self._mean(z1, condition)

    def log_prob(self, x, condition=None, *, num_samples=16, seed=None, batch_size=None):
        """The importance-weighted lower bound on log p(x) of `num_samples` draws, `[B]` nats."""
        seeds = kg.bases.row_seeds(
            self._fixed_seed() if seed is None else self._sampling_seed(seed), 0, len(x)
        )
        return self._map_rows(
            ("log_prob", num_samples),
            lambda x, seeds, condition: self._bound(x, seeds, condition, num_samples),
            (x, seeds),
            condition,
            space=(self.event_space(), kg.bases.ROW_SEEDS),
            batch_size=batch_size,
        )

    def _bound(self, x, seeds, condition, num_samples):
        # Row r of the draws belongs to example r // num_samples.
        draws = tf.tile(tf.range(num_samples), [tf.shape(x)[0]])
        x, seeds = (tf.repeat(rows, num_samples, axis=0) for rows in (x, seeds))
        condition = None if condition is None else tf.repeat(condition, num_samples, axis=0)
        seeds = kg.bases.fold_in_rows(seeds, draws)
        levels = iter((seeds, kg.bases.fold_in_rows(seeds, 1)))
        q1, p1, q2, p2, z1, z2 = self._levels(
            x, condition, lambda q: kg.bases.sample_rows(q, 1, next(levels))[:, 0]
        )
        log_weights = self.likelihood(z1, condition).log_prob(x) + p1.log_prob(z1) + p2.log_prob(z2)
        log_weights = tf.reshape(log_weights - q1.log_prob(z1) - q2.log_prob(z2), [-1, num_samples])
        return tf.reduce_logsumexp(log_weights, axis=1) - math.log(num_samples)

    # ---- serving and saving ---------------------------------------------------------------------

    def endpoints(self, *, max_samples=1024, num_samples=16):
        """Name -> endpoint: each method above, and `sample_rows`."""
        x = self._inputs(self.event_space())
        z = self._inputs(self.latent_space())

        def log_prob(x, *rest):
            *condition, seeds = rest
            return {"log_prob": self._bound(x, seeds, condition[0] if condition else None, num_samples)}

        return {
            "reconstruct": kg.serving.Endpoint(lambda *x: {"reconstruction": self.call(*x)}, x),
            "encode": kg.serving.Endpoint(lambda *x: {"z": self._code(*x)}, x),
            "decode": kg.serving.Endpoint(lambda *z: {"x": self._mean(*z)}, z),
            "log_prob": kg.serving.Endpoint(log_prob, (*x, kg.bases.ROW_SEEDS)),
            **self._sample_endpoints(max_samples),
        }

    def get_config(self):
        """The constructor arguments, the networks included."""
        networks = {name: getattr(self, name) for name in ("encoder", "prior_network", "decoder")}
        beta = keras.saving.serialize_keras_object(self.beta) if callable(self.beta) else self.beta
        return {
            **super().get_config(),
            "latent_dims": self.latent_dims,
            "hidden_dims": self.hidden_dims,
            "beta": beta,
            **{name: keras.saving.serialize_keras_object(value) for name, value in networks.items()},
        }


def _parameters(raw):
    """Locations and positive scales from the two halves of raw outputs."""
    loc, raw_scale = tf.split(raw, 2, axis=-1)
    return loc, tf.nn.softplus(raw_scale + 0.5) + 1e-3


def _normal(loc, scale):
    return tfd.Independent(tfd.Normal(loc, scale), 1)


# [/family]


def main():
    digits = kg.data.load("digits")
    train, test = (kg.data.binarize(digits[split] / 16) for split in ("train", "test"))
    model = HierarchicalVAE((8, 8, 1), beta=kg.training.LinearSchedule(1.0, steps=1_000, start=0.1), seed=1)
    model.compile(keras.optimizers.Adam(2e-3))
    model.fit(train, batch_size=64, epochs=100, verbose=0)

    OUTPUT.mkdir(exist_ok=True)
    model.save(OUTPUT / "model.keras")
    model = keras.saving.load_model(OUTPUT / "model.keras")
    for name, value in model.evaluate(test, return_dict=True, verbose=0).items():
        print(f"{name:<16}{value:>8.2f} nats per test digit")
    print(f"{'log p(x)':<16}{np.mean(model.log_prob(test, num_samples=500)):>8.2f} nats, 500 draws")
    model.export(OUTPUT / "1", overwrite=True)
    print(f"The export's largest difference: {max(kg.serving.verify(OUTPUT / '1').values()):.1g}")

    z2 = model.prior().sample(16, seed=(0, 1))
    samples = [model.decode(model.lower_prior(z2).sample(seed=(1, number))) for number in range(4)]
    picture = kg.image_grid(
        np.concatenate([test[:16], model.reconstruct(test[:16]), *samples]), columns=16, padding=1, scale=4
    )
    for path in (OUTPUT / "digits.png", *[GALLERY / "hierarchical_vae.png"] * ("--gallery" in sys.argv)):
        kg.write_png(path, picture)
        print(f"Wrote {path}")
    print(f"Done in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


if __name__ == "__main__":
    main()
