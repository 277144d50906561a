"""Figures are those of the metrics on the model's samples; collapse is noticed; training stays as it is."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod import GAN, VAE, Autoencoder, metrics
from keras_genmod.callbacks import DistributionMetrics

NAMES = ("fid", "kid", "precision", "recall", "density", "coverage", "diversity")
X = np.random.default_rng(0).normal(size=(96, 2)).astype("float32")
LABELS = (X[:, 0] > 0).astype("int32")

pytestmark = pytest.mark.filterwarnings("ignore:.*real and .* generated samples", "ignore:Samples are coll")


def make_gan(run_eagerly=True, **options):
    model = GAN((2,), latent_dim=2, seed=0, **options)
    # One step an epoch is done before a graph of them is traced.
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3), run_eagerly=run_eagerly)
    return model


@pytest.fixture(scope="module")
def gan():
    return make_gan()


@pytest.fixture(scope="module")
def conditional_gan():
    return make_gan(num_classes=2)


def fit(model, *callbacks, x=X, y=None, epochs=2, **options):
    options = {"batch_size": 96, "verbose": 0, **options}
    return model.fit(x, y, epochs=epochs, callbacks=list(callbacks), **options).history


def measure_untrained(model, callback):
    callback.set_model(model)
    callback.on_train_begin()


def by_hand(x, samples):
    """All figures of features, from the functions."""
    spread = metrics.mean_pairwise_distance(samples) / metrics.mean_pairwise_distance(x)
    return {
        "fid": metrics.frechet_distance(x, samples),
        "kid": metrics.kernel_distance(x, samples, subset_size=None),
        **metrics.precision_recall(x, samples),
        **metrics.density_coverage(x, samples),
        "diversity": spread,
    }


class Watched(keras.callbacks.Callback):
    """Keeps what a callback behind the metrics sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(dict(logs))


def test_figures_are_those_of_the_functions_on_the_samples(gan):
    quality, behind = DistributionMetrics(X, num_samples=64, seed=3), Watched()
    history = fit(gan, quality, behind)
    expected = by_hand(X, np.asarray(gan.sample(64, seed=3)))
    assert list(expected) == list(NAMES)
    for name, value in expected.items():
        assert history[f"val_{name}"][1] == pytest.approx(float(value), rel=1e-9)
        assert type(history[f"val_{name}"][1]) is float
        assert [logs[f"val_{name}"] for logs in behind.seen] == history[f"val_{name}"]
    assert history["val_fid"][0] != history["val_fid"][1], "the model was trained in between"


def test_measurements_tell_their_origin(gan):
    double = FeaturesTimesTwo()
    extractor = metrics.FeatureExtractor(double, name="double")
    quality = DistributionMetrics(X, extractor, metrics=["kid", "diversity"], num_samples=64)
    history = fit(gan, quality, epochs=1)
    assert set(quality.measurements) == {0, 1}, "also before training"
    kid = quality.measurements[1]["kid"]
    assert (kid.extractor, kid.resize, kid.num_real, kid.num_generated) == ("double", "none", 96, 64)
    samples = 2 * np.asarray(gan.sample(64, seed=0))
    expected = metrics.kernel_distance(2 * X, samples, subset_size=None)
    assert kid == history["val_kid"][0] == pytest.approx(float(expected), rel=1e-6)
    assert kid.standard_error == pytest.approx(expected.standard_error, rel=1e-6)
    assert quality.describe() == (
        f"epoch 1: kid {kid:.6g}, diversity {history['val_diversity'][0]:.6g} "
        "(double, resize none, 96 real, 64 generated)"
    )
    assert double.num_calls.numpy() > 0


class FeaturesTimesTwo(keras.layers.Layer):
    """Features that count how often real data came by: rows that are those of X."""

    def __init__(self):
        super().__init__()
        self.num_calls = tf.Variable(0, trainable=False)

    def call(self, x):
        is_real = tf.reduce_all(x[0] == tf.constant(X[0]))
        self.num_calls.assign_add(tf.cast(is_real, tf.int32))
        return 2.0 * x


