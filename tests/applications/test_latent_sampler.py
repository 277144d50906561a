"""A density over codes: moments of its draws, scales that come back, seeds, and errors."""

import keras
import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod.applications import LatentSampler
from tests.models.variational.test_vae import linear


def identity(dims, outputs=None):
    return linear(np.eye(dims, outputs or dims), np.zeros(outputs or dims), "network")


def autoencoder(dims=2):
    """The code of an example is the example, and so is what is decoded."""
    return kg.Autoencoder(
        (dims,), latent_dim=dims, encoder=identity(dims), decoder=identity(dims), likelihood="gaussian"
    )


def vae():
    """The posterior means are the examples."""
    return kg.VAE(
        (2,), latent_dim=2, encoder=identity(2, 4), decoder=identity(2), likelihood="gaussian", seed=0
    )


def two_groups(rows=400):
    """A quarter of the rows about (-20, 3), the others about (20, 1), on different scales."""
    generator = np.random.default_rng(0)
    first = np.arange(rows) % 4 == 0
    noise = generator.normal(size=(rows, 2)) @ [[2.0, 0.5], [0.0, 0.1]]
    return (np.where(first[:, None], [-20.0, 3.0], [20.0, 1.0]) + noise).astype("float32")


class Remembered:
    """A density of the user's own: it gives back what it was fitted to."""

    def fit(self, z, **options):
        self.z, self.options = z, options

    def sample(self, num_samples, *, seed=None):
        return self.z[:num_samples]


@pytest.mark.parametrize("build", [autoencoder, vae])
def test_samples_have_the_moments_of_the_codes(build):
    """At its fixed point expectation maximisation keeps mean and covariance of each component's data."""
    x = two_groups()
    samples = LatentSampler(build(), num_components=2, seed=0).fit(x).sample(20_000, seed=1)
    share = np.mean(samples[:, 0] < 0)
    assert share == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / 20_000))
    for data, drawn in (
        (x[x[:, 0] < 0], samples[samples[:, 0] < 0]),
        (x[x[:, 0] > 0], samples[samples[:, 0] > 0]),
    ):
        covariance = np.cov(data.T, bias=True)
        error = np.sqrt(np.diag(covariance) / len(drawn))
        np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - data.mean(axis=0)), 5 * error)
        variances = np.diag(covariance)
        error = np.sqrt((np.outer(variances, variances) + covariance**2) / len(drawn))
        # The mixture adds 1e-5 of the variance of all codes.
        np.testing.assert_array_less(
            np.abs(np.cov(drawn.T) - covariance), 5 * error + 2e-5 * np.outer(x.std(axis=0), x.std(axis=0))
        )


def test_one_component_is_the_normal_distribution_of_the_codes():
    x = two_groups()
    samples = LatentSampler(autoencoder(), num_components=1).fit(x).sample_latents(20_000, seed=1)
    covariance = np.cov(x.T, bias=True)
    variances = np.diag(covariance)
    np.testing.assert_array_less(
        np.abs(samples.mean(axis=0) - x.mean(axis=0)), 5 * np.sqrt(variances / 20_000)
    )
    error = np.sqrt((np.outer(variances, variances) + covariance**2) / 20_000)
    np.testing.assert_array_less(np.abs(np.cov(samples.T) - covariance), 5 * error)


def test_samples_are_the_decoded_latents():
    model = kg.VAE((3,), latent_dim=2, seed=0)
    sampler = LatentSampler(model, num_components=1).fit(np.eye(3, dtype="float32"))
    z = sampler.sample_latents(5, seed=2)
    assert z.shape == (5, 2)
    np.testing.assert_allclose(sampler.sample(5, seed=2), model.decode(z), atol=1e-6)


def test_a_density_of_the_users_own_sees_standard_codes_and_its_draws_get_their_scale_back():
    x, density = two_groups(), Remembered()
    sampler = LatentSampler(vae(), density).fit(x, patience=3)
    assert density.options == {"patience": 3} and density.z.dtype == np.float32
    np.testing.assert_allclose(density.z, (x - x.mean(axis=0)) / x.std(axis=0), atol=1e-4)
    np.testing.assert_allclose(sampler.sample(50), x[:50], atol=1e-4)


def test_a_density_model_of_the_library():
    density = kg.VAE((2,), latent_dim=1, likelihood="gaussian", seed=0)
    density.compile()
    x = two_groups(32)
    sampler = LatentSampler(autoencoder(), density).fit(x, epochs=1, verbose=0)
    assert int(density.training_steps) == 1
    expected = density.sample(4, seed=3) * x.std(axis=0) + x.mean(axis=0)
    np.testing.assert_allclose(sampler.sample(4, seed=3), expected, rtol=1e-4, atol=1e-4)


