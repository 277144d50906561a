"""Paths on lines and spheres, and what a decoder with known weights makes of them."""

import keras
import numpy as np
import pytest

from keras_genmod import VAE
from keras_genmod.applications import interpolate, lerp, slerp


def angles(path):
    """Angle between each point of a path and the next."""
    unit = path / np.linalg.norm(path, axis=-1, keepdims=True)
    return np.arccos(np.clip(np.sum(unit[1:] * unit[:-1], axis=-1), -1, 1))


@pytest.mark.parametrize("norms", [(2.0, 2.0), (1.0, 5.0)])
def test_a_spherical_path_turns_in_equal_steps(norms):
    a, b = np.random.default_rng(0).normal(size=(2, 7))
    a, b = a / np.linalg.norm(a) * norms[0], b / np.linalg.norm(b) * norms[1]
    (path,) = slerp(a[None], b[None], np.linspace(0, 1, 9))
    whole = np.arccos(a @ b / norms[0] / norms[1])
    np.testing.assert_allclose(angles(path), whole / 8, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(path, axis=-1), np.linspace(*norms, 9), rtol=1e-12)
    np.testing.assert_allclose(path[[0, -1]], [a, b], rtol=1e-12)
    # The path stays in the plane of both: a third direction is never needed.
    assert np.linalg.matrix_rank(np.vstack([path, a, b]), tol=1e-9) == 2


def test_midpoint_of_orthogonal_vectors_by_hand():
    midpoint = slerp([[3.0, 0.0, 0.0]], [[0.0, 0.0, 3.0]], [0.5])[0, 0]
    np.testing.assert_allclose(midpoint, [3 / 2**0.5, 0, 3 / 2**0.5], rtol=1e-12)


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_parallel_vectors_are_joined_by_a_line(factor):
    a = np.random.default_rng(1).normal(size=(5, 6))
    fractions = np.linspace(0, 1, 5)
    expected = lerp(a, factor * a, fractions)
    np.testing.assert_allclose(slerp(a, factor * a, fractions), expected, rtol=1e-9)
    # and vectors that are nearly parallel by nearly a line: no step in between
    b = factor * a + 1e-9 * a[::-1]
    np.testing.assert_allclose(slerp(a, b, fractions), lerp(a, b, fractions), rtol=1e-6)


def test_opposite_vectors_are_joined_by_half_a_circle():
    a = np.random.default_rng(2).normal(size=(20, 4))
    paths = slerp(a, -a, np.linspace(0, 1, 7))
    for path, start in zip(paths, a, strict=True):
        np.testing.assert_allclose(np.linalg.norm(path, axis=-1), np.linalg.norm(start), rtol=1e-9)
        np.testing.assert_allclose(angles(path), np.pi / 6, rtol=1e-6)
        np.testing.assert_allclose(path[-1], -start, atol=1e-9)


def test_a_zero_vector_takes_the_direction_of_the_other():
    b = np.array([[3.0, 4.0]])
    np.testing.assert_allclose(slerp(0 * b, b, [0, 0.5, 1]), [[[0, 0], [1.5, 2], [3, 4]]], atol=1e-12)
    np.testing.assert_array_equal(slerp(0 * b, 0 * b, [0.5]), [[[0, 0]]])


def test_latents_of_more_axes_are_one_vector():
    a, b = np.random.default_rng(3).normal(size=(2, 3, 2, 2, 5))
    paths = slerp(a, b, [0.3])
    flat = slerp(a.reshape(3, 20), b.reshape(3, 20), [0.3])
    np.testing.assert_array_equal(paths, flat.reshape(3, 1, 2, 2, 5))


def linear_vae(**options):
    """A VAE with the identity as encoder and x = W z as decoder: everything is known."""
    weights = np.array([[1.0, 2.0, 0.0, 0.0], [0.0, -1.0, 3.0, 0.5]], np.float32)
    condition = [keras.Input((), dtype="int32")] if options else []
    x, z = keras.Input((4,)), keras.Input((2,))
    encoded = keras.layers.Dense(4, use_bias=False, name="code")(x)
    decoded = keras.layers.Dense(4, use_bias=False, name="mean")(z)
    if condition:
        shift = keras.layers.Embedding(3, 4, name="shift")(condition[0])
        decoded = keras.layers.Add()([decoded, shift])
    model = VAE(
        (4,),
        latent_dim=2,
        encoder=keras.Model([x, *condition] if condition else x, encoded),
        decoder=keras.Model([z, *condition] if condition else z, decoded),
        likelihood="gaussian",
        **options,
    )
    # The posterior mean is the first two of the encoder's four outputs: x[0] and x[3].
    code = np.zeros((4, 4), np.float32)
    code[0, 0] = code[3, 1] = 1
    model.encoder.get_layer("code").set_weights([code])
    model.decoder.get_layer("mean").set_weights([weights])
    if condition:
        shifts = np.arange(3, dtype=np.float32)[:, None] * [100, 0, 0, 0]
        model.decoder.get_layer("shift").set_weights([shifts])
    return model, weights


