"""Flows as prior and posterior of a VAE, and as the density of a latent sampler."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod import bijectors as B
from keras_genmod.core.noise import row_seeds, sample_rows
from keras_genmod.distributions.kl import kl_divergence
from keras_genmod.distributions.posteriors import centre
from keras_genmod.networks import dense_network
from tests.models.flows.test_densities import DENSE, moved


def vae(seed=0, **options):
    return kg.VAE(
        (3,),
        latent_dim=2,
        encoder=dense_network((3,), (options.pop("code"),), hidden_dims=(8,), seed=1),
        decoder=dense_network((2,), (3,), hidden_dims=(8,), seed=2),
        seed=seed,
        **options,
    )


def enumerated(model, bound=9.0, points=361):
    """Log p(x) of all binary x by a sum over a grid of latents."""
    side = np.linspace(-bound, bound, points, dtype="float32")
    z = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    x = np.array(list(np.ndindex(2, 2, 2)), "float32")
    weights = model.prior().log_prob(z).numpy().astype("float64") + 2 * np.log(side[1] - side[0])
    logits = model.decoder(z).numpy().astype("float64")
    joint = x @ logits.T - np.logaddexp(0.0, logits).sum(axis=1) + weights
    return x, np.logaddexp.reduce(joint, axis=1)


POSTERIORS = {
    "iaf": lambda: B.FlowPosterior(context_dim=3, num_layers=2, hidden_dims=(6,), seed=3),
    "without context": lambda: B.FlowPosterior(context_dim=0, num_layers=1, hidden_dims=(6,), seed=3),
    "couplings": lambda: B.FlowPosterior(
        context_dim=3, bijections=[B.Coupling(**DENSE), B.Coupling(swap=True, **DENSE)], seed=3
    ),
}


@pytest.mark.parametrize(
    ("name", "flow_prior"),
    [
        ("iaf", True),
        ("without context", False),
        ("couplings", False),
        # The prior does not know the posterior.
        pytest.param("iaf", False, marks=pytest.mark.slow),
        pytest.param("without context", True, marks=pytest.mark.slow),
        pytest.param("couplings", True, marks=pytest.mark.slow),
    ],
)
def test_the_bound_stays_under_the_enumerated_likelihood(name, flow_prior):
    prior = B.FlowPrior([B.MaskedAutoregressive((6,))]) if flow_prior else "standard_normal"
    posterior = POSTERIORS[name]()
    model = moved(vae(code=4 + posterior.context_dim, posterior=posterior, prior=prior), 0.1)
    # An encoder that says little: its posteriors stay wide, as importance samples want them.
    model.encoder.layers[-1].kernel.assign(0.1 * model.encoder.layers[-1].kernel)
    x, log_prob = enumerated(model)
    assert np.exp(log_prob).sum() == pytest.approx(1.0, abs=2e-3)
    # Each row draws for itself: the same rows many times are many draws.
    terms = model.loss_terms(tf.tile(x, [400, 1]), seed=tf.constant([0, 1]))
    bounds = -np.array(terms["reconstruction"] + terms["kl"], "float64").reshape(400, len(x))
    error = bounds.std(axis=0) / np.sqrt(len(bounds))
    assert np.all(bounds.mean(axis=0) < log_prob + 5 * error)
    # Importance samples close the gap: the draws' densities are right.
    np.testing.assert_allclose(model.log_prob(x, num_samples=5_000), log_prob, atol=0.05)


def test_the_density_of_a_draw_is_that_of_the_same_point_given_anew():
    """A drawn z comes with its density; the same numbers without their history take the slow way."""
    posterior = POSTERIORS["iaf"]()
    posterior.set_event_shape((2,))
    for weight in posterior.trainable_weights:
        weight.assign_add(0.5 * np.random.default_rng(0).normal(size=weight.shape))
    params = np.random.default_rng(1).normal(size=(5, 7)).astype("float32")
    q = posterior.distribution(params)
    z = q.sample(seed=1)
    np.testing.assert_allclose(q.log_prob(z), q.log_prob(tf.identity(z)), atol=1e-4)
    # A code is the image of the base's mean.
    np.testing.assert_allclose(centre(q), q.bijector.forward(params[:, :2]), atol=1e-6)
    assert np.abs(centre(q) - params[:, :2]).max() > 0.1
    # Without a closed form the divergence is of that draw.
    p = kg.distributions.standard_normal(2)
    np.testing.assert_allclose(kl_divergence(q, p, z=z), q.log_prob(z) - p.log_prob(z), rtol=1e-6)


def test_draws_of_a_row_are_of_its_own_context():
    """Row by row the same as all rows at once."""
    posterior = POSTERIORS["iaf"]()
    posterior.set_event_shape((2,))
    for weight in posterior.trainable_weights:
        weight.assign_add(np.random.default_rng(0).normal(size=weight.shape))
    params = np.random.default_rng(1).normal(size=(5, 7)).astype("float32")
    seeds = row_seeds(tf.constant([0, 1]), 0, 5)
    together = sample_rows(posterior.distribution(params), 3, seeds)
    for row in range(5):
        part = slice(row, row + 1)
        alone = sample_rows(posterior.distribution(params[part]), 3, seeds[part])
        np.testing.assert_allclose(together[part], alone, atol=1e-5)
    swapped = sample_rows(posterior.distribution(params[::-1]), 3, seeds)
    assert np.abs(swapped - together).max() > 0.1


@pytest.mark.usefixtures("untraced")
def test_a_flow_of_bijections_that_change_nothing_is_the_diagonal_posterior():
    plain = vae(code=4)
    flow = vae(code=4, posterior=POSTERIORS["without context"]())
    flow.encoder.set_weights(plain.encoder.get_weights())
    flow.decoder.set_weights(plain.decoder.get_weights())
    x = np.array(list(np.ndindex(2, 2, 2)), "float32")
    np.testing.assert_allclose(flow.encode(x), plain.encode(x), atol=1e-6)
    np.testing.assert_allclose(
        flow.posterior(x).log_prob(np.ones((8, 2), "float32")),
        plain.posterior(x).log_prob(np.ones((8, 2), "float32")),
        atol=1e-5,
    )


def test_a_flow_and_a_made_in_the_latent_sampler():
    generator = np.random.default_rng(0)
    angle = generator.uniform(0, 2 * np.pi, 2000)
    codes = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.05 * generator.normal(size=(2000, 2))

    class Identity:
        def encode(self, x, condition=None):
            return x

        decode = encode

    for density in (
        kg.NeuralSplineFlow((2,), num_layers=3, hidden_dims=(32,), seed=0),
        kg.MADE((2,), hidden_dims=(64, 64), likelihood="gaussian", seed=0),
    ):
        density.compile("adam")
        density.optimizer.learning_rate = 5e-3
        sampler = kg.applications.LatentSampler(Identity(), density)
        sampler.fit(codes.astype("float32"), epochs=12, batch_size=100, verbose=0)
        radius = np.linalg.norm(sampler.sample(1000, seed=1), axis=1)
        if isinstance(density, kg.NeuralSplineFlow):
            assert np.mean(np.abs(radius - 1.0) < 0.3) > 0.85  # a normal distribution: about 0.4
        # Two normal factors, the second given the first, are no ring, but have its moments.
        assert np.mean(radius**2) == pytest.approx(1.0, abs=0.25)


def test_an_encoder_that_ends_in_a_bounded_activation_is_refused():
    head = B.FlowPosterior(context_dim=2, num_layers=1, hidden_dims=(4,))
    encoder = keras.Sequential([keras.layers.Dense(6, activation="relu")])
    with pytest.raises(ValueError, match=r"`encoder` ends in relu.*FlowPosterior.*scales.*from 1\.00 to inf"):
        kg.VAE((4,), latent_dim=2, posterior=head, encoder=encoder)