def test_a_keras_model_serves_as_extractor(gan):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(3, name="features")(inputs), name="mine")
    quality = DistributionMetrics(X, model, metrics=["kid"], num_samples=64)
    history = fit(gan, quality, epochs=1)
    features = [np.asarray(model(x)) for x in (X, gan.sample(64, seed=0))]
    expected = metrics.kernel_distance(*features, subset_size=None)
    assert history["val_kid"][0] == pytest.approx(float(expected), rel=1e-5)
    assert quality.measurements[1]["kid"].extractor == "mine"
    # The functions and the streaming metrics take it as well.
    samples = gan.sample(64, seed=0)
    distance = metrics.frechet_distance(X, samples, extractor=model)
    assert float(distance) == pytest.approx(float(metrics.frechet_distance(*features)), rel=1e-4)
    stream = metrics.FrechetDistance(model)
    stream.update_state(X, samples)
    assert float(stream.result()) == pytest.approx(float(distance), rel=1e-4)


def test_features_of_real_data_are_computed_once(gan):
    double = FeaturesTimesTwo()
    quality = DistributionMetrics(X, metrics.FeatureExtractor(double), metrics=("fid",), num_samples=64)
    fit(gan, quality)
    fit(gan, quality, epochs=1)
    assert double.num_calls.numpy() == 1


def test_training_stays_as_it_is():
    plain, measured = make_gan(), make_gan()
    fit(plain)
    fit(measured, DistributionMetrics(X, num_samples=64))
    for expected, received in zip(plain.get_weights(), measured.get_weights(), strict=True):
        np.testing.assert_array_equal(received, expected)
    np.testing.assert_array_equal(measured.sample(3), plain.sample(3))


@pytest.mark.parametrize("is_first", [True, False])
def test_a_checkpoint_keeps_the_epoch_of_the_best_figure(is_first, tmp_path):
    model = make_gan()
    path = tmp_path / "best.keras"
    quality = DistributionMetrics(X, metrics=("fid",), num_samples=64)
    best = keras.callbacks.ModelCheckpoint(path, monitor="val_fid", mode="min", save_best_only=True)
    stop = keras.callbacks.EarlyStopping(monitor="val_fid", mode="min", patience=2)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    callbacks = [quality, log, best, stop] if is_first else [log, best, stop, quality]
    history = fit(model, *callbacks, epochs=5)
    rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
    written = [float(row[rows[0].index("val_fid")]) for row in rows[1:]]
    assert written == pytest.approx(history["val_fid"])
    loaded = keras.saving.load_model(path)
    received = metrics.frechet_distance(X, np.asarray(loaded.sample(64, seed=0)))
    assert float(received) == pytest.approx(min(history["val_fid"]), rel=1e-6)
    assert len(history["val_fid"]) == 5 or np.argmin(history["val_fid"]) == len(history["val_fid"]) - 3


def test_epochs_without_a_measurement_have_no_figures(gan):
    quality, behind = DistributionMetrics(X, metrics=("kid",), num_samples=8, every_n_epochs=2), Watched()
    history = fit(gan, quality, behind, epochs=5)
    assert len(history["val_kid"]) == 2 and len(history["loss"]) == 5
    assert [epoch for epoch, logs in enumerate(behind.seen) if "val_kid" in logs] == [1, 3]
    assert list(quality.measurements) == [0, 2, 4]


def test_names_and_text_are_those_asked_for(gan, capsys):
    quality = DistributionMetrics(X, metrics=("recall", "kid"), num_samples=8, prefix="ema_", verbose=1)
    history = fit(gan, quality, epochs=1)
    assert {name for name in history if name.startswith(("ema_", "val_"))} == {"ema_recall", "ema_kid"}
    assert capsys.readouterr().out == f"{quality.describe()}\n"


