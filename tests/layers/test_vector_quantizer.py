"""The codebook: nearest codes, moving averages by hand, codes without use, replicas."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import VectorQuantizer

CODES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0]], np.float32)
X = np.array([[1.0, 0.0], [0.0, 1.0], [5.0, 1.0], [0.5, 0.5]], np.float32)


def quantizer(**options):
    layer = VectorQuantizer(3, **options)
    layer.build((None, 2))
    layer.set_codebook(CODES)
    return layer


def test_the_nearest_code_by_all_distances():
    layer = quantizer()
    x = np.random.default_rng(0).normal(scale=5.0, size=(50, 4, 2)).astype("float32")
    distances = np.sum((x[:, :, None] - CODES) ** 2, axis=-1)
    np.testing.assert_array_equal(layer(x), distances.argmin(axis=-1))
    np.testing.assert_array_equal(layer.lookup(layer(x)), CODES[distances.argmin(axis=-1)])


@pytest.mark.parametrize("offset", [0.0, 100.0, 300.0, 3e4])
def test_the_nearest_code_far_from_the_origin(offset):
    """Codes N(c, 0.01): of squares multiplied out, c^2 would leave little."""
    rng = np.random.default_rng(0)
    codes, x = ((offset + 0.1 * rng.normal(size=(n, 8))).astype("float32") for n in (512, 400))
    layer = VectorQuantizer(512)
    layer.build((None, 8))
    layer.set_codebook(codes)
    distances = np.sum(np.square(x[:, None].astype(np.float64) - codes), axis=-1)
    chosen = np.take_along_axis(distances, layer(x).numpy()[:, None], axis=1)[:, 0]
    assert np.all(chosen <= distances.min(axis=1) * (1.0 + 2.0**-11))


def test_the_nearest_code_of_two_clusters():
    """Each code's own vector, with the clusters 1000 apart and the codes of one 0.001."""
    codes = np.concatenate([np.arange(100), 1e6 + np.arange(100)])[:, None].astype("float32") / 1000
    layer = VectorQuantizer(200)
    layer.build((None, 1))
    layer.set_codebook(codes)
    np.testing.assert_array_equal(layer(codes), np.arange(200))


def test_moving_averages_by_hand():
    layer = quantizer(ema_decay=0.75, revival_threshold=0.0)
    numbers = layer(X)
    assert numbers.numpy().tolist() == [0, 0, 1, 0]
    layer.update(X, numbers, tf.constant([0, 1]))
    # n = 3/4 + 1/4 * uses; m = 3/4 * code + 1/4 * sum of vectors.
    np.testing.assert_allclose(layer.clusters[:, 0], [1.5, 1.0, 0.75], rtol=1e-6)
    expected = [[0.375 / 1.5, 0.375 / 1.5], [3.0 + 1.25, 0.25], [0.0, 9.0]]
    np.testing.assert_allclose(layer.codebook(), expected, rtol=1e-6)


def test_a_code_without_use_moves_to_a_vector_of_the_batch():
    layer = quantizer(ema_decay=0.5, revival_threshold=0.5)
    layer.update(X, layer(X), tf.constant([0, 1]))
    # Counts 2, 1, 0.5 of mean 7/6: the last is below half of it.
    revived = layer.codebook().numpy()[2]
    assert np.any(np.all(np.isclose(X, revived), axis=1))
    assert float(layer.clusters[2, 0]) == pytest.approx(7 / 6)


def test_codes_that_are_never_used_stay_where_they_are():
    layer = quantizer(ema_decay=0.5, revival_threshold=0.0)
    for index in range(60):
        layer.update(X, layer(X), tf.constant([0, index]))
    np.testing.assert_allclose(layer.codebook()[2], CODES[2], rtol=1e-4)


def test_replicas_hold_the_codebook_of_all_vectors(strategy):
    alone = quantizer(ema_decay=0.75)
    alone.update(X, alone(X), tf.constant([0, 1]))
    with strategy.scope():
        shared = quantizer(ema_decay=0.75)

    @tf.function
    def step():
        def one():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            # The first has three of the rows.
            x = tf.cond(tf.equal(number, 0), lambda: tf.constant(X[:3]), lambda: tf.constant(X[3:]))
            x = tf.ensure_shape(x, [None, 2])
            shared.update(x, shared(x), tf.constant([0, 1]))

        strategy.run(one)

    step()
    np.testing.assert_allclose(shared.codebook(), alone.codebook(), rtol=1e-6)
    copies = strategy.experimental_local_results(shared.clusters.value)
    for copy in copies:
        np.testing.assert_array_equal(copy, copies[0])
