r"""The VAE with every likelihood, posterior and prior, against densities that numpy knows.

Two cases make the importance-weighted bound exact for every draw: a decoder that ignores z, whose density
p(x) is known, with a posterior that is the prior.
"""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

import keras_genmod as kg
from keras_genmod.core.noise import as_seed, row_seeds, sample_rows
from keras_genmod.distributions import (
    GaussianHead,
    GaussianMixturePrior,
    LowRankGaussianHead,
    StudentTHead,
    VampPrior,
)
from keras_genmod.networks import dense_network
from tests.models.variational.test_vae import linear

SEED = tf.constant([3, 5])
VECTOR, IMAGE = (3,), (2, 2, 1)


def positive(raw):
    return np.log1p(np.exp(raw + np.log(np.e - 1.0))) + 1e-5


# ---- densities by hand: x `[B, D]`, raw parameters `[D, P]` of its dimensions -------------------


def bernoulli(x, raw):
    return np.sum(x * np.log(special.expit(raw[:, 0])) + (1 - x) * np.log(special.expit(-raw[:, 0])), axis=1)


def continuous_bernoulli(x, raw):
    share = 1.0 - 2.0 * special.expit(raw[:, 0])
    return bernoulli(x, raw) + np.sum(np.log(2.0 * np.arctanh(share) / share))


def gaussian(scale):
    return lambda x, raw: stats.norm.logpdf(x, raw[:, 0], scale).sum(axis=1)


def predicted_gaussian(x, raw):
    return stats.norm.logpdf(x, raw[:, 0], positive(raw[:, 1])).sum(axis=1)


def student_t(df, scale):
    return lambda x, raw: stats.t.logpdf(x, df, raw[:, 0], scale).sum(axis=1)


def low_rank_gaussian(x, raw):
    covariance = np.diag(positive(raw[:, 1])) + raw[:, 2:] @ raw[:, 2:].T
    return stats.multivariate_normal.logpdf(x, raw[:, 0], covariance)


def categorical(x, raw):
    log_probs = special.log_softmax(raw, axis=1)
    return np.sum(log_probs[np.arange(len(raw)), x.astype(int)], axis=1)


def discretized_logistic_mixture(x, raw):
    logits, loc, log_scale = np.split(raw, 3, axis=1)
    x = x[:, :, None]
    upper = np.where(x == 255, np.inf, (2 * x + 1) / 255 - 1)
    lower = np.where(x == 0, -np.inf, (2 * x - 1) / 255 - 1)
    bins = [special.expit((edge - loc) / np.exp(log_scale)) for edge in (upper, lower)]
    return np.sum(np.log(np.sum(special.softmax(logits, axis=1) * (bins[0] - bins[1]), axis=2)), axis=1)


def data(name, event_shape):
    generator = np.random.default_rng(0)
    shape = (6, *event_shape)
    if name == "binary":
        return (generator.random(shape) < 0.5).astype("float32")
    if name == "grey":
        return generator.random(shape).astype("float32")
    if name == "bytes":
        x = generator.integers(0, 256, shape)
        x[0, 0], x[1, 0] = 0, 255
        return x.astype("uint8")
    return generator.normal(size=shape).astype("float32")


RAW_SCALE = np.array([0.4, -0.7, 0.2], "float32")

# Name -> (likelihood, kind of data, event shape, density by hand).
LIKELIHOODS = {
    "bernoulli": ("bernoulli", "binary", VECTOR, bernoulli),
    "continuous_bernoulli": ("continuous_bernoulli", "grey", VECTOR, continuous_bernoulli),
    "gaussian": ("gaussian", "real", VECTOR, gaussian(1.0)),
    "gaussian of a scale": (lambda: GaussianHead(0.3), "real", VECTOR, gaussian(0.3)),
    "gaussian learned": (lambda: GaussianHead("learned"), "real", VECTOR, gaussian(positive(0.4))),
    "gaussian per_dimension": (
        lambda: GaussianHead("per_dimension"), "real", VECTOR, gaussian(positive(RAW_SCALE)),
    ),
    "gaussian predicted": (lambda: GaussianHead("predicted"), "real", VECTOR, predicted_gaussian),
    "student_t": ("student_t", "real", VECTOR, student_t(5.0, 1.0)),
    "student_t learned": (
        lambda: StudentTHead("learned", df=3.0), "real", VECTOR, student_t(3.0, positive(0.4)),
    ),
    "low_rank_gaussian": ("low_rank_gaussian", "real", VECTOR, low_rank_gaussian),
    "low_rank_gaussian images": (lambda: LowRankGaussianHead(rank=2), "real", IMAGE, low_rank_gaussian),
    "categorical": ("categorical", "bytes", IMAGE, categorical),
    "discretized_logistic_mixture": (
        "discretized_logistic_mixture", "bytes", IMAGE, discretized_logistic_mixture,
    ),
}  # fmt: skip


