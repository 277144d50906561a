"""Feature extractors: the steps one by one against NumPy, one trace, and messages for what does not fit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.metrics import FeatureExtractor


def linear_model(shape=(4,), units=3):
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.layers.Dense(units)(keras.layers.Flatten()(inputs)), name="linear")


def images(count=5, size=4, channels=1):
    return np.random.default_rng(0).random((count, size, size, channels)).astype("float32")


def test_chunks_give_what_the_model_gives_on_the_whole():
    model = linear_model()
    x = np.random.default_rng(0).normal(size=(23, 4)).astype("float32")
    extractor = FeatureExtractor(model, batch_size=5)
    features = extractor(x)
    kernel, bias = (weight.numpy() for weight in model.weights)
    np.testing.assert_allclose(features, x @ kernel + bias, rtol=1e-5, atol=1e-6)
    assert features.dtype == tf.float32 and features.shape == (23, 3) == (23, extractor.feature_dim)
    assert (extractor.name, extractor.resize_rule) == ("linear", "none")


def test_arrays_of_all_lengths_share_one_trace():
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            traces.append(x.shape)
            return 2.0 * x

    extractor = FeatureExtractor(Counting(), batch_size=4)
    for length in (3, 4, 11, 1):
        np.testing.assert_array_equal(extractor(np.ones((length, 2), np.float32)), np.full((length, 2), 2.0))
    assert len(traces) == 1


def test_the_model_is_not_training():
    layers = keras.Sequential([keras.Input((50,)), keras.layers.Dropout(0.5)])
    np.testing.assert_array_equal(FeatureExtractor(layers)(np.ones((3, 50))), np.ones((3, 50)))
    # Layers without such an argument take no offence.
    assert FeatureExtractor(keras.layers.Flatten())(images()).shape == (5, 16)


def test_values_are_mapped_between_the_ranges():
    extractor = FeatureExtractor(keras.layers.Flatten(), data_range=(-1, 1), input_range=(0, 255))
    np.testing.assert_allclose(extractor([[-1.0, 0.0, 1.0, 0.2]]), [[0.0, 127.5, 255.0, 153.0]], rtol=1e-6)


def test_resizing_is_that_of_tensorflow_with_antialiasing():
    x = images(size=8)
    extractor = FeatureExtractor(keras.layers.Flatten(), image_size=(4, 2), resize="bicubic")
    expected = tf.image.resize(x, (4, 2), method="bicubic", antialias=True)
    np.testing.assert_allclose(extractor(x), tf.reshape(expected, (5, 8)), rtol=1e-6)
    assert extractor.resize_rule == "bicubic to 4x2, antialiased"


def test_shrinking_a_chessboard_gives_grey():
    """Without antialiasing the four middle pixels of each block would not be averaged."""
    board = np.indices((8, 8)).sum(axis=0) % 2 * 1.0
    grey = FeatureExtractor(keras.layers.Flatten(), image_size=(2, 2))(board[None, :, :, None])
    np.testing.assert_allclose(grey, np.full((1, 4), 0.5), atol=0.05)


def test_one_channel_is_repeated_for_a_model_of_three():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    x = images()
    features = FeatureExtractor(model)(x)
    np.testing.assert_allclose(features, np.repeat(x.mean(axis=(1, 2)), 3, axis=1), rtol=1e-6)
    assert FeatureExtractor(model)(images(channels=3)).shape == (5, 3)


def test_number_of_features_is_known_as_soon_as_it_can_be():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs))
    assert FeatureExtractor(model, image_size=(8, 8)).feature_dim == 6 * 6 * 2
    extractor = FeatureExtractor(model)
    assert extractor.feature_dim is None
    extractor(images(channels=3))
    assert extractor.feature_dim == 2 * 2 * 2


def test_features_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert FeatureExtractor(linear_model())(np.ones((2, 4))).dtype == tf.float32


def test_inside_a_graph_it_is_a_part_of_it():
    extractor = FeatureExtractor(linear_model(), batch_size=2)
    x = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    np.testing.assert_allclose(tf.function(extractor)(tf.constant(x)), extractor(x), rtol=1e-6)


def test_configuration_round_trip():
    extractor = FeatureExtractor(
        linear_model((4, 4, 1)),
        name="mine",
        image_size=(4, 4),
        resize="area",
        data_range=(0, 1),
        input_range=(-1, 1),
        batch_size=7,
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(extractor))
    assert again.get_config() == extractor.get_config()
    assert (again.name, again.resize_rule, again.feature_dim) == ("mine", "area to 4x4, antialiased", 3)
    again.model.set_weights(extractor.model.get_weights())
    np.testing.assert_array_equal(again(images()), extractor(images()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": (299,)}, r"`image_size` must have 2 axes .*; received \(299,\)"),
        ({"resize": "linear"}, "`resize` must be one of 'bilinear', .*; received 'linear'"),
        ({"data_range": (0, 1)}, r"given together; received \(0, 1\) and None. Give the range"),
        ({"data_range": 3, "input_range": (0, 1)}, r"`data_range` must be a pair .*; received 3"),
        ({"data_range": (1, 0), "input_range": (0, 1)}, r"`data_range\[1\]` must be .* above 1; received 0"),
        ({"batch_size": 0}, "`batch_size` must be an integer of at least 1; received 0"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FeatureExtractor(linear_model(), **options)


def test_wrong_models_are_refused():
    with pytest.raises(TypeError, match="`model` must be a Keras model or layer; received .*Wrap a function"):
        FeatureExtractor(lambda x: x)
    two = [keras.Input((3,)), keras.Input((3,))]
    with pytest.raises(ValueError, match="one input and one output; its input_shape is"):
        FeatureExtractor(keras.Model(two, keras.layers.Add()(two)))
    with pytest.raises(ValueError, match="one input and one output; its output_shape is"):
        FeatureExtractor(keras.Model(two[0], [two[0], two[0]]))


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (2, 5), r"\[batch, 4\] for the model linear; received \(2, 5\). Pass data"),
        ({}, (2, 2, 2), r"\[batch, 4\] for the model linear; received \(2, 2, 2\)"),
        ({}, (4,), r"shape \[batch, ...\]; received \(4,\). Add the batch axis"),
        ({"image_size": (2, 2)}, (2, 4), r"must be images .*; received \(2, 4\). Add the missing axis"),
    ],
)
def test_data_that_do_not_fit_are_refused(options, shape, message):
    with pytest.raises(ValueError, match=message):
        FeatureExtractor(linear_model(), **options)(np.zeros(shape))
