"""Truths of flows as densities: they integrate to one, samples are theirs, both ways are the same map."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod import bijectors as B
from tests.bijectors.test_bijections import jacobian_log_det

DENSE = {"network_options": {"hidden_dims": (8,), "activation": "tanh"}}

PLANE = {
    "nice": lambda **o: kg.NICE((2,), num_layers=3, **DENSE, **o),
    "real_nvp": lambda **o: kg.RealNVP((2,), num_layers=2, **DENSE, **o),
    "maf": lambda **o: kg.MAF((2,), num_layers=2, hidden_dims=(8,), activation="tanh", **o),
    "iaf": lambda **o: kg.IAF((2,), num_layers=2, hidden_dims=(8,), activation="tanh", **o),
    "glow": lambda **o: kg.Glow((2,), num_steps=2, **DENSE, **o),
    "splines": lambda **o: kg.NeuralSplineFlow((2,), num_layers=2, hidden_dims=(8,), **o),
    "autoregressive splines": lambda **o: kg.NeuralSplineFlow(
        (2,), num_layers=2, hidden_dims=(8,), autoregressive=True, **o
    ),
    "from a mixture": lambda **o: kg.RealNVP((2,), num_layers=1, base="gaussian_mixture", **DENSE, **o),
}
in_the_plane = pytest.mark.parametrize("name", PLANE)


def moved(flow, size=0.3, seed=0):
    """The flow with weights that are not those of the start."""
    generator = np.random.default_rng(seed)
    for weight in flow.trainable_weights:
        weight.assign_add(size * generator.normal(size=weight.shape).astype("float32"))
    return flow


@pytest.mark.usefixtures("untraced")
@in_the_plane
@pytest.mark.parametrize("condition_shape", [None, (2,)])
def test_it_integrates_to_one(name, condition_shape):
    flow = moved(PLANE[name](seed=0, condition_shape=condition_shape), 0.2)
    side = np.linspace(-10.0, 10.0, 401, dtype="float32")
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    condition = None if condition_shape is None else np.array([0.7, -1.0], "float32")
    log_prob = flow.log_prob(grid, condition=condition, batch_size=len(grid))
    density = np.exp(log_prob.numpy().astype("float64"))
    assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1.0, abs=0.01)
    normal = np.exp(-0.5 * np.square(grid).sum(axis=1)) / (2 * np.pi)
    assert np.abs(density - normal).max() > 0.02


@pytest.mark.usefixtures("untraced")
@in_the_plane
def test_samples_are_of_the_density(name):
    """The mean of q(x) / p(x) over samples of p is 1 for any density q that p covers."""
    flow = moved(PLANE[name](seed=0), 0.2)
    x = flow.sample(20_000, seed=1, batch_size=20_000).numpy()
    q = kg.distributions.standard_normal(2)
    # A narrow q about the middle of the samples, whose ratio to p is bounded there.
    middle = np.median(x, axis=0)
    log_prob = flow.log_prob(x, batch_size=len(x)).numpy()
    ratio = np.exp(q.log_prob((x - middle) / 0.5).numpy() - 2 * np.log(0.5) - log_prob)
    error = ratio.std() / np.sqrt(len(ratio))
    assert error < 0.05
    assert ratio.mean() == pytest.approx(1.0, abs=5 * error)


@pytest.mark.usefixtures("untraced")
@in_the_plane
def test_noise_and_data_are_each_others_image(name):
    flow = moved(PLANE[name](seed=0, dtype="float64"))
    x = np.random.default_rng(0).normal(size=(50, 2))
    np.testing.assert_allclose(flow.decode(flow.encode(x)), x, atol=1e-9)
    assert np.abs(flow.encode(x) - x).max() > 0.1


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("ordering", ["natural", "reverse", "random"])
@pytest.mark.parametrize("transform", ["affine", "spline"])
def test_quick_generation_is_the_definition(ordering, transform):
    """Variables one by one, each with a whole pass, give the same data as the incremental way."""
    layer = B.MaskedAutoregressive((9, 11), ordering=ordering, transform=transform, dtype="float64")
    layer.set_shapes((3, 2, 1), seed=0)
    for weight in layer.trainable_weights:
        weight.assign_add(0.5 * np.random.default_rng(1).normal(size=weight.shape))
    bijector = layer.bijector()
    noise = np.random.default_rng(0).normal(size=(5, 3, 2, 1))
    np.testing.assert_allclose(bijector.forward(noise), bijector.generated(noise), atol=1e-9)


IMAGES = {
    "real_nvp": lambda **o: kg.RealNVP((4, 4, 1), num_scales=2, network_options=SMALL, **o),
    "glow": lambda **o: kg.Glow((4, 4, 1), num_steps=1, num_scales=2, network_options=SMALL, **o),
    "splines": lambda **o: kg.NeuralSplineFlow((2, 4, 2), num_layers=2, network_options=SMALL, **o),
    "maf": lambda **o: kg.MAF((2, 2, 2), num_layers=2, hidden_dims=(8,), **o),
}
SMALL = {"filters": 4, "num_blocks": 1, "activation": "tanh"}


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("name", IMAGES)
def test_the_density_of_images_is_noise_and_jacobian(name):
    flow = moved(IMAGES[name](seed=0, num_classes=3, dtype="float64"), 0.1)
    x = np.random.default_rng(0).normal(size=(3, *flow.event_shape))
    condition = np.array([0, 2, 1])
    log_det = jacobian_log_det(
        lambda x, condition: flow._bijector(tf.constant(condition)).inverse(x), x, condition
    )
    z = flow.encode(x, condition=condition)
    base = kg.distributions.standard_normal(flow.latent_dim, "float64")
    np.testing.assert_allclose(flow.log_prob(x, condition=condition), base.log_prob(z) + log_det, rtol=1e-9)
    np.testing.assert_allclose(flow.decode(z, condition=condition), x, atol=1e-9)
    assert np.abs(flow.log_prob(x, condition=0) - flow.log_prob(x, condition=1)).max() > 1e-3


@pytest.mark.usefixtures("untraced")
def test_its_distribution_is_tensorflow_probabilitys():
    flow = moved(kg.MAF((3,), num_layers=1, hidden_dims=(8,), condition_shape=(2,), seed=0))
    condition = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    distribution = flow.distribution(tf.constant(condition))
    assert distribution.batch_shape == (4,) and distribution.event_shape == (3,)
    x = distribution.sample(5, seed=1)
    assert x.shape == (5, 4, 3)
    expected = [flow.log_prob(x[n], condition=condition) for n in range(5)]
    np.testing.assert_allclose(distribution.log_prob(tf.identity(x)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "build",
    [
        lambda: kg.RealNVP((4,), num_layers=30, **DENSE, seed=0),
        lambda: kg.Glow((4,), num_steps=20, **DENSE, seed=0),
        lambda: kg.MAF((4,), num_layers=10, hidden_dims=(16,), seed=0),
        lambda: kg.NeuralSplineFlow((4,), num_layers=20, hidden_dims=(8,), seed=0),
    ],
)
def test_deep_stacks_stay_finite(build):
    flow = moved(build(), 0.1)
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32") * np.logspace(0, 3, 20)[:, None]
    x = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        log_prob = flow(x)
    gradients = tape.gradient(log_prob, flow.trainable_weights)
    assert np.all(np.isfinite(log_prob))
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def normalised(flow, x):
    """What each `ActNorm` of a flow over vectors gives for data."""
    h = tf.constant(x)
    for bijection in flow.bijections:
        h = bijection.bijector().inverse(h)
        if isinstance(bijection, B.ActNorm):
            yield h.numpy()


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("feed", ["arrays", "data set", "by hand"])
def test_the_first_data_start_actnorm(feed):
    x = np.random.default_rng(0).normal(size=(300, 3)).astype("float32") * [1.0, 20.0, 0.01] + [5.0, 0.0, 1.0]
    x = x.astype("float32")
    flow = kg.Glow((3,), num_steps=3, **DENSE, seed=0)
    flow.compile(keras.optimizers.SGD(0.0))
    if feed == "arrays":
        flow.fit(x, batch_size=50, epochs=1, verbose=0)
    elif feed == "data set":
        flow.fit(tf.data.Dataset.from_tensor_slices(x).batch(50), epochs=1, verbose=0)
    else:
        flow.initialize(x)
    seen = list(normalised(flow, x))
    assert len(seen) == 3
    for h in seen:
        np.testing.assert_allclose(h.mean(axis=0), 0.0, atol=1e-4)
        np.testing.assert_allclose(h.std(axis=0), 1.0, atol=1e-3)
    # Only the first data: more training does not start them again.
    before = flow.get_weights()
    flow.fit(2.0 * x, batch_size=300, epochs=1, verbose=0)
    for old, new in zip(before, flow.get_weights(), strict=True):
        if old.dtype != np.int64:
            np.testing.assert_array_equal(old, new)


@pytest.mark.usefixtures("untraced")
def test_a_generator_is_not_looked_at_for_the_start():
    flow = kg.RealNVP((2,), num_layers=1, **DENSE, seed=0)
    flow.compile()
    batches = ((np.ones((4, 2), "float32") * n,) for n in range(3))
    with pytest.warns(UserWarning, match="initialize"):
        flow.fit(batches, steps_per_epoch=2, epochs=1, verbose=0)


@pytest.mark.usefixtures("untraced")
def test_temperature_scales_the_noise():
    flow = moved(kg.RealNVP((2,), num_layers=2, **DENSE, seed=0))
    noise = flow.encode(flow.sample(100, seed=1))
    cooler = flow.encode(flow.sample(100, seed=1, temperature=0.5))
    np.testing.assert_allclose(cooler, 0.5 * noise, atol=1e-4)
    mixed = kg.RealNVP((2,), num_layers=1, base="gaussian_mixture", **DENSE)
    with pytest.raises(ValueError, match="standard normal base"):
        mixed.sample(1, temperature=0.5)