def test_a_path_between_examples_runs_through_the_decoder():
    model, weights = linear_vae()
    a, b = np.random.default_rng(4).normal(size=(2, 3, 4)).astype("float32")
    paths = interpolate(model, a, b, num_steps=5)
    np.testing.assert_allclose(paths[:, 0], model.decode(model.encode(a)), rtol=1e-5)
    np.testing.assert_allclose(paths[:, -1], model.decode(model.encode(b)), rtol=1e-5)
    middle = ((a + b) / 2)[:, [0, 3]] @ weights
    np.testing.assert_allclose(paths[:, 2], middle, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(interpolate(model, a[1], b[1], num_steps=5), paths[1], rtol=1e-5, atol=1e-6)


def test_a_path_between_latent_vectors():
    model, weights = linear_vae()
    a, b = np.array([2.0, 0.0]), np.array([0.0, 2.0])
    path = interpolate(model, a, b, num_steps=3, method="spherical", latent=True)
    np.testing.assert_allclose(path, [a @ weights, [2**0.5] * 2 @ weights, b @ weights], rtol=1e-6, atol=1e-6)
    pairs = interpolate(model, a[None], b[None], num_steps=3, method="spherical", latent=True)
    np.testing.assert_array_equal(pairs, path[None])


def test_conditions_go_with_their_pairs():
    model, weights = linear_vae(num_classes=3)
    a, b = np.random.default_rng(5).normal(size=(2, 2, 2)).astype("float32")
    expected = lerp(a, b, [0, 0.5, 1]) @ weights
    one = interpolate(model, a, b, num_steps=3, latent=True, condition=2)
    np.testing.assert_allclose(one, expected + [200, 0, 0, 0], rtol=1e-5)
    each = interpolate(model, a, b, num_steps=3, latent=True, condition=[0, 1])
    np.testing.assert_allclose(each[0], expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(each[1], expected[1] + [100, 0, 0, 0], rtol=1e-5)


class Implicit:
    """What a GAN offers: a generator, and a call from latent vectors to examples."""

    event_shape = (4,)
    condition_shape = None
    latent_dim = 2
    generator = True

    def __call__(self, z, training):
        return 10.0 * z


def test_an_implicit_model_needs_latent_vectors():
    a, b = np.array([0.0, 0.0]), np.array([1.0, 3.0])
    path = interpolate(Implicit(), a, b, num_steps=3, latent=True)
    np.testing.assert_allclose(path, [[0, 0], [5, 15], [10, 30]])
    with pytest.raises(TypeError, match="from examples needs a model with `encode`.*Implicit"):
        interpolate(Implicit(), np.zeros(4), np.zeros(4))


def test_errors_say_what_to_do():
    model, _ = linear_vae()
    with pytest.raises(TypeError, match="`decode` or `generator`; received a Dense"):
        interpolate(keras.layers.Dense(1), np.zeros(4), np.zeros(4))
    with pytest.raises(ValueError, match=r"same shape; received \(4,\) and \(2,\)"):
        interpolate(model, np.zeros(4), np.zeros(2))
    with pytest.raises(ValueError, match="`method` must be one of 'linear', 'spherical'"):
        interpolate(model, np.zeros(4), np.zeros(4), method="cubic")
    with pytest.raises(ValueError, match="`num_steps` must be an integer of at least 2"):
        interpolate(model, np.zeros(4), np.zeros(4), num_steps=1)
    with pytest.raises(TypeError, match="Discrete codes"):
        lerp([[1, 2]], [[3, 4]], [0.5])
    with pytest.raises(ValueError, match="Add the batch axis"):
        slerp([1.0, 2.0], [3.0, 4.0], [0.5])
    with pytest.raises(ValueError, match="finite"):
        slerp([[np.nan, 2.0]], [[3.0, 4.0]], [0.5])