def get_likelihood(name):
    """The argument of a model; heads anew, as each belongs to one model."""
    likelihood = LIKELIHOODS[name][0]
    return likelihood() if callable(likelihood) else likelihood


def flat(inputs_shape, outputs, output_shape, name, bias):
    """A network that gives the same numbers for every input."""
    network = keras.Sequential(
        [
            keras.Input(inputs_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(outputs, kernel_initializer="zeros"),
            keras.layers.Reshape(output_shape),
        ],
        name=name,
    )
    network.layers[1].bias.assign(bias)
    return network


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_bound_is_the_log_density_where_the_posterior_is_the_prior(name):
    _, kind, event_shape, density = LIKELIHOODS[name]
    head = kg.distributions.get_head(get_likelihood(name), event_shape)
    scales = [weight for weight in head.weights if weight.name == "raw_scale"]
    for weight in scales:
        weight.assign(RAW_SCALE if len(weight.shape) else RAW_SCALE[0])
    dims, per_dim = int(np.prod(event_shape)), head.params_per_dim
    raw = np.random.default_rng(1).normal(size=(dims, per_dim)).astype("float32")
    # Parameter by parameter, each over the last axis of the event.
    channels_last = raw.reshape(*event_shape, per_dim).swapaxes(-1, -2).ravel()
    model = kg.VAE(
        event_shape,
        latent_dim=2,
        likelihood=head,
        encoder=flat(event_shape, 4, (4,), "encoder", np.zeros(4)),
        decoder=flat((2,), dims * per_dim, head.params_shape, "decoder", channels_last),
    )
    x = data(kind, event_shape)
    expected = density(x.reshape(6, -1).astype("float64"), raw.astype("float64"))
    np.testing.assert_allclose(model.log_prob(x, num_samples=2), expected, rtol=1e-4, atol=1e-3)
    terms = model.loss_terms(tf.constant(x, tf.float32), seed=SEED)
    np.testing.assert_allclose(terms["reconstruction"], -expected, rtol=1e-4, atol=1e-3)


# ---- posteriors and priors ------------------------------------------------------------------------


def mixture(num_components=3):
    """A mixture prior, and a function that gives it weights, means and scales."""
    prior = GaussianMixturePrior(num_components)
    generator = np.random.default_rng(2)
    values = [generator.normal(size=(num_components, *rest)) for rest in ((), (2,), (2,))]

    def assign():
        for weight, value in zip((prior.logits, prior.loc, prior.raw_scale), values, strict=True):
            weight.assign(value)

    def log_prob(z):
        logits, loc, raw_scale = values
        each = stats.norm.logpdf(z[:, None], loc, positive(raw_scale)).sum(axis=2)
        return special.logsumexp(each + special.log_softmax(logits), axis=1)

    return prior, assign, log_prob


def real_vae(encoder, **options):
    """A VAE of 3 real numbers with a linear decoder and unit variance."""
    generator = np.random.default_rng(3)
    decoder = linear(generator.normal(size=(2, 3)), generator.normal(size=3), "decoder")
    return kg.VAE(
        (3,), latent_dim=2, encoder=encoder, decoder=decoder, likelihood="gaussian", seed=0, **options
    )


def linear_encoder(outputs, scale=0.5):
    generator = np.random.default_rng(4)
    return linear(
        scale * generator.normal(size=(3, outputs)), scale * generator.normal(size=outputs), "encoder"
    )


def log_likelihood(model, x, z):
    kernel, bias = model.decoder.get_weights()
    return stats.norm.logpdf(x, z @ kernel + bias).sum(axis=1)


def full_covariance(raw, z):
    log_probs = []
    # The means, then the triangle from its last entry to its first.
    for (*mean, last, low, first), row in zip(raw, z, strict=True):
        factor = np.diag([positive(first), positive(last)]) @ [[1.0, 0.0], [low, 1.0]]
        log_probs.append(stats.multivariate_normal.logpdf(row, mean, factor @ factor.T))
    return np.array(log_probs)


def diagonal(raw, z):
    return stats.norm.logpdf(z, raw[:, :2], positive(raw[:, 2:])).sum(axis=1)


def rank_one(raw, z):
    return np.array(
        [
            stats.multivariate_normal.logpdf(row, r[:2], np.diag(positive(r[2:4])) + np.outer(r[4:], r[4:]))
            for r, row in zip(raw, z, strict=True)
        ]
    )


def heavy_tails(raw, z):
    return stats.t.logpdf(z, 5.0, raw[:, :2], positive(raw[:, 2:])).sum(axis=1)


# Name -> (function to the argument of a model, number of raw parameters, density by hand).
POSTERIORS = {
    "diagonal": (lambda: "diagonal", 4, diagonal),
    "full_covariance": (lambda: "full_covariance", 5, full_covariance),
    "low rank": (lambda: LowRankGaussianHead(rank=1), 6, rank_one),
    "student_t": (lambda: StudentTHead("predicted"), 4, heavy_tails),
}


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("name", POSTERIORS)
def test_one_draw_is_likelihood_and_prior_over_posterior(name):
    """With a mixture as prior; the noise of a row depends on the seed and the row's number alone."""
    make, outputs, log_posterior = POSTERIORS[name]
    prior, assign, log_prior = mixture()
    model = real_vae(linear_encoder(outputs), posterior=make(), prior=prior)
    assign()
    x = data("real", VECTOR)
    kernel, bias = model.encoder.get_weights()
    raw = np.float64(x @ kernel + bias)
    draws = [
        (sample_rows(model.posterior(x), 1, row_seeds(as_seed(7), 0, 6))[:, 0], None),
        (model.posterior(x).sample(seed=SEED), model.loss_terms(x, seed=SEED)),
    ]
    for z, terms in draws:
        z = np.float64(z)
        kl = log_posterior(raw, z) - log_prior(z)
        if terms is None:
            one = model.log_prob(x, num_samples=1, seed=7)
            np.testing.assert_allclose(one, log_likelihood(model, x, z) - kl, rtol=1e-3, atol=1e-3)
        else:
            np.testing.assert_allclose(terms["kl"], kl, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(
                -terms["reconstruction"], log_likelihood(model, x, z), rtol=1e-3, atol=1e-3
            )


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("name", POSTERIORS)
def test_a_vampprior_of_one_posterior_for_all_is_that_posterior(name):
    """The encoder and the decoder ignore their inputs: the bound is exact for every draw."""
    make, outputs, _ = POSTERIORS[name]
    bias = np.random.default_rng(5).normal(size=outputs)
    model = real_vae(linear(np.zeros((3, outputs)), bias, "encoder"), posterior=make(), prior=VampPrior(4))
    kernel, bias = model.decoder.get_weights()
    model.decoder.set_weights([0.0 * kernel, bias])
    x = data("real", VECTOR)
    exact = log_likelihood(model, x, np.zeros((6, 2)))
    for seed in range(2):
        np.testing.assert_allclose(model.log_prob(x, num_samples=1, seed=seed), exact, rtol=1e-4)
    np.testing.assert_allclose(model.loss_terms(x, seed=SEED)["kl"], np.zeros(6), atol=1e-4)


@pytest.mark.usefixtures("untraced")
def test_the_log_mean_of_many_weights_is_taken_over_draws():
    prior, assign, log_prior = mixture()
    model = real_vae(linear_encoder(5), posterior="full_covariance", prior=prior)
    assign()
    x = data("real", VECTOR)
    kernel, bias = model.encoder.get_weights()
    raw = np.float64(x @ kernel + bias)
    z = np.float64(sample_rows(model.posterior(x), 4, row_seeds(as_seed(7), 0, 6)))
    log_weights = [
        log_likelihood(model, x, z[:, k]) + log_prior(z[:, k]) - full_covariance(raw, z[:, k])
        for k in range(4)
    ]
    np.testing.assert_allclose(
        model.log_prob(x, num_samples=4, seed=7),
        special.logsumexp(log_weights, axis=0) - np.log(4),
        rtol=1e-3,
    )


def test_many_importance_samples_are_decoded_in_parts_and_reach_the_density():
    """More than are decoded at once, for rows more than are drawn at once.

    The density is that of a mixture of normal distributions: the prior's, through a linear decoder.
    """
    prior, assign, _ = mixture()
    model = real_vae(linear(np.zeros((3, 4)), [0.0, 0.0, 1.5, 1.5], "encoder"), prior=prior)
    assign()
    x = np.random.default_rng(6).normal(size=(30, 3)).astype("float32")
    whole = model.log_prob(x, num_samples=5000, batch_size=4096, seed=3)
    parts = model.log_prob(x[:2], num_samples=5000, batch_size=64, seed=3)
    np.testing.assert_allclose(parts, whole[:2], rtol=1e-5)
    kernel, bias = model.decoder.get_weights()
    loc, scale = prior.loc.numpy(), positive(prior.raw_scale.numpy())
    each = [
        stats.multivariate_normal.logpdf(x, m @ kernel + bias, kernel.T @ np.diag(s**2) @ kernel + np.eye(3))
        for m, s in zip(loc, scale, strict=True)
    ]
    exact = special.logsumexp(np.transpose(each) + special.log_softmax(prior.logits.numpy()), axis=1)
    np.testing.assert_allclose(whole, exact, atol=0.2)


@pytest.mark.usefixtures("untraced")
def test_samples_come_from_the_learned_prior():
    prior, assign, _ = mixture()
    model = real_vae(linear_encoder(4), prior=prior)
    assign()
    weights = special.softmax(prior.logits.numpy())
    loc, scale = prior.loc.numpy(), positive(prior.raw_scale.numpy())
    kernel, bias = model.decoder.get_weights()
    mean = weights @ loc
    covariance = (loc - mean).T @ np.diag(weights) @ (loc - mean) + np.diag(weights @ scale**2)
    samples = np.float64(model.sample(4000, seed=1))
    covariance = kernel.T @ covariance @ kernel
    error = np.sqrt(np.diag(covariance) / 4000)
    np.testing.assert_array_less(np.abs(samples.mean(axis=0) - mean @ kernel - bias), 5 * error)
    centred = samples - samples.mean(axis=0)
    products = centred[:, :, None] * centred[:, None, :]
    error = products.std(axis=0) / np.sqrt(4000)
    np.testing.assert_array_less(np.abs(products.mean(axis=0) - covariance), 5 * error + 1e-6)


@pytest.mark.usefixtures("untraced")
def test_a_vampprior_is_the_mixture_of_the_posteriors_of_its_pseudo_inputs():
    u = np.random.default_rng(7).normal(size=(3, 3)).astype("float32")
    prior = VampPrior(3, pseudo_inputs=u)
    model = real_vae(linear_encoder(5), posterior="full_covariance", prior=prior)
    prior.logits.assign([0.5, -1.0, 0.2])
    # Real data has no bounds: the pseudo-inputs are the numbers themselves.
    np.testing.assert_allclose(prior.pseudo_inputs(), u, rtol=1e-6)
    kernel, bias = model.encoder.get_weights()
    raw = np.float64(u @ kernel + bias)
    z = np.random.default_rng(8).normal(size=(20, 2))
    each = np.stack([full_covariance(np.tile(row, (20, 1)), z) for row in raw])
    expected = special.logsumexp(each + special.log_softmax([0.5, -1.0, 0.2])[:, None], axis=0)
    np.testing.assert_allclose(model.prior().log_prob(z.astype("float32")), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("untraced")
def test_integers_reach_the_encoder_between_minus_one_and_one():
    """Data and pseudo-inputs alike; the encoder's means are its first two inputs."""
    start = np.array([[51.0, 204.0, 0.0], [102.0, 127.5, 255.0]])
    with pytest.raises(ValueError, match="`pseudo_inputs` must hold integers.*fractions"):
        kg.VAE((3,), latent_dim=2, likelihood="categorical", prior=VampPrior(2, pseudo_inputs=start))
    start[1, 1] = 153.0
    prior = VampPrior(2, pseudo_inputs=start)
    encoder = linear(np.eye(3, 4), np.zeros(4), "encoder")
    model = kg.VAE((3,), latent_dim=2, encoder=encoder, likelihood="categorical", prior=prior)
    x = np.array([[0, 255, 7], [51, 204, 9]], "uint8")
    np.testing.assert_allclose(model.encode(x), [[-1.0, 1.0], [-0.6, 0.6]], atol=1e-5)
    # The ends are kept 2 percent of the range away.
    np.testing.assert_allclose(prior.pseudo_inputs()[:, :2], start[:, :2], rtol=1e-4)
    np.testing.assert_allclose(prior.pseudo_inputs()[:, 2], [0.02 * 255, 0.98 * 255], rtol=1e-4)
    np.testing.assert_allclose(model.prior().mean(), [(-0.6 - 0.2) / 2, (0.6 + 0.2) / 2], atol=1e-4)


# ---- training and files --------------------------------------------------------------------------

PRIORS = {"gaussian_mixture": GaussianMixturePrior, "vamp": VampPrior}


def trainable(likelihood, prior):
    """A small model with a posterior of full covariance and a learned prior."""
    _, kind, event_shape, _ = LIKELIHOODS[likelihood]
    head = kg.distributions.get_head(get_likelihood(likelihood), event_shape)
    model = kg.VAE(
        event_shape,
        latent_dim=2,
        encoder=dense_network(event_shape, (5,), hidden_dims=(8,), seed=1),
        decoder=dense_network((2,), head.params_shape, hidden_dims=(8,), seed=2),
        likelihood=head,
        posterior="full_covariance",
        prior=PRIORS[prior](3),
        seed=0,
    )
    return model, data(kind, event_shape)


@pytest.mark.parametrize("likelihood,prior", zip(LIKELIHOODS, itertools.cycle(PRIORS), strict=False))
def test_every_weight_gets_a_gradient(likelihood, prior):
    """Those of prior and likelihood too."""
    model, x = trainable(likelihood, prior)
    x = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.add_n(list(model.loss_terms(x, training=True, seed=SEED).values())))
    weights = model.trainable_weights
    assert {"logits"} < {weight.name for weight in weights}
    for weight, grad in zip(weights, tape.gradient(loss, weights), strict=True):
        assert np.all(np.isfinite(grad)) and np.any(np.abs(grad) > 0), weight.path


@pytest.mark.usefixtures("untraced")
@pytest.mark.filterwarnings("ignore:The data has values strictly between")
@pytest.mark.parametrize(
    "likelihood,prior",
    [
        ("bernoulli", "vamp"),
        # Without weights or options of their own, as the one above.
        pytest.param("continuous_bernoulli", "gaussian_mixture", marks=pytest.mark.slow),
        pytest.param("categorical", "gaussian_mixture", marks=pytest.mark.slow),
        ("gaussian per_dimension", "vamp"),
        ("student_t", "gaussian_mixture"),
        ("low_rank_gaussian images", "vamp"),
        ("discretized_logistic_mixture", "vamp"),
    ],
)
def test_training_raises_the_bound_and_a_file_keeps_it(likelihood, prior, tmp_path):
    model, x = trainable(likelihood, prior)
    model.compile(keras.optimizers.Adam(0.03))
    before = np.mean(model.log_prob(x, num_samples=50))
    history = model.fit(x, batch_size=6, epochs=4, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
    after = model.log_prob(x, num_samples=50)
    assert np.mean(after) > before + 0.05
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.log_prob(x, num_samples=50), after, rtol=1e-6)
