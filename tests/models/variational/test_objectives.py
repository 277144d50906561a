r"""The objectives of the VAE's variants, by hand from posteriors that are known in numbers.

All models here have linear networks, so that the posterior of a row is N(x K + b, diag(s^2)) with an s that
numpy computes as well.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

import keras_genmod as kg
from keras_genmod.training import MEASURE, LinearSchedule
from tests.losses.test_aggregate_posterior import of_pairs
from tests.models.variational.test_vae import linear

SEED = tf.constant([3, 5])
X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")


def positive(raw):
    return np.log1p(np.exp(raw + np.log(np.e - 1.0))) + 1e-5


def build(cls, *, outputs=4, encoder=None, decoder=None, **options):
    """A model of 3 real numbers and 2 latents, with the same linear networks for every class."""
    generator = np.random.default_rng(1)
    kernel, bias = generator.normal(size=(3, 5))[:, :outputs], generator.normal(size=5)[:outputs]
    encoder = encoder or linear(kernel, bias, "encoder")
    decoder = decoder or linear(generator.normal(size=(2, 3)), generator.normal(size=3), "decoder")
    options = {"latent_dim": 2, "likelihood": "gaussian", "seed": 0, **options}
    model = cls((3,), encoder=encoder, decoder=decoder, **options)
    model.compile(keras.optimizers.SGD(0.0))
    return model


def constant_encoder(mean, raw_scale):
    return linear(np.zeros((3, 4)), [*mean, *raw_scale], "encoder")


def numbers(model, x=X):
    """The outputs of the encoder and the draw at SEED, in float64."""
    kernel, bias = model.encoder.get_weights()
    raw = x.astype("float64") @ kernel + bias
    return raw, np.float64(model.posterior(x).sample(seed=SEED))


def diagonal_posterior(model, x=X):
    raw, z = numbers(model, x)
    return raw[:, :2], positive(raw[:, 2:]), z


def kl_of_diagonal(mean, scale):
    """Of each latent, from the standard normal distribution."""
    return 0.5 * (mean**2 + scale**2 - 1.0) - np.log(scale)


def reconstruction(model, z, x=X):
    kernel, bias = model.decoder.get_weights()
    return -np.sum(stats.norm.logpdf(x - z @ kernel - bias), axis=1)


def terms_at_seed(model, **options):
    return {name: np.float64(term) for name, term in model.loss_terms(X, seed=SEED, **options).items()}


def close(actual, expected, rtol=1e-4, atol=1e-4):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def logs_are_combined(model, combine):
    """`loss` is what `combine` makes of the other logs."""
    logs = model.evaluate(X, return_dict=True, verbose=0)
    close(logs["loss"], combine(logs))


# ---- statistics of a batch ------------------------------------------------------------------------


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "cls,names,rows",
    [
        (kg.InfoVAE, ["mmd"], 1),
        (kg.WAE, ["mmd"], 1),
        (kg.BetaTCVAE, ["mutual_information", "total_correlation", "dimension_wise_kl"], 1),
        (kg.DIPVAE, ["off_diagonal", "diagonal"], 3),
        (kg.FactorVAE, ["discriminator_joint", "discriminator_permuted"], 1),
    ],
)
def test_a_last_batch_too_small_for_a_statistic_does_not_change_it(cls, names, rows):
    model = build(cls)
    data = np.random.default_rng(2).normal(size=(16 + rows, 3)).astype("float32")
    full, ragged, alone = (
        model.evaluate(x, batch_size=16, return_dict=True, verbose=0) for x in (data[:16], data, data[16:])
    )
    for name in names:
        assert ragged[name] == full[name]
        assert np.isnan(alone[name])
    total, weights = 0.0, {}
    for player in model.players():
        prefix = "" if len(model.players()) == 1 else f"{player.name}_"
        weights.update({prefix + name: weight for name, weight in player.term_weights().items()})
    objectives = {"loss", "vae_loss", "discriminator_loss"}
    for name in set(model._term_means.names) - objectives:
        weight = weights.get(name, 1.0)
        total += 0.0 if weight == MEASURE else weight * ragged[name]
    assert ragged["loss"] == pytest.approx(total, rel=1e-5)
    assert np.isnan(alone["loss"])


# ---- the VAE's divergence, and what may stand in its place --------------------------------------


@pytest.mark.usefixtures("untraced")
def test_terms_of_the_vae_by_hand():
    model = build(kg.VAE, beta=2.5)
    mean, scale, z = diagonal_posterior(model)
    terms = terms_at_seed(model)
    assert set(terms) == {"reconstruction", "kl"}
    close(terms["kl"], kl_of_diagonal(mean, scale).sum(axis=1))
    close(terms["reconstruction"], reconstruction(model, z))
    logs_are_combined(model, lambda logs: logs["reconstruction"] + 2.5 * logs["kl"])


@pytest.mark.usefixtures("untraced")
def test_capacity_is_the_distance_of_each_divergence_from_it():
    model = build(kg.VAE, beta=2.5, capacity=3.0)
    mean, scale, z = diagonal_posterior(model)
    kl = kl_of_diagonal(mean, scale).sum(axis=1)
    assert kl.min() < 3.0 < kl.max()  # Else a mistake in the sign would not show.
    terms = terms_at_seed(model)
    close(terms["kl"], kl)
    close(terms["kl_penalty"], np.abs(kl - 3.0))
    close(terms["reconstruction"], reconstruction(model, z))
    logs_are_combined(model, lambda logs: logs["reconstruction"] + 2.5 * logs["kl_penalty"])


@pytest.mark.usefixtures("untraced")
def test_capacity_and_beta_follow_their_schedules():
    model = build(kg.VAE, beta=LinearSchedule(2.0, 4, start=1.0), capacity=LinearSchedule(6.0, 2))
    mean, scale, _ = diagonal_posterior(model)
    kl = kl_of_diagonal(mean, scale).sum(axis=1)
    logs = model.fit(X, batch_size=6, epochs=4, verbose=0).history
    for step, (beta, capacity) in enumerate([(1.0, 0.0), (1.25, 3.0), (1.5, 6.0), (1.75, 6.0)]):
        penalty = np.abs(kl - capacity).mean()
        assert logs["kl"][step] == pytest.approx(kl.mean(), rel=1e-4)
        assert logs["kl_penalty"][step] == pytest.approx(penalty, rel=1e-4)
        assert logs["loss"][step] == pytest.approx(logs["reconstruction"][step] + beta * penalty, rel=1e-4)


@pytest.mark.usefixtures("untraced")
def test_free_bits_cost_nothing_in_each_dimension():
    model = build(kg.VAE, beta=2.5, free_bits=0.7)
    mean, scale, _ = diagonal_posterior(model)
    kl = kl_of_diagonal(mean, scale)
    assert np.any(kl < 0.7) and np.any(kl > 0.7)
    terms = terms_at_seed(model)
    close(terms["kl_penalty"], np.maximum(kl, 0.7).sum(axis=1))
    close(terms["kl"], kl.sum(axis=1))
    logs_are_combined(model, lambda logs: logs["reconstruction"] + 2.5 * logs["kl_penalty"])


def test_below_the_free_bits_no_gradient_pulls_at_a_dimension():
    """Latent 0 lies 2 from the prior, latent 1 lies 0.1: only the first is drawn back."""
    model = build(kg.VAE, encoder=constant_encoder([2.0, 0.1], [0.0, 0.0]), free_bits=0.5)
    bias = model.encoder.weights[1]
    with tf.GradientTape() as tape:
        penalty = tf.reduce_mean(model.loss_terms(X, training=True, seed=SEED)["kl_penalty"])
    close(tape.gradient(penalty, bias.value)[:2], [2.0, 0.0])


def test_free_bits_of_a_full_covariance_are_those_of_all_dimensions():
    model = build(kg.VAE, outputs=5, posterior="full_covariance", free_bits=1.0)
    raw, _ = numbers(model)
    covariances = np.float64(model.posterior(X).covariance())
    assert np.abs(covariances[:, 0, 1]).max() > 0.1
    trace, (_, log_det) = np.trace(covariances, axis1=1, axis2=2), np.linalg.slogdet(covariances)
    kl = 0.5 * (trace + np.sum(raw[:, :2] ** 2, axis=1) - 2.0 - log_det)
    assert kl.min() < 2.0 < kl.max()
    terms = terms_at_seed(model)
    close(terms["kl"], kl)
    close(terms["kl_penalty"], np.maximum(kl, 2.0))


def test_free_bits_where_the_divergence_is_estimated():
    model = build(kg.VAE, prior=kg.distributions.GaussianMixturePrior(3), free_bits=1.0)
    mean, scale, z = diagonal_posterior(model)
    log_q = stats.norm.logpdf(z, mean, scale).sum(axis=1)
    loc = model._prior.loc.numpy()
    # Equal weights and unit scales at the start.
    log_p = special.logsumexp(stats.norm.logpdf(z[:, None], loc, 1.0).sum(axis=2), axis=1) - np.log(3.0)
    terms = terms_at_seed(model)
    close(terms["kl"], log_q - log_p, rtol=1e-3)
    close(terms["kl_penalty"], np.maximum(log_q - log_p, 2.0), rtol=1e-3)


# ---- beta-TCVAE -----------------------------------------------------------------------------------

PARTS = ("mutual_information", "total_correlation", "dimension_wise_kl")


def parts_by_hand(mean, scale, z, num_examples=None):
    """Each draw under the aggregate of all rows' posteriors, and under those of each latent."""
    densities = stats.norm.logpdf(z[:, None, :], mean, scale)
    rows, total = len(z), num_examples or len(z)
    weights = np.where(np.eye(rows), 1 / total, (total - 1) / total / (rows - 1))
    joint = special.logsumexp(densities.sum(axis=2), axis=1, b=weights)
    product = np.sum(special.logsumexp(densities, axis=1, b=weights[:, :, None]), axis=1)
    log_q, log_p = stats.norm.logpdf(z, mean, scale).sum(axis=1), stats.norm.logpdf(z).sum(axis=1)
    return log_q - joint, joint - product, product - log_p


