"""One row per model: a case for the promises of `keras_genmod.testing`.

A new family adds its rows here and is then held to every promise.
"""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import keras_genmod as kg
from keras_genmod.core.precision import as_real
from keras_genmod.core.registration import register
from keras_genmod.networks import (
    conv_discriminator,
    conv_generator,
    dense_generator,
    dense_network,
)
from keras_genmod.testing import Case
from tests.training.toys import ToyChain, ToyCycleGAN


@register
class NoiselessVAE(kg.VAE):
    """A VAE that takes the posterior's mean for its draw: a deterministic objective."""

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        posterior = self.posterior(x, condition=condition, training=training)
        likelihood = self.likelihood(posterior.mean(), condition=condition, training=training)
        terms = super().loss_terms(x, condition=condition, training=training, seed=seed)
        return {**terms, "reconstruction": -likelihood.log_prob(x)}


@register
class NoiselessGAN(kg.GAN):
    """A GAN whose noise is a function of the example beside it: a deterministic objective."""

    def shared_forward(self, x, *, condition=None, training=False, seed=None):
        z = tf.reshape(x, [tf.shape(x)[0], -1])[:, : self.latent_dim]
        generated = self.generator(self._with_condition(self.generator, z, condition), training=training)
        return tf.cast(generated, self.real_dtype)


class _AtItsMean(tfp.distributions.Normal):
    """A normal distribution whose draws are its mean."""

    def _sample_n(self, n, seed=None):
        return tf.broadcast_to(self.loc, tf.concat([[n], tf.shape(self.loc)], axis=0))


@register
class NoiselessPosterior(kg.distributions.GaussianHead):
    """A diagonal posterior whose draws are its means: a deterministic objective, whatever the variant."""

    def __init__(self, *, scale="predicted", **kwargs):
        super().__init__(scale, **kwargs)

    def distribution(self, params):
        loc, scale = self._loc_and_scale(as_real(params))
        return self._over_event(_AtItsMean(loc, scale))


@register
class NoiselessPrior(kg.distributions.Prior):
    """The standard normal distribution, whose draws are 0."""

    def distribution(self, posterior=None):
        zeros = tf.zeros([self.latent_dim], self.real_dtype)
        return tfp.distributions.Independent(_AtItsMean(zeros, tf.ones_like(zeros)), 1)


@register
class NoiselessFactorVAE(kg.FactorVAE):
    """A FactorVAE whose second draws are the mirrored first ones."""

    def _permuted(self, z, seed):
        return -z


@register
class NoiselessFlowPosterior(kg.bijectors.FlowPosterior):
    """A flow whose draws are the image of the base's means."""

    def distribution(self, params):
        flow = super().distribution(params)
        normal = flow.distribution.distribution
        base = self._over_event(_AtItsMean(normal.loc, normal.scale))
        return tfp.distributions.TransformedDistribution(base, flow.bijector)


def _started(model):
    """A mixture with a start of its own: before it has one it refuses to answer."""
    model.initialize(np.random.default_rng(1).integers(0, 2, (20, *model.event_shape)).astype("float32"))
    return model


@dataclass(frozen=True)
class Listed(Case):
    """A case, and which of its promises are among the default tests; all others are among the longer ones.

    Args:
        sibling: Whether other rows bring all that it has, together or each a part, or it differs from one
            by a term of its objective alone.
        network: Whether it brings a network or a way of computing of its own, which XLA and half precision
            could treat in another way.
        mechanism: Whether it stands for the rows that use the training loop as it does, for promises that
            the loop keeps whatever is trained.
        coupled: Whether its objective, its state or its start joins examples as no other row's does, so that
            replicas could differ from one device.
    """

    overfit_term: str = "reconstruction"
    sibling: bool = False
    network: bool = True
    mechanism: bool = False
    coupled: bool = False


def _pairs(shape, other_shape, num_rows, seed):
    """Examples of two domains that belong together, of four patterns each."""
    generator = np.random.default_rng(seed)
    patterns = [generator.random((4, *one)) < 0.5 for one in (shape, other_shape)]
    labels = generator.integers(0, 4, num_rows)
    return tuple(one[labels].astype("float32") for one in patterns)


