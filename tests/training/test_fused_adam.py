"""Adam as one operation a weight: Keras' numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.training.fused_adam import FusedAdam

SHAPES = [(3, 4), (5,)]


def run(optimizer, as_graph, num_steps=20):
    """The weights after some steps on gradients that are the same for every optimizer."""
    generator = np.random.default_rng(0)
    weights = [keras.Variable(generator.normal(size=shape), dtype="float64") for shape in SHAPES]
    optimizer.build(weights)

    def step(*grads):
        optimizer.apply(list(grads), weights)

    step = tf.function(step, autograph=False) if as_graph else step
    for _ in range(num_steps):
        step(*[tf.constant(generator.normal(size=shape)) for shape in SHAPES])
    return [weight.numpy() for weight in weights]


@pytest.mark.parametrize("as_graph", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"global_clipnorm": 0.5, "weight_decay": 0.01},
        {"amsgrad": True, "beta_1": 0.5},
        {"gradient_accumulation_steps": 2},
        {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)},
    ],
)
def test_the_weights_are_those_of_adam(options, as_graph):
    options = {"learning_rate": 0.05, **options}
    expected = run(keras.optimizers.Adam(**options), as_graph)
    for ours, keras_own in zip(run(FusedAdam(**options), as_graph), expected, strict=True):
        # Keras rounds beta_2 to float32 first, which makes 6e-5 of 1 - beta_2, of updates of about 0.05.
        np.testing.assert_allclose(ours, keras_own, rtol=0, atol=2e-5)


def test_a_lookup_s_gradient_is_taken_too():
    table = keras.Variable(np.ones((4, 2)), dtype="float32")
    optimizer = FusedAdam(0.1)
    optimizer.build([table])
    optimizer.apply([tf.IndexedSlices(tf.ones([1, 2]), tf.constant([2]), tf.constant([4, 2]))], [table])
    np.testing.assert_allclose(table.numpy(), [[1, 1], [1, 1], [0.9, 0.9], [1, 1]], atol=1e-6)


def test_two_replicas_make_the_update_of_their_summed_gradient(strategy):
    gradient = np.array([0.5, -2.0], "float32")
    with strategy.scope():
        weight = keras.Variable(np.zeros(2), dtype="float32")
        optimizer = FusedAdam(0.1, epsilon=1.0)
        optimizer.build([weight])

    @tf.function(autograph=False)
    def step():
        strategy.run(lambda: optimizer.apply([tf.constant(gradient)], [weight]))

    step()
    # The first step of Adam is g / (|g| + epsilon') of the sum, epsilon' being epsilon / sqrt(1 - beta_2).
    total = 2.0 * gradient
    expected = -0.1 * total / (np.abs(total) + 1.0 / np.sqrt(1.0 - 0.999))
    for value in strategy.experimental_local_results(weight.value):
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-4)
