"""What stands between a flow's constructor and its first step, and what a flow leaves behind."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

import keras_genmod as kg
from keras_genmod import bijectors

RNG = np.random.default_rng(0)


class Tripled(bijectors.Transform):
    """A transform of a user's, told by `bijector` alone."""

    params_per_dim = 1

    def bijector(self, params):
        return tfb.Scale(tf.constant(3.0, params[0].dtype))(tfb.Shift(params[0]))


def perturbed(model):
    """The model with weights that are no identity any more."""
    generator = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.1 * generator.normal(size=weight.shape))
    return model


COUPLINGS = {"network_options": {"hidden_dims": (8,), "filters": 4, "num_blocks": 0}}
MASKED = {"num_layers": 2, "hidden_dims": (8,)}
FLOWS = {
    "real_nvp": lambda dtype: kg.RealNVP((3,), num_layers=2, dtype=dtype, **COUPLINGS),
    "real_nvp_of_images": lambda dtype: kg.RealNVP((8, 8, 1), num_scales=2, dtype=dtype, **COUPLINGS),
    "maf": lambda dtype: kg.MAF((3,), dtype=dtype, **MASKED),
    "iaf": lambda dtype: kg.IAF((3,), dtype=dtype, **MASKED),
    "spline": lambda dtype: kg.NeuralSplineFlow((3,), dtype=dtype, **MASKED),
    "masked_spline": lambda dtype: kg.NeuralSplineFlow((2, 2), autoregressive=True, dtype=dtype, **MASKED),
    "spline_of_images": lambda dtype: kg.NeuralSplineFlow((4, 4, 2), num_layers=2, dtype=dtype, **COUPLINGS),
    "nice": lambda dtype: kg.NICE((3,), dtype=dtype, **COUPLINGS),
    "glow": lambda dtype: kg.Glow((4, 4, 2), num_steps=1, num_scales=2, dtype=dtype, **COUPLINGS),
    "user_s_transform": lambda dtype: kg.NormalizingFlow(
        (3,), [bijectors.Coupling(transform=Tripled(), **COUPLINGS)], dtype=dtype
    ),
}


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("name", FLOWS)
def test_the_short_way_gives_the_density_of_the_distribution(name):
    model = perturbed(FLOWS[name]("float64"))
    # Some beyond the bounds of the splines.
    x = RNG.normal(size=(6, *model.event_shape), scale=3.0)
    expected = model.distribution().log_prob(x)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-10)


class Doubled(bijectors.ActNorm):
    """Another map than its parent's, told by `bijector` alone."""

    def bijector(self, condition=None, training=False):
        return tfb.Scale(tf.constant(2.0))


@pytest.mark.usefixtures("untraced")
def test_a_subclass_that_writes_its_bijector_alone_is_asked_for_it():
    flow = kg.NormalizingFlow((2,), [Doubled()])
    expected = -np.log(2 * np.pi) - 2 * np.log(2) - 0.5 * 2 * 1.5**2
    np.testing.assert_allclose(flow.log_prob(np.full((1, 2), 3.0)), [expected], rtol=1e-6)


@pytest.mark.parametrize(("make", "most"), [(kg.RealNVP, 1700), (kg.MAF, 1800), (kg.NeuralSplineFlow, 2500)])
def test_the_step_of_a_default_flow_is_a_small_graph(make, most):
    """The time until the first step is that of its operations; they were 4448, 4063 and 9499."""
    model = make((2,), seed=0)
    model.compile()
    step = tf.function(model.train_step, autograph=False)
    graph = step.get_concrete_function(tf.TensorSpec([None, 2])).graph.as_graph_def()
    inner = sum(len(function.node_def) for function in graph.library.function)
    assert len(graph.node) + inner < most


@pytest.mark.parametrize("optimizer", [None, "adam"])
def test_a_flow_that_is_no_longer_used_leaves_the_memory(optimizer):
    """The model, its bijections, and the graph of its step, which is most of what a flow weighs."""
    x = RNG.normal(size=(8, 2)).astype("float32")

    def objects():
        gc.collect()
        return len(gc.get_objects())

    def use():
        model = kg.NeuralSplineFlow((2,), num_layers=2, hidden_dims=(4,), seed=0)
        model.compile(optimizer)
        model.fit(x, verbose=0)
        return [weakref.ref(kept) for kept in (model, *model.bijections, model.optimizer)]

    # The first one leaves what all share.
    use()
    before = objects()
    gone = use()
    left = objects() - before
    assert not any(kept() is not None for kept in gone)
    # The graph of its step alone has some thousand.
    assert left < 200


def test_the_written_gradient_of_splines_is_that_of_the_bijector():
    """At values inside, on and beyond the bounds; the gradients are of size 30."""
    transform = bijectors.SplineTransform(bound=4.0)
    rng = np.random.default_rng(1)
    raw = tf.constant(2 * rng.normal(size=(40, 3 * transform.params_per_dim)))
    x = tf.constant(np.clip(3 * rng.normal(size=(40, 3)), [-9.0, -4.0, -9.0], [9.0, 4.0, 9.0]))
    of_z, of_log_slope = tf.constant(rng.normal(size=(2, 40, 3)))

    def long_way(raw, x):
        bijector = transform.bijector(tf.split(raw, transform.params_per_dim, axis=-1))
        return bijector.inverse(x), bijector.inverse_log_det_jacobian(x, event_ndims=0)

    results = []
    for way in (long_way, transform.to_noise):
        with tf.GradientTape() as tape:
            tape.watch([raw, x])
            z, log_slope = way(raw, x)
            total = tf.reduce_sum(z * of_z + log_slope * of_log_slope)
        results.append(tape.gradient(total, [raw, x]))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-11)
