"""Which latent dimensions get sliders, in which order and over which values."""

import keras
import numpy as np

import keras_genmod as kg
from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.latent_sliders import has_latent_vectors, latent_sliders, random_latent
from tests.explorer.tiny import made, pictures, vae


def linear(matrix, bias=None):
    """A network that multiplies by a matrix."""
    matrix = np.asarray(matrix, "float32")
    layer = keras.layers.Dense(matrix.shape[1])
    network = keras.Sequential([keras.Input(matrix.shape[:1]), layer])
    layer.set_weights([matrix, np.zeros(matrix.shape[1]) if bias is None else np.asarray(bias)])
    return network


def test_models_with_vectors_of_real_numbers_have_sliders():
    assert has_latent_vectors(vae())
    assert has_latent_vectors(kg.GAN((2,), latent_dim=2, seed=0))
    assert has_latent_vectors(kg.RealNVP((2,), seed=0))
    assert not has_latent_vectors(made())
    assert not has_latent_vectors(kg.VQVAE((16,), seed=0))


def test_an_autoencoders_sliders_span_its_codes():
    # The codes are the first two values, twice the third one, and 0.
    encoder = linear(np.pad(np.diag([1.0, 1.0, 2.0, 0.0]), ((0, 12), (0, 0))))
    model = kg.Autoencoder((16,), latent_dim=4, encoder=encoder, likelihood="gaussian", seed=0)
    x = np.zeros((2, 16))
    x[:, 0], x[:, 1], x[:, 2] = (0, 2), (10, 18), (0, 2)
    found = latent_sliders(Explored(model, x))
    # Deviations 1, 4, 2 and 0 about the means 1, 14, 2 and 0.
    np.testing.assert_allclose(found.use, [1, 4, 2, 0])
    assert found.order.tolist() == [1, 2, 0, 3]
    assert [found.label(dim) for dim in found.order] == ["z[1]", "z[2]", "z[0]", "z[3] (unused)"]
    np.testing.assert_allclose(found.start, [1, 14, 2, 0])
    np.testing.assert_allclose(found.low[:3], [-2, 2, -4])
    np.testing.assert_allclose(found.high[:3], [4, 26, 8])
    assert found.step(1) == 0.2
    # A code that is further away than its slider reaches moves the end.
    assert [found.ends(1, value) for value in (14.0, 0.5, 30.0)] == [(2, 26), (0.5, 26), (2, 30)]
    # Numbers beside the sliders stay short: to a tenth of a step or finer.
    assert found.rounded(np.array([0.123456, 14.123456, 2.0, 0.0])).tolist() == [0.123, 14.12, 2.0, 0.0]


def collapsed():
    """A VAE whose second posterior is the prior: means (x_0, 0), deviations (e^-1 about, 1)."""
    # The head's raw scale s gives a deviation; 0 in both, so only the means differ.
    weights = np.zeros((16, 4))
    weights[0, 0] = 2.0
    decoder = linear(np.stack([np.linspace(1, 2, 16), np.zeros(16)]))
    return kg.VAE((16,), latent_dim=2, encoder=linear(weights), decoder=decoder, seed=0)


def test_a_collapsed_dimension_of_a_vae_is_marked():
    model, x = collapsed(), np.zeros((4, 16), "float32")
    x[:2, 0] = 1.0
    found = latent_sliders(Explored(model, x))
    assert found.order.tolist() == [0, 1] and found.unused.tolist() == [False, True]
    # The mean over examples of the divergence, by the definition; means are (2, 0) and (0, 0).
    deviations = np.asarray(model.posterior(x).stddev(), np.float64)
    means = np.array([[2, 0], [2, 0], [0, 0], [0, 0]], float)
    expected = (0.5 * (deviations**2 + means**2 - 1) - np.log(deviations)).mean(axis=0)
    np.testing.assert_allclose(found.use, expected, atol=1e-5)
    assert found.figure == "divergence"


def test_without_data_a_vae_is_measured_by_its_last_pass_over_data():
    model, x = collapsed(), np.zeros((4, 16), "float32")
    x[:2, 0] = 1.0
    by_effect = latent_sliders(Explored(model))
    assert by_effect.figure == "change"
    model.compile()
    model.evaluate(x, verbose=0)
    found = latent_sliders(Explored(model))
    assert found.figure == "divergence"
    np.testing.assert_allclose(found.use, model.latent_usage.kl_per_latent())


def test_otherwise_the_effect_on_the_example_counts():
    found = latent_sliders(Explored(collapsed()))
    # From -2 to 2 in z_0, the sigmoid of w z_0 changes by tanh(w), w from 1 to 2.
    expected = np.tanh(np.linspace(1, 2, 16)).mean()
    np.testing.assert_allclose(found.use, [expected, 0], atol=1e-6)
    assert found.unused.tolist() == [False, True]


def test_a_conditional_vae_without_conditions_is_measured_by_its_effect():
    model = vae(num_classes=3)
    assert latent_sliders(Explored(model, pictures())).figure == "change"
    assert latent_sliders(Explored(model, (pictures(), [0, 1, 2, 0, 1, 2]))).figure == "divergence"


def test_a_random_vector_is_that_of_a_sample():
    flow = kg.RealNVP((2,), num_layers=2, network_options={"hidden_dims": (8,)}, seed=0)
    z = random_latent(Explored(flow), 5, None)
    np.testing.assert_allclose(flow.decode(z[None].astype("float32")), flow.sample(1, seed=5), atol=1e-5)
    model = vae()
    explored = Explored(model)
    first, second, other = (random_latent(explored, seed, None) for seed in (5, 5, 6))
    assert first.shape == (3,) and np.all(first == second) and np.any(first != other)