def _unpaired(num_rows, seed):
    return (dict(zip("ab", _pairs((3,), (2,), num_rows, seed), strict=True)),)


def _maps_and_pictures(num_rows, seed):
    """Maps of three classes, and pictures in [-1, 1]; four patterns each."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, num_rows)
    maps = generator.integers(0, 3, (4, 8, 8)).astype("int32")
    pictures = generator.uniform(-0.9, 0.9, (4, 8, 8, 1)).astype("float32")
    return maps[labels], pictures[labels]


def _two_domains(num_rows, seed):
    """Pictures of two domains of different shapes, in [-1, 1]."""
    generator = np.random.default_rng(seed)
    a, b = (generator.uniform(-0.9, 0.9, (4, *shape)) for shape in ((8, 8, 1), (16, 16, 2)))
    labels = generator.integers(0, 4, num_rows)
    return ({"a": a[labels].astype("float32"), "b": b[labels[::-1]].astype("float32")},)


def _partly_labelled(num_rows, seed):
    """Binary data of four patterns, of which three have classes."""
    generator = np.random.default_rng(seed)
    patterns, labels = generator.random((4, 6)) < 0.5, generator.integers(-1, 3, num_rows)
    return patterns[labels].astype("float32"), labels


def _pictures(num_rows, seed):
    """Large pictures in [0, 1], of four patterns."""
    generator = np.random.default_rng(seed)
    pictures = generator.uniform(0.1, 0.9, (4, 8, 8, 1)).astype("float32")
    return (pictures[generator.integers(0, 4, num_rows)],)


def _dense(**kwargs):
    """Small networks of the user's own, for an event of 6 numbers and 2 latent dimensions."""
    return {
        "latent_dim": 2,
        "encoder": dense_network((6,), (kwargs.pop("code"),), hidden_dims=(8,), seed=3, **kwargs),
        "decoder": dense_network((2,), (6,), hidden_dims=(8,), seed=4, **kwargs),
    }


def _rows(model, code=4, **options):
    """A row's functions and event shape for a variant of the VAE."""

    def networks(code):
        own = _dense(code=code)
        if model is kg.FactorVAE:
            own["discriminator"] = dense_network((2,), (1,), hidden_dims=(8, 8), activation="tanh", seed=5)
        return own

    def build(seed):
        return model((6,), seed=seed, **options, **networks(code))

    def noiseless(seed):
        cls = NoiselessFactorVAE if model is kg.FactorVAE else model
        own = {name: value for name, value in options.items() if name not in ("posterior", "prior")}
        fixed = {"posterior": NoiselessPosterior(), "prior": NoiselessPrior()}
        return cls((6,), seed=seed, **own, **fixed, **networks(4 + options.get("num_labels", 0)))

    return build, (6,), noiseless


# A bound falls slowly, for its noise.
_VARIATIONAL = (2e-2, 300, 0.75)

# A game of players need not fall.
_BY_PLAYERS = frozenset({"few_examples_are_learnt"})
_BY_PARTS = frozenset({"micro_batches_give_the_gradient_of_the_whole_batch"})
_BY_SHARDS = frozenset({"identical_shards_train_as_one"})
# A statistic of a whole batch is not that of its parts, and sees each example once, whatever its weight.
_BY_BATCH = _BY_PARTS | {"a_weight_of_two_counts_like_the_example_twice"}
# One that compares examples with each other changes when each is there twice.
_BY_PAIRS = _BY_BATCH | _BY_SHARDS


def _players(event_shape, **kwargs):
    """A small generator and a small discriminator of the user's own, for 2 latent dimensions.

    The discriminator is smooth: across a kink its slope, which penalties measure, jumps, and rounding decides
    on which side an example lies.
    """
    return {
        "latent_dim": 2,
        "generator": dense_generator((2,), event_shape, hidden_dims=(8,), seed=3, **kwargs),
        "discriminator": dense_network(
            event_shape, (1,), hidden_dims=(8,), activation="tanh", seed=4, **kwargs
        ),
    }


