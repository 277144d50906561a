"""Pictures and numbers of a user become examples, and each change is told."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.checks import ValueRange
from keras_genmod.core.spaces import Space
from keras_genmod.explorer.uploads import numbers, picture_to_example, places

GREY = Space("x", (4, 4, 1), tf.float32, ValueRange(0, 1))


def example(picture, space=GREY, image_shape=(4, 4, 1), value_range=(0.0, 1.0), **options):
    return picture_to_example(np.asarray(picture, np.uint8), space, image_shape, value_range, **options)


def test_a_picture_of_the_models_own_size_stays_as_it_is():
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    x, told = example(picture)
    np.testing.assert_allclose(x[..., 0], picture / 255, atol=1e-6)
    assert told == ["Brightness scaled to values from 0 to 1."]


def test_colours_become_their_brightness():
    picture = np.zeros((4, 4, 3))
    picture[0, 0], picture[0, 1], picture[0, 2] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    x, told = example(picture)
    np.testing.assert_allclose(x[0, :3, 0], [0.299, 0.587, 0.114], atol=1e-6)
    assert "Colours became grey." in told
    # Grey that is saved as a colour picture loses nothing, and nothing is told.
    x, told = example(np.full((4, 4, 3), 51))
    np.testing.assert_allclose(x, 0.2, atol=1e-6)
    assert "Colours became grey." not in told


def test_grey_becomes_three_equal_channels():
    space = Space("x", (2, 2, 3), tf.float32, ValueRange(0, 1))
    x, _ = example([[0, 51], [102, 255]], space, (2, 2, 3))
    np.testing.assert_allclose(x, np.repeat([[[0], [0.2]], [[0.4], [1]]], 3, axis=-1), atol=1e-6)


def test_what_is_transparent_becomes_white():
    picture = np.zeros((4, 4, 4))
    picture[0, 0, 3], picture[0, 1, 3] = 255, 51
    x, told = example(picture)
    np.testing.assert_allclose(x[0, :3, 0], [0.0, 0.8, 1.0], atol=1e-6)
    assert "Transparent parts became white." in told


def test_a_wide_picture_is_cut_to_its_middle_and_shrunk():
    # The middle square has one value, so that any resizing keeps it; the sides have another one.
    picture = np.zeros((8, 20), np.uint8)
    picture[:, 6:14] = 255
    x, told = example(picture)
    np.testing.assert_allclose(x, 1.0, atol=1e-6)
    assert told[:2] == [
        "Cut to the middle 8 x 8 of 8 x 20 pixels.",
        "Resized from 8 x 8 to 4 x 4 pixels.",
    ]


def test_shrinking_averages_instead_of_skipping_pixels():
    # Of each eight columns the middle two are bright: a quarter, but all that a look at the centres finds.
    stripes = np.tile(255 * np.isin(np.arange(32) % 8, (3, 4)), (32, 1))
    x, _ = example(stripes)
    np.testing.assert_allclose(x[:, 1:3], 0.25, atol=0.01)


def test_brightness_goes_to_the_models_range():
    symmetric = Space("x", (4, 4, 1), tf.float32, ValueRange(-1, 1))
    x, told = example(np.full((4, 4), 51), symmetric, value_range=(-1.0, 1.0))
    np.testing.assert_allclose(x, -0.6, atol=1e-6)
    assert told == ["Brightness scaled to values from -1 to 1."]
    levels = Space("x", (4, 4, 1), tf.float32, ValueRange(0, 16, integer=True))
    x, told = example(np.full((4, 4), 130), levels, value_range=(0.0, 16.0))
    np.testing.assert_array_equal(x, 8)
    assert told[-1] == "Rounded to integers."


def test_dark_and_bright_are_swapped_on_request():
    x, told = example(np.full((4, 4), 51), invert=True)
    np.testing.assert_allclose(x, 0.8, atol=1e-6)
    assert "Dark and bright swapped." in told


def test_flat_examples_get_their_own_shape():
    flat = Space("x", (16,), tf.float32, ValueRange(0, 1))
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    x, _ = example(picture, flat)
    np.testing.assert_allclose(x, np.arange(16) / 15, atol=1e-6)


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (0, 4, 3)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(ValueError, match="PNG or JPEG"):
        example(np.zeros(shape))


def test_numbers_may_be_separated_in_several_ways():
    np.testing.assert_array_equal(numbers("1, 2;3\n 4e-1", "x", (2, 2)), [[1, 2], [3, 0.4]])


@pytest.mark.parametrize("text", ["1, 2, 3", "1", "", "1, two", "1, nan", None])
def test_other_numbers_are_refused(text):
    with pytest.raises(ValueError, match="must be 2 numbers"):
        numbers(text, "The example", (2,))


def test_places_are_numbers_and_ranges():
    np.testing.assert_array_equal(np.flatnonzero(places("5, 0-2,2", 6)), [0, 1, 2, 5])


@pytest.mark.parametrize("text", ["6", "0-6", "3-1", "x", "-1", "1.5"])
def test_other_places_are_refused(text):
    with pytest.raises(ValueError, match="from 0 to 5"):
        places(text, 6)


def test_no_place_is_refused():
    with pytest.raises(ValueError, match="No value"):
        places(" , ", 6)
