"""Batch normalisation: Keras' layer as reference, the global batch on replicas, conditions by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import BatchNormalization, ConditionalBatchNormalization

X = np.random.default_rng(0).normal(3.0, 2.0, (7, 4, 5, 3)).astype("float32")
VECTORS = X[:, 0, 0]


def pair(**kwargs):
    """Our layer and Keras' with the same weights."""
    ours = BatchNormalization(momentum=0.8, epsilon=1e-3, **kwargs)
    theirs = keras.layers.BatchNormalization(momentum=0.8, epsilon=1e-3, **kwargs)
    for layer in (ours, theirs):
        layer.build((None, 3) if kwargs.pop("flat", False) else X.shape)
        generator = np.random.default_rng(1)
        layer.set_weights([generator.uniform(0.5, 2.0, w.shape) for w in layer.get_weights()])
    return ours, theirs


@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}])
def test_it_is_keras_layer_in_training_and_after(options):
    ours, theirs = pair(**options)
    for training in (True, True, False):
        results, gradients = [], []
        for layer in (ours, theirs):
            x = tf.constant(X)
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(x)
                y = layer(x, training=training)
                loss = tf.reduce_sum(y**3)
            results.append(y)
            gradients.append([tape.gradient(loss, x), *tape.gradient(loss, layer.trainable_weights)])
        np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-4)
        for mine, reference in zip(*gradients, strict=True):
            scale = np.abs(reference).max()
            np.testing.assert_allclose(mine / scale, reference / scale, atol=1e-4)
        for mine, reference in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(mine, reference, rtol=1e-4)


def test_vectors_are_normalised_to_mean_0_and_variance_1():
    layer = BatchNormalization()
    y = layer(VECTORS, training=True).numpy()
    np.testing.assert_allclose(y.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.var(0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * VECTORS.mean(0), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * VECTORS.var(0), rtol=1e-4)


def test_a_frozen_layer_uses_its_moving_statistics():
    layer = BatchNormalization(trainable=False)
    np.testing.assert_allclose(layer(VECTORS, training=True), VECTORS / np.sqrt(1 + 1e-5), rtol=1e-5)


def on_replicas(strategy, layer, shards, weigh):
    """Outputs, gradients by the inputs and by the layer's weights, of one shard a replica."""
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(shards[context.replica_id_in_sync_group])
    )

    @tf.function
    def run(x):
        def step(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
                loss = tf.reduce_sum(weigh(y))
            gradient, by_weights = tape.gradient(loss, [x, layer.trainable_weights])
            return y, gradient, by_weights

        return strategy.run(step, args=(x,))

    y, gradient, by_weights = run(values)
    local = strategy.experimental_local_results
    return (
        np.concatenate([part.numpy() for part in local(y)]),
        np.concatenate([part.numpy() for part in local(gradient)]),
        [sum(part.numpy() for part in local(weight)) for weight in by_weights],
    )


@pytest.mark.parametrize("cut", [4, 6, 7])
def test_replicas_normalise_by_the_global_batch(strategy, cut):
    """Whatever the shards, an empty one included; gradients by inputs and weights too."""
    shards = [VECTORS[:cut], VECTORS[cut:]]
    with strategy.scope():
        layer = BatchNormalization()
        layer.build(VECTORS.shape)
    results = on_replicas(strategy, layer, shards, lambda y: y**3)
    one = BatchNormalization()
    x = tf.constant(VECTORS)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = one(x, training=True)
        loss = tf.reduce_sum(y**3)
    gradient, by_weights = tape.gradient(loss, [x, one.trainable_weights])
    np.testing.assert_allclose(results[0], y, atol=1e-5)
    np.testing.assert_allclose(results[1], gradient, atol=1e-4)
    for two, expected in zip(results[2], by_weights, strict=True):
        np.testing.assert_allclose(two, expected, atol=1e-4)
    for two, expected in zip(layer.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(two, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cut", [4, 6, 7])
@pytest.mark.parametrize("offset", [1e3, 1e4, 1e6])
def test_a_large_offset_does_not_cost_digits_on_replicas(strategy, offset, cut):
    """From the first step on: the moving mean is still 0. Outputs and gradients against float64."""
    far = (VECTORS * (1.0 + offset / 1e5) + offset).astype("float32")
    with strategy.scope():
        layer = BatchNormalization(momentum=0.0)
        layer.build(far.shape)
    y, gradient, _ = on_replicas(strategy, layer, [far[:cut], far[cut:]], lambda y: y**3)
    x = tf.constant(far, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        centred = x - tf.reduce_mean(x, axis=0)
        expected = centred / tf.sqrt(tf.reduce_mean(centred**2, axis=0) + 1e-5)
        loss = tf.reduce_sum(expected**3)
    # A few float32 roundings of numbers of moderate size, and of the variance's reciprocal root.
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(gradient, tape.gradient(loss, x), atol=1e-4)
    np.testing.assert_allclose(layer.moving_mean, far.mean(0, "float64"), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, far.astype("float64").var(0), rtol=1e-5)


def test_classes_scale_and_shift():
    layer = ConditionalBatchNormalization(num_classes=3)
    layer.build([X.shape, (None,)])
    table = np.random.default_rng(2).normal(size=(3, 6)).astype("float32")
    layer.table.assign(table)
    classes = np.array([0, 2, 1, 1, 0, 2, 2])
    plain = BatchNormalization(center=False, scale=False)(X, training=True).numpy()
    scale, offset = (part[classes][:, None, None] for part in np.split(table, 2, axis=1))
    np.testing.assert_allclose(
        layer([X, classes], training=True), plain * (1 + scale) + offset, rtol=1e-4, atol=1e-5
    )


def test_vectors_scale_and_shift():
    layer = ConditionalBatchNormalization()
    c = np.random.default_rng(3).normal(size=(7, 2)).astype("float32")
    layer.build([VECTORS.shape, c.shape])
    np.testing.assert_allclose(
        layer([VECTORS, c], training=True), BatchNormalization()(VECTORS, training=True), rtol=1e-5
    )
    table, offset = np.arange(12.0).reshape(2, 6) / 10, np.arange(6.0)
    layer.table.assign(table)
    layer.offset.assign(offset)
    plain = BatchNormalization(center=False, scale=False)(VECTORS, training=True).numpy()
    scale, shift = np.split(c @ table + offset, 2, axis=1)
    np.testing.assert_allclose(layer([VECTORS, c], training=True), plain * (1 + scale) + shift, rtol=1e-3)


def test_an_axis_other_than_the_last_is_refused():
    with pytest.raises(ValueError, match=r"`axis` must be -1; received 1.*keras\.layers"):
        BatchNormalization(axis=1)