@pytest.mark.parametrize("count", [5, 8, 20])
def test_conditions_are_spread_over_the_samples(conditional_gan, count):
    condition = np.sort(LABELS)[np.linspace(0, 95, count).astype(int)]
    quality = DistributionMetrics(X, metrics=("kid",), num_samples=8, condition=condition)
    measure_untrained(conditional_gan, quality)
    rows = {5: [0, 1, 2, 3, 4, 0, 1, 2], 8: range(8), 20: [0, 2, 5, 7, 10, 12, 15, 17]}[count]
    samples = np.asarray(conditional_gan.sample(8, condition=condition[list(rows)], seed=0))
    expected = metrics.kernel_distance(X, samples, subset_size=None)
    assert quality.measurements[0]["kid"] == pytest.approx(float(expected), rel=1e-9)


def test_one_condition_is_for_all(conditional_gan):
    quality = DistributionMetrics(X[LABELS == 1], metrics=("kid",), num_samples=8, condition=1)
    measure_untrained(conditional_gan, quality)
    samples = np.asarray(conditional_gan.sample(8, condition=1, seed=0))
    expected = metrics.kernel_distance(X[LABELS == 1], samples, subset_size=None)
    assert quality.measurements[0]["kid"] == pytest.approx(float(expected), rel=1e-9)


