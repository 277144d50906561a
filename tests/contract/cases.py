"""One row per model: what the contract tests need to know of it.

A new family adds its rows here and is then held to every promise.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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
from keras_genmod.serving.examples import read_examples
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
class Case:
    """A model, its data, and the promises that do not apply to it.

    Args:
        name: of the row.
        build: function `(seed) -> model`.
        event_shape: of the data.
        noiseless: function `(seed) -> model` of the same family with a deterministic objective.
        num_classes, condition_shape: of the condition.
        paired, unpaired: for translators.
        other_shape: shape of an example of a translator's second domain.
        adversarial: whether its loss is a sum over players, which need not fall.
        overfit: learning rate of Adam, steps, and the share of the first loss that must be left.
        overfit_term: the term that is looked at.
        exempt: names of promises that do not apply.
        without_gradient: weights whose gradient is 0 by the mathematics.
        sibling: whether it differs from other rows by a term of its objective alone, or joins what two of
            them bring. Only promises of replicas are then among the default tests, the others among the
            longer ones.
        network: whether it brings a network or a way of computing of its own. XLA and half precision are
            tried by default for these rows alone, and for all rows among the longer tests.
        mechanism: whether it stands for the rows that use the training loop as it does. What the loop
            promises whatever is trained is among the default tests for these rows alone.
    """

    name: str
    build: Callable[[int], Any]
    event_shape: tuple[int, ...]
    noiseless: Callable[[int], Any]
    num_classes: int | None = None
    condition_shape: tuple[int, ...] | None = None
    paired: bool = False
    unpaired: bool = False
    other_shape: tuple[int, ...] = ()
    adversarial: bool = False
    overfit: tuple[float, int, float] = (1e-2, 150, 0.5)
    overfit_term: str = "reconstruction"
    exempt: frozenset = field(default_factory=frozenset)
    without_gradient: tuple[str, ...] = ()
    sibling: bool = False
    network: bool = True
    mechanism: bool = False

    def data(self, num_rows: int, seed: int = 0) -> tuple:
        """The arguments of `fit`: `(x,)` or `(x, condition)`; binary data of few patterns."""
        generator = np.random.default_rng(seed)
        patterns = generator.random((4, *self.event_shape)) < 0.5
        labels = generator.integers(0, 4, num_rows)
        x = patterns[labels].astype("float32")
        if self.paired or self.unpaired:
            others = (generator.random((4, *self.other_shape)) < 0.5).astype("float32")[labels]
            return (x, others) if self.paired else ({"a": x, "b": others},)
        if self.num_classes is not None:
            return x, labels % self.num_classes
        if self.condition_shape is not None:
            return x, generator.normal(size=(num_rows, *self.condition_shape)).astype("float32")
        return (x,)


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
        return cls((6,), seed=seed, **own, **fixed, **networks(4))

    return build, (6,), noiseless


# A statistic of a whole batch is not that of its parts, and sees each example once, whatever its weight.
_BY_BATCH = frozenset({"micro_batches", "repetition"})
# One that compares examples with each other changes when each is there twice.
_BY_PAIRS = _BY_BATCH | {"identical_shards"}


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


CASES = [
    Case(
        "autoencoder",
        lambda seed: kg.Autoencoder((6,), seed=seed, denoising=0.3, sparsity=0.01, **_dense(code=2)),
        (6,),
        lambda seed: kg.Autoencoder((6,), seed=seed, **_dense(code=2)),
        network=False,
    ),
    Case(
        "convolutional conditional autoencoder",
        lambda seed: kg.Autoencoder(
            (5, 6, 1), latent_dim=2, seed=seed, denoising=0.3, num_classes=3, likelihood="gaussian"
        ),
        (5, 6, 1),
        lambda seed: kg.Autoencoder((5, 6, 1), latent_dim=2, seed=seed, num_classes=3),
        num_classes=3,
        overfit=(3e-3, 150, 0.5),
        network=False,
    ),
    Case(
        "vae",
        lambda seed: kg.VAE((6,), seed=seed, **_dense(code=4)),
        (6,),
        lambda seed: NoiselessVAE((6,), seed=seed, **_dense(code=4)),
        overfit=(2e-2, 300, 0.75),
        network=False,
    ),
    Case(
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
        overfit=(2e-2, 300, 0.75),
        mechanism=True,
    ),
    Case(
        "convolutional vae",
        lambda seed: kg.VAE((8, 8, 1), latent_dim=2, seed=seed),
        (8, 8, 1),
        lambda seed: NoiselessVAE((8, 8, 1), latent_dim=2, seed=seed),
        overfit=(3e-3, 150, 0.5),
        sibling=True,
    ),
    Case(
        "vae with full covariance and a mixture",
        *_rows(kg.VAE, code=5, posterior="full_covariance", prior="gaussian_mixture", free_bits=0.1),
        overfit=(2e-2, 300, 0.75),
    ),
    Case(
        "doubly reparameterized iwae with a vampprior",
        *_rows(kg.IWAE, num_importance_samples=3, doubly_reparameterized=True, prior="vamp"),
        overfit=(2e-2, 300, 0.75),
        overfit_term="negative_bound",
    ),
    Case(
        "beta_tcvae",
        *_rows(kg.BetaTCVAE, beta=2.0, num_examples=100),
        overfit=(2e-2, 300, 0.75),
        exempt=_BY_PAIRS,
        sibling=True,
    ),
    Case(
        "dip_vae",
        *_rows(kg.DIPVAE, kind="I", off_diagonal=0.1),
        overfit=(2e-2, 300, 0.75),
        exempt=_BY_BATCH,
        sibling=True,
    ),
    Case(
        "info_vae",
        *_rows(kg.InfoVAE, alpha=0.5),
        overfit=(2e-2, 300, 0.75),
        exempt=_BY_PAIRS,
        sibling=True,
    ),
    Case("wae", *_rows(kg.WAE), overfit=(2e-2, 300, 0.85), exempt=_BY_PAIRS, sibling=True),
    Case(
        "factor_vae",
        *_rows(kg.FactorVAE),
        adversarial=True,
        # Latents are permuted over all rows of a batch or of its part, of which one row has none to offer.
        exempt=frozenset({"overfit", "identical_shards", "micro_batches"}),
        network=False,
    ),
    Case(
        "vq_vae",
        lambda seed: kg.VQVAE((6,), num_codes=8, code_dim=2, num_latents=3, seed=seed),
        (6,),
        lambda seed: kg.VQVAE((6,), num_codes=8, code_dim=2, num_latents=3, revival_threshold=0.0, seed=seed),
        # The codebook moves the further the more vectors there are.
        exempt=frozenset({"identical_shards"}),
        mechanism=True,
    ),
    Case(
        "gan",
        lambda seed: kg.GAN(
            (6,), seed=seed, instance_noise=kg.training.LinearSchedule(0.0, 10, start=0.1), **_players((6,))
        ),
        (6,),
        lambda seed: NoiselessGAN((6,), seed=seed, r2=0.5, label_smoothing=0.1, **_players((6,))),
        adversarial=True,
        exempt=frozenset({"overfit"}),
        mechanism=True,
    ),
    Case(
        "conditional dcgan",
        lambda seed: kg.DCGAN((5, 6, 1), seed=seed, **_images()),
        (5, 6, 1),
        lambda seed: NoiselessGAN((5, 6, 1), seed=seed, loss="least_squares", r1=0.0, **_images()),
        num_classes=3,
        adversarial=True,
        # A batch's statistics are not those of its parts.
        exempt=frozenset({"overfit", "micro_batches"}),
    ),
    Case(
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
        exempt=frozenset({"overfit"}),
        # A critic's offset cancels in the difference of its means.
        without_gradient=("outputs/bias",),
        network=False,
    ),
    Case(
        "made with several masks",
        lambda seed: kg.MADE((6,), hidden_dims=(12, 12), num_masks=2, ordering="random", seed=seed),
        (6,),
        lambda seed: kg.MADE((6,), hidden_dims=(12, 12), direct_connections=True, seed=seed),
        overfit_term="nll",
        mechanism=True,
    ),
    Case(
        "conditional nade over random orders",
        lambda seed: kg.NADE(
            (6,), hidden_dim=8, order_agnostic=True, num_orderings=2, num_classes=3, seed=seed
        ),
        (6,),
        lambda seed: kg.NADE((6,), hidden_dim=8, num_classes=3, seed=seed),
        num_classes=3,
        overfit_term="nll",
    ),
    Case(
        "conditional gated pixelcnn",
        lambda seed: _pixel_cnn(seed),
        (4, 3, 1),
        lambda seed: _pixel_cnn(seed),
        condition_shape=(2,),
        overfit_term="nll",
    ),
    Case(
        "pixelrnn",
        lambda seed: _pixel_rnn(seed),
        (4, 3, 1),
        lambda seed: _pixel_rnn(seed),
        overfit_term="nll",
    ),
    Case(
        "conditional realnvp",
        lambda seed: _flow(seed, dequantization="uniform", num_levels=2),
        (6,),
        _flow,
        condition_shape=(2,),
        overfit_term="nll",
        # The start has noise for each example.
        exempt=frozenset({"identical_shards"}),
    ),
    Case(
        "glow with a variational dequantisation",
        lambda seed: _glow(seed, dequantization="variational", num_levels=2),
        (4, 4, 1),
        _glow,
        overfit_term="nll",
        # The start has noise for each example.
        exempt=frozenset({"identical_shards"}),
        sibling=True,
    ),
    Case(
        "autoregressive splines from a mixture",
        _spline_flow,
        (4,),
        _spline_flow,
        overfit_term="nll",
        sibling=True,
    ),
    Case(
        "vae with flows",
        lambda seed: _vae_of_flows(seed, kg.bijectors.FlowPosterior),
        (6,),
        lambda seed: _vae_of_flows(seed, NoiselessFlowPosterior),
        overfit=(2e-2, 300, 0.75),
        sibling=True,
    ),
    Case(
        "gaussian mixture by gradients",
        lambda seed: _started(kg.GaussianMixture((6,), num_components=2, method="gradient", seed=seed)),
        (6,),
        lambda seed: _started(kg.GaussianMixture((6,), num_components=2, method="gradient", seed=seed)),
        overfit_term="nll",
        sibling=True,
    ),
    Case(
        "bernoulli mixture by em",
        lambda seed: _started(kg.BernoulliMixture((6,), num_components=2, seed=seed)),
        (6,),
        lambda seed: _started(kg.BernoulliMixture((6,), num_components=2, method="gradient", seed=seed)),
        overfit_term="nll",
        overfit=(1e-1, 150, 0.8),
        # Beside the same pseudo-counts the examples count twice as much where each is there twice.
        exempt=frozenset({"identical_shards"}),
    ),
    Case(
        "unpaired translator",
        lambda seed: ToyCycleGAN((3,), seed=seed),
        (3,),
        lambda seed: ToyCycleGAN((3,), seed=seed, noise=0.0),
        unpaired=True,
        other_shape=(2,),
        adversarial=True,
        exempt=frozenset({"overfit"}),
        mechanism=True,
    ),
    Case(
        "paired translator",
        lambda seed: ToyCycleGAN((3,), paired=True, seed=seed),
        (3,),
        lambda seed: ToyCycleGAN((3,), paired=True, seed=seed, noise=0.0),
        paired=True,
        other_shape=(2,),
        adversarial=True,
        exempt=frozenset({"overfit"}),
        network=False,
    ),
    Case(
        "persistent chains",
        lambda seed: ToyChain((3,), seed=seed),
        (3,),
        lambda seed: ToyChain((3,), seed=seed, noise=0.0),
        overfit=(1e-1, 150, 0.5),
        overfit_term="energy",
        mechanism=True,
    ),
]


def _over_cases(is_default):
    """A parametrisation over all rows, those that are not of the default tests marked so."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(case, id=case.name, marks=[] if is_default(case) else [pytest.mark.slow])
            for case in CASES
        ],
    )


