"""Bad input to the variational family: what was expected, what was received, what to do."""

import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod.distributions import GaussianMixturePrior, VampPrior
from keras_genmod.networks import dense_network

SHAPE = (4,)
X = np.eye(4, dtype="float32")


def refused(error, words, call):
    with pytest.raises(error) as raised:
        call()
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    "model,arguments,words",
    [
        # Names that are none, with those that are.
        (kg.VAE, {"posterior": "normal"}, ["`posterior`", "'diagonal', 'full_covariance'", "'normal'"]),
        (
            kg.VAE,
            {"prior": "vampire"},
            ["`prior`", "'standard_normal', 'gaussian_mixture', 'vamp'", "'vampire'", "VampPrior("],
        ),
        (
            kg.VAE,
            {"likelihood": "binomial"},
            ["`likelihood`", "'binomial'", "'bernoulli', 'categorical', 'continuous_bernoulli'"]
            + ["'discretized_logistic_mixture', 'gaussian', 'low_rank_gaussian', 'student_t'"],
        ),
        (kg.VAE, {"prior": GaussianMixturePrior}, ["`prior`", "received"]),
        (kg.DIPVAE, {"kind": "III"}, ["`kind`", "'I', 'II'", "'III'"]),
        (kg.InfoVAE, {"kernel": "rbf"}, ["`kernel`", "'inverse_multiquadratic', 'gaussian'", "'rbf'"]),
        # Weights.
        (kg.VAE, {"beta": -0.5}, ["`beta`", "at least 0", "-0.5"]),
        (kg.VAE, {"beta": np.nan}, ["`beta`", "finite", "nan"]),
        (kg.VAE, {"capacity": -1.0}, ["`capacity`", "at least 0", "-1"]),
        (kg.VAE, {"capacity": "linear"}, ["`capacity`", "LinearSchedule(", "'linear'"]),
        (kg.VAE, {"free_bits": -1.0}, ["`free_bits`", "at least 0", "-1"]),
        (kg.VAE, {"capacity": 3.0, "free_bits": 0.1}, ["`capacity` and `free_bits`", "both", "Choose one"]),
        (kg.VAE, {"capacity": 0.0, "free_bits": 0.1}, ["`capacity` and `free_bits`", "Choose one"]),
        (kg.BetaTCVAE, {"alpha": -1.0}, ["`alpha`", "at least 0", "-1"]),
        (kg.BetaTCVAE, {"beta": -1.0}, ["`beta`", "at least 0", "-1"]),
        (kg.BetaTCVAE, {"gamma": "linear"}, ["`gamma`", "LinearSchedule(", "'linear'"]),
        (kg.BetaTCVAE, {"num_examples": 0}, ["`num_examples`", "at least 1", "0"]),
        (kg.BetaTCVAE, {"num_examples": 2.5}, ["`num_examples`", "integer", "2.5"]),
        (kg.DIPVAE, {"off_diagonal": -1.0}, ["`off_diagonal`", "at least 0", "-1"]),
        (kg.DIPVAE, {"diagonal": -1.0}, ["`diagonal`", "at least 0", "-1"]),
        (kg.InfoVAE, {"alpha": 1.5}, ["`alpha`", "at most 1", "1.5"]),
        # The discrepancy's weight is alpha + lambda - 1.
        (kg.InfoVAE, {"alpha": 0.0, "mmd_weight": 0.5}, ["`mmd_weight`", "at least 1", "0.5"]),
        (kg.InfoVAE, {"alpha": -2.0, "mmd_weight": 2.5}, ["`mmd_weight`", "at least 3", "2.5"]),
        (kg.WAE, {"mmd_weight": -1.0}, ["`mmd_weight`", "at least 0", "-1"]),
        (kg.FactorVAE, {"gamma": -1.0}, ["`gamma`", "at least 0", "-1"]),
        (kg.VQVAE, {"commitment_weight": -1.0}, ["`commitment_weight`", "at least 0", "-1"]),
        (kg.VQVAE, {"num_codes": 1}, ["`num_codes`", "at least 2", "1"]),
        (kg.VQVAE, {"code_dim": 0}, ["`code_dim`", "at least 1", "0"]),
        (kg.VQVAE, {"ema_decay": 1.5}, ["`ema_decay`", "at most 1", "1.5"]),
        (kg.VQVAE, {"revival_threshold": -0.1}, ["`revival_threshold`", "at least 0", "-0.1"]),
        (kg.InfoVAE, {"prior": "gaussian_mixture"}, ["`prior`", "GaussianMixturePrior", "standard_normal"]),
        (kg.WAE, {"prior": "vamp"}, ["discrepancy of WAE", "VampPrior", "standard_normal"]),
        (kg.IWAE, {"num_importance_samples": 0}, ["`num_importance_samples`", "at least 1", "0"]),
        (kg.IWAE, {"num_importance_samples": 2.5}, ["`num_importance_samples`", "integer", "2.5"]),
        # Objectives made of the factors of the posterior.
        (kg.BetaTCVAE, {"posterior": "full_covariance"}, ["BetaTCVAE", "posterior='diagonal'", "FullCov"]),
        (
            kg.DIPVAE,
            {"kind": "II", "posterior": "full_covariance"},
            ["DIPVAE", "posterior='diagonal'", "FullCovarianceGaussianHead"],
        ),
        # Priors.
        (kg.VAE, {"prior": "vamp", "num_classes": 3}, ["VampPrior", "conditional", "'gaussian_mixture'"]),
        (kg.IWAE, {"prior": "vamp", "condition_shape": (2,)}, ["VampPrior", "conditional"]),
        # Networks.
        (
            kg.VAE,
            {"posterior": "full_covariance", "encoder": dense_network(SHAPE, (4,))},
            ["`encoder`", "5 raw outputs", "FullCovarianceGaussianHead over 2", "(None, 4)", "last layer"],
        ),
        (
            kg.VQVAE,
            {"code_dim": 2, "encoder": dense_network(SHAPE, (3, 3))},
            ["`encoder`", "code_dim=2", "(None, 3, 2)", "received (None, 3, 3)"],
        ),
        (
            kg.VQVAE,
            {"code_dim": 2, "encoder": dense_network(SHAPE, (6,)), "num_latents": 3},
            ["`encoder`", "code_dim=2", "(None, 3, 2)", "received (None, 6)"],
        ),
        (
            kg.FactorVAE,
            {"discriminator": dense_network((2,), (2,))},
            ["`discriminator`", "1 raw outputs", "(None, 2)"],
        ),
        (
            kg.FactorVAE,
            {"discriminator": dense_network((3,), (1,))},
            ["`discriminator`", "could not be called", "(None, 2)"],
        ),
    ],
)  # fmt: skip
def test_constructors(model, arguments, words):
    latent = {} if model is kg.VQVAE else {"latent_dim": 2}
    refused(ValueError, words, lambda: model(SHAPE, **latent, **arguments))


