"""Conditioning: the exact channels that are appended, for every kind of condition."""

import keras
import numpy as np
import pytest

from keras_genmod.layers import ConcatenateCondition

VECTOR = np.arange(6.0, dtype=np.float32).reshape(2, 3)
IMAGE = np.arange(2 * 4 * 5 * 2, dtype=np.float32).reshape(2, 4, 5, 2)


def test_class_beside_a_vector():
    result = ConcatenateCondition(num_classes=4)([VECTOR, np.array([2, 0])])
    np.testing.assert_array_equal(result, [[0, 1, 2, 0, 0, 1, 0], [3, 4, 5, 1, 0, 0, 0]])


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_class_at_every_pixel(shape):
    result = np.asarray(ConcatenateCondition(num_classes=3)([IMAGE, np.array([2, 0]).reshape(shape)]))
    np.testing.assert_array_equal(result[..., :2], IMAGE)
    np.testing.assert_array_equal(result[0, ..., 2:], np.broadcast_to([0, 0, 1], (4, 5, 3)))
    np.testing.assert_array_equal(result[1, ..., 2:], np.broadcast_to([1, 0, 0], (4, 5, 3)))


def test_class_at_every_step_of_a_sequence():
    x = np.ones([2, 3, 1], np.float32)
    for labels in (np.array([1, 0]), np.array([[1], [0]])):
        result = ConcatenateCondition(num_classes=2)([x, labels])
        np.testing.assert_array_equal(result, [[[1, 0, 1]] * 3, [[1, 1, 0]] * 3])


def test_vector_beside_a_vector():
    result = ConcatenateCondition()([VECTOR, -VECTOR[:, :2]])
    np.testing.assert_array_equal(result, [[0, 1, 2, 0, -1], [3, 4, 5, -3, -4]])


def test_number_beside_a_vector():
    result = ConcatenateCondition()([VECTOR, np.array([7.0, 8.0])])
    np.testing.assert_array_equal(result, [[0, 1, 2, 7], [3, 4, 5, 8]])


def test_vector_at_every_pixel():
    result = np.asarray(ConcatenateCondition()([IMAGE, VECTOR]))
    np.testing.assert_array_equal(result[..., :2], IMAGE)
    for row in range(2):
        np.testing.assert_array_equal(result[row, ..., 2:], np.broadcast_to(VECTOR[row], (4, 5, 3)))


def test_image_beside_an_image():
    result = np.asarray(ConcatenateCondition()([IMAGE, -IMAGE[..., :1]]))
    np.testing.assert_array_equal(result, np.concatenate([IMAGE, -IMAGE[..., :1]], axis=-1))


def test_image_beside_a_vector_is_flattened():
    result = np.asarray(ConcatenateCondition()([VECTOR, IMAGE]))
    np.testing.assert_array_equal(result, np.concatenate([VECTOR, IMAGE.reshape(2, -1)], axis=-1))


@pytest.mark.parametrize("shape", [(2, 5, 4, 1), (2, 8, 10, 2), (2, 1, 1, 3)])
def test_image_of_another_size_is_refused(shape):
    with pytest.raises(ValueError, match="a vector or have the same height and width.*Resize it"):
        ConcatenateCondition()([IMAGE, np.zeros(shape, np.float32)])


@pytest.mark.parametrize("num_classes", [0, 1, 2.5])
def test_number_of_classes_is_checked(num_classes):
    with pytest.raises(ValueError, match="`num_classes` must be an integer of at least 2"):
        ConcatenateCondition(num_classes)


@pytest.mark.parametrize(
    ("num_classes", "x_shape", "condition_shape"),
    [
        (7, (3,), ()),
        (7, (4, 5, 2), ()),
        (None, (3,), (4,)),
        (None, (4, 5, 2), (3,)),
        (None, (4, 5, 2), (4, 5, 1)),
    ],
)
def test_announced_shape_is_the_shape_of_the_result(num_classes, x_shape, condition_shape):
    layer = ConcatenateCondition(num_classes)
    announced = layer.compute_output_shape([(None, *x_shape), (None, *condition_shape)])
    result = layer([np.zeros([2, *x_shape], np.float32), np.zeros([2, *condition_shape], np.int32)])
    assert announced == (None, *result.shape[1:])


def test_configuration_gives_the_layer_back():
    layer = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(ConcatenateCondition(4, name="with_class"))
    )
    assert isinstance(layer, ConcatenateCondition) and layer.name == "with_class"
    result = layer([VECTOR, np.array([3, 1])])
    np.testing.assert_array_equal(result[:, 3:], [[0, 0, 0, 1], [0, 1, 0, 0]])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_class_numbers_are_not_rounded_in_half_precision(policy):
    """Half precision counts only to 256 or 2048 by ones."""
    layer = ConcatenateCondition(5000, dtype=policy)
    result = layer([np.full([2, 1], 0.5, np.float32), np.array([257, 4097], np.int32)])
    assert keras.backend.standardize_dtype(result.dtype) == layer.compute_dtype != "float32"
    result = np.asarray(result, np.float32)
    np.testing.assert_array_equal(result[:, 0], 0.5)
    np.testing.assert_array_equal(np.argmax(result[:, 1:], axis=-1), [257, 4097])
    np.testing.assert_array_equal(result[:, 1:].sum(axis=-1), 1)
