"""Streaming metrics of samples: the array function's figures for any batches, on one device and on two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.metrics import (
    DensityCoverage,
    FeatureExtractor,
    FrechetDistance,
    KernelDistance,
    ModeCount,
    PrecisionRecall,
    count_modes,
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*generated samples. ")

DIM = 4
CASES = {
    "fid": (FrechetDistance, frechet_distance, {}),
    "kid": (KernelDistance, kernel_distance, {"subset_size": 20, "num_subsets": 5, "seed": 3}),
    "precision_recall": (PrecisionRecall, precision_recall, {"num_neighbours": 2}),
    "density_coverage": (DensityCoverage, density_coverage, {"num_neighbours": 4}),
}
every_metric = pytest.mark.parametrize("case", CASES)


def features(num_real=53, num_generated=41):
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(num_real, DIM)), rng.normal(0.4, 0.8, size=(num_generated, DIM))
    return real.astype(np.float32), generated.astype(np.float32)


def as_dict(value):
    return value if isinstance(value, dict) else {"value": value}


def assert_same(received, expected):
    received, expected = as_dict(received), as_dict(expected)
    assert list(received) == list(expected)
    for name, value in expected.items():
        assert float(received[name]) == pytest.approx(float(value), rel=1e-6), name


def stream(metric, real, generated, sizes):
    """Batches of the given sizes, over and over, until both sides are through."""
    start = number = 0
    while start < max(len(real), len(generated)):
        part = slice(start, start + sizes[number % len(sizes)])
        start, number = part.stop, number + 1
        metric.update_state(
            real=real[part] if len(real[part]) else None,
            generated=generated[part] if len(generated[part]) else None,
        )
    return metric


@every_metric
@pytest.mark.parametrize("sizes", [[53], [1, 7, 20], [5]])
def test_any_batches_give_the_figures_of_the_whole(case, sizes):
    cls, function, options = CASES[case]
    real, generated = features()
    expected = function(real, generated, **options)
    metric = stream(cls(feature_dim=DIM, **options), real, generated, sizes)
    assert_same(metric.result(), expected)
    measured = metric.measurement()
    assert_same(measured, expected)
    for value in as_dict(measured).values():
        assert (value.num_real, value.num_generated, value.extractor) == (53, 41, "given features")
    for value in as_dict(metric.result()).values():
        assert value.dtype == tf.float32 and value.shape == ()


@every_metric
def test_features_keep_their_digits(case):
    """Of features about 1e4 that differ by 1e-3, float32 would leave nothing."""
    cls, function, options = CASES[case]
    real, generated = (1e4 + 1e-3 * np.float64(side) for side in features())
    expected = function(real, generated, **options)
    metric = cls(feature_dim=DIM, **options)
    metric.update_state(real, generated.tolist())
    assert_same(metric.measurement(), expected)


@every_metric
def test_graphs_give_the_same(case):
    cls, function, options = CASES[case]
    real, generated = features()
    metric = cls(feature_dim=DIM, **options)
    update = tf.function(metric.update_state)
    update(real=tf.constant(real[:50]), generated=tf.constant(generated))
    update(real=tf.constant(real[50:]))
    assert_same(tf.function(metric.result)(), function(real, generated, **options))


@every_metric
def test_the_sides_may_come_one_after_the_other(case):
    cls, function, options = CASES[case]
    real, generated = features()
    metric = cls(feature_dim=DIM, **options)
    metric.update_state(generated=generated)
    assert np.isnan(list(as_dict(metric.result()).values())).all()
    with pytest.raises(ValueError, match="`real` must hold at least . samples; received 0"):
        metric.measurement()
    metric.update_state(real)
    assert_same(metric.result(), function(real, generated, **options))


@every_metric
def test_reset_forgets_everything(case):
    cls, function, options = CASES[case]
    real, generated = features()
    metric = cls(feature_dim=DIM, **options)
    assert np.isnan(list(as_dict(metric.result()).values())).all()
    metric.update_state(1e3 * real + 1e5, np.nan * generated)
    assert np.isnan(list(as_dict(metric.result()).values())).all()
    with pytest.raises(ValueError, match="`generated` must hold finite values"):
        metric.measurement()
    metric.reset_state()
    metric.update_state(real, generated)
    assert_same(metric.result(), function(real, generated, **options))


def on_replicas(strategy, metric):
    """A function that updates a metric with one tuple of (real, generated) a replica."""

    @tf.function(reduce_retracing=True, autograph=False)
    def update(*batch):
        strategy.run(metric.update_state, args=batch)

    def shard(context, arrays):
        return tf.constant(arrays[context.replica_id_in_sync_group])

    def run(*shards):
        sides = zip(*shards, strict=True)
        distribute = strategy.experimental_distribute_values_from_function
        update(*[distribute(lambda context, arrays=arrays: shard(context, arrays)) for arrays in sides])

    return run


@every_metric
def test_replicas_give_the_figures_of_one_device(case, strategy):
    """Shards of many sizes, one of them empty, one side alone, and a reset between."""
    cls, function, options = CASES[case]
    real, generated = features()
    with strategy.scope():
        metric = cls(feature_dim=DIM, **options)
    update = on_replicas(strategy, metric)
    update((real[:9], generated[:20]), (real[9:20], generated[20:30]))
    metric.reset_state()
    update((real[:0], generated[:20]), (real[:12], generated[20:25]))
    update((real[12:30], generated[25:41]), (real[30:31], generated[:0]))
    update((real[31:50],), (real[50:],))
    assert_same(metric.result(), function(real, generated, **options))
    for variable in metric.variables:
        first, second = (np.asarray(copy) for copy in strategy.experimental_local_results(variable.value))
        assert np.array_equal(first, second) == (variable.aggregation == "only_first_replica")


def test_replicas_run_the_extractor_and_count_modes(strategy):
    real, generated = features()
    extractor = FeatureExtractor(linear_model())
    with strategy.scope():
        metrics = [FrechetDistance(extractor), ModeCount(np.eye(DIM), 0.3)]
    for metric in metrics:
        on_replicas(strategy, metric)((real[:30], generated[:1]), (real[30:], generated[1:]))
    assert_same(metrics[0].result(), frechet_distance(real, generated, extractor=extractor))
    expected = count_modes(generated, np.eye(DIM), 0.3)
    np.testing.assert_array_equal(metrics[1].mode_counts().counts, expected.counts)
    assert metrics[1].mode_counts().good_share == expected.good_share > 0


def linear_model():
    inputs = keras.Input((DIM,))
    return keras.Model(inputs, keras.layers.Dense(3)(inputs), name="linear")


@every_metric
def test_extractors_turn_data_into_features(case):
    cls, function, options = CASES[case]
    real, generated = features()
    extractor = FeatureExtractor(linear_model())
    metric = cls(extractor, **options)
    assert metric.feature_dim == 3
    stream(metric, real, generated, [20])
    assert_same(metric.result(), function(extractor(real), extractor(generated), **options))
    value = next(iter(as_dict(metric.measurement()).values()))
    assert (value.extractor, value.resize, value.num_real) == ("linear", "none", 53)


@pytest.mark.parametrize("num_devices", [1, 2])
def test_the_first_samples_are_kept_and_all_are_counted(num_devices, strategy):
    real, generated = features()
    options = {"feature_dim": DIM, "max_samples": 25, "subset_size": None}
    if num_devices == 1:
        metric = stream(KernelDistance(**options), real, generated, [10])
    else:
        with strategy.scope():
            metric = KernelDistance(**options)
        update = on_replicas(strategy, metric)
        update((real[:20], generated[:30]), (real[20:30], generated[30:]))
        update((real[30:40],), (real[40:],))
    assert metric.num_seen() == {"real": 53, "generated": 41}
    measured = metric.measurement()
    assert (measured.num_real, measured.num_generated) == (25, 25)
    assert_same(measured, kernel_distance(real[:25], generated[:25], subset_size=None))


@every_metric
def test_configuration_gives_the_metric_back(case):
    cls, _, options = CASES[case]
    metric = cls(FeatureExtractor(linear_model(), name="mine", batch_size=3), name="x", **options)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.get_config() == metric.get_config()
    assert (again.name, again.extractor.name, again.feature_dim) == ("x", "mine", 3)
    plain = cls.from_config(cls(feature_dim=7).get_config())
    assert plain.extractor is None and plain.feature_dim == 7
    modes = ModeCount([[0.0], [1.0]], [0.1, 0.2], num_stds=2.0)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(modes))
    assert again.get_config() == modes.get_config()


def test_variables_are_counted_once():
    assert len(FrechetDistance(feature_dim=2).variables) == 4
    assert len(KernelDistance(feature_dim=2).variables) == 3


@every_metric
def test_wrong_arguments_are_refused(case):
    cls = CASES[case][0]
    with pytest.raises(ValueError, match="`feature_dim` must be given without an extractor; received None"):
        cls()
    unknown = FeatureExtractor(keras.layers.Flatten(), name="pixels")
    with pytest.raises(ValueError, match="`feature_dim` must be given for the extractor pixels"):
        cls(unknown)
    with pytest.raises(ValueError, match="`feature_dim` must be 3 for the extractor linear; received 5"):
        cls(FeatureExtractor(linear_model()), feature_dim=5)
    with pytest.raises(TypeError, match="`extractor` must be a FeatureExtractor, a Keras model or None; rec"):
        cls(np.sum)
    with pytest.raises(ValueError, match=r"`real` must be features of shape \[batch, 4\]; received \(3, 5\)"):
        cls(feature_dim=4).update_state(np.zeros((3, 5)))
    with pytest.raises(ValueError, match=r"`generated` must be features .*; received \(3, 4, 1\). Flatten"):
        cls(feature_dim=4).update_state(generated=np.zeros((3, 4, 1)))
