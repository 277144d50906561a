"""Calls that fit no signature: the model's own name, the nearest argument, and signatures as they were."""

import copy
import inspect

import keras
import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod.bases import GenerativeModel

X = np.eye(4, dtype="float32")


@pytest.fixture(scope="module")
def vae():
    return kg.VAE((4,), latent_dim=2, seed=0)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: kg.VAE((4,), laten_dim=2),
            r"^VAE\(\) got an unexpected argument 'laten_dim'. Did you mean `latent_dim`\?",
        ),
        (lambda: kg.VAE((4,), z_dim=2), r"^VAE\(\).*'z_dim'.*`latent_dim`"),
        (lambda: kg.IWAE(event_shap=(4,)), r"^IWAE\(\).*'event_shap'.*`event_shape`"),
        (lambda: kg.GaussianMixture((2,), n_components=2), r"^GaussianMixture\(\).*`num_components`"),
        (lambda: kg.RealNVP((2,), n_layers=2), r"^RealNVP\(\).*`num_layers`"),
        (lambda: kg.WGAN_GP((2,), critic=None), r"^WGAN_GP\(\).*'critic'.*`discriminator`"),
        (lambda: kg.MADE((4,), random_state=3), r"^MADE\(\).*`seed`"),
        (lambda: kg.VAE((4,), foo=2), r"^VAE\(\).*'foo'. It takes: event_shape, beta, .*latent_dim.*dtype"),
        (
            lambda: kg.VAE((4,), 2),
            r"^VAE\(\) takes 1 positional argument \(`event_shape`\); received 2.*latent_dim",
        ),
        (lambda: kg.GAN((4,), noise_dim=2), r"^GAN\(\).*Did you mean `latent_dim`"),
        (lambda: kg.VQVAE((8, 8, 1), num_embeddings=2), r"^VQVAE\(\).*Did you mean `num_codes`"),
        (lambda: kg.RealNVP((2,), n_blocks=2), r"^RealNVP\(\).*Did you mean `num_layers`"),
        (
            lambda: kg.callbacks.ImageGrid("p", freq=2),
            r"^ImageGrid\(\).*'freq'. Did you mean `every_n_epochs`",
        ),
        (
            lambda: kg.callbacks.TraversalGrid("p", latents=2),
            r"^TraversalGrid\(\).*'latents'. It takes: .*x, ",
        ),
        (
            lambda: kg.callbacks.DistributionMetrics(X, n_samples=2),
            r"^DistributionMetrics\(\).*`num_samples`",
        ),
        (lambda: kg.callbacks.StopOnNonFinite(restor=True), r"^StopOnNonFinite\(\).*`restore`"),
        (lambda: kg.applications.Codes(None, epoch=2), r"^Codes\(\).*'epoch'. Did you mean `epochs`"),
        (lambda: kg.applications.DensityEstimator(), r"^DensityEstimator\(\) needs the argument `model`"),
        (lambda: kg.training.LinearSchedule(1.0, step=2), r"^LinearSchedule\(\).*Did you mean `steps`"),
        (lambda: kg.VAE(latent_dim=2), r"^VAE\(\) needs the argument `event_shape`"),
    ],
)
def test_constructors(build, words):
    with pytest.raises(TypeError, match=words):
        build()


def test_a_ready_made_flow_does_not_offer_the_bijections_that_it_makes():
    with pytest.raises(TypeError, match=r"^NICE\(\) got an unexpected argument 'foo'") as error:
        kg.NICE((2,), foo=1)
    assert "bijections" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.fit(X, condition=3), r"^VAE.fit\(\).*'condition'. Did you mean `y`\?"),
        (lambda m: m.encode(X, labels=3), r"^VAE.encode\(\).*'labels'. Did you mean `condition`\?"),
        (lambda m: m.sample(2, n_samples=3), r"^VAE.sample\(\).*'n_samples'. Did you mean `num_samples`\?"),
        (
            lambda m: m.sample(2, 3),
            r"^VAE.sample\(\) takes 1 positional.*Pass the others by name: condition, seed",
        ),
        (lambda m: m.sample(), r"^VAE.sample\(\) needs the argument `num_samples`"),
        (lambda m: m.log_prob(X, batchsize=3), r"^VAE.log_prob\(\).*`batch_size`"),
        (lambda m: m.fit(X, epoch=3), r"^VAE.fit\(\).*`epochs`"),
        (
            lambda m: m.compile(learning_rate=1.0),
            r"^VAE.compile\(\).*'learning_rate'. Did you mean `optimizer`",
        ),
        (lambda m: m.compile("adam", "mse"), r"^VAE.compile\(\) takes 1 positional argument \(`optimizer`\)"),
        (lambda m: m.export("unused", over_write=True), r"^VAE.export\(\).*`overwrite`"),
    ],
)
def test_methods(vae, call, words):
    with pytest.raises(TypeError, match=words):
        call(vae)


def test_compile_of_two_players():
    gan = kg.GAN((4,), latent_dim=2)
    for name in ("g_optimizer", "optimizer", "learning_rate"):
        with pytest.raises(
            TypeError, match=rf"^GAN.compile\(\).*'{name}'. Did you mean `generator_optimizer`"
        ):
            gan.compile(**{name: "adam"})


def test_errors_of_the_code_itself_pass_through(vae):
    class Broken(kg.VAE):
        def sample(self, num_samples, **kwargs):
            return np.zeros(num_samples, shape=3)

        def _sample(self, *args):
            return None

    with pytest.raises(TypeError, match="zeros"):
        Broken((4,), latent_dim=2).sample(2)
    with pytest.raises(TypeError, match=r"_sample\(\) got an unexpected keyword argument 'from_likelihood'"):
        kg.VAE.sample(Broken((4,), latent_dim=2), 2)


def test_a_subclass_may_take_arguments_of_its_own():
    class Own(kg.VAE):
        def __init__(self, *args, **kwargs):
            self.extra = kwargs.pop("extra")
            super().__init__(*args, **kwargs)

    assert Own((4,), latent_dim=2, extra=7).extra == 7
    assert Own(event_shape=(4,), extra=7).event_shape == (4,)
    with pytest.raises(TypeError, match=r"^Own\(\) got an unexpected argument 'latentdim'.*`latent_dim`"):
        Own(event_shape=(4,), latentdim=2, extra=7)


def test_signatures_and_help_stay(vae):
    assert list(inspect.signature(kg.VAE).parameters) == [
        "event_shape",
        "beta",
        "capacity",
        "free_bits",
        "kwargs",
    ]
    assert "seed" in inspect.signature(GenerativeModel).parameters
    assert list(inspect.signature(vae.encode).parameters) == ["x", "condition", "batch_size"]
    assert inspect.signature(vae.fit).parameters["epochs"].default == 1
    # Where doctests are looked for.
    assert inspect.getmodule(kg.VAE.sample).__dict__ is kg.VAE.sample.__globals__
    assert "Args:" in inspect.getdoc(kg.VAE.sample)
    assert isinstance(copy.copy(vae), kg.VAE) and isinstance(copy.deepcopy(vae), keras.Model)