def _images(**kwargs):
    """A small generator and discriminator of images, conditioned on one of 3 classes."""
    return {
        "latent_dim": 2,
        "num_classes": 3,
        "generator": conv_generator(
            (2,), (5, 6, 1), filters=(4,), num_classes=3, conditioning="batch_norm", seed=3, **kwargs
        ),
        "discriminator": conv_discriminator(
            (5, 6, 1),
            filters=(4, 4),
            batch_norm=True,
            num_classes=3,
            conditioning="projection",
            seed=4,
            **kwargs,
        ),
    }


def _flow(seed, **options):
    """A small Real NVP under a condition; without a dequantisation its objective has no noise."""
    return kg.RealNVP(
        (6,),
        num_layers=2,
        network_options={"hidden_dims": (8,)},
        condition_shape=(2,),
        seed=seed,
        **options,
    )


def _glow(seed, **options):
    """The smallest images of two scales."""
    network = {"filters": 3, "num_blocks": 0}
    return kg.Glow((4, 4, 1), num_steps=1, num_scales=2, network_options=network, seed=seed, **options)


def _spline_flow(seed):
    return kg.NeuralSplineFlow(
        (4,),
        num_layers=2,
        autoregressive=True,
        hidden_dims=(8,),
        base=kg.distributions.GaussianMixturePrior(3),
        seed=seed,
    )


def _vae_of_flows(seed, posterior):
    """A posterior of inverse autoregressive layers, and a flow as prior."""
    return kg.VAE(
        (6,),
        posterior=posterior(context_dim=3, num_layers=1, hidden_dims=(6,), seed=seed),
        prior=kg.bijectors.FlowPrior(
            [kg.bijectors.MaskedAutoregressive((6,)), kg.bijectors.Permutation("reverse")]
        ),
        seed=seed,
        **_dense(code=7),
    )


def _super_resolution(seed, **options):
    """A small generator, features of one convolution, and a critic."""
    x = keras.Input((8, 8, 1))
    start = keras.initializers.HeNormal(seed=5)
    features = keras.layers.Conv2D(2, 3, activation="tanh", kernel_initializer=start, name="features")(x)
    return kg.SuperResolution(
        (4, 4, 1),
        2,
        adversarial=0.01,
        perceptual=keras.Model(x, features),
        filters=2,
        num_blocks=1,
        seed=seed,
        **options,
    )


def _pixel_cnn(seed):
    """A small network; its objective has no noise."""
    return kg.PixelCNN(
        (4, 3, 1),
        filters=4,
        num_blocks=1,
        gated=True,
        first_kernel_size=3,
        condition_shape=(2,),
        seed=seed,
    )


def _pixel_rnn(seed):
    """The same with memories over diagonals."""
    return kg.PixelRNN((4, 3, 1), units=4, first_kernel_size=3, seed=seed)


def _integers(num_rows, seed):
    """Rows of integers 0, 1, 2 of four patterns."""
    generator = np.random.default_rng(seed)
    patterns = generator.integers(0, 3, (4, 5)).astype("float32")
    return (patterns[generator.integers(0, 4, num_rows)],)


def _rbm(seed, **options):
    """A machine with classes; without its proxies its objective has no noise."""
    options = {"hidden_dim": 5, "num_chains": 4, "num_classes": 3, "sampling_steps": 3, **options}
    return kg.RBM((6,), sparsity_target=0.3, seed=seed, **options)