@pytest.mark.parametrize("num_examples", [None, 50])
def test_parts_of_the_divergence_by_hand(num_examples):
    model = build(kg.BetaTCVAE, num_examples=num_examples)
    mean, scale, z = diagonal_posterior(model)
    terms = terms_at_seed(model)
    for name, expected in zip(PARTS, parts_by_hand(mean, scale, z, num_examples), strict=True):
        assert np.abs(expected).max() > 0.1
        close(terms[name], expected)
    close(terms["kl"], kl_of_diagonal(mean, scale).sum(axis=1))
    close(terms["reconstruction"], reconstruction(model, z))


@pytest.mark.parametrize("num_examples", [None, 50])
def test_the_parts_sum_to_the_log_ratio_of_posterior_and_prior(num_examples):
    model = build(kg.BetaTCVAE, num_examples=num_examples)
    mean, scale, z = diagonal_posterior(model)
    log_ratio = stats.norm.logpdf(z, mean, scale).sum(axis=1) - stats.norm.logpdf(z).sum(axis=1)
    terms = terms_at_seed(model)
    close(sum(terms[name] for name in PARTS), log_ratio)


def test_posteriors_that_do_not_overlap_tell_which_example_it_is():
    """The information is log N, whatever the size of the batch, and each latent alone tells as much."""
    encoder = linear(np.diag([100.0, 100.0, 0.0, 0.0])[:3], [0, 0, -9, -9], "encoder")
    model = build(kg.BetaTCVAE, num_examples=50, encoder=encoder)
    terms = terms_at_seed(model)
    # The other examples lie hundreds of deviations away.
    close(terms["mutual_information"], np.full(6, np.log(50.0)), atol=1e-3)
    close(terms["total_correlation"], np.full(6, np.log(50.0)), atol=1e-3)


