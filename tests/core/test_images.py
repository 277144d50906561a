"""Where each pixel of a grid comes from, by hand; and PNG files that come back as they were."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.images import as_images, image_grid, write_png

W = 255


def test_pixels_of_a_grid_by_hand():
    # Three images of 1x2 pixels in two columns: the fourth place stays white.
    images = np.array([[0.0, 0.2], [0.4, 0.6], [0.8, 1.0]]).reshape(3, 1, 2, 1)
    expected = [
        [W, W, W, W, W, W, W],
        [W, 0, 51, W, 102, 153, W],
        [W, W, W, W, W, W, W],
        [W, 204, 255, W, W, W, W],
        [W, W, W, W, W, W, W],
    ]
    np.testing.assert_array_equal(image_grid(images, columns=2)[..., 0], expected)


def test_lines_have_their_brightness_and_empty_places_stay_white():
    images = np.array([0.0, 0.2, 0.4]).reshape(3, 1, 1, 1)
    expected = [[9, 9, 9, 9, 9], [9, 0, 9, 51, 9], [9, 9, 9, 9, 9], [9, 102, 9, W, 9], [9, 9, 9, 9, 9]]
    np.testing.assert_array_equal(image_grid(images, columns=2, line=9)[..., 0], expected)
    for line in (-1, 256):
        with pytest.raises(ValueError, match="`line`"):
            image_grid(images, line=line)


def test_scale_repeats_pixels_and_leaves_the_lines():
    images = np.array([0.0, 0.2]).reshape(1, 1, 2, 1)
    expected = [
        [W, W, W, W, W, W],
        [W, 0, 0, 51, 51, W],
        [W, 0, 0, 51, 51, W],
        [W, W, W, W, W, W],
    ]
    np.testing.assert_array_equal(image_grid(images, scale=2)[..., 0], expected)


def test_without_padding_images_touch():
    images = np.arange(4.0).reshape(4, 1, 1, 1)
    grid = image_grid(images, columns=2, value_range=(0, 255), padding=0)
    np.testing.assert_array_equal(grid[..., 0], [[0, 1], [2, 3]])


def test_colours_stay_in_their_channels():
    images = np.zeros((2, 1, 1, 3))
    images[0, ..., 0] = images[1, ..., 2] = 1.0
    np.testing.assert_array_equal(image_grid(images, 2, padding=0), [[[W, 0, 0], [0, 0, W]]])


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (3, 2, 2), (5, 2, 3), (64, 8, 8)])
def test_a_grid_is_as_square_as_it_can_be(count, rows, columns):
    assert image_grid(np.zeros((count, 1, 1, 1)), padding=0).shape == (rows, columns, 1)


def test_groups_of_images_begin_rows():
    """Two classes of three images of one pixel: a row each, though six images are not square."""
    images = np.arange(0, 60, 10.0).reshape(2, 3, 1, 1, 1)
    expected = [[W] * 7, [W, 0, W, 10, W, 20, W], [W] * 7, [W, 30, W, 40, W, 50, W], [W] * 7]
    grid = image_grid(images, value_range=(0, 255))
    np.testing.assert_array_equal(grid[..., 0], expected)
    np.testing.assert_array_equal(image_grid(list(images), value_range=(0, 255)), grid)
    # In two columns, and where groups differ in their numbers, places stay white.
    grid = image_grid(images, 2, value_range=(0, 255), padding=0)
    np.testing.assert_array_equal(grid[..., 0], [[0, 10], [20, W], [30, 40], [50, W]])
    ragged = [images[0, :1], images[1]]
    grid = image_grid(ragged, value_range=(0, 255), padding=0)
    np.testing.assert_array_equal(grid[..., 0], [[0, W, W], [30, 40, 50]])
    # One group is one row.
    grid = image_grid(images[:1], value_range=(0, 255), padding=0)
    np.testing.assert_array_equal(grid[..., 0], [[0, 10, 20]])
    with pytest.raises(ValueError, match=r"images of one shape; received.*\(1, 2, 2, 1\), \(1, 4, 4, 1\)"):
        image_grid([np.zeros((1, 2, 2, 1)), np.zeros((1, 4, 4, 1))])
    with pytest.raises(ValueError, match=r"Images must have shape.*received \(0, 2, 2, 1\)"):
        image_grid(np.zeros((2, 0, 2, 2, 1)))
    with pytest.raises(ValueError, match=r"Images must have shape.*received \(0, 1, 2, 2, 1\)"):
        image_grid(np.zeros((0, 1, 2, 2, 1)))


def test_flat_vectors_fold_row_by_row():
    np.testing.assert_array_equal(as_images([[1, 2, 3, 4]])[0, ..., 0], [[1, 2], [3, 4]])
    assert as_images(np.zeros((2, 784))).shape == (2, 28, 28, 1)


def test_value_range_clips_and_nan_is_black():
    images = np.array([-3.0, -1.0, 0.0, 1.0, 9.0, np.nan, np.inf, -np.inf]).reshape(8, 1, 1, 1)
    grid = image_grid(images, columns=8, value_range=(-1, 1), padding=0)
    np.testing.assert_array_equal(grid[0, :, 0], [0, 0, 128, W, W, 0, W, 0])


@pytest.mark.parametrize("shape", [(2, 10), (3, 4, 4), (2, 4, 4, 2), (0, 4, 4, 1), (0, 4), (5,)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="Images must have shape"):
        image_grid(np.zeros(shape))


@pytest.mark.parametrize(
    "arguments", [{"columns": 0}, {"padding": -1}, {"scale": 0}, {"value_range": (1, 1)}, {"scale": 1.5}]
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must"):
        image_grid(np.zeros((1, 2, 2, 1)), **arguments)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_comes_back_as_it_was(channels, tmp_path):
    grid = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    path = tmp_path / "new" / "grid.png"
    write_png(path, grid)
    np.testing.assert_array_equal(tf.io.decode_png(path.read_bytes()), grid)
    write_png(path, 255 - grid)
    np.testing.assert_array_equal(tf.io.decode_png(path.read_bytes()), 255 - grid)
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]


@pytest.mark.parametrize(
    "grid", [np.zeros((2, 2, 1)), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8)]
)
def test_only_pictures_are_written(grid, tmp_path):
    with pytest.raises(ValueError, match="`grid` must be uint8"):
        write_png(tmp_path / "grid.png", grid)
    assert not list(tmp_path.iterdir())