CASES = [
    Listed(
        "autoencoder",
        lambda seed: kg.Autoencoder((6,), seed=seed, denoising=0.3, sparsity=0.01, **_dense(code=2)),
        (6,),
        lambda seed: kg.Autoencoder((6,), seed=seed, **_dense(code=2)),
        network=False,
    ),
    Listed(
        "convolutional conditional autoencoder",
        lambda seed: kg.Autoencoder(
            (5, 6, 1), latent_dim=2, seed=seed, denoising=0.3, num_classes=3, likelihood="gaussian"
        ),
        (5, 6, 1),
        lambda seed: kg.Autoencoder((5, 6, 1), latent_dim=2, seed=seed, num_classes=3),
        num_classes=3,
        # The constant of the normal density stays.
        overfit=(3e-3, 150, 0.85),
        sibling=True,
        network=False,
    ),
    Listed(
        "vae",
        lambda seed: kg.VAE((6,), seed=seed, **_dense(code=4)),
        (6,),
        lambda seed: NoiselessVAE((6,), seed=seed, **_dense(code=4)),
        overfit=_VARIATIONAL,
        sibling=True,
        network=False,
    ),
    Listed(
        "conditional vae with a schedule",
        lambda seed: kg.VAE(
            (6,),
            seed=seed,
            condition_shape=(2,),
            likelihood=kg.distributions.GaussianHead("learned"),
            beta=kg.training.LinearSchedule(1.0, 10),
            **_dense(code=4, condition_shape=(2,)),
        ),
        (6,),
        lambda seed: NoiselessVAE(
            (6,), seed=seed, condition_shape=(2,), **_dense(code=4, condition_shape=(2,))
        ),
        condition_shape=(2,),
        overfit=_VARIATIONAL,
        mechanism=True,
    ),
    Listed(
        "convolutional vae",
        lambda seed: kg.VAE((8, 8, 1), latent_dim=2, seed=seed),
        (8, 8, 1),
        lambda seed: NoiselessVAE((8, 8, 1), latent_dim=2, seed=seed),
        overfit=(3e-3, 150, 0.5),
        sibling=True,
    ),
    Listed(
        "vae with full covariance and a mixture",
        *_rows(kg.VAE, code=5, posterior="full_covariance", prior="gaussian_mixture", free_bits=0.1),
        overfit=_VARIATIONAL,
    ),
    Listed(
        "doubly reparameterized iwae with a vampprior",
        *_rows(kg.IWAE, num_importance_samples=3, doubly_reparameterized=True, prior="vamp"),
        overfit=_VARIATIONAL,
        overfit_term="negative_bound",
    ),
    Listed(
        "beta_tcvae",
        *_rows(kg.BetaTCVAE, beta=2.0, num_examples=100),
        overfit=_VARIATIONAL,
        exempt=_BY_PAIRS,
        sibling=True,
        coupled=True,
    ),
    Listed(
        "dip_vae",
        *_rows(kg.DIPVAE, kind="I", off_diagonal=0.1),
        overfit=_VARIATIONAL,
        exempt=_BY_BATCH,
        sibling=True,
        coupled=True,
    ),
    Listed(
        "info_vae",
        *_rows(kg.InfoVAE, alpha=0.5),
        overfit=_VARIATIONAL,
        exempt=_BY_PAIRS,
        sibling=True,
        coupled=True,
    ),
    Listed("wae", *_rows(kg.WAE), overfit=(2e-2, 300, 0.85), exempt=_BY_PAIRS, sibling=True),
    Listed(
        "factor_vae",
        *_rows(kg.FactorVAE),
        adversarial=True,
        # Latents are permuted over all rows of a batch or of its part, of which one row has none to offer.
        exempt=_BY_PLAYERS | _BY_SHARDS | _BY_PARTS,
        network=False,
        coupled=True,
    ),
    Listed(
        "debiasing_vae of a few classes",
        *_rows(kg.DebiasingVAE, code=7, num_labels=3, label_weight=2.0, bound_labels=(0, 2)),
        draw=_partly_labelled,
        overfit=(2e-2, 300, 0.5),
        overfit_term="cross_entropy",
        sibling=True,
    ),
    Listed(
        "vq_vae",
        lambda seed: kg.VQVAE((6,), num_codes=8, code_dim=2, num_latents=3, seed=seed),
        (6,),
        lambda seed: kg.VQVAE((6,), num_codes=8, code_dim=2, num_latents=3, revival_threshold=0.0, seed=seed),
        # The codebook moves the further the more vectors there are.
        exempt=_BY_SHARDS,
        mechanism=True,
    ),
    Listed(
        "gan",
        lambda seed: kg.GAN(
            (6,), seed=seed, instance_noise=kg.training.LinearSchedule(0.0, 10, start=0.1), **_players((6,))
        ),
        (6,),
        lambda seed: NoiselessGAN((6,), seed=seed, r2=0.5, label_smoothing=0.1, **_players((6,))),
        adversarial=True,
        exempt=_BY_PLAYERS,
        mechanism=True,
    ),
    Listed(
        "conditional dcgan",
        lambda seed: kg.DCGAN((5, 6, 1), seed=seed, **_images()),
        (5, 6, 1),
        lambda seed: NoiselessGAN((5, 6, 1), seed=seed, loss="least_squares", r1=0.0, **_images()),
        num_classes=3,
        adversarial=True,
        # A batch's statistics are not those of its parts.
        exempt=_BY_PLAYERS | _BY_PARTS,
        coupled=True,
    ),
    Listed(
        "conditional wgan_gp",
        lambda seed: kg.WGAN_GP(
            (6,), seed=seed, condition_shape=(2,), **_players((6,), condition_shape=(2,))
        ),
        (6,),
        lambda seed: NoiselessGAN(
            (6,),
            seed=seed,
            condition_shape=(2,),
            loss="wasserstein",
            r1=0.0,
            weight_clip=2.0,
            ema_decay=None,
            **_players((6,), condition_shape=(2,)),
        ),
        condition_shape=(2,),
        adversarial=True,
        exempt=_BY_PLAYERS,
        # A critic's offset cancels in the difference of its means.
        without_gradient=("outputs/bias",),
        sibling=True,
        network=False,
    ),
    Listed(
        "made with several masks",
        lambda seed: kg.MADE((6,), hidden_dims=(12, 12), num_masks=2, ordering="random", seed=seed),
        (6,),
        lambda seed: kg.MADE((6,), hidden_dims=(12, 12), direct_connections=True, seed=seed),
        overfit_term="nll",
        mechanism=True,
    ),
    Listed(
        "conditional nade over random orders",
        lambda seed: kg.NADE(
            (6,), hidden_dim=8, order_agnostic=True, num_orderings=2, num_classes=3, seed=seed
        ),
        (6,),
        lambda seed: kg.NADE((6,), hidden_dim=8, num_classes=3, seed=seed),
        num_classes=3,
        overfit_term="nll",
    ),
    Listed(
        "conditional gated pixelcnn",
        lambda seed: _pixel_cnn(seed),
        (4, 3, 1),
        lambda seed: _pixel_cnn(seed),
        condition_shape=(2,),
        overfit_term="nll",
    ),
    Listed(
        "pixelrnn",
        lambda seed: _pixel_rnn(seed),
        (4, 3, 1),
        lambda seed: _pixel_rnn(seed),
        overfit_term="nll",
    ),
    Listed(
        "conditional realnvp",
        lambda seed: _flow(seed, dequantization="uniform", num_levels=2),
        (6,),
        _flow,
        condition_shape=(2,),
        overfit_term="nll",
        # The start has noise for each example.
        exempt=_BY_SHARDS,
        coupled=True,
    ),
    Listed(
        "glow with a variational dequantisation",
        lambda seed: _glow(seed, dequantization="variational", num_levels=2),
        (4, 4, 1),
        _glow,
        overfit_term="nll",
        # The start has noise for each example.
        exempt=_BY_SHARDS,
        sibling=True,
    ),
    Listed(
        "autoregressive splines from a mixture",
        _spline_flow,
        (4,),
        _spline_flow,
        overfit_term="nll",
        sibling=True,
    ),
    Listed(
        "vae with flows",
        lambda seed: _vae_of_flows(seed, kg.bijectors.FlowPosterior),
        (6,),
        lambda seed: _vae_of_flows(seed, NoiselessFlowPosterior),
        overfit=_VARIATIONAL,
        sibling=True,
    ),
    Listed(
        "gaussian mixture by gradients",
        lambda seed: _started(kg.GaussianMixture((6,), num_components=2, method="gradient", seed=seed)),
        (6,),
        lambda seed: _started(kg.GaussianMixture((6,), num_components=2, method="gradient", seed=seed)),
        overfit_term="nll",
        sibling=True,
    ),
    Listed(
        "bernoulli mixture by em",
        lambda seed: _started(kg.BernoulliMixture((6,), num_components=2, seed=seed)),
        (6,),
        lambda seed: _started(kg.BernoulliMixture((6,), num_components=2, method="gradient", seed=seed)),
        overfit_term="nll",
        overfit=(1e-1, 150, 0.8),
        # Beside the same pseudo-counts the examples count twice as much where each is there twice.
        exempt=_BY_SHARDS,
        network=False,
    ),
    Listed(
        "unpaired translator",
        lambda seed: ToyCycleGAN((3,), seed=seed),
        (3,),
        lambda seed: ToyCycleGAN((3,), seed=seed, noise=0.0),
        draw=_unpaired,
        adversarial=True,
        exempt=_BY_PLAYERS,
        mechanism=True,
        network=False,
    ),
    Listed(
        "pix2pix of label maps",
        lambda seed: kg.Pix2Pix(
            (8, 8),
            (8, 8, 1),
            source_classes=3,
            filters=2,
            dropout=0.5,
            augmentation=kg.layers.PairedAugmentation(cutout=0.25),
            seed=seed,
        ),
        (8, 8),
        lambda seed: kg.Pix2Pix((8, 8), (8, 8, 1), source_classes=3, filters=2, r1=0.5, seed=seed),
        draw=_maps_and_pictures,
        adversarial=True,
        overfit=(1e-2, 150, 0.6),
        overfit_term="generator_l1",
    ),
    Listed(
        "cycle_gan between shapes",
        lambda seed: kg.CycleGAN((8, 8, 1), (16, 16, 2), filters=2, num_blocks=1, pool_size=4, seed=seed),
        (8, 8, 1),
        lambda seed: kg.CycleGAN((8, 8, 1), (16, 16, 2), filters=2, num_blocks=1, pool_size=0, seed=seed),
        draw=_two_domains,
        adversarial=True,
        overfit=(1e-2, 150, 0.8),
        overfit_term="generator_cycle_a",
        sibling=True,
        coupled=True,
    ),
    Listed(
        "super_resolution with features and a critic",
        lambda seed: _super_resolution(seed, ema_decay=0.9),
        (8, 8, 1),
        lambda seed: _super_resolution(seed, ema_decay=None),
        draw=_pictures,
        adversarial=True,
        overfit=(1e-2, 150, 0.6),
        overfit_term="generator_pixel",
        sibling=True,
    ),
    Listed(
        "rbm with classes",
        _rbm,
        (6,),
        lambda seed: _rbm(seed, proxies=False),
        num_classes=3,
        overfit=(2e-1, 150, 0.7),
        overfit_term="reconstruction_proxy",
        network=False,
        coupled=True,
    ),
    Listed(
        "tempered rbm of integers",
        lambda seed: kg.RBM(
            (5,),
            hidden_dim=4,
            visible="categorical",
            num_values=3,
            method="tempering",
            num_temperatures=3,
            num_chains=4,
            weight_decay=0.01,
            sampling_steps=3,
            seed=seed,
        ),
        (5,),
        draw=_integers,
        overfit=(2e-1, 150, 0.8),
        overfit_term="reconstruction_proxy",
        network=False,
        sibling=True,
    ),
    Listed(
        "persistent chains",
        lambda seed: ToyChain((3,), seed=seed),
        (3,),
        lambda seed: ToyChain((3,), seed=seed, noise=0.0),
        overfit=(1e-1, 150, 0.5),
        overfit_term="energy",
        mechanism=True,
        network=False,
    ),
]


def over_cases(*names):
    """A parametrisation over all rows; those that are not named are among the longer tests."""
    params = []
    for case in CASES:
        marks = [] if case.name in names else [pytest.mark.slow]
        params.append(pytest.param(case, id=case.name, marks=marks))
    return pytest.mark.parametrize("case", params)


def selected_cases(request) -> list[str]:
    """The names of the rows that the tests of a requesting module are run for."""
    mine = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    return sorted({item.callspec.params["case"].name for item in mine if hasattr(item, "callspec")})