@pytest.mark.parametrize(
    "likelihood,pseudo_inputs,error,words",
    [
        ("bernoulli", np.zeros((3, 5)), ValueError, ["[batch, 4]", "(3, 5)"]),
        ("bernoulli", np.zeros((2, 4)), ValueError, ["3 examples", "one a component", "received 2"]),
        ("bernoulli", np.full((3, 4), 2.0), ValueError, ["[0, 1]", "2.0"]),
        ("gaussian", np.full((3, 4), np.nan), ValueError, ["finite", "NaN"]),
        ("categorical", np.full((3, 4), 0.5), ValueError, ["integers in [0, 255]", "fractions"]),
        ("categorical", np.full((3, 4), 256), ValueError, ["integers in [0, 255]", "256"]),
        ("gaussian", np.full((3, 4), "a"), TypeError, ["numbers", "astype"]),
    ],
)
def test_pseudo_inputs(likelihood, pseudo_inputs, error, words):
    prior = VampPrior(3, pseudo_inputs=pseudo_inputs)
    refused(
        error,
        ["`pseudo_inputs`", *words],
        lambda: kg.VAE(SHAPE, latent_dim=2, likelihood=likelihood, prior=prior),
    )


def test_a_prior_belongs_to_models_of_one_shape():
    prior = GaussianMixturePrior(3)
    kg.VAE(SHAPE, latent_dim=2, prior=prior)
    refused(
        ValueError,
        ["GaussianMixturePrior", "2 latent dimensions", "received 3", "Make a new one"],
        lambda: kg.VAE(SHAPE, latent_dim=3, prior=prior),
    )


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("likelihood", ["categorical", "discretized_logistic_mixture"])
@pytest.mark.parametrize(
    "x,words",
    [
        (np.full((3, 4), 256.0), ["256", "not scaled"]),
        (np.full((3, 4), -1.0), ["-1", "not scaled"]),
        (np.full((3, 4), 0.5), ["fractions", "not scaled"]),
        (np.full((3, 4), np.nan), ["NaN"]),
    ],
)
def test_grey_levels_that_are_none(likelihood, x, words):
    model = kg.VAE(SHAPE, latent_dim=2, likelihood=likelihood, seed=0)
    model.compile()
    before = model.get_weights()
    for call in (
        lambda: model.fit(x, verbose=0),
        lambda: model.evaluate(x, verbose=0),
        lambda: model.log_prob(x),
        lambda: model.encode(x),
    ):
        refused(ValueError, ["`x` must hold", *words], call)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"num_samples": 0}, ["`num_samples`", "at least 1", "0"]),
        ({"num_samples": 2.5}, ["`num_samples`", "integer", "2.5"]),
        ({"batch_size": 0}, ["`batch_size`", "at least 1", "0"]),
        ({"seed": [1, 2, 3]}, ["`seed`", "two integers", "(3,)"]),
    ],
)
def test_arguments_of_the_density(arguments, words):
    model = kg.IWAE(SHAPE, latent_dim=2, seed=0)
    refused(ValueError, words, lambda: model.log_prob(X, **arguments))
    if "num_samples" in arguments:
        refused(ValueError, words, lambda: model.anomaly_score(X, **arguments))
