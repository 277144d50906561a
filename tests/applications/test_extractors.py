"""Inception's place in the pipeline: size, range, channels; and the way out without its weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod import metrics
from keras_genmod.applications import inception_extractor


@pytest.fixture(scope="module")
def random_inception():
    keras.config.set_dtype_policy("mixed_bfloat16")
    return inception_extractor((0, 255), weights=None)


def test_images_of_any_size_get_2048_features(random_inception):
    assert random_inception.feature_dim == 2048
    assert random_inception.name == "InceptionV3, random weights, average pool"
    assert random_inception.resize_rule == "bilinear to 299x299, antialiased"
    # Grey becomes colour, the range that was stated becomes [-1, 1].
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 1)).astype("float32")
    prepared = tf.image.resize(np.repeat(images / 127.5 - 1, 3, axis=-1), (299, 299), antialias=True)
    expected = random_inception.model(prepared, training=False)
    features = random_inception(images)
    assert features.shape == (2, 2048)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-5)


def test_features_are_in_full_precision_whatever_models_train_in(random_inception):
    assert {layer.compute_dtype for layer in random_inception.model.layers} == {"float32"}


def test_data_in_the_right_range_go_in_as_they_are(monkeypatch):
    received = {}

    def small_network(**options):
        received.update(options)
        x = keras.Input((299, 299, 3))
        return keras.Model(x, keras.layers.GlobalAveragePooling2D()(x))

    monkeypatch.setattr(keras.applications, "InceptionV3", small_network)
    extractor = inception_extractor(None)
    assert received["weights"] == "imagenet" and not received["include_top"]
    assert extractor.name == "InceptionV3, ImageNet weights of Keras, average pool"
    np.testing.assert_allclose(extractor(np.full((1, 5, 5, 3), 0.25, "float32")), [[0.25] * 3], rtol=1e-5)
    assert inception_extractor(weights="/some/folder/own.h5").name.startswith(
        "InceptionV3, weights of own.h5,"
    )
    assert isinstance(extractor, metrics.FeatureExtractor)


def test_without_a_network_the_error_names_the_alternative(monkeypatch):
    def no_network(**options):
        raise OSError("URL fetch failure on storage.example")

    monkeypatch.setattr(keras.applications, "InceptionV3", no_network)
    with pytest.raises(RuntimeError, match=r"(?s)URL fetch failure.*`classifier_extractor\(x, y\)`"):
        inception_extractor()
    assert keras.config.dtype_policy().name == "float32"