def test_posteriors_without_information_have_no_mutual_information_and_no_total_correlation():
    model = build(kg.BetaTCVAE, encoder=constant_encoder([1.0, -0.5], [0.3, -1.0]))
    terms = terms_at_seed(model)
    close(terms["mutual_information"], np.zeros(6))
    close(terms["total_correlation"], np.zeros(6))
    assert terms["dimension_wise_kl"].mean() > 0.1


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 5.0, 1.0), (1.0, 1.0, 0.5)])
def test_each_weight_is_that_of_its_own_part(weights):
    model = build(kg.BetaTCVAE, **dict(zip(("alpha", "beta", "gamma"), weights, strict=True)))
    logs_are_combined(
        model,
        lambda logs: logs["reconstruction"] + sum(w * logs[n] for w, n in zip(weights, PARTS, strict=True)),
    )


@pytest.mark.usefixtures("untraced")
def test_weights_of_the_parts_follow_schedules():
    schedules = {"alpha": LinearSchedule(2.0, 2), "beta": LinearSchedule(9.0, 1), "gamma": 0.5}
    model = build(kg.BetaTCVAE, **schedules)
    copy = kg.BetaTCVAE.from_config(model.get_config())
    assert copy.alpha.get_config() == schedules["alpha"].get_config()
    logs = model.fit(X, batch_size=6, epochs=3, verbose=0).history
    for step, weights in enumerate([(0.0, 0.0, 0.5), (1.0, 9.0, 0.5), (2.0, 9.0, 0.5)]):
        weighted = sum(w * logs[name][step] for w, name in zip(weights, PARTS, strict=True))
        assert logs["loss"][step] == pytest.approx(logs["reconstruction"][step] + weighted, rel=1e-4)


