"""Sums of latent groups, decoded by decoders with known weights."""

import keras
import numpy as np
import pytest

from keras_genmod import GAN, VAE
from keras_genmod.applications import latent_arithmetic

WEIGHTS = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]], np.float32)


def linear_gan(**options):
    """A GAN whose generator is z -> z W (+ 100 times the class in the first place)."""
    z = keras.Input((2,))
    x = keras.layers.Dense(3, use_bias=False, name="examples")(z)
    inputs = z
    if options:
        c = keras.Input((), dtype="int32")
        shift = keras.layers.Embedding(3, 3, name="shift")(c)
        inputs, x = [z, c], keras.layers.Add()([x, shift])
    model = GAN((3,), latent_dim=2, generator=keras.Model(inputs, x), ema_decay=None, **options)
    model.generator.get_layer("examples").set_weights([WEIGHTS])
    if options:
        model.generator.get_layer("shift").set_weights([np.outer(np.arange(3.0), [100, 0, 0])])
    return model


def test_the_sum_of_means_by_hand():
    smiling_women = [[1.0, 0.0], [3.0, 0.0], [5.0, 3.0]]  # mean (3, 1)
    neutral_women = np.array([[1.0, 2.0], [1.0, 0.0]])  # mean (1, 1)
    neutral_man = [0.5, 4.0]
    x, z = latent_arithmetic(linear_gan(), plus=[smiling_women, neutral_man], minus=[neutral_women])
    np.testing.assert_array_equal(z, [2.5, 4.0])
    np.testing.assert_allclose(x, [2.5, 2 * 2.5 - 4.0, 12.0], rtol=1e-6)


def test_nothing_needs_to_be_taken_away():
    x, z = latent_arithmetic(linear_gan(), [[1.0, 1.0]])
    np.testing.assert_array_equal(z, [1.0, 1.0])
    np.testing.assert_allclose(x, [1, 1, 3], rtol=1e-6)


def test_a_decoder_serves_as_a_generator_does():
    z, x = keras.Input((2,)), keras.Input((3,))
    model = VAE(
        (3,),
        latent_dim=2,
        encoder=keras.Model(x, keras.layers.Dense(4)(x)),
        decoder=keras.Model(z, keras.layers.Dense(3, use_bias=False, name="mean")(z)),
        likelihood="gaussian",
    )
    model.decoder.get_layer("mean").set_weights([WEIGHTS])
    x, z = latent_arithmetic(model, [[2.0, 0.0], [1.0, 1.0]], [[1.0, 0.0]])
    np.testing.assert_allclose(x, z @ WEIGHTS, rtol=1e-6)
    np.testing.assert_array_equal(z, [2.0, 1.0])


def test_the_condition_reaches_the_generator():
    x, _ = latent_arithmetic(linear_gan(num_classes=3), [[1.0, 1.0]], condition=2)
    np.testing.assert_allclose(x, [201, 1, 3], rtol=1e-6)


def test_errors_say_what_to_do():
    model = linear_gan()
    vectors = np.zeros((3, 2))
    with pytest.raises(TypeError, match=r"`plus` must be a list of groups.*`plus=\[group\]`"):
        latent_arithmetic(model, vectors)
    with pytest.raises(TypeError, match="`minus` must be a list of groups"):
        latent_arithmetic(model, [vectors], vectors)
    with pytest.raises(ValueError, match="`plus` must hold at least one group"):
        latent_arithmetic(model, [], [vectors])
    with pytest.raises(ValueError, match=r"`minus\[1\]` must hold latent vectors of width 2; received 5"):
        latent_arithmetic(model, [vectors], [vectors, np.zeros((1, 5))])
    with pytest.raises(ValueError, match=r"`plus\[0\]` must be latent vectors.*received shape \(0, 2\)"):
        latent_arithmetic(model, [np.zeros((0, 2))])
    with pytest.raises(ValueError, match="finite"):
        latent_arithmetic(model, [[np.nan, 1.0]])
    with pytest.raises(TypeError, match="Discrete codes"):
        latent_arithmetic(model, [[1, 2]])
    with pytest.raises(TypeError, match="`latent_arithmetic` needs a model with `decode` or `generator`"):
        latent_arithmetic(keras.layers.Dense(1), [vectors])