# For promises of a model, of how its networks compute, and of the loop that trains it.
every_case = _over_cases(lambda case: not case.sibling)
every_network = _over_cases(lambda case: case.network and not case.sibling)
every_mechanism = _over_cases(lambda case: case.mechanism)
every_row = _over_cases(lambda case: True)


def selected_cases(request) -> list[str]:
    """The names of the rows that the tests of a requesting module are run for."""
    mine = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    return sorted({item.callspec.params["case"].name for item in mine if hasattr(item, "callspec")})


def weights(model) -> dict[str, np.ndarray]:
    """All weights by a name that two models of one class share."""
    return {f"{i}:{weight.name}": weight.numpy() for i, weight in enumerate(model.weights)}


def largest_difference(first, second) -> float:
    """The largest difference between the weights of two models."""
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    assert all(np.all(np.isfinite(weight)) for weight in a.values())
    return max(float(np.max(np.abs(a[k].astype("float64") - b[k]), initial=0.0)) for k in a)


def unlike(first, second) -> bool:
    """Whether two models differ in real weights; the integers of the noise state hold seed and steps."""
    pairs = zip(first.weights, second.weights, strict=True)
    real = [(a.numpy(), b.numpy()) for a, b in pairs if tf.as_dtype(a.dtype).is_floating]
    return max(float(np.max(np.abs(a - b))) for a, b in real) > 1e-4


def check_export(path, model) -> None:
    """Compares what an export recorded of its endpoints with what a model's methods answer.

    `serving.verify` compares the export with that record, which the exporting model's own endpoints made.
    Methods that draw take one seed for all rows where endpoints take one for each; of these only `sample` is
    compared.
    """
    compared = 0
    for example in read_examples(path):
        inputs = dict(example.inputs)
        method = getattr(model, example.signature, None)
        if example.signature == "sample":
            answers = [method(int(inputs.pop("num_samples")), **inputs)]
        elif "seed" in inputs or (method and "seed" in inspect.signature(method).parameters):
            continue
        else:
            asked = [method] * bool(method) + [model] * example.default
            answers = [function(*inputs.values()) for function in asked]
        for answer in answers:
            (recorded,) = example.outputs.values()
            np.testing.assert_allclose(recorded, answer, rtol=1e-5, atol=1e-5)
        compared += len(answers)
    assert compared


def tensors(data: tuple) -> tuple:
    """Arrays as tensors."""
    return tf.nest.map_structure(tf.convert_to_tensor, data)