# ---- DIP-VAE --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("kind", ["I", "II"])
def test_penalties_are_those_of_the_covariance(kind):
    model = build(kg.DIPVAE, kind=kind, off_diagonal=3.0, diagonal=0.5, beta=2.0)
    mean, scale, z = diagonal_posterior(model)
    off_diagonal, diagonal = of_pairs(mean, scale**2 if kind == "II" else None)
    terms = terms_at_seed(model)
    close(terms["off_diagonal"], np.full(6, off_diagonal))
    close(terms["diagonal"], np.full(6, diagonal))
    close(terms["kl"], kl_of_diagonal(mean, scale).sum(axis=1))
    close(terms["reconstruction"], reconstruction(model, z))
    logs_are_combined(
        model,
        lambda logs: (
            logs["reconstruction"] + 2.0 * logs["kl"] + 3.0 * logs["off_diagonal"] + 0.5 * logs["diagonal"]
        ),
    )


@pytest.mark.usefixtures("untraced")
def test_free_bits_and_penalties_go_together():
    model = build(kg.DIPVAE, off_diagonal=3.0, beta=2.0, free_bits=0.7)
    mean, scale, _ = diagonal_posterior(model)
    close(terms_at_seed(model)["kl_penalty"], np.maximum(kl_of_diagonal(mean, scale), 0.7).sum(axis=1))
    logs_are_combined(
        model,
        lambda logs: (
            logs["reconstruction"]
            + 2.0 * logs["kl_penalty"]
            + 3.0 * (logs["off_diagonal"] + logs["diagonal"])
        ),
    )


