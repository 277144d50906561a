"""A classifier learns what can be told apart, the same way every time; its features serve for metrics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.applications import ClassifierExtractor, classifier_extractor, predict_classes
from keras_genmod.metrics import count_classes, frechet_distance


def bars(count, *, seed=0):
    """8x8 images of a horizontal bar (class 0), a vertical bar (1) or none (2), in noise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    images = generator.normal(0, 0.1, (count, 8, 8, 1))
    for image, label, place in zip(images, labels, generator.integers(0, 8, count), strict=True):
        if label == 0:
            image[place] += 1
        elif label == 1:
            image[:, place] += 1
    return images.astype("float32"), labels


@pytest.fixture(scope="module")
def bars_extractor():
    return classifier_extractor(
        *bars(320), validation_data=bars(200, seed=1), epochs=3, batch_size=16, feature_dim=16
    )


def test_accuracy_is_that_of_the_classifier_on_the_validation_data(bars_extractor):
    x, y = bars(200, seed=1)
    probs = bars_extractor.classifier(x).numpy()
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-5)
    classes = predict_classes(bars_extractor, x)
    np.testing.assert_array_equal(classes, probs.argmax(axis=1))
    assert bars_extractor.accuracy == np.mean(classes == y) > 0.95
    assert bars_extractor.name == f"classifier of 3 classes, {np.mean(classes == y):.1%} on validation data"
    np.testing.assert_array_equal(count_classes(classes, 3).counts, np.bincount(classes, minlength=3))


