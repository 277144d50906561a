"""Dropout's rate, its replicas and its state."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import Dropout


def test_the_share_of_zeros_is_the_rate_and_the_mean_is_kept():
    layer = Dropout(0.3, seed=0)
    y = layer(tf.ones([1000, 100]), training=True).numpy()
    assert np.mean(y == 0.0) == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / y.size))
    np.testing.assert_allclose(y[y > 0], 1 / 0.7, rtol=1e-6)
    np.testing.assert_array_equal(layer(tf.ones([3, 2]), training=False), np.ones((3, 2)))


def test_every_step_and_every_replica_draws_a_mask_of_its_own(strategy):
    with strategy.scope():
        layer = Dropout(0.5, seed=0)
        layer.build((None, 64))

    @tf.function
    def step():
        masks = strategy.run(lambda: layer(tf.ones([1, 64]), training=True))
        return strategy.experimental_local_results(masks)

    masks = [tuple(mask.numpy().ravel()) for _ in range(3) for mask in step()]
    assert len(set(masks)) == 6


def test_a_file_keeps_the_place_in_the_stream(tmp_path):
    model = keras.Sequential([keras.Input((64,)), Dropout(0.5, seed=3)])
    x = tf.ones([1, 64])
    first = model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    second = model(x, training=True)
    np.testing.assert_array_equal(loaded(x, training=True), second)
    assert np.any(first != second)


def test_bad_rates():
    for rate in (-0.1, 1.0, 2.0, float("nan")):
        with pytest.raises(ValueError, match="rate"):
            Dropout(rate)