def test_the_weight_of_the_diagonal_unless_said_otherwise():
    assert build(kg.DIPVAE, kind="I", off_diagonal=3.0).diagonal == 30.0
    assert build(kg.DIPVAE, kind="II", off_diagonal=3.0).diagonal == 3.0
    assert build(kg.DIPVAE, kind="I", off_diagonal=3.0, diagonal=0.0).diagonal == 0.0


def test_the_means_of_kind_one_may_have_any_posterior():
    model = build(kg.DIPVAE, outputs=5, kind="I", posterior="full_covariance")
    raw, _ = numbers(model)
    close(terms_at_seed(model)["off_diagonal"], np.full(6, of_pairs(raw[:, :2])[0]))


# ---- InfoVAE and the Wasserstein autoencoder ----------------------------------------------------


@pytest.mark.usefixtures("untraced")
def test_terms_of_the_info_vae_are_weighted_by_alpha_and_lambda():
    model = build(kg.InfoVAE, alpha=0.25, mmd_weight=7.0)
    mean, scale, z = diagonal_posterior(model)
    terms = terms_at_seed(model)
    close(terms["kl"], kl_of_diagonal(mean, scale).sum(axis=1))
    close(terms["reconstruction"], reconstruction(model, z))
    logs_are_combined(model, lambda logs: logs["reconstruction"] + 0.75 * logs["kl"] + 6.25 * logs["mmd"])


@pytest.mark.usefixtures("untraced")
def test_the_wasserstein_autoencoder_leaves_the_divergence_out():
    model = build(kg.WAE, mmd_weight=7.0)
    logs_are_combined(model, lambda logs: logs["reconstruction"] + 7.0 * logs["mmd"])
    assert model.evaluate(X, return_dict=True, verbose=0)["kl"] > 1.0


@pytest.mark.usefixtures("untraced")
def test_the_wasserstein_autoencoder_measures_half_the_squared_error():
    model = kg.WAE((3,), latent_dim=2, seed=0)
    z = model.posterior(X).sample(seed=SEED)
    half_squares = 0.5 * np.sum((X - model.decode(z)) ** 2, axis=1)
    close(model.loss_terms(X, seed=SEED)["reconstruction"], half_squares + 1.5 * np.log(2 * np.pi))


def test_a_configuration_keeps_the_wasserstein_autoencoder():
    model = build(kg.WAE, mmd_weight=7.0, kernel="gaussian")
    config = model.get_config()
    assert "alpha" not in config
    copy = kg.WAE.from_config(config)
    assert (copy.alpha, copy.mmd_weight, copy.kernel) == (1.0, 7.0, "gaussian")
    copy.set_weights(model.get_weights())
    for name, term in terms_at_seed(model).items():
        close(terms_at_seed(copy)[name], term)


KERNELS = {
    "gaussian": lambda d: np.exp(-d / 4.0),
    "inverse_multiquadratic": lambda d: np.mean(
        [4 * s / (4 * s + d) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)], axis=0
    ),
}


def mean_kernel(kernel, mean, variance):
    """E k(d) of a difference d ~ N(mean, diag(variance)) of two latents, from many draws."""
    differences = mean + np.sqrt(variance) * np.random.default_rng(4).normal(size=(100_000, 2))
    return KERNELS[kernel](np.sum(differences**2, axis=1)).mean()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "mean,raw_scale",
    [
        ([1.5, -0.5], [-1.0, 0.5]),
        # The prior itself, whose discrepancy has no other terms.
        pytest.param([0.0, 0.0], [0.0, 0.0], marks=pytest.mark.slow),
    ],
)
def test_the_discrepancy_is_that_of_aggregate_posterior_and_prior(kernel, mean, raw_scale):
    """The same normal posterior for all rows; few rows, so that draws in common would show."""
    model = build(kg.InfoVAE, kernel=kernel, encoder=constant_encoder(mean, raw_scale))
    mean, variance = np.array(mean), positive(np.array(raw_scale)) ** 2
    expected = (
        mean_kernel(kernel, 0.0, 2.0 * variance)
        + mean_kernel(kernel, 0.0, np.full(2, 2.0))
        - 2.0 * mean_kernel(kernel, mean, 1.0 + variance)
    )

    @tf.function
    def estimates(seeds):
        return tf.map_fn(
            lambda seed: tf.reduce_mean(model.loss_terms(X, seed=seed)["mmd"]),
            seeds,
            fn_output_signature=tf.float32,
        )

    draws = np.float64(estimates(tf.stack([tf.fill([2000], 7), tf.range(2000)], axis=1)))
    assert draws.mean() == pytest.approx(expected, abs=5 * draws.std() / np.sqrt(len(draws)) + 0.005)