def test_what_cannot_work_ends_the_run_before_the_first_step(gan, conditional_gan):
    images = VAE((4, 4, 1), latent_dim=2)
    images.compile()
    image_data = np.zeros((8, 4, 4, 1), "float32")
    wide = metrics.FeatureExtractor(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    autoencoder = Autoencoder((2,), latent_dim=1, likelihood="gaussian")
    autoencoder.compile()
    cases = [
        (autoencoder, X, {}, TypeError, "`DistributionMetrics` needs a model with `sample`"),
        (gan, X[:, :1], {}, ValueError, r"`x` must have shape \[batch, 2\]"),
        (gan, np.full((8, 2), np.nan), {}, ValueError, "`x` must hold finite values"),
        (gan, np.ones((8, 2)), {}, ValueError, "`x` must hold different examples"),
        (gan, X[:3], {}, ValueError, "at least 4 samples"),
        (gan, X, {"extractor": wide}, ValueError, r"`x` must have shape \[batch, 3\]"),
        (gan, X, {"condition": 1}, ValueError, "This model is unconditional"),
        (gan, X, {"seed": -1}, ValueError, "`seed` must be"),
        (images, 255 * np.eye(16).reshape(16, 4, 4, 1), {}, ValueError, r"`x` must hold values in \[0, 1\]"),
        (conditional_gan, X, {}, ValueError, "`condition` must be given for a conditional model"),
        (conditional_gan, (X, LABELS), {}, TypeError, "one array .*labels apart, as the `condition`"),
        (
            gan,
            tf.data.Dataset.from_tensors(X),
            {},
            TypeError,
            "Of a data set pass .* as one array",
        ),
        (conditional_gan, X, {"condition": [0, 2]}, ValueError, "`condition` must hold integers"),
    ]
    for model, x, options, error, message in cases:
        before = int(model.training_steps)
        with pytest.raises(error, match=message):
            callback = DistributionMetrics(x, num_samples=8, **options)
            labels = LABELS if model is conditional_gan else None
            fit(model, callback, x=image_data if model is images else X, y=labels)
        assert int(model.training_steps) == before
    with pytest.raises(ValueError, match="`metrics` must be one of 'fid', .*received 'is'"):
        DistributionMetrics(X, metrics=("is",))
    with pytest.raises(ValueError, match="`metrics` must be a list"):
        DistributionMetrics(X, metrics="fid")
    with pytest.raises(ValueError, match="`every_n_epochs` must be an integer"):
        DistributionMetrics(X, every_n_epochs=0)
    with pytest.raises(ValueError, match="`prefix` must be a string"):
        DistributionMetrics(X, prefix=None)
    with pytest.raises(TypeError, match="`extractor` must be a FeatureExtractor"):
        DistributionMetrics(X, np.sum)
    with pytest.raises(ValueError, match="There are no figures yet"):
        DistributionMetrics(X).describe()


@pytest.mark.filterwarnings("error:Samples are coll", "error:The discriminator classifies")
def test_few_samples_are_warned_of_once_and_a_healthy_model_is_not():
    """The generator gives the data's own distribution, z itself."""
    identity = make_gan(generator=identity_generator(1.0), ema_decay=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(identity, DistributionMetrics(X, num_samples=64), epochs=3)
    (few,) = [each for each in caught if "generated samples" in str(each.message)]
    names = "Fréchet distance; precision and recall; density and coverage from 96 real and 64 generated"
    assert str(few.message).startswith(names)
    assert "upwards; so few make manifolds" in str(few.message)
    assert few.filename == __file__, "at the user's line"
    assert not [each for each in caught if "collapsing" in str(each.message)]
    np.testing.assert_allclose(history["val_diversity"], 1.0, atol=0.25)


def identity_generator(scale, shift=0.0):
    """The generator z -> scale * z + shift, which does not learn."""
    z = keras.Input((2,))
    layer = keras.layers.Dense(2, name="scale")
    network = keras.Model(z, layer(z))
    layer.set_weights([scale * np.eye(2), np.full(2, shift)])
    layer.trainable = False
    return network


@pytest.mark.filterwarnings("default:Samples are coll")
def test_a_generator_of_one_thing_is_warned_of_once():
    model = make_gan(generator=identity_generator(0.0), ema_decay=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(model, DistributionMetrics(X, metrics=("kid", "diversity"), num_samples=64), epochs=4)
    assert history["val_diversity"] == [0.0] * 4
    (message,) = [str(each.message) for each in caught if "collapsing" in str(each.message)]
    assert "distance between them is 0%" in message
    assert "`r1=`" in message and "`minibatch_stddev=True`" in message
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, DistributionMetrics(X, num_samples=64, warn_of_collapse=False), epochs=4)
    assert not [each for each in caught if "collapsing" in str(each.message)]


def test_a_discriminator_that_knows_all_is_warned_of():
    """Samples far from all data are told apart after a few steps."""
    model = make_gan(generator=identity_generator(1.0, shift=40.0), ema_decay=None, r1=0.0)
    model.compile(discriminator_optimizer=keras.optimizers.Adam(0.01))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quality = DistributionMetrics(X, metrics=("kid",), num_samples=64)
        history = fit(model, quality, epochs=6, batch_size=4)
    accuracy = np.array(history["discriminator_accuracy"])
    assert np.all(accuracy[-2:] >= 0.99), "else this test says nothing"
    (message,) = [str(each.message) for each in caught if "discriminator classifies" in str(each.message)]
    for remedy in ("`instance_noise=`", "`r1=`", "`label_smoothing=`", "learning rate"):
        assert remedy in message


def test_samples_that_are_not_finite_have_no_figures():
    class Breaks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.generator.get_layer("scale").set_weights([np.eye(2), np.full(2, np.nan)])

    model = make_gan(generator=identity_generator(1.0), ema_decay=None)
    quality = DistributionMetrics(X, metrics=("fid", "recall"), num_samples=64)
    with pytest.warns(UserWarning, match="NaN or infinite, so there are no figures.*`StopOnNonFinite`"):
        history = fit(model, Breaks(), quality, epochs=3)
    np.testing.assert_array_equal(np.isnan(history["val_fid"]), [False, True, True])
    np.testing.assert_array_equal(np.isnan(history["val_recall"]), [False, True, True])


def test_on_replicas_figures_are_those_of_the_model(strategy):
    with strategy.scope():
        model = make_gan(run_eagerly=False)
    history = fit(model, DistributionMetrics(X, metrics=("fid", "coverage"), num_samples=64))
    expected = by_hand(X, np.asarray(model.sample(64, seed=0)))
    for name in ("fid", "coverage"):
        assert history[f"val_{name}"][-1] == pytest.approx(float(expected[name]), rel=1e-6)
