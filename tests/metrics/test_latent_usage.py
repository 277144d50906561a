"""Use of latent variables: NumPy's variance over the whole data, whatever the batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.metrics import LatentUsage, active_units


def codes(num_rows=100):
    """Three units: one lively, one constant, and one of variance 0.0025."""
    wave = np.tile([1.0, -1.0], num_rows // 2)
    return np.stack([2 * wave + 1, np.full(num_rows, 3.0), 0.05 * wave], axis=-1).astype(np.float32)


def test_active_units_of_known_codes():
    assert active_units(codes()) == 1
    assert active_units(codes(), threshold=0.002) == 2
    assert active_units(codes(), threshold=0.003) == 1
    assert active_units(codes(), threshold=4.1) == 0
    assert active_units(np.zeros((10, 4))) == 0
    # Exclusive: a constant unit has a variance of 0, which is not above 0.
    assert active_units(codes(), threshold=0) == 2


def filled(metric, means, kl, sizes):
    start = 0
    for size in sizes:
        metric.update_state(tf.constant(means[start : start + size]), tf.constant(kl[start : start + size]))
        start += size
    assert start == len(means)
    return metric


@pytest.mark.parametrize("sizes", [[100], [1, 60, 39], [25] * 4])
def test_streamed_figures_are_those_of_the_whole_data(sizes):
    rng = np.random.default_rng(0)
    means = rng.normal(size=(100, 5)).astype(np.float32) * [0.01, 0.09, 0.11, 1.0, 10.0]
    means, kl = means.astype(np.float32), rng.exponential(size=(100, 5)).astype(np.float32)
    metric = filled(LatentUsage(5), means, kl, sizes)
    variance = np.var(means.astype(np.float64), axis=0)
    np.testing.assert_allclose(metric.variance_per_latent(), variance, rtol=1e-10)
    np.testing.assert_allclose(metric.kl_per_latent(), kl.astype(np.float64).mean(axis=0), rtol=1e-12)
    for threshold in (0.0005, 0.01, 5.0):
        metric.threshold = threshold
        assert metric.result() == active_units(means, threshold) == np.sum(variance > threshold)


def test_small_movement_far_from_zero_is_seen():
    """In float32 the squares near 1e6 are rounded to 0.06, more than the variance of 0.0025."""
    means = codes() + np.float32(1000)
    metric = filled(LatentUsage(3, threshold=0.002), means, np.zeros_like(means), [50, 50])
    np.testing.assert_allclose(
        metric.variance_per_latent(), np.var(means.astype(np.float64), axis=0), rtol=1e-6, atol=1e-9
    )
    assert metric.result() == 2


def test_half_precision_is_summed_in_float64():
    means = tf.cast(tf.fill([70_000, 1], 0.5), tf.float16)
    metric = LatentUsage(1)
    metric.update_state(means, means)
    np.testing.assert_array_equal(metric.kl_per_latent(), [0.5])
    np.testing.assert_array_equal(metric.variance_per_latent(), [0.0])


def test_nothing_seen_is_nothing_active():
    metric = LatentUsage(2)
    assert metric.result() == 0
    filled(metric, codes()[:, :2], codes()[:, :2], [100])
    assert metric.result() == 1
    metric.reset_state()
    assert metric.result() == 0
    np.testing.assert_array_equal(metric.kl_per_latent(), [0, 0])


def test_replicas_are_summed(strategy):
    with strategy.scope():
        metric = LatentUsage(3, threshold=0.002)
    means = codes()
    data = tf.data.Dataset.from_tensor_slices((means, means**2)).batch(40)
    update = tf.function(lambda batch: strategy.run(metric.update_state, args=batch))
    for batch in strategy.experimental_distribute_dataset(data):
        update(batch)
    assert metric.result() == 2
    np.testing.assert_allclose(metric.variance_per_latent(), np.var(means, axis=0), atol=1e-6)
    np.testing.assert_allclose(metric.kl_per_latent(), np.mean(means**2, axis=0), rtol=1e-6)


def test_configuration_gives_the_metric_back_without_its_state():
    metric = filled(LatentUsage(3, threshold=0.002, name="units"), codes(), codes(), [100])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert (again.name, again.latent_dim, again.threshold) == ("units", 3, 0.002)
    store = {}
    metric.save_own_variables(store)
    assert store == {} and again.result() == 0


@pytest.mark.parametrize("threshold", [-0.1, np.nan, None, "0.01"])
def test_other_thresholds_are_refused(threshold):
    for use in (lambda: active_units(codes(), threshold), lambda: LatentUsage(3, threshold)):
        with pytest.raises(ValueError, match="`threshold` must be a finite number at least 0; received"):
            use()


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"`means` must have shape \[N, latent_dim\]; received \(3,\)"):
        active_units(np.zeros(3))
    with pytest.raises(ValueError, match="`latent_dim` must be an integer of at least 1; received 0"):
        LatentUsage(0)