# ---- FactorVAE ----------------------------------------------------------------------------------


def factor_vae(*, weights=(1.0, -2.0), offset=0.3, encoder=None, decoder=None, rates=(0.0, 0.0), gamma=4.0):
    """A FactorVAE with a linear discriminator."""
    discriminator = linear(np.array(weights)[:, None], [offset], "discriminator")
    model = build(kg.FactorVAE, encoder=encoder, decoder=decoder, discriminator=discriminator, gamma=gamma)
    model.compile(*(keras.optimizers.SGD(rate) for rate in rates))
    return model


def players_terms(model):
    shared = model.shared_forward(tf.constant(X), seed=SEED)
    arguments = {"condition": None, "training": False, "seed": SEED, "shared": shared}
    return [
        {name: np.float64(term) for name, term in player.loss_terms(tf.constant(X), **arguments).items()}
        for player in model.players()
    ]


@pytest.mark.usefixtures("untraced")
def test_terms_of_both_players_by_hand():
    model = factor_vae()
    mean, scale, z = diagonal_posterior(model)
    discriminator, vae = players_terms(model)
    logits = z @ [1.0, -2.0] + 0.3
    close(vae["reconstruction"], reconstruction(model, z))
    close(vae["kl"], kl_of_diagonal(mean, scale).sum(axis=1))
    close(vae["total_correlation"], logits)
    close(discriminator["joint"], np.logaddexp(0.0, -logits))
    logs = model.evaluate(X, return_dict=True, verbose=0)
    close(
        logs["vae_loss"],
        logs["vae_reconstruction"] + logs["vae_kl"] + 4.0 * logs["vae_total_correlation"],
    )
    close(logs["discriminator_loss"], logs["discriminator_joint"] + logs["discriminator_permuted"])
    close(logs["loss"], logs["vae_loss"] + logs["discriminator_loss"])


def test_the_discriminator_compares_with_latents_of_different_examples():
    model = factor_vae()
    _, _, z = diagonal_posterior(model)
    permuted = players_terms(model)[0]["permuted"]
    # All pairs of a first and a second latent; each is used once.
    table = np.logaddexp(0.0, z[:, :1] - 2.0 * z[:, 1] + 0.3)
    first, second = zip(
        *(np.unravel_index(np.argmin(np.abs(table - value)), table.shape) for value in permuted), strict=True
    )
    close(permuted, table[list(first), list(second)])
    assert sorted(first) == sorted(second) == list(range(6))
    assert first != second


@pytest.mark.usefixtures("untraced")
def test_each_player_moves_its_own_weights_alone():
    for rates in ((0.1, 0.0), (0.0, 0.1)):
        model = factor_vae(rates=rates)
        nets = (model.encoder, model.decoder), (model.discriminator,)
        before = [[w.numpy() for net in group for w in net.weights] for group in nets]
        model.fit(X, verbose=0)
        for rate, group, old in zip(rates, nets, before, strict=True):
            moved = [
                np.abs(w.numpy() - o).max()
                for w, o in zip([w for n in group for w in n.weights], old, strict=True)
            ]
            assert (min(moved) > 0.0) if rate else (max(moved) == 0.0)


