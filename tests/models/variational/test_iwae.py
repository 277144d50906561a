"""The importance-weighted autoencoder on a linear-Gaussian model, whose likelihood is known."""

import numpy as np
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.distributions import GaussianHead
from tests.models.variational.test_vae import S, exact_log_prob, linear_gaussian


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
