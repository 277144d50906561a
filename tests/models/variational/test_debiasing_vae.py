"""A classifier beside a bound: what each example counts in, and where each number comes from."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.networks import dense_network

X = (np.random.default_rng(0).random((6, 5)) < 0.5).astype("float32")
LABELS = np.array([0, 1, 2, -1, 2, 1])


def built(**options):
    encoder = dense_network((5,), (4 + 3,), hidden_dims=(8,), seed=1)
    return kg.DebiasingVAE((5,), num_labels=3, latent_dim=2, encoder=encoder, seed=0, **options)


def terms(model, labels=LABELS):
    return model.loss_terms(tf.constant(X), condition=tf.constant(labels, tf.int32), seed=[1, 2])


def test_the_encoder_gives_the_posterior_then_the_logits():
    model = built()
    raw = model.encoder(X).numpy()
    np.testing.assert_allclose(model.posterior(X).mean(), raw[:, :2], rtol=1e-6)
    np.testing.assert_allclose(model.classify(X), tf.nn.softmax(raw[:, 4:]), rtol=1e-5)
    np.testing.assert_allclose(model.encode(X), raw[:, :2], rtol=1e-6)
    vae = kg.VAE(
        (5,),
        latent_dim=2,
        encoder=keras.Model(model.encoder.input, model.encoder.output[:, :4]),
        decoder=model.decoder,
        seed=0,
    )
    np.testing.assert_allclose(model.log_prob(X, seed=3), vae.log_prob(X, seed=3), rtol=1e-5)


def test_terms_by_hand():
    model = built()
    found = terms(model)
    probs = model.classify(X).numpy()
    expected = [0.0 if label < 0 else -np.log(probs[row, label]) for row, label in enumerate(LABELS)]
    np.testing.assert_allclose(found["cross_entropy"], expected, rtol=1e-5)
    np.testing.assert_array_equal(found["accuracy"], probs.argmax(axis=1) == LABELS)
    bound = super(kg.DebiasingVAE, model).loss_terms(tf.constant(X), seed=[1, 2])
    for name in ("reconstruction", "kl"):
        np.testing.assert_allclose(found[name], bound[name], rtol=1e-6)


def test_the_bound_counts_chosen_classes_and_examples_without_one():
    whole, part = terms(built()), terms(built(bound_labels=(1,)))
    counted = np.isin(LABELS, [-1, 1])
    for name in ("reconstruction", "kl"):
        np.testing.assert_allclose(part[name], whole[name] * counted, rtol=1e-6)
    np.testing.assert_allclose(part["cross_entropy"], whole["cross_entropy"], rtol=1e-6)


def test_the_loss_is_the_weighted_sum():
    model = built(label_weight=7.0, beta=0.5)
    model.compile()
    logs = model.evaluate(X, LABELS, return_dict=True, verbose=0)
    total = logs["reconstruction"] + 0.5 * logs["kl"] + 7.0 * logs["cross_entropy"]
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_wrong_labels_are_refused():
    model = built()
    model.compile()
    with pytest.raises(
        ValueError, match=r"`label` must hold integers in \[-1, 2\]; received values from -1 to 3"
    ):
        model.fit(X, np.where(LABELS == 2, 3, LABELS), verbose=0)
    with pytest.raises(ValueError, match="learns from pairs: it needs a label"):
        model.fit(X, verbose=0)
    with pytest.raises(ValueError, match="takes no condition; received num_classes=3"):
        kg.DebiasingVAE((5,), num_labels=3, num_classes=3)
    with pytest.raises(ValueError, match="`bound_labels` must be classes from 0 to 2"):
        built(bound_labels=(3,))
    with pytest.raises(ValueError, match="and the logits of 3 classes"):
        kg.DebiasingVAE((5,), num_labels=3, latent_dim=2, encoder=dense_network((5,), (4,)))