@pytest.mark.usefixtures("untraced")
def test_one_step_of_both_players_by_hand():
    """Posteriors that are points, and a decoder that ignores them.

    The discriminator sees one latent, whose values are the same permuted or not: its offset gets the
    gradient mean(sigmoid(d) - sigmoid(-d)). The encoder's means get that of the divergence, the mean, and
    that of the total correlation, gamma times the discriminator's weights, which it has after its step.
    """
    encoder = linear(
        np.pad(np.random.default_rng(2).normal(size=(3, 2)), [(0, 0), (0, 2)]), [0, 0, -30, -30], "e"
    )
    decoder = linear(np.zeros((2, 3)), np.zeros(3), "d")
    model = factor_vae(weights=(1.0, 0.0), encoder=encoder, decoder=decoder, rates=(0.01, 0.5), gamma=4.0)
    mean, _, _ = diagonal_posterior(model)
    model.fit(X, batch_size=6, verbose=0)
    logits = mean[:, 0] + 0.3
    error = special.expit(logits) - special.expit(-logits)
    kernel, offset = model.discriminator.get_weights()
    assert offset[0] == pytest.approx(0.3 - 0.5 * error.mean(), abs=1e-4)
    assert kernel[0, 0] == pytest.approx(1.0 - 0.5 * np.mean(error * mean[:, 0]), abs=1e-4)
    gradient = mean.mean(axis=0) + 4.0 * kernel[:, 0]
    close(model.encoder.get_weights()[1][:2], -0.01 * gradient, atol=1e-5)


@pytest.mark.usefixtures("untraced")
def test_without_the_total_correlation_the_vae_is_trained():
    """The same seed gives the same noise."""
    factor, vae = factor_vae(rates=(0.05, 0.1), gamma=0.0), build(kg.VAE)
    vae.compile(keras.optimizers.SGD(0.05))
    for model in (factor, vae):
        model.fit(X, batch_size=4, epochs=2, verbose=0)
    for network in ("encoder", "decoder"):
        ours, theirs = getattr(factor, network).get_weights(), getattr(vae, network).get_weights()
        for a, b in zip(ours, theirs, strict=True):
            close(a, b, rtol=1e-5, atol=1e-6)


def test_the_discriminator_rests_at_the_log_ratio_of_joint_and_marginals():
    """Its mean is then the total correlation, for two normal latents of correlation r -log(1 - r^2) / 2."""
    correlation, rows = 0.8, 20_000
    z = np.random.default_rng(0).multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], rows)
    z = z.astype("float32")
    inputs = keras.Input((2,))
    a, b = inputs[:, :1], inputs[:, 1:]
    quadratic = keras.layers.Dense(1)(keras.layers.Concatenate()([a * a + b * b, a * b]))
    discriminator = keras.Model(inputs, quadratic)
    # log N(z; 0, C) - log N(z; 0, I) = -log(1 - r^2) / 2 - (r^2 (a^2 + b^2) - 2 r a b) / (2 (1 - r^2)).
    rest = 1 - correlation**2
    truth = -0.5 * np.log(rest)
    discriminator.set_weights(
        [np.array([[-(correlation**2) / (2 * rest)], [correlation / rest]]), np.array([truth])]
    )
    model = build(kg.FactorVAE, discriminator=discriminator)
    shared = {"z": tf.constant(z), "reconstruction": tf.zeros(rows), "kl": tf.zeros(rows)}
    player, vae = model.players()
    arguments = {"condition": None, "training": True, "seed": SEED, "shared": shared}
    logits = np.float64(vae.loss_terms(None, **arguments)["total_correlation"])
    assert logits.mean() == pytest.approx(truth, abs=5 * logits.std() / np.sqrt(rows))
    with tf.GradientTape() as tape:
        losses = tf.add_n(list(player.loss_terms(None, **arguments).values()))
        loss = tf.reduce_mean(losses)
    for grad in tape.gradient(loss, discriminator.trainable_weights):
        assert np.abs(grad).max() < 0.05
