"""The importance-weighted autoencoder on a linear-Gaussian model, whose likelihood is known."""

import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.bijectors import FlowPosterior
from keras_genmod.distributions import GaussianHead, StudentTHead
from tests.models.variational.test_vae import (
    PRECISION,
    S,
    exact_log_prob,
    inverse_softplus_scale,
    linear,
    linear_gaussian,
)


def weighted(num_samples, doubly_reparameterized=False, posterior_error=0.3):
    vae = linear_gaussian(posterior_error)
    return kg.IWAE(
        (5,),
        latent_dim=2,
        encoder=vae.encoder,
        decoder=vae.decoder,
        likelihood=GaussianHead(S),
        num_importance_samples=num_samples,
        doubly_reparameterized=doubly_reparameterized,
        seed=0,
    )


def rows(count, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 5)).astype("float32")


@pytest.mark.usefixtures("untraced")
def test_the_bound_rises_to_the_exact_value():
    x = rows(400)
    bounds = []
    for num_samples in (1, 5, 25, 2000):
        terms = weighted(num_samples).loss_terms(x, seed=tf.constant([3, 4]))
        bounds.append(-float(np.mean(terms["negative_bound"])))
    assert bounds == sorted(bounds)
    assert abs(bounds[-1] - exact_log_prob(x).mean()) < 0.02


def gradients(model, x, seed):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.loss_terms(x, training=True, seed=seed)["negative_bound"])
    return tape.gradient(loss, [*model.encoder.trainable_weights, *model.decoder.trainable_weights])


def test_the_doubly_reparameterized_gradient_is_unbiased():
    """Both estimators have the same mean; the decoder's are the same draw by draw."""
    x = np.repeat(rows(1), 2000, axis=0)
    plain, double = weighted(4), weighted(4, doubly_reparameterized=True)
    draws = {}
    for name, model in (("plain", plain), ("double", double)):
        draws[name] = [
            [np.asarray(g).ravel() for g in gradients(model, x, tf.constant([0, index]))]
            for index in range(20)
        ]
    for index in range(2):
        first = np.stack([draw[index] for draw in draws["plain"]])
        second = np.stack([draw[index] for draw in draws["double"]])
        error = np.sqrt((first.var(axis=0) + second.var(axis=0)) / 19)
        assert np.all(np.abs(first.mean(axis=0) - second.mean(axis=0)) <= 5 * error + 1e-5)
        assert np.any(np.abs(second.mean(axis=0)) > 10 * error + 1e-5)
    for index in (2, 3):
        np.testing.assert_allclose(draws["double"][0][index], draws["plain"][0][index], rtol=1e-3, atol=1e-4)


def test_at_the_true_posterior_the_doubly_reparameterized_encoder_rests():
    """The weights do not depend on z: the gradient is 0 for every draw, which the plain one is not."""
    x = rows(3)
    seed = tf.constant([1, 2])
    double = gradients(weighted(3, True, posterior_error=0.0), x, seed)
    plain = gradients(weighted(3, False, posterior_error=0.0), x, seed)
    assert max(float(np.abs(g).max()) for g in double[:2]) < 1e-4
    assert max(float(np.abs(g).max()) for g in plain[:2]) > 1e-2


# ---- posteriors with weights of their own ----------------------------------------------------------


def with_head(posterior, doubly_reparameterized=True):
    """The linear model, with the exact posterior's means and whatever else the head needs near 0."""
    vae = linear_gaussian()
    kernel, bias = vae.encoder.get_weights()
    model = kg.IWAE(
        (5,),
        latent_dim=2,
        decoder=vae.decoder,
        likelihood=GaussianHead(S),
        posterior=posterior,
        num_importance_samples=3,
        doubly_reparameterized=doubly_reparameterized,
        seed=0,
    )
    more = model._posterior_head.params_size - 2
    model.encoder = linear(
        np.concatenate([kernel[:, :2], np.full((5, more), 0.05)], axis=1),
        np.concatenate([bias[:2], np.zeros(more)]),
        "encoder",
    )
    return model


def head_gradients(model, x, seed):
    weights = model._posterior_head.trainable_weights
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.loss_terms(x, training=True, seed=seed)["negative_bound"])
    return tape.gradient(loss, [weight.value for weight in weights])


def test_at_the_true_posterior_the_weights_of_the_head_rest():
    """The scales of the exact posterior are weights of the head: a gradient of 0 for every draw."""
    found = []
    for doubly_reparameterized in (True, False):
        model = with_head(GaussianHead("per_dimension"), doubly_reparameterized)
        model._posterior_head.raw_scale.assign(inverse_softplus_scale(PRECISION**-0.5))
        (gradient,) = head_gradients(model, rows(3), tf.constant([1, 2]))
        found.append(float(np.abs(gradient).max()))
    assert found[0] < 1e-4
    assert found[1] > 1e-2


POSTERIORS = {
    "learned scale": lambda: GaussianHead("learned"),
    "learned degrees of freedom": lambda: StudentTHead("learned", df="learned"),
    "flow": lambda: FlowPosterior(context_dim=1, num_layers=1, hidden_dims=(3,), seed=1),
}


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("name", POSTERIORS)
def test_the_gradient_of_the_heads_weights_is_that_of_the_bound(name):
    """Against differences of the mean bound, with the same draws on both sides."""
    model = with_head(POSTERIORS[name]())
    weights = model._posterior_head.trainable_weights
    generator = np.random.default_rng(4)
    directions = [generator.normal(size=weight.shape).astype("float32") for weight in weights]
    x = np.repeat(rows(1), 4000, axis=0)

    def bound(seed):
        return tf.reduce_mean(model.loss_terms(x, seed=seed)["negative_bound"])

    def slope(seed):
        gradients = head_gradients(model, x, seed)
        return tf.add_n([tf.reduce_sum(g * d) for g, d in zip(gradients, directions, strict=True)])

    def move(step):
        for weight, direction in zip(weights, directions, strict=True):
            weight.assign_add(step * direction)

    seeds = [tf.constant([7, number]) for number in range(6)]
    slopes = np.array([float(slope(seed)) for seed in seeds])
    step = 0.02
    move(step)
    above = np.array([float(bound(seed)) for seed in seeds])
    move(-2 * step)
    differences = (above - np.array([float(bound(seed)) for seed in seeds])) / (2 * step)
    error = np.sqrt((slopes.var() + differences.var()) / (len(seeds) - 1))
    # Float32 bounds of some 10 nats, and the third derivative.
    rounding = 10 * 2.0**-23 / step + step**2
    assert abs(slopes.mean() - differences.mean()) < 5 * error + rounding
    assert abs(differences.mean()) > 10 * (error + rounding)