def test_features_are_what_the_logits_are_linear_in(bars_extractor):
    x, _ = bars(50, seed=2)
    features = bars_extractor(x)
    assert features.shape == (50, 16) and bars_extractor.feature_dim == 16
    logits = bars_extractor.classifier.get_layer("logits")(features)
    np.testing.assert_allclose(tf.nn.softmax(logits), bars_extractor.classifier(x), rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Fr")
def test_the_distance_tells_other_data_from_more_of_the_same(bars_extractor):
    x, y = bars(600, seed=3)
    same, _ = bars(600, seed=4)
    near = frechet_distance(x, same, extractor=bars_extractor)
    far = frechet_distance(x, x[y != 1], extractor=bars_extractor)
    assert far > 10 * near
    assert near.extractor == bars_extractor.name and near.resize == "none"


def test_the_seed_alone_decides():
    x, y = bars(70)
    keras.utils.set_random_seed(1)
    first = classifier_extractor(x, y, epochs=1, feature_dim=8)
    keras.utils.set_random_seed(2)
    second = classifier_extractor(x, y, epochs=1, feature_dim=8)
    after = keras.random.normal((3,))
    keras.utils.set_random_seed(2)
    np.testing.assert_array_equal(keras.random.normal((3,)), after)
    for one, other in zip(first.classifier.get_weights(), second.classifier.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert first.accuracy == second.accuracy and first.name == second.name
    third = classifier_extractor(x, y, epochs=1, feature_dim=8, seed=1)
    assert np.any(third(x) != first(x))


def test_a_tenth_is_held_out_and_never_trained_on(monkeypatch):
    x, y = bars(100)
    x = np.clip(64 * x + 128, 0, 255).astype("uint8")
    seen = []
    fit = keras.Model.fit

    def spy(self, batches, **options):
        seen.extend(tf.concat([x for x, _ in batches.take(options["steps_per_epoch"])], axis=0).numpy())
        return fit(self, batches, **options)

    monkeypatch.setattr(keras.Model, "fit", spy)
    extractor = classifier_extractor(x, y, epochs=1, feature_dim=8)
    used = {image.astype("uint8").tobytes() for image in seen}
    held_out = np.array([image.tobytes() not in used for image in x])
    assert len(seen) == len(used) == 90 and held_out.sum() == 10
    right = predict_classes(extractor, x[held_out]) == y[held_out]
    assert extractor.accuracy == np.mean(right)
    assert extractor.name.endswith("on held-out data")


def test_data_of_any_range_will_do(bars_extractor):
    """The network standardises its data: another scale and shift change nothing but rounding."""
    x, y = bars(320)
    valid, labels = bars(200, seed=1)
    options = {
        "validation_data": (64 * valid + 128, labels),
        "epochs": 3,
        "batch_size": 16,
        "feature_dim": 16,
    }
    scaled = classifier_extractor(64 * x + 128, y, **options)
    np.testing.assert_allclose(scaled(64 * x + 128), bars_extractor(x), rtol=1e-2, atol=1e-2)


def test_vectors_with_a_column_that_never_varies():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 4, 400)
    x = np.stack([y % 2 + 1000, 1e-3 * (y // 2), np.full(400, 7.0)], axis=1)
    x[:, :2] += generator.normal(0, 0.1, (400, 2)) * [1, 1e-3]
    extractor = classifier_extractor(x, y, epochs=4, batch_size=16, feature_dim=16)
    assert extractor.accuracy > 0.95 and extractor(x).shape == (400, 16)


def test_a_saved_classifier_gives_the_same_extractor(bars_extractor, tmp_path):
    x, _ = bars(20, seed=5)
    bars_extractor.classifier.save(tmp_path / "classifier.keras")
    loaded = ClassifierExtractor(keras.saving.load_model(tmp_path / "classifier.keras"), accuracy=0.5)
    np.testing.assert_allclose(loaded(x), bars_extractor(x), rtol=1e-6)
    assert loaded.accuracy == 0.5 and loaded.name == "classifier"


def test_a_configuration_makes_the_architecture_again(bars_extractor):
    config = keras.saving.serialize_keras_object(bars_extractor)
    again = keras.saving.deserialize_keras_object(config)
    assert (again.name, again.accuracy, again.layer) == (
        bars_extractor.name,
        bars_extractor.accuracy,
        "features",
    )
    again.classifier.set_weights(bars_extractor.classifier.get_weights())
    x, _ = bars(20, seed=5)
    np.testing.assert_allclose(again(x), bars_extractor(x), rtol=1e-6)


def test_full_precision_whatever_models_train_in():
    keras.config.set_dtype_policy("mixed_bfloat16")
    extractor = classifier_extractor(*bars(40), epochs=1, feature_dim=8)
    assert {layer.compute_dtype for layer in extractor.classifier.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_errors_say_what_to_do(bars_extractor):
    x, y = bars(20)
    cases = [
        ((x[..., 0], y), {}, r"`x` must be images \[N, height, width, channels\]"),
        ((x, y[:5]), {}, r"one class per example, shape \(20,\); received \(5,\)"),
        ((x, np.eye(3)[y]), {}, "one-hot"),
        ((x, y), {"num_classes": 2}, "`y` must hold integers in .0, 1.; received values from 0 to 2"),
        ((x, y - 1), {}, "Count the classes from 0"),
        ((x, y + 0.5), {"num_classes": 4}, "fractions"),
        ((np.full_like(x, np.nan), y), {}, "`x` must hold finite values"),
        ((x[:1], y[:1]), {}, "at least 2 examples"),
        ((x, y), {"epochs": 0}, "`epochs` must be an integer"),
        ((x, y), {"validation_data": (x[:, :4], y)}, r"`validation_data\[0\]` must have shape"),
        ((x, y), {"validation_data": (x, y + 7), "num_classes": 3}, r"`validation_data\[1\]` must hold"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(ValueError, match=message):
            classifier_extractor(*arguments, **options)
    with pytest.raises(ValueError, match="`layer` must be the name of a layer of the classifier .*features"):
        ClassifierExtractor(bars_extractor.classifier, layer="other")
    with pytest.raises(TypeError, match="`classifier` must be a Keras model"):
        predict_classes(len, x)
    with pytest.raises(ValueError, match=r"shape \[N, num_classes\]; received \(20, 8, 8, 1\)"):
        predict_classes(keras.layers.ReLU(), x)
