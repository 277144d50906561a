"""An error of Python code that TensorFlow calls comes out as it was raised."""

import pytest
import tensorflow as tf

from keras_genmod.core.kept_errors import KeptError


def read(error, broken):
    """Iterates over a data set whose Python code raises `broken`."""

    def fetch(number):
        with error.keep():
            if number == 2:
                raise broken
            return number

    numbers = tf.data.Dataset.range(5).map(lambda n: tf.numpy_function(fetch, [n], tf.int64))
    return [int(number) for number in numbers]


def test_the_error_itself_is_raised():
    error, broken = KeptError(), ValueError("row 2 is bad")
    with pytest.raises(ValueError, match=r"^row 2 is bad$") as caught, error.tell():
        read(error, broken)
    assert caught.value is broken


def test_other_errors_pass():
    with pytest.raises(tf.errors.InvalidArgumentError), KeptError().tell():
        tf.reshape(tf.zeros([3]), [2])
    with pytest.raises(KeyError), KeptError().tell():
        raise KeyError("name")