def test_a_latent_that_is_the_same_for_all_examples_stays_so():
    x = two_groups()
    x[:, 1] = 7.0
    density = Remembered()
    LatentSampler(autoencoder(), density).fit(x)
    np.testing.assert_array_equal(density.z[:, 1], np.zeros(len(x)))
    samples = LatentSampler(autoencoder(), num_components=2, seed=0).fit(x).sample(100, seed=1)
    np.testing.assert_allclose(samples[:, 1], 7.0, rtol=1e-6)
    assert samples[:, 0].std() > 10.0


def test_seeds_repeat_draws_and_fits():
    x = two_groups()
    sampler = LatentSampler(autoencoder(), num_components=3, seed=5).fit(x)
    np.testing.assert_array_equal(sampler.sample(6, seed=1), sampler.sample(6, seed=1))
    assert np.abs(sampler.sample(6, seed=1) - sampler.sample(6, seed=2)).max() > 0.1
    assert np.abs(sampler.sample(6) - sampler.sample(6)).max() > 0.1
    again = LatentSampler(autoencoder(), num_components=3, seed=5).fit(x)
    np.testing.assert_array_equal(again.sample(6, seed=1), sampler.sample(6, seed=1))


def test_a_second_fit_replaces_the_first():
    sampler = LatentSampler(autoencoder(), num_components=1).fit(two_groups())
    sampler.fit(np.random.default_rng(0).normal(size=(200, 2)).astype("float32") + 1000.0)
    assert sampler.sample(50, seed=1).min() > 900.0


def test_conditions_of_a_conditional_model():
    """The condition is the code: the encoder copies it."""
    x, condition = keras.Input((2,)), keras.Input((2,))
    encoder = keras.Model([x, condition], keras.layers.Add()([x, condition]))
    decoder = keras.Model([x, condition], keras.layers.Subtract()([x, condition]))
    model = kg.Autoencoder(
        (2,), latent_dim=2, encoder=encoder, decoder=decoder, likelihood="gaussian", condition_shape=(2,)
    )
    shift = np.array([100.0, -50.0], "float32")
    sampler = LatentSampler(model, num_components=1).fit(0.01 * two_groups(), condition=shift)
    samples = sampler.sample(200, condition=shift, seed=1)
    assert np.abs(samples).max() < 2.0
    np.testing.assert_allclose(
        sampler.sample(200, condition=0 * shift, seed=1), samples + shift, rtol=1e-4, atol=1e-3
    )


def test_before_the_fit_there_is_nothing_to_draw_from():
    sampler = LatentSampler(autoencoder())
    for method in (sampler.sample, sampler.sample_latents):
        with pytest.raises(RuntimeError, match="no density yet: call `fit` with examples first"):
            method(3)


def test_fewer_examples_than_components():
    sampler = LatentSampler(autoencoder(), num_components=10)
    with pytest.raises(ValueError, match=r"10 components.*received 9.*smaller `num_components`"):
        sampler.fit(two_groups(9))
    with pytest.raises(RuntimeError, match="no density yet"):
        sampler.sample(1)
    # A density of the user's own knows for itself how many it needs.
    LatentSampler(autoencoder(), Remembered()).fit(two_groups(9))


def test_discrete_codes_have_no_such_density():
    model = kg.VQVAE((4,), num_codes=8, code_dim=2, num_latents=3, seed=0)
    with pytest.raises(TypeError, match=r"floats; received.*int32.*Discrete codes"):
        LatentSampler(model).fit(np.eye(4, dtype="float32"))


def test_codes_must_be_vectors():
    class Images:
        def encode(self, x, *, condition=None):
            return np.zeros((len(x), 2, 2, 1), "float32")

        decode = encode

    with pytest.raises(TypeError, match=r"vectors, \[N, latent_dim\]; received \(20, 2, 2, 1\)"):
        LatentSampler(Images()).fit(two_groups(20))


def test_a_model_without_codes():
    with pytest.raises(TypeError, match="`LatentSampler` needs a model with `encode`; received a MADE"):
        LatentSampler(kg.MADE((4,), hidden_dims=(8,)))
    with pytest.raises(TypeError, match="needs a model with `encode`; received a GAN"):
        LatentSampler(kg.GAN((4,), latent_dim=2))


@pytest.mark.parametrize("arguments", [{"num_components": 0}, {"num_components": 1.5}, {"seed": -1}])
def test_arguments_are_checked(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=rf"`{name}` must be.*received {value}"):
        LatentSampler(autoencoder(), **arguments)


def test_numbers_of_samples_are_checked():
    sampler = LatentSampler(autoencoder(), num_components=1).fit(two_groups(20))
    for wrong in (0, -1, 2.5):
        with pytest.raises(ValueError, match=rf"`num_samples` must be an integer.*received {wrong}"):
            sampler.sample(wrong)
